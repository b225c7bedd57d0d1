from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from denoise_lib.data import NoisyImages
from denoise_lib.metrics import predict, psnr, ssim
from denoise_lib.noise import Blend, add_noise
from denoise_lib.own_photos import training as photo_training
from denoise_lib.own_photos.tiling import denoise_image
from denoise_lib.own_photos.training import (
    TEST_LEVELS,
    PhotoTraining,
    photo_card,
    photo_scores,
    train_on_photos,
    training_patches,
)
from denoise_lib.own_photos.training import test_patches as patches_for_the_test
from denoise_lib.pretrained.weights import available_weights, load_pretrained, read_weights, weights_card
from denoise_lib.sources.download import DataError
from denoise_lib.sources.photographs import patches, photo_tensor, photos, read_photo
from denoise_lib.tnet import TinyDenoiser, TNet
from denoise_lib.training import fit
from denoise_lib.unet import count_parameters

pytestmark = pytest.mark.numbers


def album(folder: Path, sizes: list[tuple[int, int]], seed: int = 0) -> Path:
    """A folder of smooth photos of these widths and heights."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for index, size in enumerate(sizes):
        colours = generator.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One photo to train on, 48 patches, and one to test on, 3 patches."""
    folder = tmp_path_factory.mktemp("few")
    album(folder / "train", [(300, 260)], seed=1)
    album(folder / "test", [(260, 300)], seed=2)
    return str(folder)


