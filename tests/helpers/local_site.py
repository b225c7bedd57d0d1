"""A web server on this machine that answers as told: rightly, wrongly, slowly, for ever, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    declared: int | None = None
    """Content-Length, where it is not the truth; -1 for none."""
    chunked: bool = False
    """The body comes as the half of a chunk."""
    raw: bytes = b""
    """Sent in place of any HTTP."""
    hangs_up: bool = False
    """Without a word."""
    ranges: bool = False
    """A range that is asked for is honoured, as file servers do."""
    cut: int | None = None
    """Bytes of the body after which the connection is closed; `silent` keeps it open."""
    silent: bool = False
    """After all that is sent, the connection stays open."""
    drip: float = 0
    """Seconds between single bytes after all that is sent: the rest of the body, then ones without end."""
    endless: bool = False
    """After all that is sent, 200 MB of zeros follow: no disk shall be filled where a test fails."""
    meanwhile: Callable[[], object] = lambda: None
    """Called when all is sent."""


@dataclass
class Site:
    """Each path has a list of replies, of which the last is repeated."""

    address: str
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    """The paths that were asked for, in turn."""
    ranges: list[str | None] = field(default_factory=list)
    """What each request said under Range."""
    over: threading.Event = field(default_factory=threading.Event)

    def serve(self, path: str, *replies: Reply | bytes) -> str:
        """The address of a path that is answered so."""
        self.replies[f"/{path}"] = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]
        return f"{self.address}/{path}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Send the next reply."""
        asked = handler.headers.get("Range")
        self.seen.append(handler.path)
        self.ranges.append(asked)
        replies = self.replies.get(handler.path, [Reply(status=404)])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        handler.close_connection = True
        if not reply.hangs_up:
            handler.wfile.write(reply.raw or head_and_body(reply, asked))
            reply.meanwhile()
        if reply.silent:
            self.over.wait(30)
        rest = iter(reply.body[len(reply.body) if reply.cut is None else reply.cut :])
        while reply.drip and not self.over.wait(reply.drip):
            handler.wfile.write(bytes([next(rest, ord("1"))]))
        for _ in range(20_000 if reply.endless else 0):
            handler.wfile.write(bytes(10_000))


def head_and_body(reply: Reply, asked: str | None) -> bytes:
    """What goes over the line."""
    body, status, headers = reply.body, reply.status, dict(reply.headers)
    if reply.ranges:
        headers["Accept-Ranges"] = "bytes"
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start >= len(body):
            body, status = b"", 416
        elif asked:
            status, headers["Content-Range"] = 206, f"bytes {start}-{len(body) - 1}/{len(body)}"
            body = body[start:]
    if reply.chunked:
        headers["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n" % (2 * len(body)) + body
    elif reply.declared != -1:
        headers["Content-Length"] = str(len(body) if reply.declared is None else reply.declared)
    lines = [f"HTTP/1.1 {status} As told", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body[: reply.cut]


@contextmanager
def running_site() -> Iterator[Site]:
    """Start the server; at the end, all that it still sends is broken off."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: Any) -> None:  # the other side has had enough, and closed the connection
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        site = Site(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield site
        site.over.set()
        server.shutdown()
