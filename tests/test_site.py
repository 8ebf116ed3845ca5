"""The website, the student edition and the slides, made from two small notebooks."""

import base64
import io
import re
import shutil

import pytest
from doubles import CASES
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from fmcourse import evidence
from tools import ROOT, form, site, slides, student

COLAB = "https://colab.research.google.com"
PLACE = f"{COLAB}/github/a/b/blob/v1/notebooks/00_two.ipynb"
TEXTS = [
    f"""# Is it two?

[![Open]({COLAB}/assets/colab-badge.svg)]({PLACE}) [next](03_other.ipynb#end)
[report](../docs/report.md)""",
    """## 1 · The mistakes clinic

Inline $a_i < b$, and

$$\\frac{1}{n}$$

![A dot](../images/dot.svg)""",
    """**What we see.** It rises.

## 2 · More

### Exercise 1 · Double (1 minute)

Double `x`.""",
    """<details><summary>Solution</summary>

```python
x = 2 * x
```
</details>

## Remember

* It is two.

**Is it?** Yes.""",
]


def small_notebook():
    file = io.BytesIO()
    Image.new("L", (2, 2)).save(file, "PNG")
    dot = base64.b64encode(file.getvalue()).decode()
    alt = {"image/png": {"alt": 'A "rising" line'}}
    outputs = [
        new_output("display_data", {"image/png": dot}, metadata=alt),
        new_output("display_data", {form.WIDGET_VIEW: {"model_id": "1"}, "text/plain": "Slider()"}),
        new_output("display_data", {evidence.MIME: {"key": "a"}, "text/plain": "a row"}),
    ]
    question = '#@title Your prediction\n#@markdown How many?\npredictions.predict("a", "...")'
    cells = [new_markdown_cell(text) for text in TEXTS]
    cells.insert(2, new_code_cell(question, id="question"))
    cells.insert(3, new_code_cell("shown = 1", outputs=outputs, id="figure"))
    return new_notebook(cells=cells)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A repository of two notebooks, with its website built."""
    root = tmp_path_factory.mktemp("house")
    for folder in ("notebooks", "images", "docs"):
        (root / folder).mkdir()
    shutil.copytree(ROOT / "site", root / "site")
    for name in ("00_two", "03_other"):
        form.write(small_notebook(), root / "notebooks" / f"{name}.ipynb")
    figures = "".join(f'["{n}"]\ncell = "figure"\nwill = "Look."\n' for n in ("00", "03"))
    (root / "site" / "figures.toml").write_text(figures + 'line = "It rises."\n')
    for name in ("dot", "course-map"):
        picture = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
        (root / "images" / f"{name}.svg").write_text(picture)
    (root / "pyproject.toml").write_text('[tool.fmcourse]\nrepository = "a/b"\nref = "v1"\n')
    (root / "EVIDENCE.md").write_text("# What was measured\n\n| claim |\n| --- |\n| one |\n")
    (root / "TEACHING.md").write_text("# Teaching\n\n[the table](EVIDENCE.md)\n")
    (root / "docs" / "glossary.md").write_text("# Glossary\n\n[how](../CONTRIBUTING.md)\n")
    site.pick_figures(root)
    assert site.build(root) == 0
    return root


@pytest.fixture(scope="module")
def made(house):
    """The folder of its pages."""
    return house / "build" / "site"


@pytest.fixture(scope="module")
def page(made):
    return (made / "00_two.html").read_text("utf-8")


@pytest.mark.parametrize("part", CASES["site"]["shown"])
def test_a_page_shows(page, part):
    assert part in page


def test_a_page_hides_book_keeping_and_what_needs_a_kernel(page):
    assert [part for part in ("#@title", "Slider()") if part in page] == []


def test_no_page_loads_anything_from_a_network(made):
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"'](?:https?:)?//|@import"
        r"|<link[^>]*rel=[\"'](?:stylesheet|preload|icon)[^>]*href=[\"'](?:https?:)?//"
    )
    pages = list(made.glob("*.html"))
    assert len(pages) >= 7
    for path in pages:
        assert not loads.search(path.read_text("utf-8")), path.name


def test_links_between_pages_lead_somewhere(made):
    for path in made.glob("*.html"):
        for link in re.findall(r'href="([^":#?]+\.html)', path.read_text("utf-8")):
            assert (path.parent / link).exists(), (path.name, link)


def test_solutions_evidence_and_clinic_are_pages(made):
    solutions = (made / "solutions.html").read_text("utf-8")
    assert "Double" in solutions and "<details" not in solutions
    assert 'id="filter"' in (made / "evidence.html").read_text("utf-8")
    clinic = (made / "mistakes-clinic.html").read_text("utf-8")
    assert "It rises." in clinic and "Double" not in clinic
    assert "evidence.html" in (made / "teaching.html").read_text("utf-8")


def test_what_was_executed_here_is_shown_unless_the_notebook_changed(house):
    ran = house / "build" / "executed"
    ran.mkdir()
    changed = small_notebook()
    changed.cells[3].outputs = []
    form.write(changed, ran / "00_two.ipynb")
    assert site.executed(house)["00_two"].cells[3].outputs == []
    changed.cells[0].source += " More."
    form.write(changed, ran / "00_two.ipynb")
    assert site.executed(house)["00_two"].cells[3].outputs
    shutil.rmtree(ran)


def test_notebook_07_is_read_after_04():
    numbers = [name[:2] for name in site.executed(ROOT)]
    assert numbers == ["00", "01", "02", "03", "04", "07", "05", "06"]


def test_the_student_edition_has_no_outputs_and_no_solutions():
    taken = student.student(small_notebook())
    assert not any(cell.get("outputs") for cell in taken.cells)
    text = "\n".join(cell.source for cell in taken.cells)
    assert "2 * x" not in text and "Double" in text
    assert "<details><summary>What we see" in text and "## 2 · More" in text
    assert "notebooks/student/00_two.ipynb" in text and "../../images/dot.svg" in text


def test_the_student_edition_is_in_step_with_the_notebooks():
    folder = ROOT / "notebooks" / "student"
    found = {path.name: path.read_text("utf-8") for path in folder.glob("*.ipynb")}
    assert found == student.texts_of()


def test_a_deck_has_questions_figures_and_remember_but_no_code():
    made = slides.slides_of(small_notebook())
    bodies = [body for body, _ in made]
    assert "Is it two?" in bodies[0] and "How many?" in bodies[1]
    assert 'alt="A &quot;rising&quot; line"' in bodies[2] and "It rises." in made[2][1]
    assert "It is two." in bodies[-1]
    text = slides.deck(small_notebook())
    assert "shown = 1" not in text and "http" not in text and text.count("<section") == len(made)
