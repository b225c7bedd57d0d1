"""What the browser tests share: servers that are away from the user's settings, and how an explorer's slider is tried."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Error, Locator

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
# The page's own sign that a kernel is idle is there before the kernel is.
READY = """() => { const w = window.jupyterapp?.shell?.currentWidget;
  const k = w?.sessionContext?.session?.kernel;
  return !!(w?.context?.isReady && k && k.connectionStatus === 'connected' && k.status === 'idle') }"""
DONE = """() => { const w = window.jupyterapp.shell.currentWidget;
  const cells = [...w.content.widgets].filter(c => c.model.type === 'code' && c.model.sharedModel.getSource().trim());
  return cells.every(c => c.model.executionCount !== null && c.model.executionState !== 'running')
    && w.sessionContext.session.kernel.status === 'idle' }"""
ERRORS = """() => window.jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code')
  .flatMap(c => c.model.outputs.toJSON()).filter(o => o.output_type === 'error').map(o => o.ename + ': ' + o.evalue)"""
RUN_ALL = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
BYTES = "async (image) => Array.from(new Uint8Array(await (await fetch(image.src)).arrayBuffer()))"


@contextmanager
def serving(command: list[str], port: int, address: str, folder: Path, **variables: str) -> Iterator[str]:
    """Run a server, away from the user's settings, until the block ends; yields its address."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    own = {name: str(folder / name.lower()) for name in names}
    log = folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **own, **variables},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                urllib.request.urlopen(url + address, timeout=5)
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def shown(box: Locator) -> str:
    """A fingerprint of the picture in an explorer, once it stands still."""
    image, last = box.locator("img.widget-image, .widget-image").first, ""
    for _ in range(200):
        try:
            found = hashlib.sha256(bytes(image.evaluate(BYTES))).hexdigest()
        except Error:  # the picture was replaced while it was read
            found = ""
        if found and found == last:
            return found
        last = found
        box.page.wait_for_timeout(150)
    raise AssertionError("the picture does not come to rest")


def changed(box: Locator, before: str) -> str:
    """The fingerprint of the next picture."""
    for _ in range(100):
        if (now := shown(box)) != before:
            return now
    raise AssertionError("the picture does not change")


def try_slider(box: Locator, keys: int = 3) -> None:
    """Move an explorer's slider by keyboard, mouse and typing: picture and numbers change, and coming back restores both."""
    page, slider = box.page, box.locator(".widget-slider").first
    handle, readout, numbers = slider.locator(".noUi-handle"), slider.locator(".widget-readout"), box.locator("pre").first
    handle.scroll_into_view_if_needed()
    assert slider.locator("label").inner_text().strip(), "the slider has no label"
    start, text, value = shown(box), numbers.inner_text(), readout.inner_text()
    handle.focus()
    for _ in range(keys):
        page.keyboard.press("ArrowRight")
    moved = changed(box, start)
    assert numbers.inner_text() != text and readout.inner_text() != value
    for _ in range(keys):
        page.keyboard.press("ArrowLeft")
    changed(box, moved)
    assert (shown(box), numbers.inner_text(), readout.inner_text()) == (start, text, value)
    place = handle.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=8)
    page.mouse.up()
    changed(box, start)
    readout.click()
    page.keyboard.press("Control+A")
    page.keyboard.type(value)
    page.keyboard.press("Enter")
    for _ in range(50):
        if shown(box) == start:
            break
    assert (shown(box), numbers.inner_text()) == (start, text)
