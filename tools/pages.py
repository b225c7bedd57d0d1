"""Notebooks as single-file pages in which the sliders still slide, with no kernel and no network: `python -m tools.pages`.

A page shows what a notebook has stored. Where a cell has an explorer, which needs a kernel, the page has a plain range input
over pictures of the same pure function, rendered beforehand.
"""

from __future__ import annotations

import argparse
import base64
import copy
import functools
import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import nbformat
import numpy as np
from latex2mathml.converter import convert as latex_to_mathml
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from PIL import Image
from pygments.formatters import HtmlFormatter

from denoise_lib.display.sliders import COLOR_NETWORKS
from denoise_lib.display.views import (
    BROKEN,
    SALIENCY_MAPS,
    Rendered,
    example_digits,
    example_pair,
    models_for,
    render_assumptions,
    render_denoised,
    render_estimators,
    render_filters,
    render_noise,
    render_smoothgrad,
    saliency_samples,
)
from denoise_lib.losses import CORRUPTIONS
from denoise_lib.pretrained.weights import load_pretrained

FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
BADGE = re.compile(r"\[!\[([^\]]*)\]\([^)]*\)\]")
EXPLORER = re.compile(r"^(\w+_explorer)\(", re.MULTILINE)
LIMIT = 1_000_000
"""Bytes that a page may have."""
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54em; margin: 0 auto; padding: 1em; color: #222; background: #fff }
img { max-width: 100%; height: auto } pre { overflow-x: auto; white-space: pre-wrap; font-size: 13px }
.highlight pre { background: #f6f8fa; padding: .6em; border-radius: 4px; white-space: pre }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1em 0 }
th, td { border-bottom: 1px solid #ddd; padding: .2em .6em } .jp-InputPrompt, .jp-OutputPrompt, .anchor-link { display: none }
.slider { margin: 1em 0; padding: 1em; border: 1px solid #ccc; border-radius: 6px } .slider input { width: min(420px, 70vw) }
.slider img { min-width: min(100%, 440px) } .slider pre { min-height: 3em }
details { margin: .5em 0 } math { overflow: auto hidden; padding: .3em 0 }
"""
SCRIPT = """
for (const box of document.querySelectorAll(".slider")) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const range = box.querySelector("input"), menu = box.querySelector("select");
  const show = () => {
    const frame = data.frames[menu ? menu.selectedIndex : 0][range.value], value = data.values[range.value];
    box.querySelector("img").src = data.head + frame[0];
    box.querySelector("img").alt = frame[1];
    box.querySelector("pre").textContent = frame[1];
    box.querySelector("output").textContent = value;
    range.setAttribute("aria-valuetext", value);
  };
  range.addEventListener("input", show);
  if (menu) menu.addEventListener("change", show);
  show();
}
"""


@dataclass(frozen=True)
class StaticSlider:
    """A range input, perhaps with a menu, and the pictures behind it."""

    name: str
    values: Sequence[str]
    start: int
    frames: Sequence[Sequence[Rendered]]
    """For each choice of the menu, a picture and its text for each value."""
    menu: Sequence[str] = ()
    choice: int = 0
    """Which choice of the menu it starts with."""

    def html(self) -> str:
        """The slider as HTML; its script stands once in the page."""
        frames = [[(base64.b64encode(webp(pixels)).decode(), text) for pixels, text in row] for row in self.frames]
        data = {"head": "data:image/webp;base64,", "values": list(self.values), "frames": frames}
        content = json.dumps(data).replace("<", "\\u003c")
        marks = [" selected" if index == self.choice else "" for index in range(len(self.menu))]
        options = "".join(f"<option{mark}>{escape(text)}</option>" for text, mark in zip(self.menu, marks, strict=True))
        menu = f"<label>show <select>{options}</select></label><br>" if self.menu else ""
        first = self.frames[self.choice][self.start][1]
        return (
            f'<div class="slider">{menu}<label>{escape(self.name)} <input type="range" min="0" max="{len(self.values) - 1}" '
            f'value="{self.start}" step="1"></label> <output>{escape(self.values[self.start])}</output>'
            f'<pre role="status">{escape(first)}</pre><img alt="{escape(first)}">'
            f'<script type="application/json">{content}</script></div>'
        )


def webp(pixels: np.ndarray) -> bytes:
    """A picture as WebP, the smaller of two: in 32 steps from black to white, or as photos are compressed."""
    steps = np.round(np.round(pixels / 255 * 31) * 255 / 31).astype(np.uint8)
    encoded = []
    for values, options in ((steps, {"lossless": True, "method": 6}), (pixels, {"quality": 80, "method": 4})):
        buffer = io.BytesIO()
        Image.fromarray(values).convert("RGB").save(buffer, format="WEBP", **options)
        encoded.append(buffer.getvalue())
    return min(encoded, key=len)


def _noise() -> StaticSlider:
    digits, levels = example_digits(8), [step / 20 for step in range(21)]
    frames = [render_noise(level, digits, scale=2) for level in levels]
    return StaticSlider("mu", [f"{level:.2f}" for level in levels], 5, [frames])


def _denoise() -> StaticSlider:
    digits, levels = example_digits(6), [step / 20 for step in range(17)]
    frames = [render_denoised(level, digits, models_for(level), scale=2) for level in levels]
    return StaticSlider("mu", [f"{level:.2f}" for level in levels], 5, [frames])


def _estimators() -> StaticSlider:
    levels = [step / 10 for step in range(11)]
    frames = [[render_estimators(level, corruption) for level in levels] for corruption in CORRUPTIONS]
    return StaticSlider("level", [f"{level:.1f}" for level in levels], 4, frames, CORRUPTIONS)


def _assumptions() -> StaticSlider:
    sigmas = [step / 20 for step in range(1, 9)]
    cases: list[tuple[str, ...]] = [(), *((name,) for name in BROKEN)]
    frames = [[render_assumptions(sigma, case) for sigma in sigmas] for case in cases]
    return StaticSlider("sigma", [f"{sigma:.2f}" for sigma in sigmas], 3, frames, ("nothing is broken", *BROKEN))


def _smoothgrad() -> StaticSlider:
    model, (noisy, clean), counts = load_pretrained("tnet"), example_pair(), (1, 10, 50, 200)
    levels = [step / 20 for step in range(7)]
    samples = [saliency_samples(SALIENCY_MAPS[0], model, noisy, clean, (16, 16), level, max(counts)) for level in levels]
    frames = [
        [
            render_smoothgrad(found[:count], noisy, clean, (16, 16), level, SALIENCY_MAPS[0])
            for level, found in zip(levels, samples, strict=True)
        ]
        for count in counts
    ]
    return StaticSlider("noise level", [f"{level:.0%}" for level in levels], 3, frames, [f"n = {count}" for count in counts], 2)


def _filters() -> StaticSlider:
    models, (noisy, clean) = {name: load_pretrained(name) for name in COLOR_NETWORKS}, example_pair()
    columns, rows = range(4, 28, 2), (10, 16, 22)
    frames = [[render_filters((row, column), models, noisy, clean) for column in columns] for row in rows]
    return StaticSlider("column", [str(column) for column in columns], 6, frames, [f"row {row}" for row in rows], 1)


SLIDERS: dict[str, Callable[[], StaticSlider]] = {
    "noise_explorer": _noise,
    "denoise_explorer": _denoise,
    "estimator_explorer": _estimators,
    "noise2noise_explorer": _assumptions,
    "smoothgrad_explorer": _smoothgrad,
    "filter_explorer": _filters,
}


@functools.cache
def slider_html(explorer: str) -> str:
    """The slider that stands for an explorer in a page."""
    return SLIDERS[explorer]().html()


def render(notebook: NotebookNode, title: str) -> str:
    """The notebook as one HTML file that needs nothing else."""
    notebook = copy.deepcopy(notebook)
    kept: list[str] = []

    def keep(html: str) -> str:
        kept.append(html)
        return f"@kept-{len(kept) - 1}@"

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            # MathML needs no script; nbconvert would fetch one, and a room without a network would see raw LaTeX.
            cell.source = FORMULA.sub(lambda match: keep(latex_to_mathml(match[1].strip(), display="block")), cell.source)
            cell.source = BADGE.sub(r"[\1]", cell.source)  # a badge's picture would be fetched
            continue
        explorer = EXPLORER.search(cell.source)
        if explorer and explorer[1] in SLIDERS:
            cell.outputs = [_shown(keep(slider_html(explorer[1])))]
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                # nbconvert does not know alternative texts, so figures are given to it as HTML.
                alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
                output.data = _shown(keep(_image(data["image/png"], alt))).data
    body, _ = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(
        notebook
    )
    # Only now: nbconvert tears the tags of MathML apart.
    body = re.sub(r"@kept-(\d+)@", lambda match: kept[int(match[1])], body)
    colours = HtmlFormatter().get_style_defs(".highlight")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}{colours}</style></head>'
        f"<body>{body}<script>{SCRIPT}</script></body></html>\n"
    )


def _shown(text: str) -> NotebookNode:
    output: NotebookNode = nbformat.v4.new_output("display_data", {"text/html": text})
    return output


def _image(png: str, alt: str) -> str:
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))
    return f'<img alt="{escape(alt)}" src="data:image/webp;base64,{base64.b64encode(webp(pixels)).decode()}">'


def main(arguments: list[str] | None = None) -> int:
    """Write a page for every notebook; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.pages", description="Write the notebooks as single-file pages.")
    parser.add_argument("--folder", type=Path, default=Path("notebooks"), help="where the notebooks are (default %(default)s)")
    parser.add_argument("--build", type=Path, default=Path("build/html"), help="where the pages go (default %(default)s)")
    options = parser.parse_args(arguments)
    options.build.mkdir(parents=True, exist_ok=True)
    status = 0
    for path in sorted(options.folder.glob("*.ipynb")):
        page = options.build / f"{path.stem}.html"
        page.write_text(render(nbformat.read(path, as_version=4), path.stem), encoding="utf-8")
        size = page.stat().st_size
        print(f"{page}: {size / 1000:.0f} kB")
        if size > LIMIT:
            print(f"FAILED  {page} is larger than {LIMIT / 1000:.0f} kB", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
