"""Exported pages and the app's notebook, without a browser; tests/browser opens them in one."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from denoise_lib.display import sliders
from tools import app, pages

PIXELS = np.zeros((20, 30, 3), np.uint8)


def frame(value: int) -> tuple[np.ndarray, str]:
    return np.full((20, 30), value, np.uint8), f"value <{value}> & more"


def decoded(data: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def content(html: str) -> dict[str, object]:
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    found: dict[str, object] = json.loads(data)
    return found


def test_a_static_slider_holds_every_picture_and_its_text() -> None:
    frames = [[frame(10), frame(20), frame(30)], [frame(40), frame(50), frame(60)]]
    html = pages.StaticSlider("mu", ["0.1", "0.2", "0.3"], 1, frames, ("one", "other"), 1).html()
    data = content(html)
    assert data["values"] == ["0.1", "0.2", "0.3"]
    for row, stored in zip(frames, data["frames"], strict=True):  # type: ignore[call-overload]
        for (pixels, text), (encoded, alt) in zip(row, stored, strict=True):
            assert alt == text
            np.testing.assert_allclose(decoded(encoded)[..., 0], pixels, atol=4)
    assert 'max="2" value="1"' in html and "<option>one</option><option selected>other</option>" in html
    assert "<output>0.2</output>" in html and "value &lt;50&gt; &amp; more" in html


def test_the_text_of_a_slider_cannot_end_its_script() -> None:
    html = pages.StaticSlider("x", ["0"], 0, [[(PIXELS, "</script><b>")]]).html()
    assert html.count("</script>") == 1
    assert content(html)["frames"][0][0][1] == "</script><b>"  # type: ignore[index]


def test_webp_keeps_pixel_art_exactly_and_photos_nearly() -> None:
    art = np.kron(np.random.default_rng(0).choice([0, 90, 255], (12, 12)), np.ones((8, 8))).astype(np.uint8)
    np.testing.assert_array_equal(decoded(base64.b64encode(pages.webp(art)).decode())[..., 0], art)
    rows, columns = np.mgrid[:64, :96]
    smooth = np.stack([rows * 2, columns * 2, 255 - rows - columns], axis=2).astype(np.uint8)
    assert np.abs(decoded(base64.b64encode(pages.webp(smooth)).decode()).astype(int) - smooth).mean() < 4


def test_every_explorer_of_the_notebooks_has_a_static_slider() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path("notebooks/src").glob("*.py"))
    used = set(re.findall(r"^(\w+_explorer)\(", sources, re.MULTILINE))
    assert used == set(pages.SLIDERS)
    assert all(callable(getattr(sliders, name)) for name in used)


def test_a_page_needs_nothing_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        pages.SLIDERS, "noise_explorer", lambda: pages.StaticSlider("mu", ["a", "b"], 0, [[frame(1), frame(2)]])
    )
    pages.slider_html.cache_clear()
    png = io.BytesIO()
    Image.fromarray(PIXELS).save(png, format="PNG")
    output = nbformat.v4.new_output(
        "display_data",
        {"image/png": base64.b64encode(png.getvalue()).decode()},
        metadata={"image/png": {"alt": 'six "digits"'}},
    )
    cells = [
        nbformat.v4.new_markdown_cell("[![Open](https://example.org/badge.svg)](https://example.org/nb) and $$a_b$$"),
        nbformat.v4.new_code_cell("noise_explorer(seed=SEED)", outputs=[nbformat.v4.new_output("stream", text="gone")]),
        nbformat.v4.new_code_cell("picture(x)", outputs=[output]),
    ]
    html = pages.render(nbformat.v4.new_notebook(cells=cells), "a < b")
    pages.slider_html.cache_clear()
    assert not re.findall(r'(?:src|href)="http[^"]*\.(?:svg|js|css|png)', html) and "<link" not in html
    assert '<a href="https://example.org/nb">Open</a>' in html and "<math" in html and "$$" not in html
    assert html.count('class="slider"') == 1 and "gone" not in html
    assert 'alt="six &quot;digits&quot;"' in html and "<title>a &lt; b</title>" in html
    assert '<meta name="viewport"' in html and html.count("@kept-") == 0


def test_a_page_that_is_too_large_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# One")]), tmp_path / "one.ipynb")
    arguments = ["--folder", str(tmp_path), "--build", str(tmp_path / "html")]
    assert pages.main(arguments) == 0
    assert "<h1" in (tmp_path / "html" / "one.html").read_text(encoding="utf-8")
    monkeypatch.setattr(pages, "LIMIT", 100)
    assert pages.main(arguments) == 1
    assert "one.html is larger than 0 kB" in capsys.readouterr().err


def test_the_apps_notebook_shows_the_courses_explorers(tmp_path: Path) -> None:
    notebook = nbformat.read(app.write_app(tmp_path / "app" / "explorers.ipynb"), as_version=4)
    nbformat.validate(notebook)
    scope: dict[str, object] = {}
    *imports, call = notebook.cells[0].source.splitlines()
    exec("\n".join(imports), scope)
    tabs = eval(call, scope)
    assert [tabs.get_title(index) for index in range(len(tabs.children))][:2] == ["Noise", "Denoise"]
    assert len(tabs.children) == 7


def test_the_app_says_when_voila_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    assert app.main([]) == 1
    assert capsys.readouterr().err.startswith("error: Voila is not installed")
