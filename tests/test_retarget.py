"""One command names another repository and tag everywhere, and changes nothing else."""

import pytest

from tools import retarget
from tools.retarget import Target

OLD = Target("bob/course", "main")
NEW = Target("ada/a-course.v2", "release/1")
SETTINGS = """[project]
ref = "stays"
[tool.fmcourse]
repository = "{0.slug}"
ref = "{0.ref}"
"""


def text(target):
    address = f"https://github.com/{target.slug}"
    return (
        f"[x]({target.badge('00_a.ipynb')}) %pip install {target.archive}\n"
        f"{address}/blob/{target.ref}/README.md {address}. {address}/issues\n"
        f"https://github.com/bob/course-notes https://github.com/bob2/course bob/course/main\n"
    )


@pytest.fixture
def house(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "README.md").write_text(text(OLD))
    (tmp_path / "notebooks" / "00_a.ipynb").write_text(text(OLD))
    (tmp_path / "pyproject.toml").write_text(SETTINGS.format(OLD))
    return tmp_path


def test_every_address_changes_once(house):
    assert len(retarget.retarget(NEW, house)) == 3
    for name in ("README.md", "notebooks/00_a.ipynb"):
        assert (house / name).read_text() == text(NEW)
    assert (house / "pyproject.toml").read_text() == SETTINGS.format(NEW)
    assert retarget.read_target(house) == NEW
    assert retarget.retarget(NEW, house) == []


@pytest.mark.parametrize("slug", ["", "course", "a/b/c", "a b/c", "https://github.com/a/b"])
def test_what_is_no_repository_is_refused(slug, capsys):
    assert retarget.main([slug, "v1"]) == 1
    assert "expected owner/name" in capsys.readouterr().err
