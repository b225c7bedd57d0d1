from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from limits import files_of_at_most, peak_memory
from local_site import Reply, Site, running_site
from PIL import Image
from torchvision.datasets import MNIST, Imagenette

from denoise_lib.data import mnist, photos
from denoise_lib.internal import atomic_write
from denoise_lib.internal.atomic_write import partial_file
from denoise_lib.internal.folders import data_folder
from denoise_lib.sources import digits, download, photographs
from denoise_lib.sources.download import DataError, download_file, unpack_archive
from denoise_lib.sources.http import reason


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28))
LABELS = np.arange(7) % 10
FILE = "digits.gz"
PART = FILE + ".part"
CONTENT = idx(IMAGES)
OTHER = bytes(reversed(CONTENT))  # of the same size
HALF = len(CONTENT) // 2
HTML = b"<html><body>Please log in to the campus network</body></html>"
ENDING = "work offline with mnist(size='small'), or put the file into "


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    with running_site() as site:
        yield site


def get(urls: list[str], path: Path, *, content: bytes = CONTENT, **options: Any) -> None:
    settings: dict[str, Any] = {"attempts": 1, "pause": 0, "timeout": 20, "deadline": 60, **options}
    advice = "work offline with mnist(size='small')"
    download_file(urls, path, md5(content), len(content), advice=advice, **settings)


def wait_for(bytes_there: int, folder: Path) -> None:
    """Until a file of the folder has as many bytes."""
    until = time.monotonic() + 60
    while not any(path.stat().st_size >= bytes_there for path in folder.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.01)


def got(folder: Path) -> bool:
    """Whether the file is there, and nothing beside it."""
    return os.listdir(folder) == [FILE] and (folder / FILE).read_bytes() == CONTENT


# --- one mirror ----------------------------------------------------------------------------------------------------------


def test_a_good_download(site: Site, tmp_path: Path) -> None:
    get([site.serve(FILE, CONTENT)], tmp_path / "new" / "folder" / FILE)
    assert got(tmp_path / "new" / "folder")
    assert site.seen == [f"/{FILE}"] and site.ranges == [None]


@pytest.mark.parametrize("reply", [Reply(CONTENT, ranges=True), Reply(CONTENT, declared=-1)], ids=["ranges", "no length"])
def test_good_downloads_of_other_servers(reply: Reply, site: Site, tmp_path: Path) -> None:
    get([site.serve(FILE, reply)], tmp_path / FILE)
    assert got(tmp_path)


def test_a_file_in_whole_chunks(site: Site, tmp_path: Path) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (CONTENT[:HALF], CONTENT[HALF:]))
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    get([site.serve(FILE, Reply(raw=raw))], tmp_path / FILE)
    assert got(tmp_path)


def test_the_checksum_may_be_a_sha256(site: Site, tmp_path: Path, refused: Any) -> None:
    for content in (CONTENT, OTHER):
        url, checksum = site.serve(FILE, content), "sha256:" + hashlib.sha256(CONTENT).hexdigest()
        if content == CONTENT:
            download_file([url], tmp_path / FILE, checksum, len(CONTENT), advice="wait")
        else:
            with refused(DataError, "wrong checksum"):
                download_file([url], tmp_path / "other", checksum, len(CONTENT), advice="wait", attempts=1)
    assert got(tmp_path)


