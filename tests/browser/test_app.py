"""The explorers on one page, served by Voila."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser

from .helpers import SCREENSHOTS, free_port, serving, try_slider


def test_the_app_shows_every_explorer(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "tools.app", f"--port={port}", "--no-browser", f"--build={tmp_path / 'app'}"]
    with serving(command, port, "/voila/static/voila.js", tmp_path):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector(".widget-tab .widget-image")
        titles = [
            title.strip()
            for title in page.locator(".widget-tab .lm-TabBar-tabLabel, .widget-tab .p-TabBar-tabLabel").all_inner_texts()
        ]
        assert titles[:2] == ["Noise", "Denoise"] and len(titles) == 7
        for title in ("Noise", "Denoise", "SmoothGrad"):
            page.locator(f".widget-tab :text-is('{title}')").first.click()
            box = page.locator(".widget-vbox:has(> .widget-image):has(pre):visible").first
            try_slider(box)
            page.screenshot(path=SCREENSHOTS / f"app-{title.lower()}.png")
        page.close()
