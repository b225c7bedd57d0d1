"""A real browser: Debian's Chromium without a window, driven by Playwright, and the servers that it talks to."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from .helpers import CHROMIUM, DONE, FLAGS, READY, ROOT, RUN_ALL, SCREENSHOTS, free_port, serving

BADGE, SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>', "image/svg+xml"
SETTINGS = {
    # News and a pop-up would cover the corner; cells outside of the window would not be in the page.
    "apputils-extension/notification": '{"fetchNews":"false","checkForUpdates":false}',
    "notebook-extension/tracker": '{"windowingMode":"none"}',
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None and not os.environ.get("DENOISE_NEED_BROWSER"):
        for item in items:
            item.add_marker(pytest.mark.skip(reason="there is no Chromium here (Debian: apt install chromium)"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "DENOISE_NEED_BROWSER is set, but there is no Chromium"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on a copy of the notebooks."""
    folder, port = tmp_path_factory.mktemp("lab"), free_port()
    shutil.copytree(ROOT / "notebooks", folder / "root", ignore=shutil.ignore_patterns("src", ".ipynb_checkpoints"))
    for name, text in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True",
        f"--ServerApp.root_dir={folder / 'root'}", "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    with serving(command, port, "/api/status", folder, JUPYTERLAB_SETTINGS_DIR=str(folder / "settings")) as url:
        yield url


@pytest.fixture
def run_notebook(lab: str, browser: Browser) -> Iterator[Callable[[str], tuple[Page, list[str]]]]:
    """Open a notebook in JupyterLab and run all of it; returns the page, and a list that fills with the console's errors."""
    pages: list[Page] = []

    def run(name: str) -> tuple[Page, list[str]]:
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        pages.append(page)
        page.set_default_timeout(300_000)
        console: list[str] = []
        page.on("console", lambda message: console.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: console.append(str(error)))
        # The badge is the one thing that a notebook takes from the network.
        page.route("https://colab.research.google.com/**", lambda route: route.fulfill(body=BADGE, content_type=SVG))
        page.goto(f"{lab}/lab/tree/{name}.ipynb?reset")
        page.wait_for_function(READY)
        page.evaluate(RUN_ALL)
        page.wait_for_timeout(1000)
        page.wait_for_function(DONE)
        return page, console

    yield run
    for page in pages:
        page.evaluate("() => window.jupyterapp.shell.currentWidget?.sessionContext.shutdown()")
        page.close()
