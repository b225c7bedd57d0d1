"""Render what the README shows from results and weights: `python -m tools.readme` writes its table and its picture."""

from __future__ import annotations

import sys
from pathlib import Path

from denoise_lib.figures import panel, png, tile
from denoise_lib.photo_results import readme_photo_table
from denoise_lib.renders import example_digits, models_for, noisy_copy
from denoise_lib.results import LEVELS, read_results, readme_table
from denoise_lib.training import predict

# Marker in the README: (results file, what renders it).
TABLES = {"results": ("unet_vs_autoencoder", readme_table), "tnet": ("tnet", readme_photo_table)}


def picture() -> bytes:
    """Ten digits at the three levels, and what the two networks make of them, as a PNG."""
    digits = example_digits(10)
    pictures, titles = [], []
    for level, mu in LEVELS.items():
        noisy = noisy_copy(digits, mu)
        outputs = {name: predict(model, noisy) for name, model in models_for(mu).items()}
        for name, batch in {f"{level} noise, mu = {mu:.2f}": noisy, **outputs}.items():
            pictures.append(tile(batch, 10, scale=1))
            titles.append(name)
    return png(panel(pictures, titles, columns=3), compress_level=9)


def main() -> int:
    """Write results/denoising.png, and the tables between the README's markers; returns the exit status."""
    readme = Path("README.md")
    text = readme.read_text(encoding="utf-8")
    for marker, (name, render) in TABLES.items():
        begin, end = f"<!-- {marker} -->\n", f"\n<!-- /{marker} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            print(f"error: README.md needs the markers <!-- {marker} --> and <!-- /{marker} --> once.", file=sys.stderr)
            return 1
        before, rest = text.split(begin)
        text = before + begin + render(read_results(Path(f"results/{name}.json"))) + end + rest.split(end)[1]
    readme.write_text(text, encoding="utf-8")
    Path("results/denoising.png").write_bytes(picture())
    return 0


if __name__ == "__main__":
    sys.exit(main())
