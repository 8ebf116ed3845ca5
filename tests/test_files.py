"""Files are whole when written and checked when read."""

import io
import os
import sys
from pathlib import Path

import pytest

from fmcourse import files


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    files.write_atomic(path, "old")

    def half(file) -> None:
        file.write(b"ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_atomic(path, half)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["state.bin"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b'{"a": 1'])
def test_a_broken_file_is_named_and_set_aside(tmp_path: Path, content: bytes, capsys) -> None:
    path = tmp_path / "predictions.json"
    path.write_bytes(content)
    assert files.read_json(path, {}) == {}
    assert "predictions.json" in capsys.readouterr().out
    assert not path.exists()
    assert (tmp_path / "predictions.json.broken").read_bytes() == content
    files.write_atomic(path, '{"a": 2}')
    assert files.read_json(path, {}) == {"a": 2}


def test_a_missing_file_gives_the_default_without_a_word(tmp_path: Path, capsys) -> None:
    assert files.read_json(tmp_path / "none.json", []) == []
    assert capsys.readouterr().out == ""


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert files.user_path("~/kept") == tmp_path / "kept"


def test_without_a_home_a_tilde_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", none)
    with pytest.raises(ValueError, match="home folder"):
        files.user_path("~/kept")


def test_a_file_of_a_different_kind_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    assert files.read_json(tmp_path / "a.json", {}) == {}
    assert (tmp_path / "a.json.broken").exists()
    assert files.read_json(tmp_path, {}) == {}  # a folder in place of the file


def test_what_a_windows_editor_saved_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}', encoding="utf-8-sig")
    assert files.read_json(tmp_path / "a.json", {}) == {"a": 1}


def test_a_link_stays_a_link_and_leftovers_of_killed_writers_go(tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    os.symlink(tmp_path / "drive" / "run.pt", tmp_path / "run.pt")
    for process in (os.getpid(), 2**30):
        (tmp_path / "drive" / f"run.pt.{process}-1.partial").write_text("half")
    files.write_atomic(tmp_path / "run.pt", "whole")
    assert (tmp_path / "run.pt").is_symlink()
    kept = sorted(os.listdir(tmp_path / "drive"))
    assert kept == ["run.pt", f"run.pt.{os.getpid()}-1.partial"]


def test_a_name_that_the_output_cannot_show_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", shown)
    files.say("caf\u00e9 \u732b")
    assert shown.buffer.getvalue().decode("cp1252").split() == ["caf\u00e9", "\\u732b"]
