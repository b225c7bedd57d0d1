"""What a reader waits for: a saliency map, a slider, the import, a notebook."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.timing import MOST_REPEATS, Row, rows_of, time_interleaved
from denoise_lib.display.figures import panel, png, residual, tile
from denoise_lib.display.views import example_digits, models_for, noisy_copy, render_denoised
from denoise_lib.internal.checks import check_count, check_path
from denoise_lib.metrics import predict
from denoise_lib.noise import MODERATE
from denoise_lib.pretrained.weights import load_pretrained
from denoise_lib.saliency import output_sum, smoothgrad

IMAGES, SAMPLES, NOISE_LEVEL = 16, 50, 0.15


def benchmark_saliency(repeats: int = 9) -> list[Row]:
    """SmoothGrad of TNet, 50 samples for each of 16 images of 32x32, beside captum's NoiseTunnel on the same work.

    Where captum is not installed, ours stands alone.
    """
    check_count(repeats, "repeats", high=MOST_REPEATS, example=9)
    model = load_pretrained("tnet")
    x = torch.rand(IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0, 0], x[:, 0, 0, 1] = 0.0, 1.0  # so that captum's one absolute sigma is the same fraction of each range
    score = output_sum(model)

    def ours() -> Tensor:
        return smoothgrad(score, x, n_samples=SAMPLES, noise_level=NOISE_LEVEL, generator=torch.Generator().manual_seed(0))

    candidates: dict[str, Callable[[], object]] = {"ours": ours}
    difference = None
    if find_spec("captum") is not None:
        from captum.attr import NoiseTunnel, Saliency

        tunnel = NoiseTunnel(Saliency(score))

        def captum(at_once: int | None) -> Tensor:
            attributed: Tensor = tunnel.attribute(
                x, nt_type="smoothgrad", nt_samples=SAMPLES, nt_samples_batch_size=at_once, stdevs=NOISE_LEVEL, abs=False
            )
            return attributed

        candidates["captum, as it comes (all samples at once)"] = lambda: captum(None)
        candidates["captum, 4 samples at once"] = lambda: captum(4)
        generator = torch.Generator().manual_seed(0)
        noise = torch.stack([torch.randn(x.shape[1:], generator=generator) for _ in range(IMAGES * SAMPLES)]) * NOISE_LEVEL
        with patch.object(torch, "normal", lambda mean, std: noise):
            difference = float((captum(None) - ours()).abs().max())
    rows: list[Row] = rows_of(time_interleaved(candidates, repeats))
    rows[0]["largest_difference_to_captum_on_the_same_noise"] = difference
    return rows


def benchmark_slider(repeats: int = 31) -> list[Row]:
    """From a new mu to PNG bytes: 24 digits through the U-Net, in all and by stage."""
    check_count(repeats, "repeats", high=MOST_REPEATS, example=31)
    digits, models = example_digits(24), {"U-Net": models_for(MODERATE)["U-Net"]}
    noisy = noisy_copy(digits, MODERATE)
    output = predict(models["U-Net"], noisy).clamp(0, 1)

    def tiling() -> Any:
        pictures = [*(tile(batch, scale=2) for batch in (noisy, output, digits)), residual(output - digits, scale=2)]
        return panel(pictures, ["noisy", "U-Net", "clean", "residual"], columns=2)

    shown = tiling()
    stages: dict[str, Callable[[], object]] = {
        "all: from mu to PNG": lambda: png(render_denoised(MODERATE, digits, models, scale=2)[0]),
        "noise": lambda: noisy_copy(digits, MODERATE),
        "network": lambda: predict(models["U-Net"], noisy),
        "tiling": tiling,
        "encoding": lambda: png(shown),
    }
    return rows_of(time_interleaved(stages, repeats))


def benchmark_import(repeats: int = 9) -> list[Row]:
    """A new Python: starting alone, with torch, and with torch and this library."""
    check_count(repeats, "repeats", high=MOST_REPEATS, example=9)
    programs = {"torch": "import torch", "torch and denoise_lib": "import torch, denoise_lib", "Python alone": "pass"}
    return rows_of(time_interleaved({name: partial(_python, program) for name, program in programs.items()}, repeats))


def _python(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


def benchmark_notebooks(folder: str | os.PathLike[str] = "notebooks") -> list[Row]:
    """Each notebook of a clone, run from top to bottom once in a kernel of its own, on the CPU.

    Args:
        folder: that holds the notebooks.

    Returns:
        Rows of `seconds`, the start of Jupyter and the kernel included, and of `peak_megabytes`, the most memory that one of
        their processes had.

    Raises:
        ValueError: the folder has no notebooks.
        RuntimeError: a notebook did not run through.
    """
    notebooks = sorted(Path(check_path(folder, "folder")).glob("*.ipynb"))
    if not notebooks:
        raise ValueError(f"{folder} has no notebooks; run this part in a clone of the course, which has the folder notebooks.")
    rows: list[Row] = []
    for notebook in notebooks:
        seconds, peak = _run_all(notebook)
        rows.append({"name": notebook.stem, "seconds": seconds, "peak_megabytes": peak})
    return rows


# A small process in between: the system counts a process's first memory as what its parent has, and ours holds torch.
IN_BETWEEN = """
import subprocess, sys, time
begin = time.perf_counter()
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(time.perf_counter() - begin)
try:
    from resource import RUSAGE_CHILDREN, getrusage
    print(getrusage(RUSAGE_CHILDREN).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
except ImportError:
    pass
sys.exit(status)
"""


def _run_all(notebook: Path) -> tuple[float, float | None]:
    """Seconds, and megabytes where the system counts them."""
    execute = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout", str(notebook)]
    environment = {name: value for name, value in os.environ.items() if name != "DENOISE_FULL"}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "JUPYTER_PREFER_ENV_PATH": "1"}
    done = subprocess.run([sys.executable, "-c", IN_BETWEEN, *execute], capture_output=True, text=True, env=environment)
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise RuntimeError(f"{notebook.name} did not run through: {words[-1] if words else 'no reason was given'}")
    seconds, *peak = map(float, done.stdout.split())
    return seconds, peak[0] if peak else None