def test_an_older_file_of_that_name_is_replaced_only_by_a_whole_one(site: Site, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"older")
    with pytest.raises(DataError):
        get([site.serve(FILE, OTHER)], tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == b"older"
    get([site.serve(FILE, CONTENT)], tmp_path / FILE)
    assert got(tmp_path)


@dataclass
class Failure:
    reply: Reply
    words: str
    """In the message."""
    again: bool = True
    """Whether asking once more is worth it."""
    slow: bool = False


def redirect(address: str, **options: Any) -> Reply:
    return Reply(status=302, headers={"Location": address}, **options)


FAILURES = {
    "403": Failure(Reply(HTML, status=403), "403 Forbidden", again=False),
    "404": Failure(Reply(HTML, status=404), "404 Not Found", again=False),
    "204": Failure(Reply(status=204), "204 No Content", again=False),
    "599": Failure(Reply(status=599), "599 unknown status"),
    "429": Failure(Reply(status=429), "429 Too Many Requests"),
    "500": Failure(Reply(HTML, status=500), "500 Internal Server Error"),
    "503": Failure(Reply(b"sorry", status=503), "503 Service Unavailable"),
    "truncated": Failure(Reply(CONTENT, cut=HALF), f"only {HALF:,} of {len(CONTENT):,} bytes came"),
    "truncated without a length": Failure(Reply(CONTENT, cut=HALF, declared=-1), f"only {HALF:,} of"),
    "truncated in a chunk": Failure(Reply(CONTENT, chunked=True), "no proper answer (IncompleteRead)"),
    "smaller": Failure(Reply(CONTENT[:-9]), f"{len(CONTENT) - 9:,} bytes were offered in place of {len(CONTENT):,}"),
    "empty": Failure(Reply(), "0 bytes were offered"),
    "larger": Failure(Reply(CONTENT, declared=10**12, endless=True), "1,000,000,000,000 bytes were offered"),
    "endless": Failure(Reply(CONTENT, declared=-1, endless=True), f"more than {len(CONTENT):,} bytes came"),
    "endless, with ranges": Failure(Reply(CONTENT, declared=-1, endless=True, ranges=True), "more than"),
    "wrong checksum": Failure(Reply(OTHER), "wrong checksum"),
    "HTML": Failure(Reply(HTML, headers={"Content-Type": "text/html; charset=utf-8"}), "a web page came"),
    "HTML of no kind": Failure(Reply(HTML, declared=-1), f"only {len(HTML)} of"),
    "a part of its own choice": Failure(Reply(CONTENT, status=206), "another part came"),
    "redirects in a circle": Failure(redirect(f"/{FILE}"), "more than 5 redirects", again=False),
    "a redirect with an endless page": Failure(redirect("/none", declared=-1, endless=True), "404 Not Found", again=False),
    "a redirect to nowhere": Failure(Reply(status=301), "more than 5 redirects", again=False),
    "a redirect to a file": Failure(
        redirect("file:///etc/hostname"), "an address of the kind 'file' is neither http", again=False
    ),
    "a redirect to ftp": Failure(
        redirect("ftp://127.0.0.1/digits.gz"), "an address of the kind 'ftp' is neither http", again=False
    ),
    "a redirect to bytes": Failure(redirect("data:,digits"), "an address of the kind 'data' is neither http", again=False),
    "no HTTP": Failure(Reply(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), "no proper answer (BadStatusLine)"),
    "no answer": Failure(Reply(hangs_up=True), "no proper answer (RemoteDisconnected)"),
    "a line without end": Failure(Reply(raw=b"HTTP/1.1 200 OK\r\nX: ", endless=True), "no proper answer (LineTooLong)"),
    "silent": Failure(Reply(hangs_up=True, silent=True), "timed out", slow=True),
    "silent in the middle": Failure(Reply(CONTENT, cut=HALF, silent=True), "timed out", slow=True),
    "drips": Failure(Reply(CONTENT, cut=HALF, drip=0.05), "not finished in 0.5 seconds", slow=True),
    "drips without a length": Failure(Reply(declared=-1, drip=0.05), "not finished in 0.5 seconds", slow=True),
    "drips a header": Failure(Reply(raw=b"HTTP/1.1 200 OK\r\nX: ", drip=0.05), "not finished in 0.5 seconds", slow=True),
}
ONCE_MORE = [kind for kind, failure in FAILURES.items() if failure.again and (not failure.slow or kind in ("silent", "drips"))]


def limits(failure: Failure) -> dict[str, Any]:
    return {"timeout": 0.3, "deadline": 0.5} if failure.slow else {}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failed_download_ends_in_one_sentence_and_leaves_nothing(kind: str, site: Site, tmp_path: Path, refused: Any) -> None:
    failure = FAILURES[kind]
    url, attempts = site.serve(FILE, failure.reply), 1 if failure.slow else 2
    before, memory = time.monotonic(), peak_memory()
    with refused(DataError, f"could not download {FILE} (127.0.0.1: {failure.words}", f"): {ENDING}{tmp_path}."):
        get([url], tmp_path / FILE, attempts=attempts, **limits(failure))
    assert os.listdir(tmp_path) == []
    times = {"redirects in a circle": 6, "a redirect to nowhere": 6}.get(kind, attempts if failure.again else 1)
    assert site.seen.count(f"/{FILE}") == times
    assert time.monotonic() - before < 10
    assert peak_memory() - memory < 50  # MB: nothing endless is kept


@pytest.mark.parametrize("kind", ONCE_MORE)
def test_a_second_attempt_helps(kind: str, site: Site, tmp_path: Path) -> None:
    failure = FAILURES[kind]
    options: dict[str, Any] = (
        {"timeout": 1, "deadline": 1} if failure.slow else {}
    )  # the good answer may take longer on a busy machine
    get([site.serve(FILE, failure.reply, Reply(CONTENT))], tmp_path / FILE, attempts=2, **options)
    assert got(tmp_path) and site.seen == [f"/{FILE}"] * 2


def test_pauses_double_between_attempts(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    with pytest.raises(DataError):
        get([site.serve(FILE, Reply(status=500))], tmp_path / FILE, attempts=4, pause=0.5)
    assert pauses == [0.5, 1, 2] and len(site.seen) == 4
    with pytest.raises(DataError):
        get([site.serve(FILE, Reply(status=404))], tmp_path / FILE, attempts=4, pause=0.5)
    assert len(pauses) == 3 and len(site.seen) == 5  # nobody is left to be asked again


# --- several mirrors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind, failure in FAILURES.items() if not failure.slow])
def test_the_second_mirror_helps(kind: str, site: Site, tmp_path: Path) -> None:
    reply = FAILURES[kind].reply
    first = replace(reply, headers={"Location": "/first"}) if "circle" in kind else reply
    get([site.serve("first", first), site.serve("second", CONTENT)], tmp_path / FILE)
    assert got(tmp_path)


def test_each_mirror_is_told_with_its_reason(site: Site, tmp_path: Path, refused: Any) -> None:
    first, second = site.serve("first", Reply(status=403)), site.serve("second", Reply(status=500))
    third = second.replace("127.0.0.1", "localhost")
    with refused(DataError, "(127.0.0.1: 403 Forbidden; localhost: 500 Internal Server Error): "):
        get([first, third], tmp_path / FILE, attempts=3)
    assert site.seen == ["/first", "/second", "/second", "/second"]
    assert os.listdir(tmp_path) == []


def test_no_server_at_all(tmp_path: Path, refused: Any) -> None:
    with refused(DataError, "127.0.0.1: "):
        get(["http://127.0.0.1:1/digits.gz"], tmp_path / FILE)
    with refused(DataError, "nowhere.invalid: "):
        get(["https://nowhere.invalid/digits.gz"], tmp_path / FILE)
    assert os.listdir(tmp_path) == []


def test_a_server_that_speaks_no_tls(site: Site, tmp_path: Path, refused: Any) -> None:
    with refused(DataError, "127.0.0.1: ", "SSL"):
        get([site.serve(FILE, CONTENT).replace("http:", "https:")], tmp_path / FILE)
    assert os.listdir(tmp_path) == []


def test_addresses_of_other_kinds_are_not_opened(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "source.gz").write_bytes(CONTENT)
    urls = [(tmp_path / "source.gz").as_uri(), "ftp://127.0.0.1:1/digits.gz", "no-address", "data:,digits"]
    words = ["kind 'file' is neither http", "127.0.0.1: an address of the kind 'ftp'", "no-address: ", "kind ''", "kind 'data'"]
    with refused(DataError, *words):
        get(urls, tmp_path / "new" / FILE, attempts=2)
    assert os.listdir(tmp_path / "new") == []


REASONS: list[tuple[Exception, str]] = [
    (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable"), (TimeoutError("timed out"), "timed out"),
    (URLError(OSError(errno.ECONNREFUSED, "Connection refused")), "Connection refused"), (URLError("no host"), "no host"),
    (TimeoutError(), "TimeoutError"), (ValueError("one line\n  and another."), "one line and another"),
    (HTTPException("<html>"), "no proper answer (HTTPException)"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "words"), REASONS)
def test_reasons_are_told_on_one_line(error: Exception, words: str) -> None:
    assert reason(error) == words


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int, site: Site, tmp_path: Path) -> None:
    moved = Reply(HTML, status=status, headers={"Location": site.serve("new place", CONTENT).replace(" ", "%20")})
    site.replies["/new%20place"] = [Reply(CONTENT)]
    get([site.serve(FILE, moved)], tmp_path / FILE)
    assert got(tmp_path) and site.seen == [f"/{FILE}", "/new%20place"]


BAD_ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"urls": []}, ValueError, "urls"), ({"urls": [None]}, TypeError, "urls"),
    ({"urls": "http://a"}, TypeError, "urls"), ({"path": None}, TypeError, "path"),
    ({"checksum": "crc32:0"}, ValueError, "'md5', 'sha256'"), ({"checksum": "0" * 32}, ValueError, "checksum"),
    ({"checksum": None}, ValueError, "checksum"),
    ({"size": -1}, ValueError, "size"), ({"size": 1.5}, TypeError, "size"), ({"attempts": 0}, ValueError, "attempts"),
    ({"pause": -1}, ValueError, "pause"), ({"timeout": 0}, ValueError, "timeout"), ({"deadline": None}, TypeError, "deadline"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "error", "word"), BAD_ARGUMENTS)
