"""The second paper's tables and claims: as data, run again with several seeds, and compared.

As in `experiments`, one *run* trains one network with one seed and is kept in a file of its own. Scores are PSNRs in dB,
the mean over images of each image's PSNR on outputs clipped to [0, 1], as in the paper.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..corruptions import Bernoulli, parse_noise
from ..data import TEST_NOISE_SEED, NoisyImages, NoisyPairs, training_noise_seed
from ..internal.atomic_write import write_json
from ..internal.checks import (
    check_choice,
    check_count,
    check_flag,
    check_instance,
    check_list,
    check_model,
    check_number,
    check_path,
    describe,
)
from ..internal.devices import default_device, machine
from ..internal.parallel import check_scheduler
from ..internal.seeding import build_seeded
from ..losses import LOSSES
from ..metrics import evaluate, predict, psnr
from ..pretrained.weights import read_weights, write_weights
from ..tnet import BaseNet, Noise2NoiseUNet, SelfEnsemble, TinyDenoiser, TNet
from ..training import fit
from ..unet import count_parameters
from .clipping import clipping_run
from .noise2noise_tables import photo_table
from .pairs import MOST_PAIRS, PhotoPairs, Photos, photo_pairs
from .results import read_results, results_file
from .study import checkpoint_file, load_run, save_run, sweep

TABLE_2_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "tnet": TNet,
    "tnet-bn": partial(TNet, batch_norm=True),
    "basenet": BaseNet,
    "unet": partial(Noise2NoiseUNet, shared_decoder=True),
    "unet-separate": Noise2NoiseUNet,
    "tiny-denoiser": TinyDenoiser,
}


@dataclass(frozen=True)
class PhotoRecipe:
    """How a network is trained, apart from its learning rate."""

    schedule: str | None
    shuffle: bool
    exchange: bool
    flips: bool


PHOTO_RECIPES: dict[str, PhotoRecipe] = {
    "paper": PhotoRecipe(schedule=None, shuffle=False, exchange=False, flips=False),
    "course": PhotoRecipe(schedule="one-cycle", shuffle=True, exchange=True, flips=True),
}


@dataclass(frozen=True)
class PhotoRun:
    """One training: a row of the raw results."""

    network: str
    loss: str = "l2"
    lr: float = 5e-4
    epochs: int = 50
    seed: int = 0
    recipe: str = "paper"
    pairs: int = 50_000
    noise: str = "point-sample"
    targets: str = "noisy"
    amp: bool = False

    def __post_init__(self) -> None:
        check_choice(self.network, "network", tuple(TABLE_2_NETWORKS))
        check_choice(self.recipe, "recipe", tuple(PHOTO_RECIPES))
        check_choice(self.targets, "targets", ("noisy", "clean"))
        check_choice(self.loss, "loss", tuple(LOSSES))
        check_number(self.lr, "lr", 0, open_low=True, example=5e-4)
        check_count(self.epochs, "epochs", example=50)
        check_count(self.seed, "seed", 0, example=0)
        check_count(self.pairs, "pairs", high=MOST_PAIRS, example=50_000)
        check_flag(self.amp, "amp")
        if not isinstance(self.noise, str):
            raise TypeError(f"noise must be 'point-sample' or a text such as 'gaussian:0.1', but is {describe(self.noise)}.")
        if self.noise == "point-sample":
            return
        noise = parse_noise(self.noise)
        if self.recipe != "paper":
            raise ValueError(f"recipe {self.recipe!r} is for the noise 'point-sample' alone, but noise is {self.noise!r}.")
        if isinstance(noise, Bernoulli) and self.targets == "noisy" and self.loss != "l2":
            raise ValueError(f"Bernoulli noise with noisy targets is trained with the masked L2 loss, not {self.loss!r}.")

    @property
    def name(self) -> str:
        """Unique among all runs; a file name."""
        precision = "mixed" if self.amp else "float32"
        noise = self.noise.replace(":", "-").replace(" ", "")
        words = (self.network, noise, self.targets, self.loss, f"{self.lr:g}", self.recipe)
        return f"{'-'.join(words)}-{self.pairs}x{self.epochs}-{precision}-seed{self.seed}"


def training_set(run: PhotoRun, photos: Photos) -> NoisyPairs | NoisyImages:
    """The pairs that a run trains on."""
    _check_run(run)
    recipe, pairs = PHOTO_RECIPES[run.recipe], _check_source(photos).training_pairs(run.pairs)
    if run.noise == "point-sample":
        target = pairs.second if run.targets == "noisy" else pairs.clean
        exchange = recipe.exchange and run.targets == "noisy"
        return NoisyPairs.from_copies(pairs.first, target, exchange=exchange, flips=recipe.flips, seed=run.seed)
    noise = parse_noise(run.noise)
    if run.targets == "clean":
        return NoisyImages(pairs.clean, noise, seed=training_noise_seed(run.seed))
    # Missing pixels of a target are no zeros to be learnt: they are marked, and left out of the loss.
    target_noise = Bernoulli(noise.p, missing=float("nan")) if isinstance(noise, Bernoulli) else noise
    return NoisyPairs(pairs.clean, noise, target_noise=target_noise, seed=training_noise_seed(run.seed))


def test_images(run_noise: str, pairs: PhotoPairs) -> tuple[Tensor, Tensor]:
    """(noisy, clean) of a test set under a noise, float32 (N, 3, H, W); one fixed draw that all models share."""
    check_instance(pairs, "pairs", PhotoPairs, "photo_pairs('test', count=8)")
    if not isinstance(run_noise, str):
        raise TypeError(f"run_noise must be 'point-sample' or a text such as 'gaussian:0.1', but is {describe(run_noise)}.")
    if run_noise == "point-sample":
        return pairs.first.float() / 255, pairs.clean.float() / 255
    images = NoisyImages(pairs.clean, parse_noise(run_noise), seed=TEST_NOISE_SEED)
    return next(images.batches(len(images)))


def execute(
    run: PhotoRun, photos: Photos, folder: str | os.PathLike[str], *, device: str | None = None, threads: int | None = None
) -> dict[str, Any]:
    """Train and measure one run, or read its result where it is already there; arguments as for `experiments.execute`."""
    _check_run(run)
    _check_source(photos)
    place, chosen_device = Path(check_path(folder, "folder")), default_device(device)
    if (kept := load_run(place, run)) is not None:
        _check_photos(kept.get("photos"), photos.fingerprint(), f"{run.name}.json")
        return kept
    if threads is not None:
        torch.set_num_threads(check_count(threads, "threads", high=1024, example=1))
    print(f"--- {run.name}", flush=True)
    recipe = PHOTO_RECIPES[run.recipe]
    tests = {name: test_images(run.noise, pairs) for name, pairs in photos.test_sets().items()}
    noisy, clean = tests["test"]
    model = build_seeded(TABLE_2_NETWORKS[run.network], run.seed)
    untrained = psnr(predict(model, noisy).clamp(0, 1), clean)
    loss = "masked-l2" if run.noise.startswith("bernoulli") and run.targets == "noisy" else run.loss
    history = fit(
        model, training_set(run, photos), epochs=run.epochs, lr=run.lr, batch_size=32, loss=loss, schedule=recipe.schedule,
        shuffle=recipe.shuffle, seed=run.seed, device=str(chosen_device), amp=run.amp,
        checkpoint=checkpoint_file(place, run),
        validation=lambda network: psnr(predict(network, noisy).clamp(0, 1), clean),
    )  # fmt: skip
    steps = -(-run.pairs // 32)
    result = {
        **asdict(run),
        "photos": photos.fingerprint(),
        "parameters": count_parameters(model),
        "untrained_psnr": untrained,
        "noisy_psnr": {name: psnr(pair[0].clamp(0, 1), pair[1]) for name, pair in tests.items()},
        "scores": {name: asdict(evaluate(model, *pair)) for name, pair in tests.items()},
        "self_ensemble": {name: asdict(evaluate(SelfEnsemble(model), *pair)) for name, pair in tests.items()},
        "psnr_by_epoch": [round(value, 4) for value in history.validation],
        "loss_by_epoch": [round(value, 6) for value in history.loss],
        # The paper's "loss": the sum over an epoch's batches of MSE / 32.
        "loss_as_the_paper_counts": history.loss[-1] * steps / 32,
        "training_seconds": round(sum(history.seconds), 1),
        "machine": machine(chosen_device),
    }
    return save_run(place, run, model, result, "a run of: python -m denoise_lib reproduce tnet")


def _execute_on_the_same(
    run: PhotoRun, photos: Photos, fingerprint: str, folder: str | os.PathLike[str], **options: Any
) -> dict[str, Any]:
    """`execute`, unless this machine's photos are others than those with this fingerprint."""
    if _check_source(photos).fingerprint() != fingerprint:
        raise ValueError(f"the worker's photos {photos.train!r} are others than here; put the same on all machines.")
    return execute(run, photos, folder, **options)


