"""A server on loopback that speaks as the Hugging Face hub does, with faults to order."""

import functools
import hashlib
import http.server
import json
import re
import shutil
import threading
import time
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"  # of every repository, unless a test says so
NAME = "ada/neo"  # of the repository that tests add
LARGE = (".safetensors", ".bin")  # what publishers keep in large-file storage


@dataclass
class Fault:
    """What goes wrong with the requests whose path fits a pattern.

    Attributes:
        where: a regular expression, searched in the path, such as ``config.json``.
        status: answer with this status and nothing else.
        code: the hub's own word for the error, sent as ``X-Error-Code``.
        cut: break the connection off in the middle of the content.
        alter: change the first byte.
        stall: seconds to wait before the answer.
    """

    where: str
    status: int | None = None
    code: str = ""
    cut: bool = False
    alter: bool = False
    stall: float = 0.0


class HubServer(http.server.ThreadingHTTPServer):
    """A context manager; `url` is what HF_ENDPOINT should hold.

    Attributes:
        faults: the first that fits a request acts on it.
        asked: method and path of every request, in order.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.faults = []
        self.asked = []
        self.published = {}

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()

    def add(self, name, folder, commit=COMMIT):
        """Publish the files of a folder as the repository `name`, ``owner/model``."""
        self.published[name] = (folder, commit)

    def connect(self, monkeypatch, cache):
        """Let the hub's client in this process ask here, and keep what it fetches in `cache`."""
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))


@functools.cache
def _checksum(file):
    """Return a file's checksum as the hub states it: SHA-256 of a large one, git's of others."""
    content = file.read_bytes()
    if file.suffix in LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(file):
    """Return what the hub says of one file, in its list of a repository and in its tree."""
    known, size = _checksum(file), file.stat().st_size
    entry = {"type": "file", "rfilename": file.name, "path": file.name, "size": size}
    if file.suffix in LARGE:
        entry["lfs"] = {"sha256": known, "oid": known, "size": size, "pointerSize": 134}
        known = hashlib.sha1(known.encode()).hexdigest()
    return entry | {"oid": known, "blobId": known}


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *parts):
        pass

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        fitting = [f for f in self.server.faults if re.search(f.where, path)]
        fault = fitting[0] if fitting else Fault("")
        time.sleep(fault.stall)
        asked = re.fullmatch(r"(?:/api/models)?/(\w+/[^/]+)(?:/(\w+)/([^/]+)(?:/(.+))?)?", path)
        name, what, revision, file = asked.groups() if asked else ("", None, None, None)
        folder, commit = self.server.published.get(name, (None, ""))
        headers = {"X-Repo-Commit": commit, "X-Error-Code": fault.code}
        if fault.status:
            self._send(fault.status, headers)
        elif folder is None:
            self._send(401, headers)  # as the hub answers anyone who is not logged in
        elif revision not in (None, "main", commit):
            self._send(404, {"X-Error-Code": "RevisionNotFound"})
        elif file is None:
            entries = [_entry(file) for file in sorted(folder.iterdir())]
            known = {"_id": "0", "id": name, "sha": commit, "siblings": entries}
            answer = json.dumps(entries if what == "tree" else known).encode()
            self._send(200, {"Content-Type": "application/json"}, len(answer))
            self.wfile.write(answer)
        else:
            self._send_file(folder / file, headers, fault)

    do_HEAD = do_GET

    def _send_file(self, file, headers, fault):
        """Send a file, or what is left of it from where a Range header says."""
        size = file.stat().st_size
        start = int("0" + self.headers.get("Range", "")[6:].rstrip("-"))
        if start:
            headers = headers | {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
        headers = headers | {"ETag": f'"{_checksum(file)}"'}
        self._send(206 if start else 200, headers, size - start)
        if self.command == "HEAD":
            return
        with open(file, "rb") as content:
            content.seek(start)
            if fault.alter:
                self.wfile.write(bytes([content.read(1)[0] ^ 1]))
            if fault.cut:
                self.wfile.write(content.read((size - start) // 2))
                self.close_connection = True
            else:
                shutil.copyfileobj(content, self.wfile, 2**20)

    def _send(self, status, headers, length=0):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
