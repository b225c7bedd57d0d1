"""Each notebook as a student meets it: opened in JupyterLab, run in full, its sliders moved."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page

from .helpers import ERRORS, ROOT, SCREENSHOTS, shown, try_slider

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
# An explorer is a box that holds a picture and at least one slider; the game's slider is a guess and draws nothing.
EXPLORERS = ".widget-vbox:has(> .widget-image):has(pre):has(.widget-slider)"
SLOW_PICTURE = "04_smoothgrad"
Run = Callable[[str], tuple[Page, list[str]]]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_its_sliders_slide(name: str, run_notebook: Run) -> None:
    page, console = run_notebook(name)
    assert page.evaluate(ERRORS) == []
    boxes = page.locator(EXPLORERS)
    assert boxes.count() >= 1
    for index in range(boxes.count()):
        try_slider(boxes.nth(index))
        boxes.nth(index).screenshot(path=SCREENSHOTS / f"{name}-{index + 1}.png")
    if name == SLOW_PICTURE:
        drop_stale_values(boxes.first)
    assert page.evaluate(ERRORS) == []
    assert console == []


def drop_stale_values(box: Locator) -> None:
    """Fourteen quick steps of a slow picture must draw fewer than fourteen pictures, and end at the right one."""
    page, handle, readout = box.page, box.locator(".noUi-handle").first, box.locator(".widget-readout").first
    handle.scroll_into_view_if_needed()
    shown(box)
    box.locator("pre").first.evaluate(
        "(pre) => { window.drawn = 0; new MutationObserver(() => window.drawn++).observe("
        "pre.closest('.widget-html-content') || pre.parentElement, {childList: true, subtree: true, characterData: true}); }"
    )
    handle.focus()
    for _ in range(14):
        page.keyboard.press("ArrowRight")
    assert float(readout.inner_text()) == pytest.approx(0.29)
    page.wait_for_function("() => document.querySelector('.widget-vbox pre').innerText.includes('noise level 29%')")
    last = shown(box)
    assert 1 <= page.evaluate("() => window.drawn") < 14
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => document.querySelector('.widget-vbox pre').innerText.includes('noise level 28%')")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('.widget-vbox pre').innerText.includes('noise level 29%')")
    assert shown(box) == last
