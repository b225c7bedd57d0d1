"""The first paper's Table 1: as data, run again with several seeds, and compared.

One *run* trains one network at one noise level with one seed, and measures it on the test digits. Each run is kept in a
file of its own, so that an interrupted reproduction goes on where it was, run by run and epoch by epoch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data import TEST_NOISE_SEED, NoisyImages, exclude_images, mnist, training_noise_seed
from ..internal.atomic_write import write_json
from ..internal.checks import check_choice, check_count, check_instance, check_path
from ..internal.devices import default_device, machine
from ..internal.parallel import check_scheduler
from ..internal.seeding import build_seeded
from ..metrics import evaluate, mse, predict
from ..noise import LEVELS, MODERATE, Blend
from ..pretrained.weights import read_weights, write_weights
from ..training import fit
from ..unet import Autoencoder, UNet, count_parameters
from .results import markdown_table, read_results, results_file, summarize
from .study import checkpoint_file, load_run, save_run, sweep

BLIND_RANGE = (0.0, 0.5)
TABLE_1_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "unet": UNet,
    "autoencoder": Autoencoder,
    "unet-no-skips": lambda: UNet(skips=False),
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    fresh: bool
    """Noise drawn anew in each epoch, or once."""
    lr: float
    batch_size: int
    schedule: str | None
    held_out: bool
    """Train without the digits of `mnist("test", "small")`, so that the shipped weights have never seen them."""


# "best" was chosen among four trials of the U-Net that were compared on test digits: its lead has that advantage.
RECIPES: dict[str, Recipe] = {
    "paper": Recipe(fresh=False, lr=1e-3, batch_size=128, schedule=None, held_out=False),
    "best": Recipe(fresh=True, lr=2e-3, batch_size=32, schedule="one-cycle", held_out=True),
}


@dataclass(frozen=True)
class Run:
    """One training: a row of the raw results."""

    network: str
    level: str
    recipe: str = "paper"
    data: str = "full"
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(self.network, "network", tuple(TABLE_1_NETWORKS))
        check_choice(self.level, "level", (*LEVELS, "blind"))
        check_choice(self.recipe, "recipe", tuple(RECIPES))
        check_choice(self.data, "data", ("small", "full"))
        check_count(self.epochs, "epochs", example=10)
        check_count(self.seed, "seed", 0, example=0)

    @property
    def name(self) -> str:
        """Unique among all runs; a file name."""
        return f"{self.network}-{self.level}-{self.recipe}-{self.data}-{self.epochs}-seed{self.seed}"

    @property
    def noise(self) -> Blend:
        """What the run trains on."""
        return Blend(BLIND_RANGE if self.level == "blind" else LEVELS[self.level])


def training_images(run: Run) -> Tensor:
    """The clean digits that a run trains on, uint8 (N, 1, 28, 28)."""
    images = mnist("train", check_instance(run, "run", Run, "Run('unet', 'mild')").data)
    return exclude_images(images, mnist("test", "small")) if run.data == "full" and RECIPES[run.recipe].held_out else images


def test_pairs(size: str, mu: float) -> tuple[Tensor, Tensor]:
    """The test digits with one fixed noise that all models share: (noisy, clean), float32 (N, 1, 28, 28)."""
    pairs = NoisyImages(mnist("test", size), Blend(mu), seed=TEST_NOISE_SEED)
    return next(pairs.batches(len(pairs)))


def execute(
    run: Run, folder: str | os.PathLike[str], *, device: str | None = None, threads: int | None = None
) -> dict[str, Any]:
    """Train and measure one run, or read its result where it is already there.

    Args:
        run: what to train.
        folder: where NAME.json, NAME.safetensors and, while it trains, the checkpoint NAME.pt are kept.
        device: as for `fit`.
        threads: CPU threads for this process.

    Returns:
        The result, as it stands in NAME.json.
    """
    check_instance(run, "run", Run, "Run('unet', 'mild')")
    place, chosen_device = Path(check_path(folder, "folder")), default_device(device)
    if (kept := load_run(place, run)) is not None:
        return kept
    if threads is not None:
        torch.set_num_threads(check_count(threads, "threads", high=1024, example=1))
    recipe = RECIPES[run.recipe]
    print(f"--- {run.name}", flush=True)
    images = training_images(run)
    model = build_seeded(TABLE_1_NETWORKS[run.network], run.seed)
    pairs = NoisyImages(images, run.noise, fresh=recipe.fresh, seed=training_noise_seed(run.seed))
    history = fit(
        model, pairs, epochs=run.epochs, lr=recipe.lr, batch_size=recipe.batch_size, schedule=recipe.schedule, seed=run.seed,
        device=str(chosen_device), checkpoint=checkpoint_file(place, run),
    )  # fmt: skip
    home_level = MODERATE if run.level == "blind" else LEVELS[run.level]
    noisy, clean = test_pairs(run.data, home_level)
    scores = evaluate(model, noisy, clean)
    first = slice(1000)
    result = {
        **asdict(run),
        "mu": run.noise.mu,
        "parameters": count_parameters(model),
        "training_images": len(images),
        "test": asdict(scores),
        "test_mu": home_level,
        "mse_first_1000": mse(predict(model, noisy[first]), clean[first]),
        "mse_at_mu": {f"{mu:.2f}": _mse_at(model, run.data, mu) for mu in LEVELS.values()},
        "mse_small_test": _mse_at(model, "small", home_level),
        "training_seconds": round(sum(history.seconds), 1),
        "loss": [round(value, 6) for value in history.loss],
        "machine": machine(chosen_device),
    }
    return save_run(place, run, model, result, "a run of: python -m denoise_lib reproduce unet-vs-autoencoder")


def reproduce(
    runs: Iterable[Run],
    output: str | os.PathLike[str],
    *,
    device: str | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
) -> dict[str, Any]:
    """Execute runs that are not done yet, and write all results, old and new, as one table.

    Args:
        runs: what to train; those already in the results file are skipped.
        output: the results file, such as 'results/unet_vs_autoencoder.json'; the runs are kept in `runs/` beside it, and
            the Markdown table in a file of the same name.
        device: as for `fit`.
        jobs: runs at a time, each in a process of its own with its share of the CPU's cores.
        scheduler: a Dask scheduler's address, such as 'tcp://192.168.0.10:8786': its workers do the runs, each on one core,
            and `device` is one of theirs.

    Returns:
        The content of the results file.

    Raises:
        TypeError, ValueError: a bad argument.
        JobsError: the cluster cannot be used, or runs are left because their processes died; what is done is kept.
    """
    path, runs = results_file(output), _checked(runs)
    check_count(jobs, "jobs", high=1024, example=1)
    check_scheduler(scheduler)
    if scheduler is None:
        default_device(device)
    done = _known_runs(path)
    todo = {run.name: run for run in runs if run.name not in done}
    work, folder = partial(execute, device=device), path.parent / "runs"
    results = {run.name: result for run, result in sweep(work, [*todo.values()], folder, processes=jobs, scheduler=scheduler)}
    # Read again: hours later, another command may have added its own.
    done = _known_runs(path) | results
    content = {
        "about": "Casey and Racape (2023), Table 1, measured again: mean squared error on MNIST's test digits.",
        "command": "python -m denoise_lib reproduce unet-vs-autoencoder",
        "runs": [done[name] for name in sorted(done)],
        "table": summarize(done.values()),
        "baselines": read_results(path).get("baselines", []) if path.exists() else [],
    }
    write_json(path, content)
    path.with_suffix(".md").write_text(markdown_table(content), encoding="utf-8")
    return content


def export_weights(runs: Iterable[Run], output: str | os.PathLike[str], folder: str | os.PathLike[str]) -> None:
    """Copy the weights of each network's first seed to `folder` as NETWORK-LEVEL, each with its card."""
    path, target = results_file(output), Path(check_path(folder, "folder"))
    first = {(run.network, run.level): run for run in sorted(_checked(runs), key=lambda run: -run.seed)}
    for run in first.values():
        base = path.parent / "runs" / run.name
        kept = json.loads(base.with_suffix(".json").read_text(encoding="utf-8"))
        model = read_weights(base.with_suffix(".safetensors").read_bytes(), kept)
        result, recipe = kept["result"], RECIPES[run.recipe]
        card = {
            "parameters": result["parameters"],
            "data": f"MNIST {run.data}, {result['training_images']:,} training digits"
            + (", none of them in mnist('test', 'small')" if recipe.held_out else ""),
            "noise": f"Y = (1 - mu) I + mu N clipped to [0, 1], mu {result['mu']}, {'fresh' if recipe.fresh else 'fixed'}",
            "recipe": f"Adam, lr {recipe.lr:g} {recipe.schedule or 'constant'}, batch {recipe.batch_size}, {run.epochs} epochs",
            "seed": run.seed,
            "test_mu": result["test_mu"],
            "mse": result["test"]["mse"],
            "psnr": result["test"]["psnr"],
            "ssim": result["test"]["ssim"],
            "mse_at_mu": result["mse_at_mu"],
            "mse_small_test": result["mse_small_test"],
            "training_seconds": result["training_seconds"],
            "machine": result["machine"],
        }
        write_weights(model, target / f"{run.network}-{run.level}", card)


