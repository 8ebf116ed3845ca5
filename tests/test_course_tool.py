"""``python -m tools.course``: pages, a failing cell, the evidence and what is kept of it."""

from __future__ import annotations

import json
import re
import sys

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from recipes import common
from tools import course, form, pages

RECORD = """import json, os, pathlib
folder = pathlib.Path(os.environ["FMCOURSE_STATE"], "evidence")
folder.mkdir()
text = dict(section="2.1", notebook="00_two", expected="more", seeds="3", control="0", paper="none", carries_over="yes")
row = dict(claim="it | works", estimate=1.25, low=1.0, high=1.5, band=[{low}, 2.0]) | text
_ = (folder / "00_two.json").write_text(json.dumps([row]))
print("Recorded: it | works: 1.25 [1, 1.5]; expected: more.")"""
README = "# x\n<!-- evidence -->\nold\n<!-- /evidence -->\nend\n"
TABLE = "| it \\| works | 2.1 | [00](notebooks/00_two.ipynb#cell-id={}) | more | 1.25 [1, 1.5] | none | yes |"


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Return a function that makes a repository with one two-cell notebook, and the arguments of main for it."""
    for folder in ("notebooks", "images", "fmcourse/bundled", "build"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "README.md").write_text(README)
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(common, "BUNDLED", tmp_path / "fmcourse" / "bundled")

    def make(*sources):
        cells = [new_markdown_cell("# Two cells?\n\nWith $x_i^2$.\n"), *map(new_code_cell, sources)]
        form.write(new_notebook(cells=cells), tmp_path / "notebooks" / "00_two.ipynb")
        return tmp_path

    return make


def test_a_tiny_notebook_gives_pages_and_the_evidence_table(house, capsys):
    root = house("import sys\nprint(sys.executable)", RECORD.format(low=1.0))
    (root / "build" / "state").mkdir()
    (root / "build" / "state" / "old").touch()
    assert course.main([], root) == 0
    printed = capsys.readouterr().out
    assert re.search(r"00_two +cell 2/2 +\d+ s", printed)
    assert re.search(r"it \| works +00_two +1.25 +1 +1.5 +more +3", printed)
    page = (root / "build" / "00_two.html").read_text()
    assert sys.executable in page, "the kernel runs this interpreter"
    assert '<a href="00_two.html">Two cells?</a>' in (root / "build" / "index.html").read_text()
    assert not (root / "build" / "state" / "old").exists()


def test_a_stale_kernelspec_found_elsewhere_is_not_used(house, monkeypatch):
    root = house("import sys\nprint(sys.executable)", RECORD.format(low=1.0))
    kernel = root / "share" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        '{"argv": ["false"], "display_name": "stale", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(root / "share"))
    executed = course.run(root / "notebooks" / "00_two.ipynb")
    assert executed.cells[1].outputs[0].text.strip() == sys.executable


def test_a_failing_cell_stops_the_run_and_is_named(house, capsys):
    root = house("x = 1", "\n# divide\nx / 0", "print('never')")
    form.write(
        new_notebook(cells=[new_code_cell("open('reached', 'w')")]),
        root / "notebooks" / "01_later.ipynb",
    )
    assert course.main([], root) == 1
    said = capsys.readouterr().err
    assert (
        "00_two: code cell 2 of 3 failed\n  # divide\n  ZeroDivisionError: division by zero" in said
    )
    assert (
        "build/00_two.html" in said
        and "ZeroDivisionError" in (root / "build" / "00_two.html").read_text()
    )
    assert not (root / "notebooks" / "reached").exists()


def test_a_kernel_that_dies_is_named(house, capsys):
    assert course.main([], house("import os", "os._exit(1)")) == 1
    assert (
        "00_two: code cell 2 of 2 failed\n  os._exit(1)\n  the kernel died"
        in capsys.readouterr().err
    )


def test_an_estimate_outside_its_band_fails_and_is_not_kept(house, capsys):
    root = house(RECORD.format(low=1.3))
    assert course.main(["--save"], root) == 1
    assert "outside its band: it | works (00_two): 1.25" in capsys.readouterr().err
    assert not (root / "fmcourse" / "bundled" / "evidence.json").exists()


def test_save_keeps_outputs_evidence_manifest_and_table(house):
    root = house("print(2)", RECORD.format(low=1.0))
    assert course.main(["--save"], root) == 0
    executed = form.read(root / "notebooks" / "00_two.ipynb")
    assert executed.cells[1].outputs[0].text == "2\n" and executed.cells[2].execution_count == 2
    assert executed == form.normalize(executed)
    rows = json.loads((root / "fmcourse" / "bundled" / "evidence.json").read_text())
    assert [(row["estimate"], row["cell"]) for row in rows] == [(1.25, executed.cells[2].id)]
    entries = json.loads((root / "fmcourse" / "bundled" / "manifest.json").read_text())["files"]
    assert [entry["file"] for entry in entries] == ["evidence.json"]
    assert (root / "README.md").read_text() == README.replace("old", course.evidence_table(rows))
    assert course.evidence_table(rows).splitlines()[2] == TABLE.format(executed.cells[2].id)


def test_the_rows_of_notebooks_that_did_not_run_are_kept(house):
    root = house()
    says = [new_output("stream", name="stdout", text="Recorded: c: 3 [3, 3]; expected: above 0.\n")]
    form.write(
        new_notebook(cells=[new_code_cell("0", id="said", outputs=says)]),
        root / "notebooks" / "00_two.ipynb",
    )
    path = root / "fmcourse" / "bundled" / "evidence.json"
    old = [row("00_two", 1.0) | {"cell": "once"}, row("04_other", 2.0) | {"cell": "its"}]
    path.write_text(json.dumps(old))
    course.keep([row("00_two", 3.0)], ["00_two"], 1.0, root)
    assert json.loads(path.read_text()) == [row("00_two", 3.0) | {"cell": "said"}, old[1]]
    assert (
        "| [00](notebooks/00_two.ipynb#cell-id=said) | above 0: held | 3 [3, 3] |"
        in (root / "README.md").read_text()
    )


def row(notebook, estimate):
    texts = dict(
        claim="c", section="2", notebook=notebook, expected="above 0", paper="p", carries_over="yes"
    )
    return texts | dict(estimate=estimate, low=estimate, high=estimate)


@pytest.mark.parametrize(
    "notebook, words",
    [
        (
            "00_two",
            "00_two: no cell printed that it recorded 'c'; execute the notebook, and let evidence.record speak",
        ),
        ("00_tow", "00_tow: .*No such file"),
    ],
)
def test_a_row_that_no_cell_recorded_is_refused_and_nothing_is_stored(house, notebook, words):
    root = house("0")
    with pytest.raises(ValueError, match=words):
        course.keep([row(notebook, 3.0)], [notebook], 1.0, root)
    assert (
        not (root / "fmcourse" / "bundled" / "evidence.json").exists()
        and (root / "README.md").read_text() == README
    )


def test_a_readme_without_marks_is_refused_and_nothing_is_stored(house, capsys):
    root = house(RECORD.format(low=1.0))
    (root / "README.md").write_text("# x\n<!-- evidence -->\n")
    assert course.main(["--save"], root) == 1
    assert (
        "README.md: expected the lines <!-- evidence --> and <!-- /evidence -->"
        in capsys.readouterr().err
    )
    assert not (root / "fmcourse" / "bundled" / "evidence.json").exists()


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
    """A page with a formula, links, a drawing, a remote picture, a folded answer, a figure and a widget."""
    root = tmp_path_factory.mktemp("page")
    (root / "images").mkdir()
    (root / "images" / "dot.png").write_bytes(b"dot")
    prose = [
        "# Page?\n\n[![Open in Colab](https://example.org/badge.svg)](https://example.org) and [next](04_next.ipynb#top)",
        'Inline $a_i < b$ and\n\n$$\\frac{1}{n}$$\n\n![A dot](../images/dot.png)\n\n<img src="../images/dot.png" alt="Two">',
        "<details><summary>Solution</summary>\n\nThe **answer**.\n\n</details>",
    ]
    figure = new_output(
        "display_data", {"image/png": "AAAA"}, metadata={"image/png": {"alt": 'A "rising" line'}}
    )
    widget = new_output(
        "display_data", {form.WIDGET_VIEW: {"model_id": "1"}, "text/plain": "IntSlider(value=0)"}
    )
    cells = [*map(new_markdown_cell, prose), new_code_cell("figure", outputs=[figure, widget])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "ROOT", root)
        return pages.page(new_notebook(cells=cells), "page")


def test_a_page_loads_nothing(shown):
    assert "<script" not in shown
    assert re.findall(r'<(?:img|link|iframe|source)[^>]*(?:src|href)="(?!data:)[^"]*"', shown) == []
    assert not re.search(r"@import|url\((?![\"']?data:)", shown)


def test_a_page_shows_formulae_without_javascript(shown):
    assert (
        '<math display="inline"' in shown
        and '<math display="block"' in shown
        and "<mo>&lt;</mo>" in shown
    )


def test_a_page_describes_its_pictures(shown):
    alts = re.findall(r'<img[^>]*?alt="([^"]*)"', shown) + re.findall(
        r"<img[^>]*?alt='([^']*)'", shown
    )
    assert sorted(alts) == ['A "rising" line', "A dot", "Two"]
    assert shown.count("data:image/png;base64,ZG90") == 2


def test_a_page_links_to_pages_and_keeps_answers_folded(shown):
    assert '<a href="04_next.html#top">next</a>' in shown and ">Open in Colab</a>" in shown
    assert re.search(
        r"<details>\s*<summary>Solution</summary>.*<strong>answer</strong>.*</details>",
        shown,
        re.DOTALL,
    )


def test_a_page_says_where_a_widget_stood(shown):
    assert "IntSlider" not in shown and "Run the notebook to use the widget" in shown
