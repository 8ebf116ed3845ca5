"""``python -m tools.course``: runs, a failing cell, and the evidence that is kept."""

import json
import os
import re
import sys

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from fmcourse import evidence
from fmcourse.stats import Interval
from recipes import common
from tools import claims, course, form, site


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Return a function that makes a repository with one notebook of some code cells."""
    for folder in ("notebooks", "images", "build"):
        (tmp_path / folder).mkdir()
    # The website has tests of its own.
    monkeypatch.setattr(site, "main", lambda root: 0)
    monkeypatch.setattr(site, "pick_figures", lambda root: None)
    for name in ("PYTHONPATH", "FMCOURSE_STATE", "FMCOURSE_PREDICTIONS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))

    def make(*sources):
        cells = [new_markdown_cell("# Two cells?\n\nWith $x_i^2$.\n"), *map(new_code_cell, sources)]
        form.write(new_notebook(cells=cells), tmp_path / "notebooks" / "00_two.ipynb")
        return tmp_path

    return make


def test_a_notebook_runs_with_this_python_and_a_fresh_state(house, printed, monkeypatch):
    root = house("import os, sys\nprint(sys.executable, os.environ['FMCOURSE_PREDICTIONS'])")
    (root / "build" / "state").mkdir()
    (root / "build" / "state" / "old").touch()
    # A kernelspec found elsewhere is not used.
    kernel = root / "share" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    stale = '{"argv": ["false"], "display_name": "stale", "language": "python"}'
    (kernel / "kernel.json").write_text(stale)
    monkeypatch.setenv("JUPYTER_PATH", str(root / "share"))
    assert course.main([], root) == 0
    executed = form.read(root / "build" / "executed" / "00_two.ipynb")
    assert executed.cells[1].outputs[0].text == f"{sys.executable} skip\n"
    assert not (root / "build" / "state" / "old").exists()
    assert re.search(r"00_two +\d+ s", printed())


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
    assert words in said and "build/executed/00_two.ipynb" in said
    assert (root / "build" / "executed" / "00_two.ipynb").exists()
    assert not (root / "notebooks" / "reached").exists()


def test_notebooks_are_chosen_by_the_beginnings_of_their_names(tmp_path):
    for name in ("04_b.ipynb", "00_a.ipynb"):
        (tmp_path / name).touch()
    for names, stems in {(): ["00_a", "04_b"], ("notebooks/04_b.ipynb",): ["04_b"]}.items():
        assert [path.stem for path in course.choose(names, tmp_path)] == stems
    with pytest.raises(ValueError, match="no notebook begins with '07'; there are 00_a, 04_b"):
        course.choose(["07"], tmp_path)


# Evidence: a real row is recorded by a real cell, kept, and linked to its cell.

RECORDS = """from fmcourse import evidence
from fmcourse.stats import Interval
evidence.record({key!r}, Interval({at}, {at}, {at}), seeds="3", control={control})"""
PAGE = "# x\n<!-- evidence -->\n<!-- /evidence -->\nend\n"


@pytest.fixture
def claim(house, monkeypatch):
    """The first claim's key, guard and control figures; its evidence is kept apart from ours."""
    root = house()
    bundled = root / "fmcourse" / "bundled"
    bundled.mkdir(parents=True)
    (root / "EVIDENCE.md").write_text(PAGE)
    monkeypatch.setitem(common._chosen, "output", bundled)
    key, about = next(iter(evidence.claims().items()))
    return key, about["guard"], [1.0] * about["control"].count("{")


def test_a_row_is_kept_and_leads_to_its_cell(house, claim):
    key, (least, most), control = claim
    measured = (least + most) / 2
    root = house("1 + 1", RECORDS.format(key=key, at=measured, control=control))
    assert course.main(["--save"], root) == 0
    executed = form.read(root / "notebooks" / "00_two.ipynb")
    assert executed.cells[1].outputs[0].data["text/plain"] == "2"
    assert claims.recorded(executed) == {key: executed.cells[2].id}
    rows = json.loads((root / "fmcourse" / "bundled" / "evidence.json").read_text())
    kept = {row["key"]: row["estimate"] for row in rows}
    assert kept[key] == measured
    assert set(kept) == set(evidence.table()["key"]), "the rows of other notebooks stay"
    text = (root / "EVIDENCE.md").read_text()
    assert f"#cell-id={executed.cells[2].id}) |" in text and text.endswith("end\n")
    manifest = json.loads((root / "fmcourse" / "bundled" / "manifest.json").read_text())
    assert [entry["file"] for entry in manifest["files"]] == ["evidence.json"]


def test_an_estimate_outside_its_guard_fails_and_is_not_kept(claim, tmp_path, capsys):
    key, guard, control = claim
    above = guard[1] + 10
    evidence.record(key, Interval(above, above, above), seeds="3", control=control)
    assert claims.close(tmp_path, save=True, seconds=1.0) == 1
    assert f"{key}: the estimate lies outside its guard" in capsys.readouterr().err
    assert not (tmp_path / "fmcourse" / "bundled" / "evidence.json").exists()
    assert (tmp_path / "EVIDENCE.md").read_text() == PAGE