def reproduce(
    runs: Iterable[PhotoRun],
    photos: Photos,
    output: str | os.PathLike[str],
    *,
    device: str | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
) -> dict[str, Any]:
    """Execute runs that are not done yet, and write all results, old and new; arguments as for `experiments.reproduce`.

    A folder of photos must be on all machines of a cluster, at the same path.
    """
    path, runs = results_file(output), _checked(runs)
    check_count(jobs, "jobs", high=1024, example=1)
    check_scheduler(scheduler)
    _check_source(photos)
    if scheduler is None:
        default_device(device)
    done, fingerprint = _known_runs(path), photos.fingerprint()
    for result in done.values():
        _check_photos(result.get("photos"), fingerprint, path.name)
    todo = {run.name: run for run in runs if run.name not in done}
    work = partial(execute, photos=photos, device=device)
    if scheduler is not None:
        work = partial(_execute_on_the_same, photos=photos.absolute(), fingerprint=fingerprint, device=device)
    results: dict[str, dict[str, Any]] = {}
    for run, result in sweep(work, [*todo.values()], path.parent / "runs", processes=jobs, scheduler=scheduler):
        _check_photos(result.get("photos"), fingerprint, f"{run.name}.json")
        results[run.name] = result
    done = _known_runs(path) | results
    return _add(path, {"runs": [done[name] for name in sorted(done)], "photos": describe_photos(photos)})


