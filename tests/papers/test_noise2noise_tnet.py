from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from denoise_lib import training
from denoise_lib.corruptions import Bernoulli
from denoise_lib.data import NoisyImages, NoisyPairs
from denoise_lib.exercises.capstone import PARAMETER_LIMIT, leader_board_score
from denoise_lib.internal.atomic_write import write_json
from denoise_lib.metrics import evaluate, predict, psnr
from denoise_lib.noise import Gaussian
from denoise_lib.papers import baselines, clipping, noise2noise_tnet
from denoise_lib.papers import pairs as photo_pairs_module
from denoise_lib.papers.clipping import clipping_run
from denoise_lib.papers.noise2noise_tables import photo_table
from denoise_lib.papers.noise2noise_tnet import (
    PHOTO_RECIPES,
    TABLE_2_NETWORKS,
    PhotoRecipe,
    PhotoRun,
    describe_photos,
    execute,
    export_weights,
    measure_baselines,
    measure_clipping,
    measure_untrained,
    reproduce,
    table_runs,
    training_set,
)
from denoise_lib.papers.pairs import PhotoPairs, Photos, photo_pairs
from denoise_lib.papers.results import read_results
from denoise_lib.pretrained.weights import read_weights
from denoise_lib.tnet import BaseNet, SelfEnsemble, TinyDenoiser, TNet

pytestmark = pytest.mark.numbers

PHOTOS = Photos("builtin")
TINY = PhotoRun("tnet", epochs=2, pairs=32)
TESTS, HELD_OUT = 20, 10


@pytest.fixture(autouse=True, scope="module")
def few_pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """20 test pairs, ten held out; pairs are built once, in a folder that is thrown away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(photo_pairs_module, "TEST_PAIRS", TESTS)
        patch.setattr(photo_pairs_module, "HELD_OUT_PAIRS", HELD_OUT)
        yield


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("this run was done already, but is trained again")

    return lambda: monkeypatch.setattr(noise2noise_tnet, "fit", refuse)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos, smooth and noisy, for the held-out set."""
    folder, generator = tmp_path_factory.mktemp("album"), np.random.default_rng(0)
    for number in range(2):
        coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        photo = np.asarray(coarse.resize((64, 64), Image.Resampling.BICUBIC)) + generator.normal(0, 15, (64, 64, 3))
        Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def plain(result: dict[str, Any]) -> dict[str, Any]:
    """A result without its times, as JSON keeps it."""
    kept: dict[str, Any] = json.loads(json.dumps(result))
    del kept["training_seconds"]
    for part in ("scores", "self_ensemble"):
        for scores in kept[part].values():
            del scores["seconds_per_image"]
    return kept


def fixed(dataset: NoisyPairs | NoisyImages) -> tuple[Tensor, Tensor]:
    """All pairs in their order."""
    return next(dataset.batches(len(dataset)))


def scored(model: nn.Module, pairs: PhotoPairs) -> float:
    """The second paper's PSNR, in numpy."""
    output = predict(model, pairs.first / 255).clamp(0, 1).double().numpy()
    errors = np.square(output - pairs.clean.double().numpy() / 255).mean(axis=(1, 2, 3))
    return float(-10 * np.log10(errors).mean())


# --- runs ----------------------------------------------------------------------------------------------------------------


def test_names_of_runs_are_unique_file_names() -> None:
    assert PhotoRun("tnet").name == "tnet-point-sample-noisy-l2-0.0005-paper-50000x50-float32-seed0"
    fields: dict[str, tuple[Any, ...]] = {
        "network": tuple(TABLE_2_NETWORKS), "loss": ("l1", "l2"), "lr": (5e-4, 1e-3), "epochs": (1, 10), "seed": (0, 10),
        "recipe": tuple(PHOTO_RECIPES), "pairs": (1, 10), "noise": ("point-sample", "gaussian:0.1", "poisson:30"),
        "targets": ("noisy", "clean"), "amp": (False, True),
    }  # fmt: skip
    assert set(fields) == set(PhotoRun.__dataclass_fields__)
    choices = [dict(zip(fields, values, strict=True)) for values in product(*fields.values())]
    runs = [PhotoRun(**chosen) for chosen in choices if chosen["recipe"] == "paper" or chosen["noise"] == "point-sample"]
    names = {run.name for run in runs}
    assert len(names) == len(runs)
    assert all(Path(name).name == name and not set(name) & set(':*?"<>| \\') for name in names)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"network": "resnet"}, ValueError), ({"recipe": "best"}, ValueError), ({"targets": "blurred"}, ValueError),
        ({"lr": 0}, ValueError), ({"lr": math.nan}, ValueError), ({"lr": "0.1"}, TypeError), ({"epochs": 0}, ValueError),
        ({"epochs": 1.5}, TypeError), ({"seed": -1}, ValueError), ({"seed": "0"}, TypeError), ({"pairs": 0}, ValueError),
        ({"pairs": True}, TypeError), ({"noise": "blur:1"}, ValueError), ({"noise": "gaussian"}, ValueError),
    ],
)  # fmt: skip
def test_bad_runs(change: dict[str, Any], error: type[Exception], refused: Any) -> None:
    with refused(error, next(iter(change))):
        replace(TINY, **change)


