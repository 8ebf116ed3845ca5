"""How does a model come from the Hugging Face hub? Whole and checked, or not at all and with one clause that says why.

Serves :mod:`fmcourse.hub`. Files are fetched by huggingface_hub into its own cache, weights last: a folder that has all
its weights has everything. Only data are fetched, never code. The cache names each file by its checksum, which is compared
before a model is loaded from it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HubError", "Snapshot", "fetch"]

WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
)  # in the order of preference; each may come in shards, with an index
DATA = (".json", ".txt", ".model")  # configurations and vocabularies
ASK_SECONDS = 10.0  # the longest wait for the hub to say what it has
SPARE_BYTES = 500e6  # of disk, beside the download
NOT_SHOWN = "the hub has no such model, or does not show it to you"
CHECKSUMS = {
    64: "sha256",
    40: "git",
}  # by their number of hexadecimal digits: the hub's two kinds of ETag
_found_whole: set[Path] = set()


class HubError(OSError):
    """A model that the hub did not give; the message is one clause that a reader understands."""


@dataclass(frozen=True)
class Snapshot:
    """A model's files on disk, whole, with the checksums that the hub gave them.

    Attributes:
        folder: where they lie.
        commit: the commit of the hub's repository that they belong to.
        weights: the names of the files that hold the weights.
        weight_bytes: their size in all.
    """

    folder: Path
    commit: str
    weights: tuple[str, ...]
    weight_bytes: int

    @property
    def safetensors(self) -> bool:
        """Whether the weights are in safetensors; otherwise they are in torch's own format."""
        return self.weights[0].endswith(".safetensors")


def fetch(name: str, revision: str = "main") -> Snapshot:
    """Return a model's files, from the cache where it has them all, else from the hub.

    A branch is looked up anew each time; when the hub cannot say what it holds, the copy that was fetched last serves,
    and a line is printed that says so. A commit that the cache holds needs no hub.

    Args:
        name: ``owner/model``.
        revision: a branch, a tag or a full commit.

    Raises:
        HubError: the hub cannot be reached, refuses, or sends what is incomplete or altered, or the disk is too small.
            What was altered is deleted; what arrived whole is kept, so that a second call has less to fetch.
    """
    kept = _kept(name, revision)
    if kept and kept[0].name == revision:
        return _whole(*kept)
    try:
        return _download(name, revision, *_ask(name, revision))
    except _Unasked as error:
        if kept is None:
            raise HubError(str(error)) from error
        print(f"{name}: {error}; going on with the copy in the cache, commit {kept[0].name}.")
        return _whole(*kept)


class _Unasked(Exception):
    """The hub did not say what it holds."""


def _ask(name: str, revision: str) -> tuple[str, dict[str, int]]:
    """Return the commit that a revision stands for, and the sizes of its files in bytes."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=ASK_SECONDS)
    except (
        Exception
    ) as error:  # the client lets errors of its HTTP library through, which share no base class
        raise _Unasked(_reason(error)) from error
    return info.sha, {file.rfilename: file.size or 0 for file in info.siblings}


def _download(name: str, revision: str, commit: str, sizes: dict[str, int]) -> Snapshot:
    """Fetch what is not in the cache yet, weights last."""
    single = next((file for file in WEIGHTS if {file, f"{file}.index.json"} & sizes.keys()), None)
    if single is None:
        raise HubError("it has no weights in safetensors or in torch's format")
    data = [
        file
        for file in sizes
        if "/" not in file and file.endswith(DATA) and not file.endswith(".index.json")
    ]
    try:
        folder = Path(
            _file(name, "config.json", revision)
        ).parent  # by the revision's own name, so that the cache knows it
        for file in [*data, *([] if single in sizes else [f"{single}.index.json"])]:
            _file(name, file, commit)
        _check(folder)
        weights = [single] if single in sizes else _shards(folder / f"{single}.index.json")
        _announce(
            name,
            commit,
            sum(sizes.get(file, 0) for file in weights if not (folder / file).exists()),
        )
        for file in weights:
            _file(name, file, commit)
    except HubError:
        raise
    except Exception as error:  # see _ask
        raise HubError(_reason(error)) from error
    return _whole(folder, weights)


def _file(name: str, file: str, revision: str) -> str:
    from huggingface_hub import hf_hub_download

    return hf_hub_download(name, file, revision=revision)


def _shards(index: Path) -> list[str]:
    return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))


def _announce(name: str, commit: str, missing: int) -> None:
    """Say what will be fetched, and refuse when the disk is too small for it."""
    from huggingface_hub import constants

    if missing:
        cache = Path(constants.HF_HUB_CACHE)
        free = shutil.disk_usage(
            next(folder for folder in (cache, *cache.parents) if folder.exists())
        ).free
        if free < missing + SPARE_BYTES:
            raise HubError(
                f"it needs {_gigabytes(missing + SPARE_BYTES)} of disk, and {_gigabytes(free)} are free; make room"
            )
        print(f"{name}: fetching {_gigabytes(missing)} from the hub, commit {commit}.")


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _kept(name: str, revision: str) -> tuple[Path, list[str]] | None:
    """Return the folder of a revision in the cache and its weights' names, None when the cache has not all of them."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json", revision=revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    for single in WEIGHTS:
        index = folder / f"{single}.index.json"
        weights = [single] if (folder / single).exists() else []
        if not weights and index.exists() and _is_whole(index):
            weights = _shards(index)
        if weights and all((folder / file).exists() for file in weights):
            return folder, weights
    return None