def test_bad_arguments(changes: dict[str, Any], error: type[Exception], word: str, tmp_path: Path, refused: Any) -> None:
    good: dict[str, Any] = {"urls": ["http://127.0.0.1:1/"], "path": tmp_path / FILE, "checksum": md5(CONTENT), "size": 1}
    with refused(error, word):
        download_file(**{"advice": "wait"} | good | changes)
    assert os.listdir(tmp_path) == []


# --- going on with a part ------------------------------------------------------------------------------------------------

KEEPS = pytest.mark.skipif(atomic_write.fcntl is None, reason="without locks, nothing is kept for the next call")
FROM_HALF = f"bytes={HALF}-"
WHOLE = Reply(CONTENT, ranges=True)
CUT = replace(WHOLE, cut=HALF)


def test_the_next_attempt_goes_on(site: Site, tmp_path: Path) -> None:
    again = Reply(CONTENT, ranges=True, cut=100)  # of the second half
    get([site.serve(FILE, CUT, again, WHOLE)], tmp_path / FILE, attempts=3)
    assert got(tmp_path) and site.ranges == [None, FROM_HALF, f"bytes={HALF + 100}-"]


@KEEPS
@pytest.mark.parametrize("kind", ["cut", "silent", "drips"])
def test_the_next_call_goes_on(kind: str, site: Site, tmp_path: Path, refused: Any) -> None:
    reply = replace(CUT, silent=kind == "silent", drip=0.05 if kind == "drips" else 0)
    words = {"cut": f"only {HALF:,} of", "silent": "timed out", "drips": "not finished in 0.5 seconds"}[kind]
    with refused(DataError, words):
        get([site.serve(FILE, reply)], tmp_path / FILE, timeout=0.3, deadline=0.5)
    assert os.listdir(tmp_path) == [PART]  # of a name that nothing takes for the whole
    kept = (tmp_path / PART).read_bytes()
    assert len(kept) >= HALF and CONTENT.startswith(kept)
    get([site.serve(FILE, WHOLE)], tmp_path / FILE)
    assert got(tmp_path) and site.ranges == [None, f"bytes={len(kept)}-"]


def test_the_second_mirror_goes_on_where_the_first_one_ended(site: Site, tmp_path: Path) -> None:
    get([site.serve("first", CUT), site.serve("none"), site.serve("third", WHOLE)], tmp_path / FILE)
    assert got(tmp_path) and site.ranges == [None, FROM_HALF, FROM_HALF]


def test_a_server_that_knows_no_ranges_sends_all_again(site: Site, tmp_path: Path) -> None:
    get([site.serve(FILE, CUT, CONTENT)], tmp_path / FILE, attempts=2)
    assert got(tmp_path) and site.ranges == [None, FROM_HALF]


