from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from error_line import line_of_error
from PIL import Image
from torch import Tensor

import denoise_lib
from denoise_lib import data, training
from denoise_lib.__main__ import EPILOG, build_parser, main
from denoise_lib.internal import atomic_write
from denoise_lib.metrics import mse, predict, psnr
from denoise_lib.noise import Blend, add_noise
from denoise_lib.own_photos import files as own_photo_files
from denoise_lib.own_photos import training as photo_training
from denoise_lib.own_photos.tiling import denoise_image
from denoise_lib.papers import noise2noise_tnet, results, smoothgrad_claims, unet_vs_autoencoder
from denoise_lib.papers import pairs as photo_pairs_module
from denoise_lib.pretrained import weights
from denoise_lib.pretrained.weights import read_weights
from denoise_lib.sources.download import DataError
from denoise_lib.sources.photographs import photo_tensor, read_photo
from denoise_lib.tnet import TinyDenoiser, TNet
from denoise_lib.unet import UNet


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _keep_the_global_generator() -> Any:
    with torch.random.fork_rng():  # `train` is a program, and seeds torch as one
        yield


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, small_train: Tensor, small_test: Tensor) -> dict[str, Tensor]:
    sets = {"train": small_train[:24], "test": small_test[:12]}

    def fake(split: str = "train", size: str = "small", root: Any = None) -> Tensor:
        return sets[split].clone()

    monkeypatch.setattr(unet_vs_autoencoder, "mnist", fake)
    monkeypatch.setattr(data, "mnist", fake)
    return sets


def test_python_m_denoise_lib() -> None:
    command = [sys.executable, "-m", "denoise_lib"]
    environment = os.environ | {"PYTHONPATH": str(Path(denoise_lib.__file__).parents[1])}
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, env=environment, check=False)
    assert (version.returncode, version.stdout, version.stderr) == (0, f"{denoise_lib.__version__}\n", "")
    bad = subprocess.run([*command, "weights", "none"], capture_output=True, text=True, env=environment, check=False)
    assert bad.returncode == 1 and bad.stderr.startswith("error: name must be one of") and bad.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [[], ["reproduce"], ["reproduce", "smoothgrad"], ["train"], ["denoise"], ["benchmark"], ["weights"]]
)
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    assert "python -m denoise_lib" in capsys.readouterr().out


def test_the_examples_of_the_help_are_valid() -> None:
    examples = [line.split()[3:] for line in EPILOG.splitlines() if "python -m" in line]
    assert len(examples) >= 4
    for example in examples:
        build_parser().parse_args(example)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["reproduce", "table-9"], ["train", "--epochs", "many"]])
def test_unknown_commands_show_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and "usage:" in capsys.readouterr().err


# --- reproduce -----------------------------------------------------------------------------------------------------------

REPRODUCE = ["reproduce", "unet-vs-autoencoder", "--data", "small", "--device", "cpu", "--output", "out/table.json"]


def test_reproduce(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choice = [
        "--epochs",
        "1",
        "--seeds",
        "2",
        "--first-seed",
        "3",
        "--networks",
        "unet,unet-no-skips",
        "--levels",
        "mild,blind",
    ]
    assert main([*REPRODUCE, *choice, "--export", "shipped"]) == 0
    content = results.read_results("out/table.json")
    assert {(run["network"], run["level"], run["seed"]) for run in content["runs"]} == {
        (network, level, seed) for network in ("unet", "unet-no-skips") for level in ("mild", "blind") for seed in (3, 4)
    }
    output = capsys.readouterr().out
    assert results.markdown_table(content) in output and "results: out/table.json" in output
    assert sorted(os.listdir("shipped")) == sorted(
        f"{network}-{level}.{suffix}"
        for network in ("unet", "unet-no-skips")
        for level in ("mild", "blind")
        for suffix in ("json", "safetensors")
    )
    card = json.loads(Path("shipped/unet-blind.json").read_text())
    assert card["seed"] == 3


def test_reproduce_baselines() -> None:
    assert main([*REPRODUCE, "--baselines"]) == 0
    rows = results.read_results("out/table.json")["baselines"]
    assert {row["data"] for row in rows} == {"small"} and len(rows) == 21


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--first-seed", "-1"], "seed must be at least 0"),
        (["--networks", "unet,resnet"], "network must be one of"),
        (["--networks", ""], "network must be one of"),
        (["--levels", "wild"], "level must be one of"),
        (["--jobs", "0"], "jobs must be at least 1"),
        (["--device", "abacus", "--epochs", "1"], "device must be a name"),
    ],
)
def test_bad_values_of_reproduce(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*REPRODUCE, *arguments]) == 1
    assert words in line_of_error(capsys)
    assert not Path("out/table.json").exists()


