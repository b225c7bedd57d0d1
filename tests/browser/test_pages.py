"""Exported pages: one file each, no kernel, no network, and the slider still slides; on a phone, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tools import pages

from .helpers import ROOT, SCREENSHOTS

# The pages are built once, so one process tests them all.
pytestmark = pytest.mark.xdist_group("pages")
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("html")
    assert pages.main(["--folder", str(ROOT / "notebooks"), "--build", str(folder)]) == 0  # 1: a page is too large
    return folder


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_page_slides_without_kernel_and_network(name: str, build: Path, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    page = context.new_page()
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if request.url.startswith("http") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((build / f"{name}.html").as_uri())
    boxes = page.locator(".slider")
    assert boxes.count() >= 1
    for index in range(boxes.count()):
        box = boxes.nth(index)
        slider, image = box.locator("input"), box.locator("img")
        start, value, text = image.get_attribute("src"), box.locator("output").inner_text(), image.get_attribute("alt")
        slider.focus()
        page.keyboard.press("ArrowRight")
        assert image.get_attribute("src") != start and box.locator("output").inner_text() != value
        assert image.get_attribute("alt") != text and slider.get_attribute("aria-valuetext") != value
        assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 100
        page.keyboard.press("ArrowLeft")
        assert image.get_attribute("src") == start
        if menu := box.locator("select").all():
            chosen = menu[0].evaluate("(select) => select.selectedIndex")
            menu[0].select_option(index=0 if chosen else 1)
            assert image.get_attribute("src") != start
        box.screenshot(path=SCREENSHOTS / f"page-{name}-{index + 1}.png")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 391, "a phone would have to scroll sideways"
    assert page.locator("img:not([alt])").count() == 0
    assert (requests, problems) == ([], [])
    page.screenshot(path=SCREENSHOTS / f"page-{name}.png")
    context.close()
