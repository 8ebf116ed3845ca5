"""One command names another repository everywhere, and changes nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import retarget
from tools.retarget import Target

ROOT = Path(__file__).resolve().parent.parent
NEW = Target("ada/a-course.v2", "release/1")
TEXT = """[x](https://colab.research.google.com/github/{slug}/blob/{ref}/notebooks/00_a.ipynb)
%pip install https://github.com/{slug}/archive/{ref}.zip and https://raw.githubusercontent.com/{slug}/{ref}/images/x.png
https://github.com/{slug}/blob/{ref}/README.md https://github.com/{slug}.
"""
SETTINGS = '[project]\nref = "stays"\n[tool.fmcourse]\nrepository = "{slug}"\nref = "{ref}"\n\n[tool.other]\nref = "stays"\n'


@pytest.fixture
def house(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "README.md").write_text(TEXT.format(slug="bob/course", ref="main"))
    (tmp_path / "notebooks" / "00_a.ipynb").write_text(TEXT.format(slug="bob/course", ref="main"))
    (tmp_path / "pyproject.toml").write_text(SETTINGS.format(slug="bob/course", ref="main"))
    (tmp_path / "OTHER.md").write_text(
        "https://github.com/bob/course-notes https://github.com/bob2/course bob/course/main\n"
    )
    return tmp_path


def test_every_address_changes_and_nothing_else(house):
    other = (house / "OTHER.md").read_text()
    changed = retarget.retarget(NEW, house)
    assert [path.name for path in changed] == ["README.md", "00_a.ipynb", "pyproject.toml"]
    for name in ("README.md", "notebooks/00_a.ipynb"):
        assert (house / name).read_text() == TEXT.format(slug=NEW.slug, ref=NEW.ref)
    assert (house / "pyproject.toml").read_text() == SETTINGS.format(slug=NEW.slug, ref=NEW.ref)
    assert (house / "OTHER.md").read_text() == other
    assert retarget.read_target(house) == NEW


def test_there_and_back_is_where_we_were(house):
    before = {path: path.read_bytes() for path in house.rglob("*.*")}
    retarget.retarget(NEW, house)
    retarget.retarget(Target("bob/course", "main"), house)
    assert {path: path.read_bytes() for path in house.rglob("*.*")} == before
    assert retarget.retarget(Target("bob/course", "main"), house) == []


def test_our_own_texts_name_the_new_repository_everywhere(tmp_path):
    for pattern in retarget.WRITTEN_IN:
        for path in ROOT.glob(pattern):
            (tmp_path / path.relative_to(ROOT)).parent.mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / path.relative_to(ROOT))
    old = retarget.read_target(tmp_path).slug
    retarget.retarget(NEW, tmp_path)
    left = [
        path.name
        for path in tmp_path.rglob("*.*")
        if path.is_file() and f"/{old}" in path.read_text(encoding="utf-8")
    ]
    assert left == []


def test_no_other_text_names_the_repository():
    slug = retarget.read_target(ROOT).slug
    files = [
        path
        for folder in ("fmcourse", "tools", "recipes", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    assert [
        path.name for path in files if f"github.com/{slug}" in path.read_text(encoding="utf-8")
    ] == []


@pytest.mark.parametrize("slug", ["", "course", "a/b/c", "a b/c", "https://github.com/a/b"])
def test_a_slug_that_is_none_is_refused(slug):
    with pytest.raises(ValueError, match="slug: expected owner/name as on GitHub"):
        Target(slug, "main")


def test_the_command_says_how_it_is_used(capsys):
    assert retarget.main([""]) == 1
    said = capsys.readouterr().err
    assert (
        said
        == "slug: expected owner/name as on GitHub, got ''; as in: make retarget SLUG=owner/name REF=main\n"
    )


def test_a_missing_setting_is_named(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.fmcourse]\nref = "main"\n')
    with pytest.raises(
        KeyError, match=r"\[tool.fmcourse\] lacks repository; add owner/name and a ref"
    ):
        retarget.read_target(tmp_path)
