"""Files of the course's users: written whole or not at all, and read without trust.

Used by every module that keeps something.
"""

import glob
import json
import os
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import psutil


def say(text: str) -> None:
    """Print a sentence; letters that this output cannot show become escapes."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def user_path(path: str | Path) -> Path:
    """Return a path that a user wrote, with ``~`` replaced by the home folder.

    Raises:
        ValueError: the path begins with ``~`` and this user has no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"path: {str(path)!r} begins with ~, but this user has no home folder; "
            "write the whole path"
        ) from error


def write_atomic(path: str | Path, data: bytes | str | Callable[[BinaryIO], Any]) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part of it.

    Args:
        path: the file; its folder is made when missing, and a link stays a link.
        data: the content, text as UTF-8, or a function that writes it to an open binary file.

    Raises:
        OSError: the file could not be written; the old one stays, and no partial file is left.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    # The numbers of process and thread keep two writers of the same file apart.
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
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


def _remove_leftovers(path: Path) -> None:
    """Remove what a process that was killed in the middle of a write has left."""
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
        process = leftover.name[len(path.name) + 1 :].partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            leftover.unlink(missing_ok=True)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return what a TOML file says; a relative path starts in the package's folder."""
    return tomllib.loads((Path(__file__).parent / path).read_text(encoding="utf-8"))


def read_json(path: str | Path, default):
    """Return the content of a JSON file, or `default` when there is none.

    An empty or damaged file, or one that holds another kind of value than `default`, is renamed to
    ``<name>.broken``, a printed sentence says so, and `default` is returned.
    """
    path = Path(path)
    try:
        # Windows' editor writes a byte order mark.
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        if default is not None and not isinstance(found, type(default)):
            raise ValueError(f"expected {type(default).__name__}")
        return found
    except FileNotFoundError:
        return default
    except OSError as error:
        say(f"{path} cannot be read ({error.strerror}) and is ignored.")
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or not what was written
        aside = path.with_name(path.name + ".broken")
        try:
            os.replace(path, aside)
        except OSError:
            say(f"{path} cannot be read and is ignored; delete it when you can.")
        else:
            say(f"{path} cannot be read; it is now called {aside.name}, and a new file is begun.")
    return default