def describe_photos(photos: Photos) -> dict[str, Any]:
    """What the sets are, and how noisy: counts, and PSNR of the noisy images in both definitions."""
    facts: dict[str, Any] = {"about": _check_source(photos).about, "cell": photos.cell}
    for name, pairs in photos.test_sets().items():
        noisy, clean = test_images("point-sample", pairs)
        facts[name] = {
            "pairs": len(pairs),
            "noisy_psnr": psnr(noisy, clean),
            "noisy_psnr_pooled": psnr(noisy, clean, per_image=False),
            "black_psnr": psnr(torch.zeros_like(clean), clean),
            "own_mean_colour_psnr": psnr(clean.mean((2, 3), keepdim=True).expand_as(clean), clean),
        }
    return facts


def measure_untrained(photos: Photos, output: str | os.PathLike[str], seeds: int = 12) -> dict[str, Any]:
    """PSNR of BaseNet before any training, over several initialisations: the second paper's 6.95 dB."""
    path = results_file(output)
    check_count(seeds, "seeds", high=1000, example=12)
    noisy, clean = test_images("point-sample", _check_source(photos).test_sets()["test"])
    scores = []
    for seed in range(seeds):
        scores.append(psnr(predict(build_seeded(BaseNet, seed), noisy).clamp(0, 1), clean))
    black = psnr(torch.zeros_like(clean), clean)
    return _add(path, {"untrained_basenet": {"psnr": scores, "black_psnr": black}})


