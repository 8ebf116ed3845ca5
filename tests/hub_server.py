"""A server on loopback that speaks as the Hugging Face hub does, for huggingface_hub's own client, with faults to order.

Large files are redirected to a second address, as the hub does to its storage, with the checksum as ETag; small ones
are served in place, with git's checksum. What a test adds is a folder in the publisher's layout.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import pytest

__all__ = ["COMMIT", "NAME", "Fault", "HubServer"]

COMMIT = (
    "0123456789abcdef0123456789abcdef01234567"  # of every repository, unless a test says otherwise
)
NAME = "ada/neo"  # of the repository that tests add
LARGE = (".safetensors", ".bin")  # what publishers keep in large-file storage
CHUNK = 2**20


@dataclass
class Fault:
    """What goes wrong with the requests whose path fits a pattern.

    Attributes:
        where: a regular expression, searched in the path, such as ``/storage/`` or ``config.json``.
        status: answer with this status and nothing else.
        code: the hub's own word for the error, sent as ``X-Error-Code``.
        short: leave the last byte out, and say so in the length.
        cut: break the connection off in the middle of the content.
        alter: change one byte.
        stall: seconds to wait before the answer.
        times: how many requests it hits before all is well again; None means all.
    """

    where: str
    status: int | None = None
    code: str | None = None
    short: bool = False
    cut: bool = False
    alter: bool = False
    stall: float = 0.0
    times: int | None = None

    def hits(self, path: str) -> bool:
        """Return whether a request meets this fault, and count it."""
        if self.times == 0 or not re.search(self.where, path):
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(frozen=True)
class _File:
    path: Path
    etag: str
    large: bool

    @property
    def size(self) -> int:
        return self.path.stat().st_size


@dataclass
class HubServer:
    """A context manager; `url` is what HF_ENDPOINT should hold.

    Attributes:
        faults: the first that fits a request acts on it.
        asked: method and path of every request, in order.
    """

    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._repositories: dict[str, tuple[str, dict[str, _File]]] = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.storage = f"http://localhost:{self._server.server_port}/storage"  # another host, so that no client follows unasked

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, folder: Path, commit: str = COMMIT) -> None:
        """Publish the files of a folder as the repository `name`, ``owner/model``."""
        paths = sorted(path for path in folder.iterdir() if path.is_file())
        self._repositories[name] = (commit, {path.name: _describe(path) for path in paths})

    def connect(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        """Let huggingface_hub's client in this process ask here, and keep what it fetches in `cache`."""
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            self.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))

    def repository(self, name: str) -> tuple[str, dict[str, _File]] | None:
        """Return the commit and the files of a repository, None when there is none."""
        return self._repositories.get(name)

    def stored(self, etag: str) -> _File | None:
        """Return the large file with a checksum."""
        files = (file for _, files in self._repositories.values() for file in files.values())
        return next((file for file in files if file.large and file.etag == etag), None)

    def fault(self, path: str) -> Fault | None:
        """Return the fault that a request for `path` meets."""
        return next((fault for fault in self.faults if fault.hits(path)), None)


def _describe(path: Path) -> _File:
    large = path.suffix in LARGE
    if large:
        with open(path, "rb") as file:
            return _File(path, hashlib.file_digest(file, "sha256").hexdigest(), True)
    content = path.read_bytes()
    return _File(path, hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(), False)


def _handler(hub: HubServer) -> type[http.server.BaseHTTPRequestHandler]:
    return type("Handler", (_Answers,), {"hub": hub})


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers one connection; `hub` says what there is and what goes wrong."""

    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *parts: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        fault = self.hub.fault(path)
        if fault:
            time.sleep(fault.stall)
        try:
            if fault and fault.status:
                self._refuse(fault.status, fault.code)
            elif found := re.fullmatch(r"/storage/(\w+)", path):
                self._content(self.hub.stored(found[1]), fault)
            elif found := re.fullmatch(
                r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path
            ):
                self._describe(*found.groups())
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._file(*found.groups(), fault)
            else:
                self._refuse(404)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client gave up

    def _known(self, name: str, revision: str | None) -> tuple[str, dict[str, _File]] | None:
        """Return a repository, or answer as the hub does to one who is not logged in."""
        found = self.hub.repository(name)
        if found is None:
            self._refuse(401, None, "Invalid username or password.")
        elif revision not in (None, "main", found[0]):
            self._refuse(404, "RevisionNotFound")
            return None
        return found

    def _describe(self, name: str, what: str | None, revision: str | None) -> None:
        found = self._known(name, revision)
        if found is None:
            return
        commit, files = found
        if what == "tree":
            return self._json(
                [_leaf(file, "path", "oid") | {"type": "file"} for file in files.values()]
            )
        siblings = [_leaf(file, "rfilename", "blobId") for file in files.values()]
        about = {
            "private": False,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
        }
        self._json(
            {"_id": "0", "id": name, "modelId": name, "sha": commit, "siblings": siblings, **about}
        )

    def _file(self, name: str, revision: str, file_name: str, fault: Fault | None) -> None:
        found = self._known(name, revision)
        if found is None:
            return
        commit, files = found
        file = files.get(file_name)
        if file is None:
            self._refuse(404, "EntryNotFound", commit=commit)
        elif file.large:
            linked = {
                "X-Linked-Size": str(file.size),
                "X-Linked-ETag": f'"{file.etag}"',
                "X-Repo-Commit": commit,
            }
            self._head(302, {"Location": f"{self.hub.storage}/{file.etag}", **linked}, 0)
        else:
            self._content(file, fault, {"X-Repo-Commit": commit})

    def _content(
        self, file: _File | None, fault: Fault | None, headers: dict[str, str] | None = None
    ) -> None:
        """Send a file, or what is left of it from where a Range header says."""
        if file is None:
            return self._refuse(404)
        size = file.size - bool(fault and fault.short)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        ranged = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if asked else {}
        self._head(
            206 if asked else 200,
            {"ETag": f'"{file.etag}"', **ranged, **(headers or {})},
            size - start,
        )
        if self.command == "GET":
            for chunk in _chunks(file.path, start, size, fault):
                self.wfile.write(chunk)
            self.close_connection = bool(fault and fault.cut)

    def _json(self, content: object) -> None:
        data = json.dumps(content).encode()
        self._head(200, {"Content-Type": "application/json"}, len(data))
        if self.command == "GET":
            self.wfile.write(data)

    def _refuse(
        self, status: int, code: str | None = None, message: str = "", commit: str = ""
    ) -> None:
        named = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        self._head(status, {name: value for name, value in named.items() if value}, 0)

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()


def _leaf(file: _File, name: str, oid: str) -> dict[str, object]:
    """Return what the hub's programming interface says of one file."""
    about: dict[str, object] = {
        name: file.path.name,
        "size": file.size,
        oid: hashlib.sha1(file.etag.encode()).hexdigest(),
    }
    if not file.large:
        return about | {oid: file.etag}
    return about | {
        "lfs": {"sha256": file.etag, "oid": file.etag, "size": file.size, "pointerSize": 134}
    }


def _chunks(path: Path, start: int, end: int, fault: Fault | None) -> Iterator[bytes]:
    """Yield a file's content from `start` to `end`, in pieces, less what a fault takes or changes."""
    end = (start + end) // 2 if fault and fault.cut else end
    with open(path, "rb") as file:
        file.seek(start)
        while (left := end - file.tell()) > 0:
            chunk = file.read(min(CHUNK, left))
            if fault and fault.alter and file.tell() == end:
                chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
            yield chunk
