"""A stand-in for the Hugging Face hub: as much of its HTTP interface as its library asks for, with faults on order."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE_BYTES = 1000
"""From here on a file is stored as LFS, with a SHA-256."""


@dataclass(slots=True)
class FakeHub:
    """One repository; the fields of faults may be changed while it serves."""

    repository: str
    files: dict[str, bytes]
    refuses: tuple[int, str] | None = None
    """Status and error code of every answer about a file."""
    breaks_after_bytes: int | None = None
    """A file's answer ends there, and no further one is begun."""
    wrong_answers: int = 0
    """How many large files come with a byte changed."""
    ranges: list[str] = field(default_factory=list)
    """Of the requests for files' contents; empty for a whole one."""
    tokens: set[str] = field(default_factory=set)
    url: str = ""

    def listing(self) -> dict[str, Any]:
        siblings = []
        for name, content in self.files.items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git_id(content)}
            if len(content) >= LARGE_BYTES:
                entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        return {"id": self.repository, "modelId": self.repository, "sha": COMMIT, "siblings": siblings}

    def etag(self, name: str) -> str:
        content = self.files[name]
        return sha256(content) if len(content) >= LARGE_BYTES else git_id(content)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/"):
            self._listing()
        elif name := self._file():
            self._content(name)

    def do_HEAD(self) -> None:
        if name := self._file():
            self._send(200, self._facts(name), b"", length=len(self.hub.files[name]))

    def log_message(self, *_arguments: object) -> None:
        """Tests are quiet."""

    def _listing(self) -> None:
        repository, _, revision = self.path.removeprefix("/api/models/").partition("?")[0].partition("/revision/")
        if repository != self.hub.repository:
            self._send(404, {"X-Error-Code": "RepoNotFound"}, b"{}")
        elif revision not in ("main", COMMIT):
            self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
        else:
            self._send(200, {"Content-Type": "application/json"}, json.dumps(self.hub.listing()).encode())

    def _file(self) -> str:
        """The name of the file that is asked for; otherwise the refusal is sent."""
        self.hub.tokens.add(self.headers.get("Authorization", ""))
        name = self.path.partition(f"/{self.hub.repository}/resolve/{COMMIT}/")[2]
        if self.hub.refuses:
            status, code = self.hub.refuses
            self._send(status, {"X-Error-Code": code}, b"")
        elif name not in self.hub.files:
            self._send(404, {"X-Error-Code": "EntryNotFound"}, b"")
        else:
            return name
        return ""

    def _facts(self, name: str) -> dict[str, str]:
        etag = f'"{self.hub.etag(name)}"'
        size = str(len(self.hub.files[name]))
        return {"X-Repo-Commit": COMMIT, "ETag": etag, "X-Linked-Etag": etag, "X-Linked-Size": size}

    def _content(self, name: str) -> None:
        given = self.headers.get("Range", "")
        self.hub.ranges.append(given)
        content = self.hub.files[name]
        if self.hub.wrong_answers and len(content) >= LARGE_BYTES:
            self.hub.wrong_answers -= 1
            content = bytes([content[0] ^ 1]) + content[1:]
        first = int(given.removeprefix("bytes=").removesuffix("-")) if given else 0
        facts = self._facts(name)
        if given:
            facts["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        body = content[first:]
        end = self.hub.breaks_after_bytes
        if end is not None and end < len(body):
            self.hub.refuses = (500, "Broken")
            self._send(206 if given else 200, facts, body[:end], length=len(body))
            self.close_connection = True
        else:
            self._send(206 if given else 200, facts, body)

    def _send(self, status: int, headers: dict[str, str], body: bytes, *, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