def measure_baselines(photos: Photos, output: str | os.PathLike[str], tuning_images: int = 200) -> dict[str, Any]:
    """Tune each filter on training photos, and measure it on the test sets; BM3D, a second an image, on fewer."""
    from .baselines import COLOR_FILTERS, tune_color_filter  # needs PyWavelets and bm3d, which nothing else here does

    path = results_file(output)
    noisy, clean = test_images("point-sample", _check_source(photos).training_pairs(tuning_images))
    tests = {name: test_images("point-sample", pairs) for name, pairs in photos.test_sets().items()}
    rows = []
    for name in COLOR_FILTERS:
        share = 10 if name == "BM3D" else 1
        tuned_on = max(1, tuning_images // share)
        denoise, chosen = tune_color_filter(name, noisy[:tuned_on], clean[:tuned_on])
        scores, sizes = {}, {}
        for test, pair in tests.items():
            some_noisy, some_clean = (images[: len(images) // share] for images in pair)
            scores[test] = psnr(denoise(some_noisy).clamp(0, 1), some_clean)
            sizes[test] = len(some_clean)
        rows.append({"baseline": name, "psnr": scores, "images": sizes, "fitted": chosen, "tuned_on": tuned_on})
        print(f"{name:22s} {scores}", flush=True)
    return _add(path, {"baselines": rows})


def measure_clipping(output: str | os.PathLike[str], seeds: int = 3) -> dict[str, Any]:
    """`clipping_run` with and without clipping, over several seeds, into the results file."""
    path = results_file(output)
    check_count(seeds, "seeds", high=1000, example=3)
    return _add(path, {"clipping": [clipping_run(clip, seed) for clip in (False, True) for seed in range(seeds)]})


def export_weights(
    runs: Iterable[PhotoRun], photos: Photos, output: str | os.PathLike[str], folder: str | os.PathLike[str]
) -> None:
    """Copy the weights of each network's first seed to `folder`, as 'tnet', 'tnet-l1', 'noise2noise-unet', and so on.

    Raises:
        ValueError: two kinds of training of one network, such as two learning rates, would get one name.
    """
    path, target = results_file(output), Path(check_path(folder, "folder"))
    _check_source(photos)
    chosen: dict[str, PhotoRun] = {}
    for run in sorted(_checked(runs), key=lambda run: run.seed):
        # "unet-mild" and its like are the first paper's.
        name = ("noise2noise-unet" if run.network == "unet" else run.network) + ("" if run.loss == "l2" else f"-{run.loss}")
        if replace(chosen.setdefault(name, run), seed=0) != replace(run, seed=0):
            raise ValueError(f"two trainings would both be exported as {name!r}; export a table with one row for each network.")
    for name, run in chosen.items():
        base = path.parent / "runs" / run.name
        kept = json.loads(base.with_name(base.name + ".json").read_text(encoding="utf-8"))
        model = read_weights(base.with_name(base.name + ".safetensors").read_bytes(), kept)
        card = _card(run, photos, kept["result"]) | {"psnr_builtin": builtin_psnr(model)}
        write_weights(model, target / name, card)


def _card(run: PhotoRun, photos: Photos, result: dict[str, Any]) -> dict[str, Any]:
    recipe = PHOTO_RECIPES[run.recipe]
    extras = [name for name in ("exchange", "flips") if getattr(recipe, name)]
    noise = f"PointSample(cell={photos.cell})" if run.noise == "point-sample" else run.noise
    return {
        "parameters": result["parameters"],
        "data": f"{run.pairs:,} pairs of 32x32 photos, {run.targets} targets" + (f"; {photos.about}" if photos.about else ""),
        "noise": f"{noise}, drawn once" + (f"; {' and '.join(extras)} anew in each epoch" if extras else ""),
        "recipe": f"Adam, lr {run.lr:g} {recipe.schedule or 'constant'}, batch 32, {run.epochs} epochs, {run.loss} loss, "
        + ("mixed precision" if run.amp else "float32"),
        "seed": run.seed,
        "psnr": result["scores"]["test"]["psnr"],
        "scores": {
            test: {name: scores[name] for name in ("mse", "psnr", "psnr_pooled", "ssim")}
            for test, scores in result["scores"].items()
        },
        "training_seconds": result["training_seconds"],
        "machine": result["machine"],
    }


def builtin_psnr(model: nn.Module, *, seed: int = 0) -> float:
    """PSNR in dB of a network on 200 fixed pairs of the built-in test photos, which anybody can repeat."""
    check_model(model)
    pairs = photo_pairs("test", count=200, seed=seed, cache=False, progress=False)
    noisy, clean = test_images("point-sample", pairs)
    return psnr(predict(model, noisy).clamp(0, 1), clean)


def table_runs(table: str, base: PhotoRun, seeds: Iterable[int], networks: Iterable[str] | None = None) -> list[PhotoRun]:
    """The runs of one of the paper's tables, or of a question of the course.

    Args:
        table: "1", TNet's learning rates; "2", the comparison of models; "course", the course's own network; "targets",
            noisy against clean targets under four noises.
        base: what all runs share: epochs, pairs, precision.
        seeds: one set of runs for each.
        networks: of table 2: some of its rows, by name.

    Raises:
        ValueError: an unknown table or network.
    """
    check_choice(table, "table", ("1", "2", "course", "targets"))
    _check_run(base, "base")
    if not isinstance(seeds, (list, tuple, range)):
        raise TypeError(f"seeds must be a list of whole numbers, but is {describe(seeds)}; for example seeds=[0, 1].")
    if networks is not None and table != "2":
        raise ValueError(f"networks chooses rows of table '2', but the table is {table!r}.")
    rows: dict[str, dict[str, Any]] = {
        "tnet": {"network": "tnet"},
        "tnet-bn": {"network": "tnet-bn"},
        "tnet-l1": {"network": "tnet", "loss": "l1"},
        "unet": {"network": "unet", "lr": 1e-3},
        "basenet": {"network": "basenet"},
    }
    chosen: list[dict[str, Any]]
    chosen_names = [*rows] if networks is None else check_list(networks, "networks", ["tnet"])
    if table == "1":
        chosen = [{"network": "tnet", "lr": lr} for lr in (1e-4, 5e-4, 9e-4)]
    elif table == "2":
        chosen = [rows[check_choice(name, "network", tuple(rows))] for name in chosen_names]
    elif table == "course":
        chosen = [{"network": "tiny-denoiser", "lr": 3e-3, "recipe": "course"}]
    else:
        noises = ("point-sample", f"gaussian:{25 / 255:.4f}", "poisson:30", "bernoulli:0.5")
        chosen = [{"network": "tnet", "noise": noise, "targets": targets} for noise in noises for targets in ("noisy", "clean")]
    return [replace(base, seed=seed, **row) for seed in seeds for row in chosen]


def _check_run(run: PhotoRun, name: str = "run") -> PhotoRun:
    return check_instance(run, name, PhotoRun, "PhotoRun('tnet')")


def _checked(runs: Iterable[PhotoRun]) -> list[PhotoRun]:
    runs = [*runs] if isinstance(runs, (list, tuple, Iterator)) else [runs]  # type: ignore[list-item]
    return [_check_run(run, "each of runs") for run in runs]


def _check_source(photos: Photos) -> Photos:
    return check_instance(photos, "photos", Photos, "Photos('builtin')")


def _check_photos(found: str | None, fingerprint: str, file: str) -> None:
    if found is not None and found != fingerprint:
        raise ValueError(f"{file} holds results of other photos; choose another output, such as results/my-photos.json.")


def _add(path: Path, news: dict[str, Any]) -> dict[str, Any]:
    """Put new parts into the results file, and keep the others; read again, since another command may have written."""
    content = read_results(path) if path.exists() else {
        "about": "The second paper's Tables 1 and 2, and its claims, measured again: PSNR in dB on photos of 32x32 pixels.",
        "command": "python -m denoise_lib reproduce tnet",
    }  # fmt: skip
    content |= news
    table = photo_table(content)
    write_json(path, content)
    path.with_suffix(".md").write_text(table, encoding="utf-8")
    return content


def _known_runs(path: Path) -> dict[str, dict[str, Any]]:
    return {_run_of(result).name: result for result in read_results(path).get("runs", [])} if path.exists() else {}


def _run_of(result: dict[str, Any]) -> PhotoRun:
    return PhotoRun(**{name: result[name] for name in PhotoRun.__dataclass_fields__})
