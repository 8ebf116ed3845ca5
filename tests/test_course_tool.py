"""``python -m tools.course``: runs, pages, a failing cell, and the evidence that is kept."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from fmcourse import evidence
from recipes import common
from tools import ROOT, claims, course, form, notebooks, pages

SHOWS = "import os, sys\nprint(sys.executable, os.environ['FMCOURSE_PREDICTIONS'])"


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Return a function that makes a repository with one notebook of some code cells."""
    for folder in ("notebooks", "images", "build"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    for name in ("PYTHONPATH", "FMCOURSE_STATE", "FMCOURSE_PREDICTIONS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))

    def make(*sources):
        cells = [new_markdown_cell("# Two cells?\n\nWith $x_i^2$.\n"), *map(new_code_cell, sources)]
        form.write(new_notebook(cells=cells), tmp_path / "notebooks" / "00_two.ipynb")
        return tmp_path

    return make


def test_a_small_notebook_gives_pages_and_an_index_without_the_answer_key(house, capsys):
    root = house(SHOWS)
    (root / "build" / "state").mkdir()
    (root / "build" / "state" / "old").touch()
    (root / "build" / "answers.html").touch()
    assert course.main([], root) == 0
    page = (root / "build" / "00_two.html").read_text()
    assert f"{sys.executable} skip" in page
    index = (root / "build" / "index.html").read_text()
    assert '<a href="00_two.html">Two cells?</a>' in index and "answers" not in index
    assert not (root / "build" / "state" / "old").exists()
    assert re.search(r"00_two +\d+ s", capsys.readouterr().out)


def test_a_kernelspec_found_elsewhere_is_not_used(house, monkeypatch):
    root = house("import sys\nprint(sys.executable)")
    kernel = root / "share" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    stale = '{"argv": ["false"], "display_name": "stale", "language": "python"}'
    (kernel / "kernel.json").write_text(stale)
    monkeypatch.setenv("JUPYTER_PATH", str(root / "share"))
    executed = course.run(root / "notebooks" / "00_two.ipynb")
    assert executed.cells[1].outputs[0].text.strip() == sys.executable


@pytest.mark.parametrize(
    "sources, words",
    [
        (
            ("x = 1", "\n# divide\nx / 0"),
            "code cell 2 of 2 failed\n  # divide\n  ZeroDivisionError",
        ),
        (("import os", "os._exit(1)"), "code cell 2 of 2 failed\n  os._exit(1)\n  Kernel died"),
    ],
)
def test_a_failing_cell_stops_the_course_and_is_named(house, capsys, sources, words):
    root = house(*sources)
    later = new_notebook(cells=[new_code_cell("open('reached', 'w')")])
    form.write(later, root / "notebooks" / "01_later.ipynb")
    assert course.main([], root) == 1
    said = capsys.readouterr().err
    assert words in said and "build/00_two.html" in said
    assert (root / "build" / "00_two.html").exists()
    assert not (root / "notebooks" / "reached").exists()


def test_notebooks_are_chosen_by_the_beginnings_of_their_names(tmp_path):
    for name in ("04_b.ipynb", "00_a.ipynb"):
        (tmp_path / name).touch()
    assert [path.stem for path in course.choose([], tmp_path)] == ["00_a", "04_b"]
    assert [path.stem for path in course.choose(["04"], tmp_path)] == ["04_b"]
    assert [path.stem for path in course.choose(["notebooks/00_a.ipynb"], tmp_path)] == ["00_a"]
    with pytest.raises(ValueError, match="no notebook begins with '07'; there are 00_a, 04_b"):
        course.choose(["07"], tmp_path)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A page with a formula, links, a drawing, a folded answer, a table, a figure and a widget."""
    root = tmp_path_factory.mktemp("page")
    (root / "images").mkdir()
    (root / "images" / "dot.png").write_bytes(b"dot")
    prose = [
        "# Page?\n\n[![Open](https://example.org/b.svg)](https://a.org) [next](04_n.ipynb#top)",
        "Inline $a_i < b$ and\n\n$$\\frac{1}{n}$$\n\n![A dot](../images/dot.png)",
        "<details><summary>Solution</summary>\n\nThe **answer**.\n\n</details>",
    ]
    alt = {"image/png": {"alt": 'A "rising" line'}}
    outputs = [
        new_output("display_data", {"image/png": "AAAA"}, metadata=alt),
        new_output("display_data", {form.WIDGET_VIEW: {"model_id": "1"}, "text/plain": "Slider()"}),
        new_output("display_data", {"text/html": "<table><tr><th></th></tr></table>"}),
    ]
    cells = [*map(new_markdown_cell, prose), new_code_cell("figure", outputs=outputs)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "ROOT", root)
        return pages.page(new_notebook(cells=cells), "A page?")


PARTS = [
    '<html lang="en">',
    "<title>A page?</title>",
    'name="viewport"',
    '<a href="index.html">',
    '<math display="inline"',
    '<math display="block"',
    "<mo>&lt;</mo>",
    "data:image/png;base64,ZG90",
    '<pre tabindex="0">',
    'alt="A dot"',
    "alt='A \"rising\" line'",
    '<a href="04_n.html#top">next</a>',
    "<summary>Solution</summary>",
    "<strong>answer</strong>",
    "Run the notebook to use the widget",
]


def test_a_page_holds_everything_and_loads_nothing(shown):
    assert [part for part in PARTS if part not in shown] == []
    unwanted = ["<script", "Slider()", "<th></th>"]
    assert [part for part in unwanted if part in shown] == []
    assert not re.search(r'<(?:img|link|iframe)[^>]*(?:src|href)="(?!data:)', shown)
    assert not re.search(r"@import|url\((?![\"']?data:)", shown)


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_colours_of_a_page_reach_a_contrast_of_four_and_a_half():
    colours = re.findall(r"color: (#\w{6})", pages.CSS)
    ground = luminance("#f5f5f5")
    assert len(colours) == 4
    assert all((ground + 0.05) / (luminance(colour) + 0.05) >= 4.5 for colour in colours)


# Evidence: a real row is recorded by a real cell, kept, and linked to its cell.

RECORDS = """from fmcourse import evidence
from fmcourse.stats import Interval
evidence.record({key!r}, Interval({estimate}, {low}, {high}), seeds="3", control={control})"""
PAGE = "# x\n<!-- evidence -->\n<!-- /evidence -->\nend\n"


def records(key, estimate):
    places = evidence.claims()[key]["control"].count("{")
    return RECORDS.format(
        key=key, estimate=estimate, low=estimate - 1, high=estimate + 1, control=[1.0] * places
    )


@pytest.fixture
def claim(house, monkeypatch):
    """Return the first claim's key, in a repository whose evidence is kept apart from ours."""
    root = house()
    bundled = root / "fmcourse" / "bundled"
    bundled.mkdir(parents=True)
    (root / "EVIDENCE.md").write_text(PAGE)
    monkeypatch.setitem(common._chosen, "output", bundled)
    return next(iter(evidence.claims()))


def test_a_row_is_kept_and_leads_to_its_cell(house, claim):
    least, most = evidence.claims()[claim]["guard"]
    root = house("1 + 1", records(claim, (least + most) / 2))
    assert course.main(["--save"], root) == 0
    executed = form.read(root / "notebooks" / "00_two.ipynb")
    assert executed.cells[1].outputs[0].data["text/plain"] == "2"
    assert claims.recorded(executed) == {claim: executed.cells[2].id}
    rows = json.loads((root / "fmcourse" / "bundled" / "evidence.json").read_text())
    kept = {row["key"]: row["estimate"] for row in rows}
    assert kept[claim] == (least + most) / 2
    assert set(kept) == set(evidence.table()["key"]), "the rows of other notebooks stay"
    text = (root / "EVIDENCE.md").read_text()
    assert f"#cell-id={executed.cells[2].id}) |" in text and text.endswith("end\n")
    manifest = json.loads((root / "fmcourse" / "bundled" / "manifest.json").read_text())
    assert [entry["file"] for entry in manifest["files"]] == ["evidence.json"]


def test_an_estimate_outside_its_guard_fails_and_is_not_kept(house, claim, capsys):
    root = house(records(claim, evidence.claims()[claim]["guard"][1] + 10))
    assert course.main(["--save"], root) == 1
    assert f"{claim}: the estimate lies outside its guard" in capsys.readouterr().err
    assert not (root / "fmcourse" / "bundled" / "evidence.json").exists()
    assert (root / "EVIDENCE.md").read_text() == PAGE


def test_a_claim_of_a_different_notebook_is_found(house, claim):
    root = house(records(claim, 0.0))
    path = root / "notebooks" / "00_two.ipynb"
    form.write(course.run(path), path)
    assert any("belongs to" in problem for problem in notebooks.lint(path))


def test_what_ships_is_what_the_page_shows():
    text = (ROOT / "EVIDENCE.md").read_text(encoding="utf-8")
    for claim in evidence.table()["claim"]:
        assert f"| {claim} |" in text
