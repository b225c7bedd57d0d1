"""Render what README and guide show from results, weights and exercises: `python -m tools.readme`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw

from benchmarks.tables import alternatives_table, growth_table, limits_table, readme_speed_table
from denoise_lib.classroom.question_bank import QUESTIONS
from denoise_lib.classroom.questions import Question
from denoise_lib.display.figures import panel, png, tile
from denoise_lib.display.views import example_digits, models_for, noisy_copy
from denoise_lib.exercises.checker import NOTEBOOKS, PROBLEM_SETS
from denoise_lib.exercises.exercise import Exercise
from denoise_lib.metrics import predict
from denoise_lib.noise import LEVELS
from denoise_lib.papers.noise2noise_tables import readme_photo_table
from denoise_lib.papers.results import read_results, readme_table
from denoise_lib.papers.smoothgrad_claims import readme_claims_table

# Marker in the README: (results file, what renders it).
TABLES = {
    "speed": ("benchmark", readme_speed_table),
    "results": ("unet_vs_autoencoder", readme_table),
    "tnet": ("tnet", readme_photo_table),
    "smoothgrad": ("smoothgrad", readme_claims_table),
}
# The same for CONTRIBUTING.md.
MAINTAINERS = {
    "limits": ("benchmark", limits_table),
    "alternatives": ("benchmark", alternatives_table),
    "growth": ("benchmark", growth_table),
}


def mistakes_table(exercises: Iterable[Exercise], questions: Iterable[Question] = ()) -> str:
    """All wrong answers that are known, by exercise and by question with letters."""
    known = [(exercise.name, [(one.name, one.feedback) for one in exercise.mistakes]) for exercise in exercises]
    known += [(question.name, [(one.mistake, one.feedback) for one in question.wrong]) for question in questions]
    rows = [
        [f"`{name}`" if index == 0 else "", mistake, says]
        for name, mistakes in known
        for index, (mistake, says) in enumerate(mistakes)
    ]
    return "| exercise | mistake | what is said |\n|---|---|---|\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def fill(text: str, marker: str, content: str) -> str:
    """Put content between a file's markers <!-- marker --> and <!-- /marker -->."""
    begin, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the markers <!-- {marker} --> and <!-- /{marker} --> must be there once.")
    before, rest = text.split(begin)
    return before + begin + content.rstrip("\n") + "\n" + end + rest.split(end)[1]


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


def animation(path: Path, count: int = 8, steps: int = 13) -> None:
    """The slider as a GIF that goes up and down: digits drown in noise, and what the U-Net of the nearest level sees."""
    digits = example_digits(count)
    frames = []
    for step in range(steps):
        mu = 0.7 * step / (steps - 1)
        noisy = noisy_copy(digits, mu)
        batches = {f"noisy, mu = {mu:.2f}": noisy, "U-Net": predict(models_for(mu)["U-Net"], noisy), "clean": digits}
        shown = panel([tile(batch, 4, scale=2) for batch in batches.values()], list(batches), columns=3)
        frame = Image.new("L", (shown.shape[1], shown.shape[0] + 28), "white")
        frame.paste(Image.fromarray(shown).convert("L"), (0, 28))
        draw, knob = ImageDraw.Draw(frame), 40 + 260 * mu
        draw.text((4, 6), "mu", fill=0)
        draw.line([(40, 13), (300, 13)], fill=170, width=4)
        draw.ellipse([(knob - 7, 6), (knob + 7, 20)], fill=40)
        frames.append(frame.quantize(16))
    frames += frames[-2:0:-1]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=220, loop=0, optimize=True)


def main() -> int:
    """Write the pictures into results/, and the tables between the markers of README and guides; returns the exit status."""
    tables, maintainers = (
        {marker: render(read_results(Path(f"results/{name}.json"))) for marker, (name, render) in known.items()}
        for known in (TABLES, MAINTAINERS)
    )
    guide = {
        "mistakes": mistakes_table(NOTEBOOKS),
        "mistakes of problem sets": mistakes_table(PROBLEM_SETS, QUESTIONS.values()),
    }
    for name, contents in {"README.md": tables, "INSTRUCTORS.md": guide, "CONTRIBUTING.md": maintainers}.items():
        path = Path(name)
        text = path.read_text(encoding="utf-8")
        try:
            for marker, content in contents.items():
                text = fill(text, marker, content)
        except ValueError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 1
        path.write_text(text, encoding="utf-8")
    Path("results/denoising.png").write_bytes(picture())
    animation(Path("results/slider.gif"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