@KEEPS
def test_an_answered_range_shows_that_one_can_go_on(site: Site, tmp_path: Path) -> None:
    part_of(CONTENT[:HALF], tmp_path)  # as a server of another kind has left it
    headers = {"Content-Range": f"bytes {HALF}-{len(CONTENT) - 1}/{len(CONTENT)}"}  # and no Accept-Ranges
    with pytest.raises(DataError):
        get([site.serve(FILE, Reply(CONTENT[HALF:], status=206, headers=headers, cut=100))], tmp_path / FILE)
    assert (tmp_path / PART).read_bytes() == CONTENT[: HALF + 100]


def part_of(content: bytes, folder: Path) -> None:
    (folder / PART).write_bytes(content)


@KEEPS
def test_a_range_that_is_refused(site: Site, tmp_path: Path) -> None:
    part_of(CONTENT[:HALF], tmp_path)
    get([site.serve(FILE, Reply(status=416), CONTENT)], tmp_path / FILE)
    assert got(tmp_path) and site.ranges == [FROM_HALF, None]


@KEEPS
def test_a_range_that_is_always_refused(site: Site, tmp_path: Path, refused: Any) -> None:
    part_of(CONTENT[:HALF], tmp_path)
    with refused(DataError, "416"):
        get([site.serve(FILE, Reply(status=416))], tmp_path / FILE, attempts=5)
    assert os.listdir(tmp_path) == [] and site.ranges == [FROM_HALF, None]


@KEEPS
@pytest.mark.parametrize("answered", ["bytes 0-99/100", "pages 1-2", None])
def test_another_range_than_was_asked_for(answered: str | None, site: Site, tmp_path: Path) -> None:
    part_of(CONTENT[:HALF], tmp_path)
    headers = {"Content-Range": answered} if answered else {}
    get([site.serve(FILE, Reply(CONTENT[HALF:], status=206, headers=headers), WHOLE)], tmp_path / FILE, attempts=2)
    assert got(tmp_path) and site.ranges == [FROM_HALF, None]


@KEEPS
def test_a_part_of_another_file_is_caught_and_thrown_away(site: Site, tmp_path: Path, refused: Any) -> None:
    part_of(OTHER[:HALF], tmp_path)
    get([site.serve(FILE, WHOLE)], tmp_path / FILE, attempts=2)
    assert got(tmp_path) and site.ranges == [FROM_HALF, None]
    (tmp_path / FILE).unlink()
    part_of(OTHER[:HALF], tmp_path)
    with refused(DataError, "wrong checksum"):
        get([site.serve(FILE, WHOLE)], tmp_path / FILE)
    assert os.listdir(tmp_path) == []


@KEEPS
@pytest.mark.parametrize("part", [OTHER, CONTENT + b"1"], ids=["of the same size", "too long"])
def test_a_wrong_file_in_the_place_of_the_part(part: bytes, site: Site, tmp_path: Path) -> None:
    part_of(part, tmp_path)
    get([site.serve(FILE, WHOLE)], tmp_path / FILE)
    assert got(tmp_path) and site.ranges == [None]


@KEEPS
def test_a_part_that_is_whole_needs_only_its_name(site: Site, tmp_path: Path) -> None:
    part_of(CONTENT, tmp_path)
    get([f"{site.address}/{FILE}"], tmp_path / FILE)
    assert got(tmp_path) and not site.seen


@KEEPS
@pytest.mark.parametrize("kind", ["404", "500", "HTML", "smaller", "silent"])
def test_an_answer_that_brings_nothing_leaves_the_part(kind: str, site: Site, tmp_path: Path) -> None:
    part_of(CONTENT[:HALF], tmp_path)
    with pytest.raises(DataError):
        get([site.serve(FILE, FAILURES[kind].reply)], tmp_path / FILE, **limits(FAILURES[kind]))
    assert (tmp_path / PART).read_bytes() == CONTENT[:HALF]


# --- interruptions -------------------------------------------------------------------------------------------------------