def test_a_bad_level_of_a_noise_is_refused_with_the_run(refused: Any) -> None:
    with refused(ValueError, "sigma"):
        replace(TINY, noise="gaussian:-1")


@pytest.mark.parametrize("loss", ["l3", "../l2", None])
def test_a_bad_loss_is_refused_with_the_run(loss: Any, refused: Any) -> None:
    with refused((ValueError, TypeError), "loss"):
        replace(TINY, loss=loss)


def test_the_papers_recipe_and_the_courses() -> None:
    assert PHOTO_RECIPES["paper"] == PhotoRecipe(schedule=None, shuffle=False, exchange=False, flips=False)
    assert PHOTO_RECIPES["course"] == PhotoRecipe(schedule="one-cycle", shuffle=True, exchange=True, flips=True)
    assert (TINY.recipe, TINY.lr, PhotoRun("tnet").epochs, PhotoRun("tnet").pairs) == ("paper", 5e-4, 50, 50_000)
    with pytest.raises(FrozenInstanceError):
        PHOTO_RECIPES["paper"].flips = True  # type: ignore[misc]


# --- photos --------------------------------------------------------------------------------------------------------------


def test_photos_are_the_fixed_pairs(album: Path) -> None:
    photos = Photos("builtin", album, cell=4)  # type: ignore[arg-type]
    training = photos.training_pairs(12)
    expected = photo_pairs("train", count=12, cell=4, cache=False)
    assert torch.equal(training.first, expected.first) and torch.equal(training.clean, expected.clean)
    tests = photos.test_sets()
    assert list(tests) == ["test", "held-out"] and [len(pairs) for pairs in tests.values()] == [TESTS, HELD_OUT]
    assert torch.equal(tests["test"].second, photo_pairs("test", count=TESTS, cell=4, cache=False).second)
    assert torch.equal(tests["held-out"].first, photo_pairs("all", album, count=HELD_OUT, cell=4, cache=False).first)
    assert list(PHOTOS.test_sets()) == ["test"]


@pytest.mark.parametrize(("cell", "error"), [(0, ValueError), (8.0, TypeError), ("8", TypeError)])
def test_bad_cells(cell: Any, error: type[Exception], refused: Any) -> None:
    with refused(error, "cell"):
        Photos("builtin", cell=cell)


def test_a_missing_folder_of_photos(tmp_path: Path, refused: Any) -> None:
    with refused(ValueError, "source", "nowhere"):
        Photos(str(tmp_path / "nowhere")).training_pairs(8)
    with refused(ValueError, "source", "nowhere"):
        Photos("builtin", str(tmp_path / "nowhere")).test_sets()


# --- the sets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["noisy", "clean"])
def test_targets_are_the_other_copy_or_the_photo(targets: str) -> None:
    pairs = PHOTOS.training_pairs(32)
    noisy, target = fixed(training_set(replace(TINY, targets=targets), PHOTOS))
    assert torch.equal(noisy, pairs.first / 255)
    assert torch.equal(target, (pairs.second if targets == "noisy" else pairs.clean) / 255)
    assert not torch.equal(pairs.second, pairs.clean)


@pytest.mark.parametrize(
    ("recipe", "targets", "augmentation"),
    [
        ("paper", "noisy", "none"),
        ("paper", "clean", "none"),
        ("course", "noisy", "exchange and flips"),
        ("course", "clean", "flips"),
    ],
)
def test_noisy_targets_alone_are_exchanged(recipe: str, targets: str, augmentation: str) -> None:
    dataset = training_set(replace(TINY, recipe=recipe, targets=targets, seed=3), PHOTOS)
    assert isinstance(dataset, NoisyPairs) and dataset.augmentation == augmentation and dataset.seed == 3


@pytest.mark.parametrize("targets", ["noisy", "clean"])
def test_other_noises_are_drawn_on_the_clean_photos(targets: str) -> None:
    clean = PHOTOS.training_pairs(32).clean / 255
    run = replace(TINY, noise="gaussian:0.1", targets=targets)
    noisy, target = fixed(training_set(run, PHOTOS))
    assert (noisy - clean).std().item() == pytest.approx(0.1, rel=0.02)
    if targets == "clean":
        assert torch.equal(target, clean)
    else:
        assert (target - clean).std().item() == pytest.approx(0.1, rel=0.02)
        # Independent: their correlation is within five standard errors of 0.
        correlation = torch.corrcoef(torch.stack([(noisy - clean).flatten(), (target - clean).flatten()]))[0, 1]
        assert abs(correlation) < 5 / math.sqrt(clean.numel())
    again, other = training_set(run, PHOTOS), training_set(replace(run, seed=1), PHOTOS)
    assert torch.equal(fixed(again)[0], noisy) and not torch.equal(fixed(other)[0], noisy)