def measure_baselines(output: str | os.PathLike[str], size: str = "full", tuning_images: int = 500) -> list[dict[str, Any]]:
    """Fit each baseline on training digits, measure it on the test digits, and add the rows to the results file."""
    from .baselines import BASELINES, fit_baseline  # needs scikit-image and PyWavelets, which nothing else here does

    path, rows = results_file(output), []
    check_count(tuning_images, "tuning_images", example=500)
    train = mnist("train", size)
    for level, mu in LEVELS.items():
        pairs = NoisyImages(train, Blend(mu), seed=0)
        noisy, clean = next(pairs.batches(len(pairs)))
        test_noisy, test_clean = test_pairs(size, mu)
        for name in BASELINES:
            # A rule of one pixel is fitted on all digits; a filter has one strength to choose, and a few hundred are enough.
            count = len(pairs) if name.startswith(("best", "do")) else min(tuning_images, len(pairs))
            denoise, chosen = fit_baseline(name, noisy[:count], clean[:count])
            error = mse(denoise(test_noisy), test_clean)
            rows.append({"baseline": name, "level": level, "data": size, "mse": error, "fitted": chosen, "tuned_on": count})
            print(f"{name:22s} {level:9s} {error:.5f}", flush=True)
    content = read_results(path) if path.exists() else {"runs": [], "table": []}
    content["baselines"] = [row for row in content.get("baselines", []) if row["data"] != size] + rows
    write_json(path, content)
    path.with_suffix(".md").write_text(markdown_table(content), encoding="utf-8")
    return rows


def _checked(runs: Iterable[Run]) -> list[Run]:
    runs = [*runs] if isinstance(runs, (list, tuple, Iterator)) else [runs]  # type: ignore[list-item]
    return [check_instance(run, "each of runs", Run, "Run('unet', 'mild')") for run in runs]


def _mse_at(model: nn.Module, size: str, mu: float) -> float:
    noisy, clean = test_pairs(size, mu)
    return mse(predict(model, noisy), clean)


def _known_runs(path: Path) -> dict[str, dict[str, Any]]:
    return {_run_of(result).name: result for result in read_results(path)["runs"]} if path.exists() else {}


def _run_of(result: dict[str, Any]) -> Run:
    return Run(**{name: result[name] for name in ("network", "level", "recipe", "data", "epochs", "seed")})
