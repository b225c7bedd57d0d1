"""Answers of web servers that cannot be trusted: http and https alone, few redirects, and an end to all waiting."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Timer
from typing import Any
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, UnknownHandler

REDIRECTS, MOST_REDIRECTS = (301, 302, 303, 307, 308), 5


class Refused(Exception):
    """An answer that would be the same, however often one asks."""


@contextmanager
def answer(url: str, *, start: int = 0, timeout: float = 30.0, deadline: float = 600.0) -> Iterator[HTTPResponse]:
    """What a server answers, whatever its status, after redirects; it has to be read inside the `with` block.

    Args:
        url: an address, http or https, as that of each redirect must be.
        start: first byte that is asked for.
        timeout: seconds of silence after which the server is given up.
        deadline: seconds after which it is given up though it still sends.

    Raises:
        Refused: an address of another kind, or too many redirects.
        OSError, ValueError, HTTPException: no connection, or one that broke or was cut, here or inside the block.
    """
    headers = {"User-Agent": "denoise_lib"} | ({"Range": f"bytes={start}-"} if start else {})
    connections, opener = _Connections(deadline), OpenerDirector()  # with nothing in it that opens ftp: or file:
    for handler in (ProxyHandler(), UnknownHandler(), connections):
        opener.add_handler(handler)
    try:
        for _ in range(MOST_REDIRECTS + 1):
            if (scheme := urlsplit(url).scheme) not in ("http", "https"):
                raise Refused(f"an address of the kind {scheme!r} is neither http nor https")
            with opener.open(Request(url, headers=headers), timeout=timeout) as response:
                if response.status not in REDIRECTS:
                    yield response
                    return
                url = urljoin(url, response.headers.get("Location", ""))  # the page itself is not read: it may be endless
        raise Refused(f"more than {MOST_REDIRECTS} redirects")
    except (OSError, ValueError, HTTPException) as error:
        if connections.over:
            raise TimeoutError(f"not finished in {deadline:g} seconds") from error
        raise
    finally:
        connections.timer.cancel()


def reason(error: Exception) -> str:
    """Why there was no answer: a few words, on one line."""
    if isinstance(error, HTTPException):
        return f"no proper answer ({type(error).__name__})"
    cause: Any = error.reason if isinstance(error, URLError) else error
    text = str(getattr(cause, "strerror", None) or cause) or type(error).__name__
    return " ".join(text.split()).rstrip(".")


class _Connections(HTTPHandler, HTTPSHandler):
    """Connections that are cut at a deadline: a server that drips a byte a second is never silent for a `timeout`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.over = False
        self.sockets: list[socket.socket] = []
        self.timer = Timer(seconds, self.cut)
        self.timer.daemon = True
        self.timer.start()

    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(self.watched(HTTPConnection), request)

    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(self.watched(HTTPSConnection), request)

    def watched(self, kind: type[HTTPConnection]) -> Callable[..., HTTPConnection]:
        connections = self

        class Watched(kind):  # type: ignore[valid-type, misc]
            def connect(self) -> None:
                super().connect()
                connections.sockets.append(self.sock)
                if connections.over:
                    connections.cut()

        return Watched

    def cut(self) -> None:
        self.over = True
        for connection in self.sockets:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not TLS's own, which the other thread still uses
