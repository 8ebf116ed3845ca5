"""Writes one deck of slides per notebook from its questions, figures and *Remember*: build/slides.

    python -m tools.slides

A deck is one file that needs no network. Arrow keys or PageDown move; each slide has a note for the
speaker, which opens with a click or the keyboard and is printed below its slide.
"""

import html
import re
from pathlib import Path

from nbconvert.filters.markdown_mistune import markdown2html_mistune as rich
from nbformat import NotebookNode

from fmcourse.files import write_atomic
from tools import ROOT
from tools.form import READING, heading, picture, question
from tools.site import executed

# A slide is 1280 by 720; 37.4 pixels are 28 points.
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
html {{ scroll-snap-type: y mandatory; }}
body {{ margin: 0; font: 37.4px/1.35 sans-serif; color: #111; background: #fff; }}
section {{ width: min(1280px, 100vw); min-height: 100vh; margin: auto; padding: 40px 60px;
  box-sizing: border-box; scroll-snap-align: start; display: flex; flex-direction: column; }}
h1, h2 {{ line-height: 1.15; margin: 0 0 .5em; }}
h1 {{ font-size: 64px; }} h2 {{ font-size: 48px; }}
img {{ max-width: 100%; max-height: 520px; object-fit: contain; }}
details {{ font-size: 20px; margin-top: auto; padding-top: 20px; color: #333; }}
@media print {{ section {{ page-break-after: always; }} }}
</style></head><body><main>
{slides}
</main></body></html>
"""
SLIDE = "<section>{body}\n<details><summary>Note</summary>{note}</details></section>"
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
REMEMBER = re.compile(r"^## Remember\s*(.*)", re.MULTILINE | re.DOTALL)
ASK = (
    "Ask for a show of hands before the next slide. Let neighbours who disagree talk for a minute."
)
LOOK = "Let the class read the axes first. Then ask what they see."


def slides_of(notebook: NotebookNode) -> list[tuple[str, str]]:
    """Return the slides of a notebook: what each shows, and the note for the speaker, as HTML.

    The title, each section that has a question or a figure, each question to predict, each figure
    with the reading that follows it as its note, and *Remember*.
    """
    title = html.escape(heading(notebook))
    made = [(f"<h1>{title}</h1>", "Say why the question matters before you open the notebook.")]
    section = title
    cells = notebook.cells
    for index, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            named = SECTION.findall(cell.source)
            section = html.escape(named[-1]) if named else section
            kept = REMEMBER.search(cell.source)
            if kept:
                points, _, answer = kept[1].partition("\n\n")
                made.append((f"<h2>Remember</h2>{rich(points)}", rich(answer or ASK)))
            continue
        asked = question(cell)
        if asked:
            made.append((f"<h2>Predict</h2><p>{html.escape(asked)}</p>", ASK))
        # What the next text says that one sees.
        after = " ".join(cell.source for cell in cells[index + 1 : index + 2])
        reading = READING.search(after)
        note = rich(reading[0] if reading else LOOK)
        for figure in filter(None, map(picture, cell.outputs)):
            made.append((f"<h2>{section}</h2>{figure}", note))
    return made


def deck(notebook: NotebookNode) -> str:
    """Return a notebook's slides as one page."""
    slides = [SLIDE.format(body=body, note=note) for body, note in slides_of(notebook)]
    return PAGE.format(title=html.escape(heading(notebook)), slides="\n".join(slides))


def main(root: Path = ROOT) -> None:
    """Write every deck to build/slides."""
    folder = root / "build" / "slides"
    for stem, notebook in executed(root).items():
        write_atomic(folder / f"{stem}.html", deck(notebook))
    print("The slides: build/slides")


if __name__ == "__main__":
    main()
