"""Files of the course's users: written whole or not at all, and read without trust. Used by every module that keeps something."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["read_json", "user_path", "write_atomic"]


def user_path(path: str | Path) -> Path:
    """Return a path that a user wrote, with ``~`` replaced by the home folder.

    Raises:
        ValueError: the path begins with ``~`` and this user has no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"path: {str(path)!r} begins with ~, but this user has no home folder; write the whole path"
        ) from error


def write_atomic(path: str | Path, data: bytes | str | Callable[[BinaryIO], Any]) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part of it.

    Args:
        path: the file; its folder is made when missing.
        data: the content, text as UTF-8, or a function that writes it to an open binary file.

    Raises:
        OSError: the file could not be written; the old one stays, and no partial file is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process number keeps two kernels that write the same file apart.
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            if callable(data):
                data(file)
            else:
                file.write(data.encode("utf-8") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_json(path: str | Path, default: Any) -> Any:
    """Return the content of a JSON file, or `default` when there is none.

    An empty or damaged file is renamed to ``<name>.broken``, a printed sentence says so, and `default` is returned.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except ValueError:  # no JSON, or no UTF-8
        aside = path.with_name(path.name + ".broken")
        try:
            os.replace(path, aside)
        except OSError:
            print(f"{path} cannot be read and is ignored; delete it when you can.")
        else:
            print(f"{path} cannot be read; it is now called {aside.name}, and a new file is begun.")
        return default