def test_missing_pixels_are_marked_in_the_targets_alone() -> None:
    clean = PHOTOS.training_pairs(32).clean / 255
    run = replace(TINY, noise="bernoulli:0.5")
    noisy, target = fixed(training_set(run, PHOTOS))
    assert noisy.isfinite().all() and torch.equal(noisy, Bernoulli(0.5)(clean, torch.Generator().manual_seed(0)))
    missing = target.isnan()
    assert torch.equal(missing, missing[:, :1].expand_as(missing)) and torch.equal(target[~missing], clean[~missing])
    assert missing.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert not torch.equal(missing[:, 0], (noisy == 0).all(dim=1))  # other pixels than in the input
    assert torch.equal(fixed(training_set(replace(run, targets="clean"), PHOTOS))[1], clean)


def test_the_courses_recipe_is_for_one_noise(refused: Any) -> None:
    with refused(ValueError, "recipe", "gaussian:0.1"):
        replace(TINY, noise="gaussian:0.1", recipe="course")


def test_two_trainings_of_one_network_are_not_exported_under_one_name(refused: Any, tmp_path: Path) -> None:
    with refused(ValueError, "tnet"):
        export_weights([TINY, replace(TINY, lr=1e-4)], PHOTOS, tmp_path / "table.json", tmp_path / "shipped")


def test_test_images() -> None:
    pairs = PHOTOS.test_sets()["test"]
    noisy, clean = noise2noise_tnet.test_images("point-sample", pairs)
    assert torch.equal(noisy, pairs.first / 255) and torch.equal(clean, pairs.clean / 255)
    assert noisy.dtype == clean.dtype == torch.float32
    noisy, clean = noise2noise_tnet.test_images("gaussian:0.1", pairs)
    again, _ = noise2noise_tnet.test_images("gaussian:0.1", pairs)
    assert torch.equal(noisy, again) and torch.equal(clean, pairs.clean / 255)
    # It is the noise that all models share, and not that of the training set with seed 0.
    assert torch.equal(noisy, Gaussian(0.1)(clean, torch.Generator().manual_seed(1)))
    assert noise2noise_tnet.test_images("bernoulli:0.5", pairs)[0].isfinite().all()


def test_bad_test_noise(refused: Any) -> None:
    with refused(ValueError, "noise", "'blur'"):
        noise2noise_tnet.test_images("blur:1", PHOTOS.test_sets()["test"])