def _whole(folder: Path, weights: list[str]) -> Snapshot:
    _check(folder)
    return Snapshot(
        folder, folder.name, tuple(weights), sum((folder / file).stat().st_size for file in weights)
    )


def _check(folder: Path) -> None:
    """Compare every file of a folder with its checksum, once per session; delete those that differ and say so."""
    altered = [file for file in sorted(folder.iterdir()) if not _is_whole(file)]
    for file in altered:
        file.resolve().unlink()
        file.unlink(missing_ok=True)
    if altered:
        raise HubError(
            f"its file {altered[0].name} was altered on the way and has been deleted; run the cell again"
        )


def _is_whole(file: Path) -> bool:
    """Compare a file of the cache with the checksum that it is stored under; without one there is nothing to compare."""
    blob = file.resolve()
    kind = CHECKSUMS.get(len(blob.name)) if re.fullmatch(r"[0-9a-f]+", blob.name) else None
    if kind is None or blob in _found_whole:
        return True
    start = hashlib.sha1(b"blob %d\0" % blob.stat().st_size) if kind == "git" else hashlib.sha256()
    with open(blob, "rb") as content:
        same = hashlib.file_digest(content, lambda: start).hexdigest() == blob.name
    if same:
        _found_whole.add(blob)
    return same


def _reason(error: BaseException) -> str:
    """Return one clause for what the client raised: that of the first error in the chain of causes that says enough."""
    chain = list(_causes(error))
    clauses = (clause for each in chain if (clause := _clause(each)))
    return (
        next(clauses, None)
        or next(iter(str(error).strip().splitlines()), "")
        or type(error).__name__
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _clause(error: BaseException) -> str | None:
    from huggingface_hub import errors

    clauses = {
        errors.OfflineModeIsEnabled: "the hub is switched off here: HF_HUB_OFFLINE is set",
        errors.GatedRepoError: "its publisher asks you to accept terms first: log in on the hub and open the model's page",
        errors.RepositoryNotFoundError: NOT_SHOWN,
        errors.RevisionNotFoundError: "the hub has the model, but not this revision",
    }
    said = next((clause for kind, clause in clauses.items() if isinstance(error, kind)), None)
    return said or _status(error) or _transport(error)


def _status(error: BaseException) -> str | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None:
        return None
    clauses = {
        401: NOT_SHOWN,
        404: "the hub does not have all of its files (404)",
        429: "the hub asks for a pause (429); try again in some minutes",
    }
    other = (
        f"the hub is out of order ({status}); try again later"
        if status >= 500
        else f"the hub refuses ({status})"
    )
    return clauses.get(status, other)


def _transport(error: BaseException) -> str | None:
    """Name what went wrong below HTTP; the HTTP library differs between versions, the names of its errors hardly."""
    kind, text = type(error).__name__, str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; make room"
    if "Consistency check failed" in text or kind in (
        "RemoteProtocolError",
        "IncompleteRead",
        "ChunkedEncodingError",
    ):
        return "a file came incomplete; run the cell again"
    if "Timeout" in kind:
        return "the hub is too slow to answer; try again later"
    return (
        "the hub cannot be reached"
        if kind in ("ConnectError", "ConnectionError", "ConnectionRefusedError")
        else None
    )