class Fade(nn.Module):
    """Half of what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


# --- the data ------------------------------------------------------------------------------------------------------------


def test_the_patches(few: str) -> None:
    train, test = training_patches(few), patches_for_the_test(few)
    assert train.shape == (48, 3, 64, 64) and test.shape == (3, 3, 64, 64) and train.dtype == test.dtype == torch.uint8
    assert torch.equal(train, patches(photos("train", few, size=256, crops=3), 64))
    whole = photos("test", few, size=256)
    assert torch.equal(test[0], whole[0, :, :64, :64])  # row by row: the first, the seventh and the thirteenth of sixteen
    assert torch.equal(test[1], whole[0, :, 64:128, 128:192]) and torch.equal(test[2], whole[0, :, 192:, :64])


# --- the training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "name"), [(TinyDenoiser, "tiny-denoiser"), (TNet, "tnet")])
def test_the_training_step_by_step(network: type[nn.Module], name: str, few: str, tmp_path: Path) -> None:
    # All that 'photo-blind' is made of, written out: one changed default, and the weights differ.
    clean, test = patches(photos("train", few, size=256, crops=3)), patches(photos("test", few, size=256))[::6]
    noisy, target = next(NoisyImages(test, Blend(0.25), seed=1).batches(len(test)))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network()
    history = fit(
        model, NoisyImages(clean, Blend((0.0, 0.5)), fresh=True, seed=0), epochs=2, lr=3e-3, batch_size=32,
        schedule="one-cycle", seed=0, amp=True, device="cpu",
        validation=lambda net: psnr(predict(net, noisy).clamp(0, 1), target),
    )  # fmt: skip
    global_state = torch.random.get_rng_state()
    card = train_on_photos(PhotoTraining(few, name, epochs=2), tmp_path / "mine", device="cpu")
    assert torch.equal(torch.random.get_rng_state(), global_state)
    assert sorted(os.listdir(tmp_path)) == ["mine.json", "mine.safetensors"]
    kept = json.loads((tmp_path / "mine.json").read_text())
    copy = read_weights((tmp_path / "mine.safetensors").read_bytes(), kept)
    assert type(copy) is network
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), copy.state_dict().values(), strict=True))
    assert card["psnr"] == kept["psnr"] == pytest.approx(history.validation[-1], abs=1e-4)


def test_the_defaults_are_those_of_photo_blind() -> None:
    training = PhotoTraining("album")
    assert training == PhotoTraining("album", "tiny-denoiser", "blend:0-0.5", True, 8, 3e-3, "one-cycle", 0, None, "")


def test_the_card(few: str, tmp_path: Path) -> None:
    held_out = album(tmp_path / "new", [(31, 40), (50, 20)])
    training = PhotoTraining(few, held_out=str(held_out), about="two albums", fresh=False, schedule=None, noise="blend:0.3")
    model = TinyDenoiser().eval()
    card = photo_card(model, training, 12.345, torch.device("cpu"))
    assert card["parameters"] == count_parameters(model) == 41_802
    assert card["data"] == "48 patches of 64x64 pixels from 1 photos; two albums"
    assert card["noise"] == "Y = (1 - mu) I + mu N clipped to [0, 1], mu 0.3, drawn once"
    assert card["recipe"] == "Adam, lr 0.003 constant, batch 32, 8 epochs, l2 loss, mixed precision"
    assert card["seed"] == 0 and card["training_seconds"] == 12.3 and card["machine"]["torch"] == torch.__version__
    assert list(card["scores"]) == ["test", "builtin", "held-out"]
    assert all(list(rows) == ["0.05", "0.10", "0.25", "0.40", "0.50"] for rows in card["scores"].values())
    assert card["psnr"] == card["scores"]["test"]["0.25"]["psnr"] and card["psnr_mu"] == 0.25
    assert card["scores"]["test"] == photo_scores(model, [patches_for_the_test(few)])
    assert card["scores"]["builtin"] == photo_scores(model, [patches_for_the_test("builtin")])
    whole = [photo_tensor(read_photo(held_out / name)) for name in ("0.png", "1.png")]
    assert [photo.shape[-2:] for photo in whole] == [(40, 31), (20, 50)]
    assert card["scores"]["held-out"] == photo_scores(model, whole)
    assert json.loads(json.dumps(card)) == card
    blind = photo_card(
        model, replace(training, noise="blend:0-0.5", fresh=True, held_out=None, about=""), 1, torch.device("cpu")
    )
    assert blind["noise"] == "Y = (1 - mu) I + mu N clipped to [0, 1], mu [0.0, 0.5], fresh"  # as the digits' cards say it
    assert list(blind["scores"]) == ["test", "builtin"] and blind["data"] == "48 patches of 64x64 pixels from 1 photos"


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"network": "unet"}, ValueError, "network must be one of 'tiny-denoiser', 'tnet'"),
        ({"noise": "gaussian:0.1"}, ValueError, "'blend:0-0.5'"), ({"noise": "blend:0.5-0"}, ValueError, "low <= high"),
        ({"epochs": 0}, ValueError, "epochs"), ({"lr": 0}, ValueError, "lr"), ({"seed": -1}, ValueError, "seed"),
        ({"schedule": "linear"}, ValueError, "schedule"), ({"photos": None}, TypeError, "photos"),
        ({"fresh": "no"}, TypeError, "fresh"), ({"held_out": 3}, TypeError, "held_out"), ({"about": None}, TypeError, "about"),
        ({"noise": 0.25}, TypeError, "noise must be a text"),
    ],
)  # fmt: skip
def test_bad_trainings(change: dict[str, Any], error: type[Exception], word: str, refused: Any) -> None:
    with refused(error, word):
        PhotoTraining("album", **change)


def test_what_is_no_training(tmp_path: Path, refused: Any) -> None:
    with refused(TypeError, "training must be of the class PhotoTraining"):
        train_on_photos("my/photos", tmp_path / "mine")  # type: ignore[arg-type]
    with refused(TypeError, "output must be a path"):
        train_on_photos(PhotoTraining("builtin"), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("held_out", "error"), [("nowhere", ValueError), ("empty", DataError)])
def test_wrong_photos_are_told_before_the_training(
    held_out: str, error: type[Exception], few: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(photo_training, "fit", lambda *_, **__: pytest.fail("trained"))
    with refused(error, held_out):
        train_on_photos(PhotoTraining(few, held_out=str(tmp_path / held_out)), tmp_path / "mine")


# --- the scores ------------------------------------------------------------------------------------------------------------


def test_scores_are_means_over_all_images() -> None:
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(2, 3, 16, 20, generator=generator), torch.rand(1, 3, 33, 12, generator=generator)]
    expected: dict[str, list[float]] = {"psnr_noisy": [], "psnr": [], "ssim_noisy": [], "ssim": []}
    for index, batch in enumerate(images):
        noise = torch.Generator().manual_seed(7 + index)  # one draw a batch
        for clean, noisy in zip(batch, add_noise(batch, 0.3, generator=noise), strict=True):
            for name, image in (("_noisy", noisy), ("", noisy / 2)):
                expected[f"psnr{name}"].append(psnr(image, clean))
                expected[f"ssim{name}"].append(ssim(image, clean))
    scores = photo_scores(Fade(), images, levels=[0.3], seed=7)
    assert scores == {"0.30": {name: pytest.approx(np.mean(values), abs=1e-4) for name, values in expected.items()}}
    eight_bits = [(255 * batch).byte() for batch in images]
    assert photo_scores(Fade(), iter(eight_bits), levels=[0.3], seed=7) == photo_scores(
        Fade(), [batch / 255 for batch in eight_bits], levels=[0.3], seed=7
    )


def test_the_levels() -> None:
    scores = photo_scores(Fade(), [torch.rand(1, 3, 16, 16)])
    assert list(scores) == [f"{mu:.2f}" for mu in TEST_LEVELS] == ["0.05", "0.10", "0.25", "0.40", "0.50"]
    noisy = [row["psnr_noisy"] for row in scores.values()]
    assert noisy == sorted(noisy, reverse=True)


def test_no_images_have_no_scores(refused: Any) -> None:
    with refused(ValueError, "images", "at least one"):
        photo_scores(Fade(), [])


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"levels": []}, ValueError, "levels"), ({"levels": [1.5]}, ValueError, "levels must be in [0, 1]"),
        ({"levels": [0.25, 0.251]}, ValueError, "first two decimals"), ({"levels": [(0, 1)]}, TypeError, "levels"),
        ({"seed": -1}, ValueError, "seed"), ({"images": 3}, TypeError, "images must be a list"),
        ({"images": torch.rand(1, 3, 16, 16)}, TypeError, "images must be a list"),
        ({"images": [3]}, TypeError, "torch.Tensor"), ({"model": "photo-blind"}, TypeError, "model"),
        ({"images": [torch.rand(1, 3, 8, 8)]}, ValueError, "11 x 11"),
    ],
)  # fmt: skip
def test_bad_arguments_of_the_scores(options: dict[str, Any], error: type[Exception], word: str, refused: Any) -> None:
    with refused(error, word):
        photo_scores(**({"model": Fade(), "images": [torch.rand(1, 3, 16, 16)]} | options))


# --- the network that ships --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in available_weights() if name.startswith("photo-")])
def test_a_shipped_network_for_photos_is_what_its_card_says(name: str) -> None:
    card, model = weights_card(name), load_pretrained(name)
    assert card["parameters"] == count_parameters(model) and card["training_seconds"] > 0
    assert card["psnr"] == card["scores"]["test"]["0.25"]["psnr"] and card["psnr_mu"] == 0.25
    measured = photo_scores(model, [patches_for_the_test("builtin")])
    for level, row in card["scores"]["builtin"].items():
        assert measured[level] == {key: pytest.approx(value, abs=0.01) for key, value in row.items()}
        assert row["psnr"] > row["psnr_noisy"] and row["ssim"] > row["ssim_noisy"]


@pytest.mark.parametrize("name", [name for name in available_weights() if name.startswith("photo-")])
def test_a_shipped_network_for_photos_harms_no_clean_photo(name: str) -> None:
    photo = photos("test", size=256)[:1] / 255
    assert psnr(denoise_image(load_pretrained(name), photo), photo) > 30