def test_a_damaged_results_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/table.json").write_text("{")
    assert main(REPRODUCE) == 1
    assert "table.json is damaged" in line_of_error(capsys)


def test_an_output_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="could not write the checkpoint"):
        status = main([*REPRODUCE, "--epochs", "1", "--seeds", "1", "--networks", "unet", "--levels", "mild"])
    assert status == 1
    assert "out" in line_of_error(capsys)


# --- reproduce, on photos ------------------------------------------------------------------------------------------------

PHOTOS = ["reproduce", "tnet", "--photos", "builtin", "--pairs", "32", "--epochs", "1", "--seeds", "1", "--device", "cpu"]
PHOTOS += ["--output", "out/photos.json"]


@pytest.fixture
def few_pairs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(photo_pairs_module, "TEST_PAIRS", 20)
    monkeypatch.setattr(photo_pairs_module, "HELD_OUT_PAIRS", 6)


@pytest.mark.usefixtures("few_pairs")
def test_reproduce_photos(capsys: pytest.CaptureFixture[str]) -> None:
    about = ["--about", "photos that ship", "--cell", "4"]
    assert main([*PHOTOS, *about, "--networks", "tnet,basenet", "--first-seed", "3", "--export", "shipped"]) == 0
    content = results.read_results("out/photos.json")
    assert [(run["network"], run["seed"], run["pairs"], run["epochs"]) for run in content["runs"]] == [
        ("basenet", 3, 32, 1), ("tnet", 3, 32, 1),
    ]  # fmt: skip
    assert content["photos"]["about"] == "photos that ship" and content["photos"]["cell"] == 4
    assert content["photos"]["test"]["pairs"] == 20
    output = capsys.readouterr().out
    assert noise2noise_tnet.photo_table(content) in output and "results: out/photos.json" in output and "epoch  1" in output
    assert sorted(os.listdir("shipped")) == [f"{name}.{end}" for name in ("basenet", "tnet") for end in ("json", "safetensors")]
    card = json.loads(Path("shipped/tnet.json").read_text())
    assert isinstance(read_weights(Path("shipped/tnet.safetensors").read_bytes(), card), TNet) and card["seed"] == 3
    # The same command again trains nothing.
    assert main([*PHOTOS, *about, "--networks", "tnet,basenet", "--first-seed", "3"]) == 0
    assert "epoch  1" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [("tnet", 5e-4, "l2"), ("tnet-bn", 5e-4, "l2"), ("tnet", 5e-4, "l1"), ("unet", 1e-3, "l2"),
              ("basenet", 5e-4, "l2")]),
        (["--table", "1"], [("tnet", 1e-4, "l2"), ("tnet", 5e-4, "l2"), ("tnet", 9e-4, "l2")]),
        (["--table", "course"], [("tiny-denoiser", 3e-3, "l2")]),
        (["--table", "targets"], [("tnet", 5e-4, "l2")] * 8),
    ],
)  # fmt: skip
def test_the_runs_of_each_table(
    options: list[str], expected: list[tuple[str, float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def fake(runs: Any, photos: Any, output: Any, **rest: Any) -> dict[str, Any]:
        asked.update(runs=runs, photos=photos, output=output, **rest)
        return {}

    monkeypatch.setattr(noise2noise_tnet, "reproduce", fake)
    assert main(["reproduce", "tnet", *options, "--seeds", "2", "--amp", "--jobs", "2", "--held-out", "new"]) == 0
    assert [(run.network, run.lr, run.loss) for run in asked["runs"]] == expected * 2
    assert {(run.pairs, run.epochs, run.amp) for run in asked["runs"]} == {(50_000, 50, True)}
    assert [run.seed for run in asked["runs"]] == [0] * len(expected) + [1] * len(expected)
    assert asked["jobs"] == 2 and asked["device"] is None and asked["output"] == "results/tnet.json"
    assert asked["photos"] == photo_pairs_module.Photos("imagenette", "new", 5, "")  # Imagenette's photos are small


@pytest.mark.parametrize(("options", "cell"), [([], 8), (["--cell", "2"], 2)])
def test_the_cell_of_other_photos(options: list[str], cell: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[photo_pairs_module.Photos] = []
    monkeypatch.setattr(noise2noise_tnet, "reproduce", lambda _, photos, *rest, **more: asked.append(photos) or {})
    assert main([*PHOTOS, *options]) == 0
    assert [photos.cell for photos in asked] == [cell]


@pytest.mark.usefixtures("few_pairs")
def test_baselines_on_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    from denoise_lib.papers import baselines

    quick = {name: baselines.COLOR_FILTERS[name] for name in ("do nothing", "mean filter")}
    monkeypatch.setattr(baselines, "COLOR_FILTERS", quick)
    monkeypatch.setattr(noise2noise_tnet, "measure_clipping", lambda output: None)  # trains for minutes
    assert main([*PHOTOS, "--baselines"]) == 0
    content = results.read_results("out/photos.json")
    assert [row["baseline"] for row in content["baselines"]] == list(quick)
    assert len(content["untrained_basenet"]["psnr"]) == 12 and "runs" not in content


@pytest.mark.usefixtures("few_pairs")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--pairs", "0"], "pairs must be at least 1"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--first-seed", "-1"], "seed must be at least 0"),
        (["--networks", "tnet,resnet"], "network must be one of"),
        (["--networks", "tiny-denoiser"], "network must be one of"),
        (["--cell", "0"], "cell must be at least 1"),
        (["--jobs", "0"], "jobs must be at least 1"),
        (["--device", "abacus"], "device must be a name"),
        (["--photos", "nowhere"], "there is no folder 'nowhere'"),
        (["--held-out", "nowhere"], "there is no folder 'nowhere'"),
        (["--photos", "empty"], "no photos"),
        (["--photos", "nowhere", "--baselines"], "there is no folder 'nowhere'"),
    ],
)
def test_bad_values_of_reproduce_on_photos(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main([*PHOTOS, *arguments]) == 1
    assert words in line_of_error(capsys)
    assert not Path("out/photos.json").exists()


@pytest.mark.parametrize("arguments", [["--table", "3"], ["--pairs", "many"], ["--cell", "1.5"], ["--recipe", "best"]])
def test_unknown_options_of_reproduce_on_photos(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*PHOTOS, *arguments])
    assert stopped.value.code == 2 and arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--networks", ""], ["--table", "1", "--networks", "resnet"]])
