"""Files are whole when written and checked when read."""

import os
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
