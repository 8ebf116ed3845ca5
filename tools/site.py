"""Builds the website: notebooks as pages, solutions, glossary, evidence and the teacher's pages.

    python -m tools.site            write build/site, from the notebooks as last executed

The pages load nothing from a network, so the folder can be carried on a stick.
"""

import base64
import copy
import io
import json
import re
import shutil
import sys
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output
from PIL import Image
from sphinx.cmd.build import build_main

from fmcourse import evidence
from fmcourse.files import read_toml, write_atomic
from tools import ROOT, answers
from tools.form import alt_text, digest, heading, picture, question, read, tags
from tools.retarget import Target, read_target

# Pages that are not notebooks, and their files in the repository.
PAGES = {
    "glossary": "docs/glossary.md",
    "evidence": "EVIDENCE.md",
    "teaching": "TEACHING.md",
}
CLINIC = re.compile(r"^## .*mistakes clinic\n(.*)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?(?=\))")
BADGE = re.compile(r"!\[([^\]]*)\]\(https://colab\.research\.google\.com/assets/[^)]+\)")
# Pixels of a figure on the home page.
WIDEST = 640
# A collapsed form, or the cell that sets the course up.
BOOK_KEEPING = re.compile(r"^#@title|^env = fmcourse\.setup\(seed=0, profile", re.MULTILINE)
FILTER = """# What was measured

<label for="filter">Show the rows that contain</label>
<input id="filter" type="search" placeholder="for example: forgotten, or 03, or undecided">
"""


def executed(root: Path = ROOT) -> dict[str, NotebookNode]:
    """Return every notebook in reading order, as this machine last ran it, else as it ships."""
    found = {}
    # Notebook 07, on prompting, is read after 04.
    paths = (root / "notebooks").glob("*.ipynb")
    for path in sorted(paths, key=lambda path: path.name.replace("07", "04z", 1)):
        found[path.stem] = read(path)
        ran = root / "build" / "executed" / path.name
        if ran.exists() and digest(read(ran)) == digest(found[path.stem]):
            found[path.stem] = read(ran)
    return found


def sources(root: Path = ROOT) -> dict[str, str]:
    """Return the digest of the sources that each page of the built site was made from."""
    record = root / "build" / "site" / "sources.json"
    return json.loads(record.read_bytes()) if record.exists() else {}


def build(root: Path = ROOT) -> int:
    """Write the site to build/site; return Sphinx's exit status."""
    source, made = root / "build" / "site-source", root / "build" / "site"
    shutil.rmtree(source, ignore_errors=True)
    shutil.rmtree(made, ignore_errors=True)
    notebooks = executed(root)
    gather(notebooks, source, root)
    options = ["-q", "-b", "html", "-c", str(root / "site")]
    options += ["-D", f"html_static_path={source / '_static'}"]
    status = build_main([*options, str(source), str(made)])
    digests = {stem: digest(notebook) for stem, notebook in notebooks.items()}
    write_atomic(made / "sources.json", json.dumps(digests))
    return status


def gather(notebooks: dict[str, NotebookNode], source: Path, root: Path) -> None:
    """Write what Sphinx reads to the folder `source`: notebooks, Markdown pages, pictures."""
    target = read_target(root)
    shutil.copytree(root / "images", source / "images")
    shutil.copytree(root / "site" / "_static", source / "_static")
    shutil.copy(root / "site" / "badge.svg", source / "images")
    for stem, notebook in notebooks.items():
        shown = _page(notebook, target)
        write_atomic(source / f"{stem}.ipynb", json.dumps(shown))
        clinic = _clinic(shown)
        if clinic.cells:
            write_atomic(source / "mistakes-clinic.ipynb", json.dumps(clinic))
    write_atomic(source / "solutions.md", relink(answers.key(notebooks), target))
    for name, file in PAGES.items():
        text = (root / file).read_text(encoding="utf-8")
        text = text.replace("# What was measured\n", FILTER)
        write_atomic(source / f"{name}.md", relink(text, target, file))
    write_atomic(source / "index.md", _home(notebooks, root))


def relink(text: str, target: Target, file: str = "") -> str:
    """Return Markdown whose relative links lead to pages of the site, else to the repository.

    Args:
        text: the Markdown.
        target: the repository on GitHub.
        file: the Markdown's path in the repository, from which its links are seen.
    """
    pages = {Path(path).name: f"{name}.html" for name, path in PAGES.items()}

    def served(match: re.Match) -> str:
        path, anchor = match[1], (match[2] or "").replace("#cell-id=", "#")
        name = Path(path).name
        if name.endswith(".ipynb"):
            return name.removesuffix(".ipynb") + ".html" + anchor
        if name in pages:
            return pages[name] + anchor
        if "images/" in path:
            return "images/" + path.partition("images/")[2]
        place = (Path("/") / Path(file).parent / path).resolve().relative_to("/")
        return f"https://github.com/{target.slug}/blob/{target.ref}/{place.as_posix()}{anchor}"

    return LINK.sub(served, BADGE.sub(r"![\1](images/badge.svg)", text))


