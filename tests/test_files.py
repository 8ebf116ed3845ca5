"""Files are whole when written and checked when read."""

import io
import os
import sys
from pathlib import Path

import pytest

from fmcourse import files


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path):
    path = tmp_path / "state.bin"
    files.write_atomic(path, "old")

    def half(file):
        file.write(b"ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_atomic(path, half)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["state.bin"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'{"a": 1', b"[1]"])
def test_a_broken_file_is_named_and_set_aside(tmp_path, content, printed):
    path = tmp_path / "predictions.json"
    assert files.read_json(path, {}) == {} and printed() == ""
    path.write_bytes(content)
    assert files.read_json(path, {}) == {}
    assert "predictions.json" in printed() and not path.exists()
    assert (tmp_path / "predictions.json.broken").read_bytes() == content
    path.write_text('{"a": 1}', encoding="utf-8-sig")  # as an editor of Windows does
    assert files.read_json(path, {}) == {"a": 1}
    assert files.read_json(tmp_path, {}) == {}  # a folder in place of the file


def test_a_tilde_is_the_home_folder_or_refused_in_a_sentence(monkeypatch, home):
    assert files.user_path("~/kept") == home / "kept"

    def none(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", none)
    with pytest.raises(ValueError, match="home folder"):
        files.user_path("~/kept")


def test_a_link_stays_a_link_and_leftovers_of_killed_writers_go(tmp_path):
    (tmp_path / "drive").mkdir()
    os.symlink(tmp_path / "drive" / "run.pt", tmp_path / "run.pt")
    for process in (os.getpid(), 2**30):
        (tmp_path / "drive" / f"run.pt.{process}-1.partial").write_text("half")
    files.write_atomic(tmp_path / "run.pt", "whole")
    assert (tmp_path / "run.pt").is_symlink()
    kept = sorted(os.listdir(tmp_path / "drive"))
    assert kept == ["run.pt", f"run.pt.{os.getpid()}-1.partial"]


def test_a_name_that_the_output_cannot_show_stops_nothing(monkeypatch):
    shown = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", shown)
    files.say("café 猫")
    assert shown.buffer.getvalue().decode("cp1252").split() == ["café", "\\u732b"]