# --- execute -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run",
    [TINY, replace(TINY, network="tnet-bn", loss="l1"), replace(TINY, network="tiny-denoiser", recipe="course", pairs=64)],
    ids=lambda run: run.network,
)
def test_a_run_is_measured_on_the_weights_that_it_keeps(run: PhotoRun, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    result = execute(run, PHOTOS, tmp_path, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert sorted(os.listdir(tmp_path)) == [f"{run.name}.json", f"{run.name}.safetensors"]  # the checkpoint is gone
    card = json.loads((tmp_path / f"{run.name}.json").read_text())
    assert card["result"] == json.loads(json.dumps(result))
    model = read_weights((tmp_path / f"{run.name}.safetensors").read_bytes(), card)
    pairs = PHOTOS.test_sets()["test"]
    noisy, clean = pairs.first / 255, pairs.clean / 255
    for part, network in (("scores", model), ("self_ensemble", SelfEnsemble(model))):
        expected = asdict(evaluate(network, noisy, clean))
        assert list(result[part]) == ["test"] and result[part]["test"]["images"] == TESTS
        for name in ("mse", "mse_clipped", "psnr", "psnr_pooled", "ssim"):
            assert result[part]["test"][name] == pytest.approx(expected[name], rel=1e-4)
        assert result[part]["test"]["psnr"] == pytest.approx(scored(network, pairs), rel=1e-4)
    assert {name: result[name] for name in asdict(run)} == asdict(run)
    assert result["noisy_psnr"] == {"test": pytest.approx(scored(nn.Identity(), pairs))}
    assert result["psnr_by_epoch"][-1] == pytest.approx(result["scores"]["test"]["psnr"], abs=2e-4)
    assert len(result["psnr_by_epoch"]) == len(result["loss_by_epoch"]) == 2
    assert result["parameters"] == sum(parameter.numel() for parameter in TABLE_2_NETWORKS[run.network]().parameters())
    assert result["training_seconds"] >= 0 and result["machine"]["device"].startswith("CPU")


@pytest.mark.parametrize(("pairs", "steps"), [(32, 1), (40, 2), (64, 2)])
def test_the_loss_as_the_paper_counts_is_a_sum_over_steps(pairs: int, steps: int, tmp_path: Path) -> None:
    result = execute(replace(TINY, pairs=pairs, epochs=1), PHOTOS, tmp_path, device="cpu")
    assert result["loss_as_the_paper_counts"] == pytest.approx(steps * result["loss_by_epoch"][-1] / 32, rel=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_initial_weights_follow_the_runs_seed(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    initial: list[Tensor] = []

    def watched(model: TNet, *arguments: Any, **options: Any) -> training.History:
        initial.append(model.conv_1.weight.detach().clone())
        return training.fit(model, *arguments, **options)

    monkeypatch.setattr(noise2noise_tnet, "fit", watched)
    result = execute(replace(TINY, seed=seed), PHOTOS, tmp_path, device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TNet()
    assert torch.equal(initial[0], model.conv_1.weight)
    assert result["untrained_psnr"] == pytest.approx(scored(model, PHOTOS.test_sets()["test"]), rel=1e-5)
    assert result["untrained_psnr"] < result["psnr_by_epoch"][0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"loss": "l2", "shuffle": False, "schedule": None, "lr": 5e-4, "amp": False}),
        ({"loss": "l1", "lr": 1e-3, "amp": True}, {"loss": "l1", "shuffle": False, "lr": 1e-3, "amp": True}),
        ({"recipe": "course"}, {"shuffle": True, "schedule": "one-cycle"}),
        ({"noise": "bernoulli:0.5"}, {"loss": "masked-l2"}),
        ({"noise": "bernoulli:0.5", "targets": "clean"}, {"loss": "l2"}),
    ],
)
def test_what_a_run_asks_of_fit(
    change: dict[str, Any], expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def watched(*arguments: Any, **options: Any) -> training.History:
        asked.update(options)
        return training.fit(*arguments, **options)

    monkeypatch.setattr(noise2noise_tnet, "fit", watched)
    result = execute(replace(TINY, epochs=1, seed=2, **change), PHOTOS, tmp_path, device="cpu")
    assert {name: asked[name] for name in expected} == expected
    assert (asked["epochs"], asked["batch_size"], asked["seed"], asked["device"]) == (1, 32, 2, "cpu")
    assert all(math.isfinite(loss) for loss in result["loss_by_epoch"])


def test_a_loss_that_is_not_used_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def watched(*arguments: Any, **options: Any) -> training.History:
        asked.append(options["loss"])
        return training.fit(*arguments, **options)

    monkeypatch.setattr(noise2noise_tnet, "fit", watched)
    with pytest.raises(ValueError, match="masked"):
        replace(TINY, noise="bernoulli:0.5", loss="l1", epochs=1)
    execute(replace(TINY, noise="bernoulli:0.5", epochs=1), PHOTOS, tmp_path, device="cpu")
    assert asked == ["masked-l2"]


def test_the_held_out_set_is_measured_too(album: Path, tmp_path: Path) -> None:
    photos = Photos("builtin", str(album))
    result = execute(replace(TINY, epochs=1), photos, tmp_path, device="cpu")
    for part in ("scores", "self_ensemble"):
        assert {test: scores["images"] for test, scores in result[part].items()} == {"test": TESTS, "held-out": HELD_OUT}
    held_out = photos.test_sets()["held-out"]
    assert result["noisy_psnr"]["held-out"] == pytest.approx(scored(nn.Identity(), held_out))
    assert result["noisy_psnr"]["held-out"] != result["noisy_psnr"]["test"]


def test_a_finished_run_is_read(tmp_path: Path, no_training: Callable[[], None]) -> None:
    first = execute(TINY, PHOTOS, tmp_path, device="cpu")
    no_training()
    assert execute(TINY, PHOTOS, tmp_path) == json.loads(json.dumps(first))
    with pytest.raises(AssertionError, match="trained again"):
        execute(replace(TINY, seed=1), PHOTOS, tmp_path)


@pytest.mark.parametrize("recipe", list(PHOTO_RECIPES))
def test_seeds_differ_and_repeat(recipe: str, tmp_path: Path) -> None:
    run = replace(TINY, recipe=recipe)
    first = execute(run, PHOTOS, tmp_path / "a", device="cpu")
    torch.manual_seed(123)  # a run follows its own seed alone
    assert plain(execute(run, PHOTOS, tmp_path / "b", device="cpu")) == plain(first)
    other = execute(replace(run, seed=1), PHOTOS, tmp_path / "a", device="cpu")
    assert other["scores"]["test"]["psnr"] != first["scores"]["test"]["psnr"]
    kept = [(tmp_path / folder / f"{run.name}.safetensors").read_bytes() for folder in "ab"]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("recipe", list(PHOTO_RECIPES))
def test_an_interrupted_run_goes_on(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = replace(TINY, recipe=recipe, epochs=3)
    straight = execute(run, PHOTOS, tmp_path / "straight", device="cpu")
    calls: list[int] = []

    def interrupted(output: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return nn.functional.mse_loss(output, target)

    with monkeypatch.context() as patched:
        patched.setitem(training.LOSSES, "l2", interrupted)
        with pytest.raises(KeyboardInterrupt):
            execute(run, PHOTOS, tmp_path / "stopped", device="cpu")
    assert os.listdir(tmp_path / "stopped") == [f"{run.name}.pt"]

    def counted(*arguments: Any) -> Tensor:
        calls.append(1)
        return nn.functional.mse_loss(*arguments)

    calls.clear()
    monkeypatch.setitem(training.LOSSES, "l2", counted)
    assert plain(execute(run, PHOTOS, tmp_path / "stopped", device="cpu")) == plain(straight)
    assert len(calls) == 1  # the third epoch alone
    assert sorted(os.listdir(tmp_path / "stopped")) == [f"{run.name}.json", f"{run.name}.safetensors"]


def test_a_missing_device_is_refused_before_anything_is_written(tmp_path: Path, refused: Any) -> None:
    with refused(ValueError, "device", "'abacus'"):
        execute(TINY, PHOTOS, tmp_path / "runs", device="abacus")
    assert os.listdir(tmp_path) == []


# --- reproduce -----------------------------------------------------------------------------------------------------------


def test_reproduce_merges_and_does_not_train_again(tmp_path: Path, no_training: Callable[[], None]) -> None:
    output, other = tmp_path / "table.json", replace(TINY, network="basenet", epochs=1)
    first = reproduce([TINY], PHOTOS, output, device="cpu")
    both = reproduce([TINY, other], PHOTOS, output, device="cpu")
    assert [run["network"] for run in both["runs"]] == ["basenet", "tnet"]
    assert plain(both["runs"][1]) == plain(first["runs"][0])
    assert read_results(output) == json.loads(json.dumps(both))
    assert output.with_suffix(".md").read_text(encoding="utf-8") == photo_table(both)
    assert both["photos"] == describe_photos(PHOTOS) and both["about"] and both["command"]
    assert sorted(os.listdir(tmp_path)) == ["runs", "table.json", "table.md"]

    no_training()
    for path in (tmp_path / "runs").iterdir():  # the table alone is enough
        path.unlink()
    assert reproduce([TINY], PHOTOS, output)["runs"] == read_results(output)["runs"]
    assert len(reproduce([], PHOTOS, output)["runs"]) == 2


def test_reproduce_takes_runs_that_another_process_left(tmp_path: Path, no_training: Callable[[], None]) -> None:
    result = execute(TINY, PHOTOS, tmp_path / "runs", device="cpu")
    no_training()
    assert reproduce([TINY], PHOTOS, tmp_path / "table.json")["runs"] == [json.loads(json.dumps(result))]


def test_reproduce_keeps_the_other_parts(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    baselines = [{"baseline": "do nothing", "psnr": {"test": 20.5}, "fitted": {"strength": 0}}]
    write_json(path, {"baselines": baselines, "note": "é"})
    content = reproduce([replace(TINY, epochs=1)], PHOTOS, path, device="cpu")
    assert content["baselines"] == baselines and content["note"] == "é" and len(content["runs"]) == 1
    assert read_results(path) == json.loads(json.dumps(content))
    assert "| do nothing | 0 | 20.50 |" in path.with_suffix(".md").read_text(encoding="utf-8")


def test_results_that_another_command_adds_meanwhile_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, other = tmp_path / "table.json", replace(TINY, seed=7)

    def while_it_trains(run: PhotoRun, *arguments: Any, **options: Any) -> dict[str, Any]:
        monkeypatch.setattr(noise2noise_tnet, "execute", execute)
        reproduce([other], PHOTOS, output, device="cpu")
        return execute(run, *arguments, **options)

    monkeypatch.setattr(noise2noise_tnet, "execute", while_it_trains)
    content = reproduce([TINY], PHOTOS, output, device="cpu")
    assert {result["seed"] for result in content["runs"]} == {TINY.seed, other.seed}


@pytest.mark.parametrize(("jobs", "error"), [(0, ValueError), ("2", TypeError), (1.0, TypeError)])
def test_reproduce_refuses_bad_jobs(jobs: Any, error: type[Exception], tmp_path: Path, refused: Any) -> None:
    with refused(error, "jobs"):
        reproduce([], PHOTOS, tmp_path / "table.json", jobs=jobs)
    assert os.listdir(tmp_path) == []


def test_a_damaged_results_file_is_left_alone(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "table.json").write_text("{")
    with refused(ValueError, "table.json", "damaged"):
        reproduce([TINY], PHOTOS, tmp_path / "table.json", device="cpu")
    assert os.listdir(tmp_path) == ["table.json"] and (tmp_path / "table.json").read_text() == "{"


def test_results_of_other_photos_do_not_pass_for_these(tmp_path: Path) -> None:
    first = reproduce([TINY], PHOTOS, tmp_path / "table.json", device="cpu")["runs"][0]
    with pytest.raises(ValueError, match="other photos"):
        reproduce([TINY], Photos("builtin", cell=4), tmp_path / "table.json", device="cpu")
    with pytest.raises(ValueError, match="other photos"):
        execute(TINY, Photos("builtin", cell=4), tmp_path / "runs", device="cpu")
    assert reproduce([TINY], PHOTOS, tmp_path / "table.json", device="cpu")["runs"] == [first]


def test_a_held_out_set_may_come_later(album: Path, tmp_path: Path) -> None:
    run = replace(TINY, epochs=1)
    reproduce([replace(run, seed=1)], PHOTOS, tmp_path / "table.json", device="cpu")
    reproduce([run], Photos("builtin", str(album)), tmp_path / "table.json", device="cpu")


# --- other measurements ----------------------------------------------------------------------------------------------------


def test_describe_tells_how_noisy_the_sets_are(album: Path) -> None:
    photos = Photos("builtin", str(album), cell=4, about="seven photos")
    facts = describe_photos(photos)
    assert facts["about"] == "seven photos" and facts["cell"] == 4 and set(facts) == {"about", "cell", "test", "held-out"}
    for name, pairs in photos.test_sets().items():
        noisy, clean = (part.double().numpy() / 255 for part in (pairs.first, pairs.clean))
        own = np.broadcast_to(clean.mean(axis=(2, 3), keepdims=True), clean.shape)

        def score(image: Any, clean: Any = clean) -> float:
            return float(-10 * np.log10(np.square(image - clean).mean(axis=(1, 2, 3))).mean())

        assert facts[name]["pairs"] == len(pairs)
        assert facts[name]["noisy_psnr"] == pytest.approx(score(noisy), rel=1e-5)
        assert facts[name]["noisy_psnr_pooled"] == pytest.approx(-10 * np.log10(np.square(noisy - clean).mean()), rel=1e-5)
        assert facts[name]["black_psnr"] == pytest.approx(score(0), rel=1e-5)
        assert facts[name]["own_mean_colour_psnr"] == pytest.approx(score(own), rel=1e-5)
        assert facts[name]["noisy_psnr_pooled"] <= facts[name]["noisy_psnr"]


def test_measure_untrained(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    write_json(path, {"runs": []})
    before = torch.random.get_rng_state()
    content = measure_untrained(PHOTOS, path, seeds=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    measured = content["untrained_basenet"]
    pairs = PHOTOS.test_sets()["test"]
    for seed, value in enumerate(measured["psnr"]):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            assert value == pytest.approx(scored(BaseNet(), pairs), rel=1e-5)
    assert len(set(measured["psnr"])) == 3
    assert measured["black_psnr"] == pytest.approx(describe_photos(PHOTOS)["test"]["black_psnr"])
    assert read_results(path) == json.loads(json.dumps(content)) and content["runs"] == []


def test_measure_baselines(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {name: baselines.COLOR_FILTERS[name] for name in ("do nothing", "Gaussian filter")}
    monkeypatch.setattr(baselines, "COLOR_FILTERS", quick)
    path, photos = tmp_path / "table.json", Photos("builtin", str(album))
    write_json(path, {"runs": [], "baselines": ["old"]})
    rows = measure_baselines(photos, path, tuning_images=10)["baselines"]
    assert [row["baseline"] for row in rows] == list(quick) and {row["tuned_on"] for row in rows} == {10}
    for row in rows:
        assert row["images"] == {"test": TESTS, "held-out": HELD_OUT} and row["fitted"]["strength"] in quick[row["baseline"]][1]
        function, strength = quick[row["baseline"]][0], row["fitted"]["strength"]
        for name, pairs in photos.test_sets().items():
            stack = function(pairs.first.permute(0, 2, 3, 1).numpy() / 255, strength)
            clean = pairs.clean.permute(0, 2, 3, 1).numpy() / 255
            error = np.square(stack.clip(0, 1) - clean).mean(axis=(1, 2, 3))
            assert row["psnr"][name] == pytest.approx(-10 * np.log10(error).mean(), rel=1e-4)
    assert rows[1]["psnr"]["test"] > rows[0]["psnr"]["test"]
    assert read_results(path)["runs"] == [] and read_results(path)["baselines"] == rows


def test_bm3d_is_measured_on_a_tenth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "COLOR_FILTERS", {"BM3D": (lambda stack, _: stack, (0.1,))})
    row = measure_baselines(PHOTOS, tmp_path / "table.json", tuning_images=30)["baselines"][0]
    assert row["tuned_on"] == 3 and row["images"] == {"test": TESTS // 10}
    pairs = PHOTOS.test_sets()["test"]
    few = PhotoPairs(*(part[: TESTS // 10] for part in (pairs.first, pairs.second, pairs.clean)))
    assert row["psnr"]["test"] == pytest.approx(scored(nn.Identity(), few), rel=1e-5)


@pytest.mark.parametrize("seeds", [0, -1])
def test_untrained_networks_need_a_seed(seeds: int, tmp_path: Path, refused: Any) -> None:
    with refused(ValueError, "seeds"):
        measure_untrained(PHOTOS, tmp_path / "table.json", seeds=seeds)


@pytest.mark.parametrize("clip", [False, True])
def test_clipping_is_compared_with_the_closed_form(
    clip: bool, monkeypatch: pytest.MonkeyPatch, small_train: Tensor, small_test: Tensor
) -> None:
    sets = {"train": small_train[:64], "test": small_test[:32]}
    monkeypatch.setattr(clipping, "mnist", lambda split, size: sets[split])
    before = torch.random.get_rng_state()
    row = clipping_run(clip, 0, epochs=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert plain_row(clipping_run(clip, 0, epochs=1)) == plain_row(row) != plain_row(clipping_run(clip, 1, epochs=1))
    assert (row["clip"], row["seed"], row["mu"], row["epochs"]) == (clip, 0, 0.25, 1)
    clean = sets["test"].double() / 255
    assert row["background_predicted"] == pytest.approx(0.25 / math.sqrt(2 * math.pi) if clip else 0, abs=1e-5)
    if clip:  # more than the dimmed image: black pixels are lifted
        assert row["mean_predicted"] > 0.75 * clean.mean() + 0.05
    else:
        assert row["mean_predicted"] == pytest.approx(0.75 * clean.mean().item(), rel=1e-5)
    assert all(math.isfinite(row[name]) and row[name] >= 0 for name in ("mse", "mse_undone"))


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "seed"}


def test_measure_clipping_keeps_the_other_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise2noise_tnet, "clipping_run", lambda clip, seed: {"clip": clip, "seed": seed})
    write_json(tmp_path / "table.json", {"runs": [], "clipping": ["old"]})
    content = measure_clipping(tmp_path / "table.json", seeds=2)
    assert content["clipping"] == [{"clip": clip, "seed": seed} for clip in (False, True) for seed in (0, 1)]
    assert read_results(tmp_path / "table.json") == content and content["runs"] == []


# --- exported weights ------------------------------------------------------------------------------------------------------


def test_exported_weights_are_those_of_the_first_seed(tmp_path: Path) -> None:
    l1 = replace(TINY, loss="l1", epochs=1)
    runs = [replace(TINY, seed=1), TINY, l1, replace(TINY, network="tiny-denoiser", recipe="course")]
    content = reproduce(runs, PHOTOS, tmp_path / "table.json", device="cpu")
    export_weights(runs, PHOTOS, tmp_path / "table.json", tmp_path / "shipped")
    names = ["tiny-denoiser", "tnet", "tnet-l1"]
    assert set(os.listdir(tmp_path / "shipped")) == {f"{name}.{end}" for name in names for end in ("json", "safetensors")}
    results = {PhotoRun(**{name: result[name] for name in asdict(TINY)}): result for result in content["runs"]}
    for name, run in zip(names, (runs[3], TINY, l1), strict=True):
        card = json.loads((tmp_path / f"shipped/{name}.json").read_text())
        model = read_weights((tmp_path / f"shipped/{name}.safetensors").read_bytes(), card)
        assert isinstance(model, TinyDenoiser if name == "tiny-denoiser" else TNet)
        assert card["seed"] == 0 and card["psnr"] == results[run]["scores"]["test"]["psnr"]
        assert card["psnr"] == pytest.approx(scored(model, PHOTOS.test_sets()["test"]), rel=1e-4)
        assert set(card["scores"]) == {"test"} and set(card["scores"]["test"]) == {"mse", "psnr", "psnr_pooled", "ssim"}
        assert card["parameters"] == results[run]["parameters"] and card["machine"] == results[run]["machine"]
        assert f"{run.loss} loss" in card["recipe"] and f"{run.epochs} epochs" in card["recipe"] and "float32" in card["recipe"]
        assert ("one-cycle" in card["recipe"]) == (name == "tiny-denoiser") == ("exchange and flips" in card["noise"])
        assert "32 pairs" in card["data"]


def test_weights_of_a_run_that_is_not_done_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=TINY.name):
        export_weights([TINY], PHOTOS, tmp_path / "table.json", tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()


def test_a_card_tells_what_the_network_was_trained_on(tmp_path: Path) -> None:
    run = replace(TINY, epochs=1, targets="clean")
    reproduce([run], Photos("builtin", cell=4), tmp_path / "table.json", device="cpu")
    export_weights([run], Photos("builtin", cell=4), tmp_path / "table.json", tmp_path / "shipped")
    card = json.loads((tmp_path / "shipped/tnet.json").read_text())
    assert "cell=8" not in card["noise"] and "no clean targets" not in card["data"]


# --- the leader board --------------------------------------------------------------------------------------------------------


def test_an_identity_scores_as_the_noisy_images() -> None:
    pairs = photo_pairs("test", count=200, cache=False)
    score = leader_board_score(nn.Identity())
    assert score == pytest.approx(scored(nn.Identity(), pairs), rel=1e-6)
    assert score == leader_board_score(nn.Identity())
    other = leader_board_score(nn.Identity(), seed=1)
    assert other == pytest.approx(scored(nn.Identity(), photo_pairs("test", count=200, seed=1, cache=False))) and other != score


def test_the_leader_board_clips_and_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    few = photo_pairs("test", count=6, cache=False)
    monkeypatch.setattr(noise2noise_tnet, "photo_pairs", lambda *_, **__: few)

    class Bright(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 5

    clean = few.clean / 255
    assert leader_board_score(Bright()) == pytest.approx(psnr(torch.ones_like(clean), clean))
    model = TNet(batch_norm=False).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert leader_board_score(model) == pytest.approx(scored(model, few), rel=1e-5)
    assert model.training and all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_limit_is_tnets_count(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    few = photo_pairs("test", count=2, cache=False)
    monkeypatch.setattr(noise2noise_tnet, "photo_pairs", lambda *_, **__: few)
    assert sum(parameter.numel() for parameter in TNet().parameters()) == PARAMETER_LIMIT == 43_064
    leader_board_score(TNet())
    heavy = TNet()
    heavy.register_parameter("one_more", nn.Parameter(torch.zeros(1)))
    with refused(ValueError, "43,065", "43,064"):
        leader_board_score(heavy)


def test_frozen_parameters_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    few = photo_pairs("test", count=2, cache=False)
    monkeypatch.setattr(noise2noise_tnet, "photo_pairs", lambda *_, **__: few)
    with pytest.raises(ValueError, match="43,064"):
        leader_board_score(BaseNet().requires_grad_(False))


@pytest.mark.parametrize(
    "answer", [lambda x: x[..., :16], lambda x: x[:, :1], lambda x: x * math.nan], ids=["size", "channels", "nan"]
)
def test_the_leader_board_refuses_bad_outputs(
    answer: Callable[[Tensor], Tensor], refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = photo_pairs("test", count=2, cache=False)
    monkeypatch.setattr(noise2noise_tnet, "photo_pairs", lambda *_, **__: few)

    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return answer(x)

    with refused(ValueError):
        leader_board_score(Odd())


@pytest.mark.parametrize("model", [None, TNet, torch.rand(3), "tnet"], ids=["None", "class", "tensor", "str"])
def test_the_leader_board_takes_networks_alone(model: Any, refused: Any) -> None:
    with refused(TypeError, "Module"):
        leader_board_score(model)


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (0.5, TypeError), (None, TypeError)])
def test_a_bad_seed_of_the_leader_board(seed: Any, error: type[Exception], refused: Any) -> None:
    with refused(error, "seed"):
        leader_board_score(nn.Identity(), seed=seed)


# --- tables --------------------------------------------------------------------------------------------------------------


def test_table_1_is_tnets_three_rates() -> None:
    runs = table_runs("1", TINY, (0, 1))
    assert [(run.lr, run.seed) for run in runs] == [(lr, seed) for seed in (0, 1) for lr in (1e-4, 5e-4, 9e-4)]
    assert {(run.network, run.loss, run.recipe) for run in runs} == {("tnet", "l2", "paper")}


def test_table_2_is_the_papers_five_models() -> None:
    runs = table_runs("2", TINY, [3])
    assert {(run.network, run.loss): run.lr for run in runs} == {
        ("tnet", "l2"): 5e-4, ("tnet-bn", "l2"): 5e-4, ("tnet", "l1"): 5e-4, ("unet", "l2"): 1e-3, ("basenet", "l2"): 5e-4,
    }  # fmt: skip
    assert table_runs("2", TINY, [0, 1], ["tnet-l1", "unet"]) == [
        run
        for seed in (0, 1)
        for run in (replace(TINY, loss="l1", seed=seed), replace(TINY, network="unet", lr=1e-3, seed=seed))
    ]


def test_the_courses_table_is_tiny_denoiser() -> None:
    assert table_runs("course", TINY, [0]) == [replace(TINY, network="tiny-denoiser", lr=3e-3, recipe="course")]


def test_the_table_of_targets_pairs_noisy_with_clean() -> None:
    runs = table_runs("targets", TINY, range(2))
    kinds = [run.noise.partition(":")[0] for run in runs if run.targets == "noisy" and run.seed == 0]
    assert kinds == ["point-sample", "gaussian", "poisson", "bernoulli"] and len(runs) == 16
    for run in runs:
        assert replace(run, targets="clean" if run.targets == "noisy" else "noisy") in runs
    assert float(runs[2].noise.partition(":")[2]) == pytest.approx(25 / 255, abs=1e-4)


@pytest.mark.parametrize("table", ["1", "2", "course", "targets"])
def test_all_runs_of_a_table_share_the_base(table: str) -> None:
    base = PhotoRun("tnet", epochs=3, pairs=77, amp=True)
    runs = table_runs(table, base, range(5, 8))
    assert {(run.epochs, run.pairs, run.amp) for run in runs} == {(3, 77, True)} and {run.seed for run in runs} == {5, 6, 7}
    assert len({run.name for run in runs}) == len(runs) and table_runs(table, base, []) == []


def test_unknown_tables_and_networks(refused: Any) -> None:
    for table in ("3", "", None, 1):
        with refused(ValueError, "table", repr(table)):
            table_runs(table, TINY, [0])  # type: ignore[arg-type]
    for network in ("resnet", "tiny-denoiser", ""):
        with refused(ValueError, "network", repr(network), "'tnet-l1'"):
            table_runs("2", TINY, [0], ["tnet", network])
    with refused(ValueError, "seed"):
        table_runs("1", TINY, [-1])


@pytest.mark.parametrize("table", ["1", "course", "targets"])
def test_networks_belong_to_table_2(table: str, refused: Any) -> None:
    with refused(ValueError, "network"):
        table_runs(table, TINY, [0], ["resnet"])