def _page(notebook: NotebookNode, target: Target) -> NotebookNode:
    """Return a notebook as its page shows it: figures with their alt text, no book-keeping."""
    shown = copy.deepcopy(notebook)
    for number, cell in enumerate(shown.cells):
        asked = question(cell)
        if asked:
            text = f":::{{admonition}} Predict before you read on\n{asked}\n:::"
            cell = new_markdown_cell(text, id=cell.id)
            shown.cells[number] = cell
        if cell.cell_type == "code":
            hidden = {"setup", "hide-input"} & set(tags(cell)) or BOOK_KEEPING.search(cell.source)
            cell.metadata["tags"] = ["remove-input"] if hidden else []
            cell.outputs = list(map(_still, cell.outputs))
            continue
        cell.source = relink(cell.source, target, "notebooks/x")
        if number:
            # A page has one title.
            text = re.sub(r"^# ", "## ", cell.source, flags=re.MULTILINE)
            cell.source = f'<span id="{cell.id}"></span>\n\n{text}'
    return shown


def _still(output: NotebookNode) -> NotebookNode:
    """Return an output that needs no kernel, its figure with the alt text."""
    data = output.get("data", {})
    data.pop(evidence.MIME, None)
    shown = picture(output)
    return new_output("display_data", {"text/html": shown}) if shown else output


def _clinic(notebook: NotebookNode) -> NotebookNode:
    """Return the section on the mistakes clinic, if there is one, as a notebook of its own."""
    clinic = copy.deepcopy(notebook)
    clinic.cells = []
    for cell in copy.deepcopy(notebook.cells):
        text = cell.source if cell.cell_type == "markdown" else ""
        ends = re.search(r"^## ", text, re.MULTILINE)
        begins = CLINIC.search(text)
        if clinic.cells and ends:
            cell.source = text[: ends.start()]
            clinic.cells.append(cell)
            break
        if begins:
            cell.source = f"# The mistakes clinic\n{begins[1]}"
        if begins or clinic.cells:
            clinic.cells.append(cell)
    return clinic


def _home(notebooks: dict[str, NotebookNode], root: Path) -> str:
    """Return the home page: three result figures, and a card for each notebook."""
    text = (root / "site" / "home.md").read_text(encoding="utf-8")
    figures = _chosen(root)
    results, cards = "", ""
    for stem, notebook in notebooks.items():
        about = figures[stem[:2]]
        picture = f"images/results/{stem[:2]}.png"
        alt = alt_text(_figure(notebook, about["cell"]))
        if "line" in about:
            results += f":::{{grid-item-card}} {about['line']}\n:link: {stem}.html\n"
            results += f"![{alt}]({picture})\n:::\n"
        cards += f":::{{grid-item-card}} {heading(notebook)}\n:link: {stem}.html\n"
        cards += f":img-top: {picture}\n:img-alt: {alt}\n{about['will']}\n:::\n"
    pages = [*notebooks, "mistakes-clinic", "solutions", *PAGES]
    return text.format(results=results, cards=cards, pages="\n".join(pages))


def _chosen(root: Path) -> dict[str, dict]:
    """Return the figure that stands for each notebook, by the notebook's number."""
    return read_toml(root / "site" / "figures.toml")


def _figure(notebook: NotebookNode, cell_id: str) -> NotebookNode:
    """Return the first output of a cell that is a figure.

    Raises:
        ValueError: the cell is not there, or shows no figure.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []) if cell.id == cell_id else []:
            if "image/png" in output.get("data", {}):
                return output
    raise ValueError(f"site/figures.toml: expected a figure in the cell {cell_id!r}")


def pick_figures(root: Path = ROOT) -> None:
    """Write the figure that stands for each notebook to images/results: README and home page."""
    folder = root / "images" / "results"
    folder.mkdir(exist_ok=True)
    for number, about in _chosen(root).items():
        (path,) = (root / "notebooks").glob(f"{number}_*.ipynb")
        data = _figure(read(path), about["cell"]).data["image/png"]
        picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        picture.thumbnail((WIDEST, WIDEST))
        picture.save(folder / f"{number}.png", optimize=True)


def main(root: Path = ROOT) -> int:
    """Build the site and say where it is."""
    status = build(root)
    print("The website: build/site/index.html" if status == 0 else "Sphinx failed.")
    return status


if __name__ == "__main__":
    sys.exit(main())