@KEEPS
@pytest.mark.parametrize("ranges", [True, False])
def test_ctrl_c_while_downloading(ranges: bool, site: Site, tmp_path: Path) -> None:
    def stop() -> None:
        wait_for(HALF, tmp_path)
        os.kill(os.getpid(), signal.SIGINT)

    cut = Reply(CONTENT, ranges=ranges, cut=HALF, silent=True, meanwhile=stop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start without it
    try:
        with pytest.raises(KeyboardInterrupt):
            get([site.serve(FILE, cut)], tmp_path / FILE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path) == ([PART] if ranges else [])  # kept only where one can go on
    get([site.serve(FILE, WHOLE)], tmp_path / FILE)
    assert got(tmp_path) and site.ranges == [None, FROM_HALF if ranges else None]


@KEEPS
def test_ctrl_c_before_the_file_has_its_name(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(download.os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            get([site.serve(FILE, CONTENT)], tmp_path / FILE)
    assert os.listdir(tmp_path) == [PART]
    get([site.serve(FILE, CONTENT)], tmp_path / FILE)
    assert got(tmp_path) and len(site.seen) == 1


@KEEPS
def test_a_killed_download_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    size = 100_000
    content = random.Random(0).randbytes(size)
    url = site.serve(FILE, Reply(content, ranges=True, cut=60_000, silent=True), Reply(content, ranges=True))
    arguments = [url], tmp_path / FILE, md5(content), size
    program = f"from pathlib import *\nfrom denoise_lib.sources.download import *\ndownload_file(*{arguments!r}, advice='wait')"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    try:
        wait_for(60_000, tmp_path)
    finally:
        process.kill()
        process.wait()
    assert os.listdir(tmp_path) == [PART]
    get([url], tmp_path / FILE, content=content)
    assert site.ranges == [None, "bytes=60000-"]
    assert os.listdir(tmp_path) == [FILE] and (tmp_path / FILE).read_bytes() == content


# --- two at once ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("locks", [True, False])
def test_two_downloads_of_one_file_at_once(locks: bool, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not locks:  # as on Windows
        monkeypatch.setattr(atomic_write, "fcntl", None)
    second_is_done = threading.Event()
    rest = Reply(CONTENT, ranges=True, cut=HALF, meanwhile=lambda: second_is_done.wait(20))
    url = site.serve(FILE, rest, WHOLE)
    # A lock belongs to an opened file, so that two threads stand for two processes.
    first = threading.Thread(target=get, args=([url], tmp_path / FILE), kwargs={"attempts": 2})
    first.start()
    wait_for(HALF, tmp_path)
    get([url], tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == CONTENT and len(os.listdir(tmp_path)) == 2  # and the first one's part
    second_is_done.set()
    first.join()
    assert got(tmp_path) and site.ranges == [None, None, FROM_HALF]


def test_many_downloads_of_one_file_at_once(site: Site, tmp_path: Path) -> None:
    url = site.serve(FILE, *[replace(WHOLE, cut=cut) for cut in (100, 2000, 30, 500, 1000)], WHOLE)
    threads = [
        threading.Thread(target=get, args=([url], tmp_path / FILE), kwargs={"attempts": 9, "pause": 0.01}) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got(tmp_path)


@KEEPS
def test_a_part_belongs_to_one_alone(tmp_path: Path) -> None:
    with partial_file(tmp_path / FILE) as first:
        assert first == tmp_path / PART
        first.write_bytes(b"first")
        with partial_file(tmp_path / FILE) as second:
            assert second != first and second.name.startswith(PART)
            second.write_bytes(b"second")
        assert os.listdir(tmp_path) == [PART]  # the guest's own is gone
    with partial_file(tmp_path / FILE) as third:
        assert third == first and third.read_bytes() == b"first"


@KEEPS
def test_a_finished_download_leaves_the_next_ones_part_alone(tmp_path: Path) -> None:
    first, second = partial_file(tmp_path / FILE), partial_file(tmp_path / FILE)
    os.replace(first.__enter__(), tmp_path / FILE)
    part = second.__enter__()
    assert part == tmp_path / PART
    first.__exit__(None, None, None)
    assert part.exists()  # though it is empty
    second.__exit__(None, None, None)
    assert os.listdir(tmp_path) == [FILE]


def test_a_part_that_gets_its_name_just_before_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part_of(CONTENT, tmp_path)
    flock = atomic_write.fcntl.flock

    def late(file: Any, how: int) -> None:
        os.replace(tmp_path / PART, tmp_path / FILE)
        flock(file, how)

    monkeypatch.setattr(atomic_write.fcntl, "flock", late)
    with partial_file(tmp_path / FILE) as part:
        assert part.stat().st_size == 0  # and not the finished file under its old name
        part.write_bytes(b"torn")
    assert got(tmp_path)


@KEEPS
def test_files_can_be_read_by_others_as_usual(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = os.umask(0o022)
    try:
        get([site.serve(FILE, CONTENT)], tmp_path / FILE)
        monkeypatch.setattr(atomic_write, "fcntl", None)
        get([site.serve(FILE, CONTENT)], tmp_path / "other")
    finally:
        os.umask(usual)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


# --- the disk ------------------------------------------------------------------------------------------------------------


@KEEPS
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("room", [1000, HALF])
def test_a_disk_that_fills_up(room: int, ranges: bool, site: Site, tmp_path: Path, refused: Any) -> None:
    part_of(CONTENT[:HALF], tmp_path)
    url, words = site.serve(FILE, Reply(CONTENT, ranges=ranges)), f"cannot write to {tmp_path} (No space left"
    with files_of_at_most(HALF + room if ranges else room), refused(DataError, words, "make room", "DENOISE_DATA"):
        get([url], tmp_path / FILE, attempts=3)
    assert os.listdir(tmp_path) == [] and len(site.seen) == 1


def test_a_disk_that_is_full(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download.os, "replace", full)
    with refused(DataError, f"cannot write to {tmp_path} (No space left"):
        get([site.serve(FILE, CONTENT)], tmp_path / FILE, attempts=3)
    assert not (tmp_path / FILE).exists() and len(site.seen) == 1


def test_a_folder_that_cannot_be_made(site: Site, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    with refused(DataError, "cannot write to", "DENOISE_DATA"):
        get([site.serve(FILE, CONTENT)], tmp_path / "file" / FILE)
    assert os.listdir(tmp_path) == ["file"] and not site.seen


@pytest.mark.parametrize("method", ["open", "mkdir"])
def test_a_folder_without_permission(
    method: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    def forbidden(*_: Any, **__: Any) -> None:  # chmod would not stop a superuser, who runs the tests in many containers
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, method, forbidden)
    if method == "open":
        monkeypatch.setattr(Path, "touch", forbidden)
    with refused(DataError, f"cannot write to {tmp_path} (Permission denied)"):
        get([site.serve(FILE, CONTENT)], tmp_path / FILE)
    assert os.listdir(tmp_path) == [] and not site.seen


@KEEPS
def test_a_folder_in_the_place_of_the_file(site: Site, tmp_path: Path, refused: Any) -> None:
    (tmp_path / FILE).mkdir()
    with refused(DataError, "cannot write to"):
        get([site.serve(FILE, CONTENT)], tmp_path / FILE)
    (tmp_path / PART).unlink()
    (tmp_path / PART).mkdir()  # and one in the place of the part
    (tmp_path / FILE).rmdir()
    get([site.serve(FILE, CONTENT)], tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == CONTENT


# --- MNIST ---------------------------------------------------------------------------------------------------------------

NAMES = {"images": "train-images-idx3-ubyte.gz", "labels": "train-labels-idx1-ubyte.gz"}
GOOD = {NAMES["images"]: CONTENT, NAMES["labels"]: idx(LABELS)}


def test_the_sizes_are_those_of_torchvisions_files(full_mnist: Path) -> None:
    assert {path.name: path.stat().st_size for path in (full_mnist / "MNIST" / "raw").glob("*.gz")} == digits.SIZES


def test_all_of_torchvisions_files_have_a_size() -> None:
    assert [name for name, _ in MNIST.resources] == list(digits.SIZES)
    assert all(len(checksum) == 32 for _, checksum in MNIST.resources)
    assert all(mirror.startswith(("https://", "http://")) for mirror in MNIST.mirrors)


@pytest.fixture
def tiny_mnist(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    """The full training set is seven digits on the local server; neither the environment nor the real cache is seen."""
    monkeypatch.setattr(MNIST, "mirrors", [f"{site.address}/first/", f"{site.address}/second/"])
    monkeypatch.setattr(MNIST, "resources", [(name, md5(content)[4:]) for name, content in GOOD.items()])
    monkeypatch.setattr(digits, "SIZES", {name: len(content) for name, content in GOOD.items()})
    monkeypatch.delenv("DENOISE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    for name, content in GOOD.items():
        site.serve(f"second/{name}", content)  # the first mirror has nothing
    return site


def put(folder: Path, contents: dict[str, bytes] = GOOD) -> None:
    (folder / "MNIST" / "raw").mkdir(parents=True)
    for name, content in contents.items():
        (folder / "MNIST" / "raw" / name).write_bytes(content)


def test_full_mnist_is_downloaded_once(tiny_mnist: Site, tmp_path: Path) -> None:
    images, labels = mnist("train", "full", tmp_path / "root", labels=True)
    assert torch.equal(images, torch.from_numpy(IMAGES.astype(np.uint8)).unsqueeze(1))
    assert torch.equal(labels, torch.from_numpy(LABELS))
    assert sorted(os.listdir(tmp_path / "root/MNIST/raw")) == sorted(GOOD)
    requests = len(tiny_mnist.seen)
    assert torch.equal(mnist("train", "full", tmp_path / "root"), images)
    assert len(tiny_mnist.seen) == requests


def test_a_failed_full_mnist_never_becomes_the_small_one(tiny_mnist: Site, tmp_path: Path, refused: Any) -> None:
    tiny_mnist.replies.clear()
    with refused(DataError, NAMES["images"], "127.0.0.1: 404 Not Found; 127.0.0.1: 404", "size='small'"):
        mnist("train", "full", tmp_path / "root")
    assert os.listdir(tmp_path / "root/MNIST/raw") == []


def test_a_damaged_file_in_root(tiny_mnist: Site, tmp_path: Path, refused: Any) -> None:
    put(tmp_path, GOOD | {NAMES["images"]: CONTENT[:-10]})
    with refused(DataError, NAMES["images"], "damaged", "delete it"):
        mnist("train", "full", tmp_path)
    assert not tiny_mnist.seen


def test_where_files_are_looked_for(tiny_mnist: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_folder() == tmp_path / "cache" / "denoise_lib"
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path / "classroom"))
    assert data_folder() == tmp_path / "classroom"
    put(tmp_path / "cache" / "denoise_lib")
    assert len(mnist("train", "full")) == 7  # in the cache, though not in DENOISE_DATA
    assert not tiny_mnist.seen and not (tmp_path / "classroom").exists()
    put(tmp_path / "classroom", {name: b"damaged" for name in GOOD})
    with pytest.raises(DataError, match="classroom"):  # DENOISE_DATA comes first
        mnist("train", "full")


def test_downloads_go_to_denoise_data(tiny_mnist: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path / "classroom"))
    assert len(mnist("train", "full")) == 7
    assert sorted(os.listdir(tmp_path / "classroom/MNIST/raw")) == sorted(GOOD)
    assert not (tmp_path / "cache").exists()


def test_the_cache_without_settings_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DENOISE_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == Path.home() / ".cache" / "denoise_lib"


@pytest.mark.parametrize("array", [IMAGES, LABELS, IMAGES[:0]], ids=["images", "labels", "none"])
def test_idx_files_are_read(array: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(idx(array))
    read = digits._read_idx(tmp_path / FILE)
    assert read.dtype == np.uint8 and read.flags.writeable
    assert np.array_equal(read, array) and read.shape == array.shape


GOOD_IDX = gzip.decompress(CONTENT)
BAD_IDX = {
    "empty": b"",
    "HTML": b"<html></html>",
    "truncated gzip": CONTENT[:-20],
    "damaged gzip": CONTENT[:10] + bytes([byte ^ 0xFF for byte in CONTENT[10:30]]) + CONTENT[30:],
    "no header": gzip.compress(b"\0\0"),
    "no sizes": gzip.compress(GOOD_IDX[:7]),
    "no bytes but floats": gzip.compress(b"\0\0\x0d" + GOOD_IDX[3:]),
    "no axes": gzip.compress(b"\0\0\x08\0" + GOOD_IDX[4:]),
    "too few values": gzip.compress(GOOD_IDX[:-1]),
    "too many values": gzip.compress(GOOD_IDX + b"\0"),
}


@pytest.mark.parametrize("kind", BAD_IDX)
def test_damaged_idx_files_are_refused(kind: str, tmp_path: Path, refused: Any) -> None:
    (tmp_path / FILE).write_bytes(BAD_IDX[kind])
    with refused(DataError, FILE, "delete it"):
        digits._read_idx(tmp_path / FILE)


# --- Imagenette ----------------------------------------------------------------------------------------------------------


def test_imagenettes_address_and_checksum_are_torchvisions() -> None:
    address, checksum = Imagenette._ARCHIVES["160px"]
    assert address == photographs.IMAGENETTE_ADDRESS and f"md5:{checksum}" == photographs.IMAGENETTE_CHECKSUM


Member = tuple[tarfile.TarInfo, bytes]
FOLDER = "imagenette2-160"
ARCHIVE = f"{FOLDER}.tgz"


def member(name: str, content: bytes = b"", **changes: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def photo(path: str, gray: int) -> Member:
    stream = io.BytesIO()
    Image.new("RGB", (12, 10), (gray, gray, gray)).save(stream, "PNG")
    return member(f"{FOLDER}/{path}.png", stream.getvalue())


PHOTOS = [photo("train/n01440764/a", 1), photo("train/n02102040/b", 2), photo("val/n01440764/c", 3)]


def archive_of(*members: Member) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def imagenette(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Sets the archive that is asked for; it is served from this machine."""

    def serve(archive: bytes, *replies: Reply) -> str:
        url = site.serve(ARCHIVE, *(replies or (Reply(archive, ranges=True),)))
        monkeypatch.setattr(photographs, "IMAGENETTE_ADDRESS", url)
        monkeypatch.setattr(photographs, "IMAGENETTE_CHECKSUM", md5(archive))
        monkeypatch.setattr(photographs, "IMAGENETTE_SIZE", len(archive))
        return url

    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    return serve


def grays(split: str, root: Path) -> list[int]:
    values: list[int] = photos(split, "imagenette", size=4, root=root)[:, 0, 0, 0].tolist()
    return values


def test_imagenette_is_downloaded_and_unpacked_once(imagenette: Callable[..., str], site: Site, tmp_path: Path) -> None:
    archive = archive_of(*PHOTOS)
    imagenette(archive, Reply(archive, ranges=True, cut=50), Reply(archive, ranges=True))
    root = tmp_path / "new" / "cache"
    for _ in range(2):
        assert grays("train", root) == [1, 2] and grays("test", root) == [3]
    assert sorted(os.listdir(root)) == [FOLDER, ARCHIVE] and site.ranges == [None, "bytes=50-"]
    assert len(list((root / FOLDER).rglob("*.png"))) == 3


def test_an_archive_that_was_put_there_by_hand(
    imagenette: Callable[..., str], site: Site, tmp_path: Path, refused: Any
) -> None:
    archive = archive_of(*PHOTOS)
    imagenette(archive)
    (tmp_path / ARCHIVE).write_bytes(archive[:-1])
    with refused(DataError, str(tmp_path / ARCHIVE), "damaged", "delete it"):
        grays("train", tmp_path)
    (tmp_path / ARCHIVE).write_bytes(archive)
    assert grays("train", tmp_path) == [1, 2] and not site.seen


@pytest.mark.parametrize("kind", ["404", "HTML", "wrong checksum", "truncated", "redirects in a circle"])
def test_imagenette_that_cannot_be_downloaded(kind: str, imagenette: Callable[..., str], tmp_path: Path, refused: Any) -> None:
    reply = FAILURES[kind].reply
    imagenette(CONTENT, replace(reply, headers={"Location": f"/{ARCHIVE}"}) if "circle" in kind else reply)
    with refused(DataError, f"could not download {ARCHIVE}", FAILURES[kind].words, "photos(source='builtin')", str(tmp_path)):
        grays("train", tmp_path)
    assert os.listdir(tmp_path) == []


def bomb() -> bytes:
    """10 GB of zeros would be written from 10 MB; 30 MB from 30 kB are enough to see that they are not."""
    return archive_of(*PHOTOS, member(f"{FOLDER}/zeros", bytes(30_000_000)))


def header_bomb() -> bytes:
    """A long name, of 30 MB: tarfile reads it into memory."""
    return archive_of(member("././@LongLink", bytes(30_000_000), type=tarfile.GNUTYPE_LONGNAME), *PHOTOS)


def sparse() -> bytes:
    """A file of 10 TB that has no bytes."""
    headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0", "GNU.sparse.size": str(10**13)}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for info, content in (*PHOTOS, member(f"{FOLDER}/sparse", pax_headers=headers)):
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def link(name: str, target: str, kind: bytes) -> Member:
    return member(f"{FOLDER}/{name}", linkname=target, type=kind)


NO_PLAIN_FILE = "which is no plain file or folder"
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a path that leads out": (lambda: archive_of(*PHOTOS, member(f"{FOLDER}/../../out", b"1")), NO_PLAIN_FILE),
    "a path from the root": (lambda: archive_of(*PHOTOS, member("/tmp/out", b"1")), NO_PLAIN_FILE),
    "a link that leads out": (lambda: archive_of(*PHOTOS, link("out", "../../..", tarfile.SYMTYPE)), NO_PLAIN_FILE),
    "a link inside": (lambda: archive_of(*PHOTOS, link("in", "train", tarfile.SYMTYPE)), NO_PLAIN_FILE),
    "a hard link": (lambda: archive_of(*PHOTOS, link("passwords", "/etc/passwd", tarfile.LNKTYPE)), NO_PLAIN_FILE),
    "a device": (lambda: archive_of(*PHOTOS, member(f"{FOLDER}/disk", type=tarfile.BLKTYPE, devmajor=8)), NO_PLAIN_FILE),
    "a terminal": (lambda: archive_of(*PHOTOS, member(f"{FOLDER}/tty", type=tarfile.CHRTYPE, devmajor=5)), NO_PLAIN_FILE),
    "a pipe": (lambda: archive_of(*PHOTOS, member(f"{FOLDER}/pipe", type=tarfile.FIFOTYPE)), NO_PLAIN_FILE),
    "a sparse file": (sparse, NO_PLAIN_FILE),
    "lines in a name": (lambda: archive_of(*PHOTOS, member("a.\nB", type=tarfile.FIFOTYPE)), NO_PLAIN_FILE),
    "too many files": (lambda: archive_of(*PHOTOS, *(member(f"{FOLDER}/{n}") for n in range(60))), "more than 50 files"),
    "too many bytes": (bomb, "more bytes than it should"),
    "too long a name": (header_bomb, "more bytes than it should"),
    "nothing": (lambda: archive_of(), f"no folder {FOLDER}"),
    "another folder": (lambda: archive_of(member("photos/a.png", b"1")), f"no folder {FOLDER}"),
    "a file in its place": (lambda: archive_of(member(FOLDER, b"1")), f"no folder {FOLDER}"),
    "a file that is a folder, too": (lambda: archive_of(*PHOTOS, member(f"{FOLDER}/train", b"1")), "cannot be unpacked"),
    "HTML": (lambda: HTML, "gzip"),
    "no tar": (lambda: gzip.compress(HTML), "cannot be unpacked"),
    "a torn gzip": (lambda: archive_of(*PHOTOS)[:-20], "ended before"),
    "a damaged gzip": (lambda: archive_of(*PHOTOS)[:-8] + bytes(8), "CRC"),
    "a torn tar": (lambda: gzip.compress(gzip.decompress(archive_of(*PHOTOS))[:700]), "unexpected end of data"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_and_damaged_archives_are_refused(kind: str, tmp_path: Path, refused: Any) -> None:
    make, words = HOSTILE[kind]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / ARCHIVE).write_bytes(make())
    memory = peak_memory()
    with refused(DataError, str(folder / ARCHIVE), words, "delete it"):
        unpack_archive(folder / ARCHIVE, folder / FOLDER, members=50, size=1_000_000)
    assert os.listdir(folder) == [ARCHIVE] and os.listdir(tmp_path) == ["data"]
    assert not Path("/tmp/out").exists()
    assert peak_memory() - memory < 20  # MB


def test_an_archive_of_exactly_the_limits(tmp_path: Path, refused: Any) -> None:
    archive = archive_of(member(FOLDER, type=tarfile.DIRTYPE), *PHOTOS)
    (tmp_path / ARCHIVE).write_bytes(archive)
    size = len(gzip.decompress(archive))
    for members, most, words in ((3, size, "more than 3 files"), (4, size - 1, "more bytes")):
        with refused(DataError, words):
            unpack_archive(tmp_path / ARCHIVE, tmp_path / FOLDER, members=members, size=most)
    unpack_archive(tmp_path / ARCHIVE, tmp_path / FOLDER, members=4, size=size)
    assert len(list((tmp_path / FOLDER).rglob("*.png"))) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_half_an_unpacked_archive_is_never_taken_for_the_whole(
    error: Any, imagenette: Callable[..., str], site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imagenette(archive_of(*PHOTOS))
    extract = tarfile.TarFile.extract
    done: list[str] = []

    def stops(self: tarfile.TarFile, info: tarfile.TarInfo, *arguments: Any, **options: Any) -> None:
        if len(done) == 2:
            raise error
        extract(self, info, *arguments, **options)
        done.append(info.name)

    with monkeypatch.context() as patched:
        patched.setattr(tarfile.TarFile, "extract", stops)
        with pytest.raises((DataError, KeyboardInterrupt)):
            grays("train", tmp_path)
    assert len(done) == 2 and os.listdir(tmp_path) == [ARCHIVE]
    assert grays("train", tmp_path) == [1, 2] and len(site.seen) == 1


def test_another_process_may_be_faster_to_unpack(
    imagenette: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imagenette(archive_of(*PHOTOS))
    extract = tarfile.TarFile.extract

    def meanwhile(self: tarfile.TarFile, info: tarfile.TarInfo, *arguments: Any, **options: Any) -> None:
        if not (tmp_path / FOLDER).exists():
            (tmp_path / FOLDER / "train").mkdir(parents=True)
            Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / FOLDER / "train" / "theirs.png")
        extract(self, info, *arguments, **options)

    monkeypatch.setattr(tarfile.TarFile, "extract", meanwhile)
    assert grays("train", tmp_path) == [9]
    assert sorted(os.listdir(tmp_path)) == [FOLDER, ARCHIVE]