def test_networks_that_are_none(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(noise2noise_tnet, "reproduce", lambda *_, **__: {})
    assert main([*PHOTOS, *arguments]) == 1
    assert "network" in line_of_error(capsys)


@pytest.mark.usefixtures("few_pairs")
def test_ctrl_c_on_photos_and_the_same_command_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*PHOTOS, "--epochs", "2", "--networks", "tnet"]
    calls: list[int] = []

    def interrupted(output: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return torch.nn.functional.mse_loss(output, target)

    with monkeypatch.context() as patched:
        patched.setitem(training.LOSSES, "l2", interrupted)
        assert main(command) == 130
    error = capsys.readouterr().err
    assert "stopped in epoch 2 of 2" in error and error.count("\n") == 1 and not Path("out/photos.json").exists()
    assert main(command) == 0
    assert "going on after epoch 1" in capsys.readouterr().out
    assert len(results.read_results("out/photos.json")["runs"][0]["psnr_by_epoch"]) == 2


# --- reproduce, on saliency ------------------------------------------------------------------------------------------------

SALIENCY = ["reproduce", "smoothgrad", "--pairs", "20", "--samples", "1", "--output", "out/claims.json"]


@pytest.fixture
def quick_claims(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """24 test pairs, and a real measurement of the one part that takes no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(smoothgrad_claims, "TEST_PAIRS", 24)
    monkeypatch.setattr(smoothgrad_claims, "PHOTO_NETWORKS", ("tnet",))
    quick = {"groups": [], "self_influence": [], "intervention": [], "kernels": [], "randomised": [], "classifier": []}
    for part, rows in quick.items():
        monkeypatch.setattr(smoothgrad_claims, f"measure_{part}", lambda *_, rows=rows: rows)


@pytest.mark.usefixtures("quick_claims")
def test_reproduce_saliency(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SALIENCY, "--about", "photos that ship", "--cell", "4"]) == 0
    content = results.read_results("out/claims.json")
    assert content["photos"] == "photos that ship" and set(smoothgrad_claims.PARTS) <= set(content)
    assert {name: content["settings"][name] for name in ("cell", "pairs", "samples")} == {"cell": 4, "pairs": 20, "samples": 1}
    assert [row["noise_level"] for row in content["smoothgrad_noise"]][:2] == [0, 0.05]
    output = capsys.readouterr().out
    assert smoothgrad_claims.claims_table(content) in output and "results: out/claims.json" in output
    assert "smoothgrad_noise: done" in output
    # The same command again measures nothing, and other settings are not mixed with these.
    assert main([*SALIENCY, "--cell", "4"]) == 0
    assert "done" not in capsys.readouterr().out
    assert main([*SALIENCY, "--cell", "4", "--samples", "2"]) == 1
    assert "claims.json has results of other photos or settings" in line_of_error(capsys)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"source": "builtin", "output": "results/smoothgrad.json", "cell": 8, "about": "", "count": 240, "n_samples": 50,
              "parts": []}),
        (["--photos", "imagenette"], {"source": "imagenette", "cell": 5}),  # Imagenette's photos are small
        (["--photos", "imagenette", "--cell", "4"], {"source": "imagenette", "cell": 4}),
        (["--photos", "my/photos", "--about", "mine", "--pairs", "100", "--samples", "7", "--output", "mine.json"],
         {"source": "my/photos", "cell": 8, "about": "mine", "count": 100, "n_samples": 7, "output": "mine.json"}),
        (["--parts", "kernels,classifier"], {"parts": ["kernels", "classifier"]}),
        (["--parts", ""], {"parts": []}),
    ],
)  # fmt: skip
def test_the_options_of_the_claims(
    options: list[str], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def fake(source: str, output: str, **rest: Any) -> dict[str, Any]:
        asked.update(source=source, output=output, **rest)
        return {"groups": [], "self_influence": []}

    monkeypatch.setattr(smoothgrad_claims, "reproduce", fake)
    assert main(["reproduce", "smoothgrad", *options]) == 0
    assert {name: asked[name] for name in expected} == expected
    assert set(asked) == {"source", "output", "cell", "about", "count", "n_samples", "parts"}
    output = capsys.readouterr().out
    assert "| map | network |" in output and f"results: {asked['output']}" in output


@pytest.mark.usefixtures("quick_claims")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pairs", "19"], "count must be at least 20, but is 19"),
        (["--pairs", "25"], "count must be at most 24"),
        (["--samples", "0"], "n_samples must be at least 1"),
        (["--cell", "0"], "cell must be at least 1"),
        (["--photos", "nowhere"], "there is no folder 'nowhere'"),
        (["--photos", "empty"], "no photos"),
        (["--parts", "kernel"], "part must be one of 'groups'"),
        (["--parts", "kernels,kernel"], "but is 'kernel'"),
    ],
)
def test_bad_values_of_the_claims(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main([*SALIENCY, *arguments]) == 1
    assert words in line_of_error(capsys)
    assert not Path("out/claims.json").exists()


@pytest.mark.parametrize("arguments", [["--pairs", "many"], ["--samples", "1.5"], ["--jobs", "2"]])
def test_unknown_options_of_the_claims(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*SALIENCY, *arguments])
    assert stopped.value.code == 2 and arguments[0] in capsys.readouterr().err


@pytest.mark.usefixtures("quick_claims")
def test_a_damaged_file_of_claims(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/claims.json").write_text("{")
    assert main(SALIENCY) == 1
    assert "claims.json is damaged" in line_of_error(capsys)


@pytest.mark.usefixtures("quick_claims")
def test_the_claims_do_not_go_into_another_papers_file(capsys: pytest.CaptureFixture[str]) -> None:
    atomic_write.write_json(Path("out/claims.json"), {"runs": []})
    assert main(SALIENCY) == 1
    assert "claims.json" in line_of_error(capsys)


@pytest.mark.usefixtures("quick_claims")
def test_one_part_of_the_claims_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SALIENCY, "--parts", "smoothgrad_noise"]) == 0
    assert "results: out/claims.json" in capsys.readouterr().out


@pytest.mark.usefixtures("quick_claims")
def test_ctrl_c_in_the_claims_and_the_same_command_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(smoothgrad_claims, "measure_kernels", stop)
        assert main(SALIENCY) == 130
    printed = capsys.readouterr()
    assert printed.err == "stopped; run the same command again to go on.\n" and "intervention: done" in printed.out
    assert main(SALIENCY) == 0
    output = capsys.readouterr().out
    assert "kernels: done" in output and "intervention: done" not in output


# --- train ---------------------------------------------------------------------------------------------------------------

TRAIN = ["train", "--device", "cpu", "--output", "mine"]


@pytest.mark.parametrize("network", ["unet", "autoencoder", "unet-no-skips"])
def test_train(network: str, tiny: dict[str, Tensor], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--network", network, "--noise", "blend:0.4", "--epochs", "2", "--schedule", "cosine"]) == 0
    assert sorted(os.listdir(".")) == ["mine.json", "mine.safetensors"]
    card = json.loads(Path("mine.json").read_text())
    assert card["noise"] == "blend:0.4" and card["epochs"] == 2
    model = read_weights(Path("mine.safetensors").read_bytes(), card)
    clean = tiny["test"] / 255
    noisy = Blend(0.4)(clean, torch.Generator().manual_seed(data.TEST_NOISE_SEED))
    assert mse(predict(model, noisy), clean) == pytest.approx(card["mse"], rel=1e-5)
    output = capsys.readouterr().out
    assert f"test MSE {card['mse']:.5f}" in output and "mine.safetensors" in output


@pytest.mark.parametrize(("options", "fresh"), [([], True), (["--fixed"], False)])
def test_train_draws_fresh_noise_unless_told_otherwise(
    options: list[str], fresh: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[data.NoisyImages] = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda model, pairs, **rest: (seen.append(pairs), fit(model, pairs, **rest)))
    assert main([*TRAIN, "--epochs", "1", "--seed", "7", *options]) == 0
    assert [(pairs.fresh, pairs.seed) for pairs in seen] == [(fresh, data.training_noise_seed(7))]


def test_training_twice_under_one_name_trains_twice() -> None:
    errors = []
    for noise in ("blend:0.1", "blend:0.4"):  # the second must not go on from the first
        assert main([*TRAIN, "--noise", noise, "--epochs", "1"]) == 0
        errors.append(json.loads(Path("mine.json").read_text())["mse"])
    assert main([*TRAIN, "--noise", "blend:0.4", "--epochs", "1", "--output", "other"]) == 0
    assert json.loads(Path("other.json").read_text())["mse"] == errors[1] != errors[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--noise", "blur:1"], "noise must be one of"),
        (["--noise", "blend"], "KIND:LEVEL"),
        (["--noise", "blend:1.5"], "mu must be in [0, 1]"),
        (["--network", "tnet"], "--network must be one of unet, autoencoder, unet-no-skips without --photos, but is tnet"),
        (["--held-out", "new"], "add --photos FOLDER"),
        (["--about", "mine"], "add --photos FOLDER"),
        (["--noise", "poisson:0"], "peak must be greater than 0"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--lr", "0"], "lr must be greater than 0"),
        (["--lr", "nan"], "lr must be greater than 0"),
        (["--seed", "-1"], "seed must be at least 0"),
        (["--device", "abacus"], "device must be a name"),
        (["--lr", "1e9", "--epochs", "3"], "try a smaller learning rate"),
    ],
)
def test_bad_values_of_train(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, *arguments]) == 1
    assert words in line_of_error(capsys)
    assert not Path("mine.safetensors").exists()


def test_a_checkpoint_of_another_training(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.checkpoint").write_text("no checkpoint")
    assert main(TRAIN) == 1
    assert "mine.checkpoint is no checkpoint" in line_of_error(capsys)


def test_a_failed_download(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise DataError("could not download.")

    monkeypatch.setattr(data, "mnist", fail)
    assert main([*TRAIN, "--data", "full"]) == 1
    assert line_of_error(capsys) == "error: could not download.\n"


def test_ctrl_c_and_the_same_command_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--epochs", "3"]) == 0
    straight = json.loads(Path("mine.json").read_text())
    for name in os.listdir("."):
        Path(name).unlink()
    calls: list[int] = []

    def interrupted(output: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return torch.nn.functional.mse_loss(output, target)

    with monkeypatch.context() as patched:
        patched.setitem(training.LOSSES, "l2", interrupted)
        assert main([*TRAIN, "--epochs", "3"]) == 130
    error = capsys.readouterr().err
    assert "stopped in epoch 3 of 3" in error and "mine.checkpoint" in error and error.count("\n") == 1
    assert main([*TRAIN, "--epochs", "3"]) == 0
    assert json.loads(Path("mine.json").read_text()) == straight


def test_ctrl_c_elsewhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(unet_vs_autoencoder, "reproduce", stop)
    assert main(REPRODUCE) == 130
    assert capsys.readouterr().err == "stopped; run the same command again to go on.\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"noise": "Blend(mu=0.25, clip=True)", "epochs": 10, "lr": 1e-3, "schedule": None}),
        (["--noise", "blend:0-0.5", "--schedule", "constant"], {"noise": "Blend(mu=(0.0, 0.5), clip=True)", "schedule": None}),
        (["--epochs", "3", "--lr", "0.002", "--schedule", "one-cycle"], {"epochs": 3, "lr": 0.002, "schedule": "one-cycle"}),
    ],
)
def test_the_defaults_of_train(options: list[str], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(training, "fit", lambda model, pairs, **rest: asked.update(noise=repr(pairs.noise), **rest))
    assert main([*TRAIN, *options]) == 0
    assert {name: asked[name] for name in expected} == expected


# --- train, on photos ------------------------------------------------------------------------------------------------------


@pytest.fixture
def album(tmp_path: Path) -> str:
    """One photo to train on and one to test on."""
    for split, seed in (("train", 0), ("test", 1)):
        (tmp_path / "album" / split).mkdir(parents=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 60)).save(tmp_path / "album" / split / "photo.png")
    return "album"


def test_train_on_photos(album: str, capsys: pytest.CaptureFixture[str]) -> None:
    choice = ["--photos", album, "--network", "tnet", "--epochs", "1", "--held-out", f"{album}/test", "--about", "mine"]
    assert main([*TRAIN, *choice]) == 0
    assert sorted(os.listdir(".")) == ["album", "mine.json", "mine.safetensors"]
    card = json.loads(Path("mine.json").read_text())
    assert isinstance(read_weights(Path("mine.safetensors").read_bytes(), card), TNet)
    assert card["recipe"] == "Adam, lr 0.003 one-cycle, batch 32, 1 epochs, l2 loss, mixed precision"
    assert "mu [0.0, 0.5], fresh" in card["noise"] and card["data"].endswith("mine") and card["seed"] == 0
    assert list(card["scores"]) == ["test", "builtin", "held-out"]
    output = capsys.readouterr().out
    assert "weights: mine.safetensors" in output and "validation" in output
    for photos, rows in card["scores"].items():
        for level, row in rows.items():
            decibels = [f"{row['psnr_noisy']:.2f}", "dB", f"{row['psnr']:.2f}", "dB"]
            words = [photos, level, *decibels, f"{row['ssim_noisy']:.3f}", f"{row['ssim']:.3f}"]
            assert words in [line.split() for line in output.splitlines()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], photo_training.PhotoTraining("album")),
        (
            ["--network", "tnet", "--noise", "blend:0.25", "--fixed", "--epochs", "3", "--lr", "0.001",
             "--schedule", "constant", "--seed", "7", "--held-out", "new", "--about", "mine"],
            photo_training.PhotoTraining("album", "tnet", "blend:0.25", False, 3, 0.001, None, 7, "new", "mine"),
        ),
    ],
)  # fmt: skip
def test_the_options_of_train_on_photos(
    options: list[str], expected: photo_training.PhotoTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def fake(training: Any, output: Any, *, device: Any) -> dict[str, Any]:
        asked.extend((training, output, device))
        return {"scores": {}}

    monkeypatch.setattr(photo_training, "train_on_photos", fake)
    assert main([*TRAIN, "--photos", "album", *options]) == 0
    assert asked == [expected, "mine", "cpu"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network", "unet"], "--network must be one of tiny-denoiser, tnet with --photos, but is unet"),
        (["--data", "small"], "--data is for digits"),
        (["--noise", "gaussian:0.1"], "on photos the noise is a blend"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--photos", "nowhere"], "there is no folder 'nowhere'"),
        (["--held-out", "nowhere"], "there is no folder 'nowhere'"),
        (["--device", "abacus"], "device must be a name"),
    ],
)
def test_bad_values_of_train_on_photos(
    arguments: list[str], words: str, album: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TRAIN, "--photos", album, *arguments]) == 1
    assert words in line_of_error(capsys)
    assert os.listdir(".") == ["album"]


def test_ctrl_c_on_photos_to_train_on_and_the_same_command_again(
    album: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*TRAIN, "--photos", album, "--network", "tnet", "--epochs", "2"]
    calls: list[int] = []

    def interrupted(output: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return torch.nn.functional.mse_loss(output, target)

    with monkeypatch.context() as patched:
        patched.setitem(training.LOSSES, "l2", interrupted)
        assert main(command) == 130
    error = capsys.readouterr().err
    assert "stopped in epoch 2 of 2" in error and "mine.checkpoint" in error and error.count("\n") == 1
    assert main(command) == 0
    assert "going on after epoch 1" in capsys.readouterr().out
    assert sorted(os.listdir(".")) == ["album", "mine.json", "mine.safetensors"]


# --- denoise -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.nn.Module]:
    """Two networks in the place of the shipped ones: of colour and of gray images."""
    folder = tmp_path / "shipped"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {"photo-blind": TinyDenoiser().eval(), "unet-moderate": UNet().eval()}
    for name, network in networks.items():
        weights.write_weights(network, folder / name, {})
    monkeypatch.setattr(weights, "_folder", lambda: folder)
    return networks


def snapshot(name: str = "photo.png", size: tuple[int, int] = (33, 21), seed: int = 0) -> Path:
    """A small photo."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def colours_of(path: str) -> Tensor:
    """uint8 (1, 3, H, W)."""
    return photo_tensor(read_photo(path))


DENOISE = ["denoise", "--device", "cpu"]


def test_denoise_with_noise(shipped: dict[str, torch.nn.Module], capsys: pytest.CaptureFixture[str]) -> None:
    photo = colours_of(str(snapshot())) / 255
    assert main([*DENOISE, "photo.png", "--mu", ".25"]) == 0
    assert sorted(os.listdir(".")) == ["photo-before-after.png", "photo-denoised.png", "photo.png", "shipped"]
    noisy = add_noise(photo, 0.25, generator=torch.Generator().manual_seed(0))
    denoised = denoise_image(shipped["photo-blind"], noisy)
    assert torch.equal(colours_of("photo-denoised.png"), (denoised * 255).round().byte())
    output = capsys.readouterr().out
    assert f"mu 0.25, PSNR {psnr(noisy, photo):.2f} dB noisy and {psnr(denoised, photo):.2f} dB denoised" in output


@pytest.mark.usefixtures("shipped")
def test_the_seed_draws_the_noise() -> None:
    snapshot()
    pictures = []
    for seed in ("0", "0", "1"):
        assert main([*DENOISE, "photo.png", "--mu", ".25", "--seed", seed, "--force"]) == 0
        pictures.append(Path("photo-denoised.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_denoise_as_it_is(shipped: dict[str, torch.nn.Module], capsys: pytest.CaptureFixture[str]) -> None:
    photo = colours_of(str(snapshot("trip/photo.jpg"))) / 255
    assert main([*DENOISE, "trip/photo.jpg", "--output", "out/new"]) == 0
    assert sorted(os.listdir("out/new")) == ["photo-before-after.png", "photo-denoised.png"]
    assert os.listdir("trip") == ["photo.jpg"]
    expected = denoise_image(shipped["photo-blind"], photo)
    assert torch.equal(colours_of("out/new/photo-denoised.png"), (expected * 255).round().byte())
    assert "PSNR" not in capsys.readouterr().out


@pytest.mark.parametrize("mu", ["0", "1"])
@pytest.mark.usefixtures("shipped")
def test_the_ends_of_mu(mu: str, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot()
    assert main([*DENOISE, "photo.png", "--mu", mu]) == 0
    output = capsys.readouterr().out
    assert f"mu {mu}, PSNR " in output and ("PSNR inf dB noisy" in output) == (mu == "0")


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (640, 3)])
@pytest.mark.parametrize("network", ["photo-blind", "unet-moderate"])
@pytest.mark.usefixtures("shipped")
def test_photos_of_unusual_sizes(size: tuple[int, int], network: str, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot(size=size)
    assert main([*DENOISE, "photo.png", "--mu", "0.4", "--network", network]) == 0
    assert read_photo("photo-denoised.png").size == size
    assert ("UNet takes gray images, so the photo is turned gray" in capsys.readouterr().out) == (network == "unet-moderate")


@pytest.mark.usefixtures("shipped")
def test_one_bad_photo_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot("a.png")
    snapshot("c.png", seed=1)
    Path("b.jpg").write_bytes(b"no photo")
    assert main([*DENOISE, "a.png", "b.jpg", "missing.jpg", "c.png"]) == 1
    printed = capsys.readouterr()
    assert [line.split()[1] for line in printed.err.splitlines()] == ["b.jpg", "missing.jpg"]
    assert all(line.startswith("error: ") for line in printed.err.splitlines())
    assert Path("a-denoised.png").exists() and Path("c-denoised.png").exists() and not Path("b-denoised.png").exists()


@pytest.mark.usefixtures("shipped")
def test_older_results_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot()
    Path("photo-before-after.png").write_text("mine")
    assert main([*DENOISE, "photo.png"]) == 1
    assert "photo-before-after.png is already there; choose another output, or add --force" in line_of_error(capsys)
    assert Path("photo-before-after.png").read_text() == "mine" and not Path("photo-denoised.png").exists()
    assert main([*DENOISE, "photo.png", "--force"]) == 0
    assert read_photo("photo-before-after.png").height > 21


@pytest.mark.usefixtures("shipped")
def test_no_photo_and_no_result_of_the_same_command_is_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot().read_bytes()
    assert main([*DENOISE, "photo.png", "--output", "photo.png", "--force"]) == 1
    assert "photo.png is one of the photos" in line_of_error(capsys)
    snapshot("photo-denoised.png", seed=1)
    kept = Path("photo-denoised.png").read_bytes()
    assert main([*DENOISE, "photo.png", "photo-denoised.png", "--force"]) == 1
    assert "photo-denoised.png is one of the photos" in line_of_error(capsys)
    assert main([*DENOISE, "photo.png", "photo-denoised.png", "--output", "one.png"]) == 1
    assert "one.png is one of the photos, or already the result of one" in line_of_error(capsys)
    snapshot("other/photo.jpg", seed=2)
    assert main([*DENOISE, "photo.png", "other/photo.jpg", "--output", "out", "--force"]) == 1
    assert "already the result of one" in line_of_error(capsys)
    assert Path("photo.png").read_bytes() == before and Path("photo-denoised.png").read_bytes() == kept


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mu", "nan"], "--mu must be in [0, 1], but is nan"),
        (["--mu", "2"], "--mu must be in [0, 1], but is 2; for example --mu=0.25"),
        (["--mu", "-0.1"], "--mu must be in [0, 1]"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--network", "resnet"], "name must be one of 'photo-blind', 'unet-moderate', but is 'resnet'"),
        (["--device", "abacus"], "device must be a name"),
        (["--output", "new.jpg"], "output must be a folder or end in .png"),
        (["--output", "photo.png/new"], "photo.png is no folder"),
    ],
)
def test_bad_values_of_denoise(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot()
    assert main([*DENOISE, "photo.png", *arguments]) == 1
    assert words in line_of_error(capsys)
    assert sorted(os.listdir(".")) == ["photo.png", "shipped"]


@pytest.mark.usefixtures("shipped")
def test_a_folder_is_no_photo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DENOISE, "shipped", "--output", "out"]) == 1
    assert "shipped cannot be read as a photo" in line_of_error(capsys)
    assert os.listdir(".") == ["shipped"]


@pytest.mark.parametrize("arguments", [[], ["photo.png", "--mu", "much"], ["photo.png", "--no-noise"]])
def test_unknown_options_of_denoise(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["denoise", *arguments])
    assert stopped.value.code == 2


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("where", ["denoise_image", "png"])
def test_ctrl_c_while_a_photo_is_denoised(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    snapshot()
    monkeypatch.setattr(own_photo_files, where, stop)
    assert main([*DENOISE, "photo.png", "--mu", "0.1", "--output", "new"]) == 130
    assert capsys.readouterr().err == "stopped: nothing was written for photo.png.\n"
    assert sorted(os.listdir(".")) == ["photo.png", "shipped"]


# --- weights -------------------------------------------------------------------------------------------------------------


def test_weights(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    unet_vs_autoencoder.reproduce([unet_vs_autoencoder.Run("unet", "mild", data="small", epochs=1)], "table.json", device="cpu")
    unet_vs_autoencoder.export_weights(
        [unet_vs_autoencoder.Run("unet", "mild", data="small", epochs=1)], "table.json", "shipped"
    )
    monkeypatch.setattr(weights, "_folder", lambda: tmp_path / "shipped")
    capsys.readouterr()
    assert main(["weights"]) == 0
    card = weights.weights_card("unet-mild")
    assert capsys.readouterr().out.split() == f"unet-mild 88,461 parameters test MSE {card['mse']:.5f} at mu 0.10".split()
    assert main(["weights", "unet-mild"]) == 0
    assert json.loads(capsys.readouterr().out) == card
    assert main(["weights", "unet-wild"]) == 1
    assert "'unet-mild'" in line_of_error(capsys)
    (tmp_path / "shipped" / "unet-mild.json").write_text("{")
    for arguments in (["weights"], ["weights", "unet-mild"]):
        assert main(arguments) == 1
        assert "unet-mild.json" in line_of_error(capsys)


def test_weights_of_a_colour_network_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    card = {"parameters": 43_064, "psnr": 25.31}  # as `photo_experiments.export_weights` writes it
    weights.write_weights(TNet(), tmp_path / "shipped" / "tnet", card)
    monkeypatch.setattr(weights, "_folder", lambda: tmp_path / "shipped")
    assert main(["weights"]) == 0
    output = capsys.readouterr().out
    assert "tnet" in output and "43,064" in output and "25.31" in output


# --- benchmark ---


def test_the_old_spelling_says_where_the_benchmarks_went(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "slider", "--output", "mine.json"]) == 1
    assert "python -m benchmarks slider" in line_of_error(capsys)
