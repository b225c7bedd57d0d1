"""Render what the README shows from results and weights: `python -m tools.readme` writes its table and its picture."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from denoise_lib.explorers import example_digits, models_for, noisy_copy
from denoise_lib.figures import panel, png, tile
from denoise_lib.results import LEVELS, read_results, readme_table
from denoise_lib.training import predict

TABLE = re.compile(r"(<!-- results -->\n).*?(\n<!-- /results -->)", re.DOTALL)


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
    """Write results/denoising.png, and the table between the README's markers; returns the exit status."""
    readme = Path("README.md")
    table = readme_table(read_results(Path("results/unet_vs_autoencoder.json")))
    text, count = TABLE.subn(lambda match: match[1] + table + match[2], readme.read_text(encoding="utf-8"))
    if count != 1:
        print("error: README.md needs the markers <!-- results --> and <!-- /results --> once.", file=sys.stderr)
        return 1
    readme.write_text(text, encoding="utf-8")
    Path("results/denoising.png").write_bytes(picture())
    return 0


if __name__ == "__main__":
    sys.exit(main())
