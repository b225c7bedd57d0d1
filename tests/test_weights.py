from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from denoise_lib import experiments, results, weights
from denoise_lib.metrics import mse, psnr
from denoise_lib.models import Autoencoder, BaseNet, Noise2NoiseUNet, TinyDenoiser, TNet, UNet, count_parameters
from denoise_lib.pairs import photo_pairs
from denoise_lib.photo_experiments import NETWORKS as PHOTO_NETWORKS
from denoise_lib.photo_experiments import builtin_psnr
from denoise_lib.photo_experiments import test_images as photo_test_images
from denoise_lib.training import predict
from denoise_lib.weights import (
    WeightsError,
    available_weights,
    load_pretrained,
    read_weights,
    weights_card,
    write_weights,
)

LEVELS = ("mild", "moderate", "severe")
EXPECTED = [f"autoencoder-{level}" for level in LEVELS] + [f"unet-{level}" for level in ("blind", *LEVELS)]
DIGITS = [name for name in available_weights() if name.endswith(("-blind", *(f"-{level}" for level in LEVELS)))]
PHOTOS = [name for name in available_weights() if name not in DIGITS]


def built(kind: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return {"unet": UNet, "no skips": lambda: UNet(skips=False), "autoencoder": Autoencoder}[kind]()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped weights with one U-Net in it."""
    monkeypatch.setattr(weights, "_folder", lambda: tmp_path)
    write_weights(built("unet"), tmp_path / "unet-test", {"mse": 0.5})
    return tmp_path


# --- writing and reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unet", "no skips", "autoencoder"])
def test_a_round_trip_keeps_every_bit(kind: str, tmp_path: Path) -> None:
    model = built(kind).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    write_weights(model, tmp_path / "new" / "net", {"epochs": 3})
    assert sorted(os.listdir(tmp_path / "new")) == ["net.json", "net.safetensors"]
    card = json.loads((tmp_path / "new/net.json").read_text())
    assert card["epochs"] == 3 and card["network"] == type(model).__name__
    copy = read_weights((tmp_path / "new/net.safetensors").read_bytes(), card)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), copy.state_dict().values(), strict=True))
    x = torch.rand(2, 1, 28, 28)
    assert torch.allclose(model(x), copy(x), rtol=0, atol=1e-6)  # with the same skips
    # Any reader of safetensors can open it.
    assert load_file(tmp_path / "new/net.safetensors").keys() == model.state_dict().keys()


def test_writing_replaces_an_older_file(folder: Path) -> None:
    before = (folder / "unet-test.safetensors").read_bytes()
    write_weights(built("autoencoder"), folder / "unet-test", {})
    assert (folder / "unet-test.safetensors").read_bytes() != before
    assert isinstance(load_pretrained("unet-test"), Autoencoder)
    assert not list(folder.glob("*.part"))


def test_only_known_networks_are_written(tmp_path: Path, refused: Any) -> None:
    with refused(ValueError, "'UNet', 'Autoencoder'", "'Linear'"):
        write_weights(nn.Linear(1, 1), tmp_path / "net", {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty"])
def test_damaged_weights_are_refused(damage: str, folder: Path, refused: Any) -> None:
    path = folder / "unet-test.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[-1] ^= 1
    path.write_bytes({"truncated": content[:-100], "one bit": content, "empty": b""}[damage])
    with refused(WeightsError, "checksum", "reinstall"):
        load_pretrained("unet-test")


def test_a_wrong_or_missing_checksum(folder: Path, refused: Any) -> None:
    content, card = (folder / "unet-test.safetensors").read_bytes(), weights_card("unet-test")
    for wrong in (card | {"sha256": "0" * 64}, {key: value for key, value in card.items() if key != "sha256"}):
        with refused(WeightsError, "checksum"):
            read_weights(content, wrong)


def test_weights_of_another_network(folder: Path, refused: Any) -> None:
    content, card = (folder / "unet-test.safetensors").read_bytes(), weights_card("unet-test")
    with refused(WeightsError, "do not fit", "Autoencoder"):
        read_weights(content, card | {"network": "Autoencoder"})
    with refused(WeightsError, "do not fit", "UNet"):
        read_weights(content, card | {"arguments": {"depth": 3}})
    with refused(WeightsError, "'Transformer'", "UNet, Autoencoder"):
        read_weights(content, card | {"network": "Transformer"})
    with refused(WeightsError, "None"):
        read_weights(content, {"sha256": card["sha256"]})


def test_a_file_that_is_no_safetensors(tmp_path: Path, refused: Any) -> None:
    import hashlib

    content = b"\x80\x04}."  # a pickle with the right checksum is refused all the same
    with refused(WeightsError, "do not fit"):
        read_weights(content, {"network": "UNet", "sha256": hashlib.sha256(content).hexdigest()})


@pytest.mark.parametrize("content", ["", "{", "\x00"])
def test_a_damaged_card(content: str, folder: Path, refused: Any) -> None:
    (folder / "unet-test.json").write_text(content)
    with refused(WeightsError, "unet-test.json", "reinstall"):
        load_pretrained("unet-test")


def test_a_missing_card(folder: Path, refused: Any) -> None:
    (folder / "unet-test.json").unlink()
    with refused(WeightsError, "unet-test.json", "reinstall"):
        weights_card("unet-test")


def test_unknown_names_list_those_that_there_are(folder: Path, refused: Any) -> None:
    assert available_weights() == ["unet-test"]
    for name in ("unet", "", None, 3, "../unet-test"):
        for function in (load_pretrained, weights_card):
            with refused(ValueError, "'unet-test'", repr(name)):
                function(name)  # type: ignore[arg-type]


def test_loading_gives_evaluation_mode_and_leaves_the_global_generator(folder: Path) -> None:
    before = torch.random.get_rng_state()
    model = load_pretrained("unet-test", torch.device("cpu"))
    assert not model.training and isinstance(model, UNet) and model.skips
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_missing_folder_lists_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setattr(weights, "_folder", lambda: tmp_path / "none")
    assert available_weights() == []
    with refused(ValueError, "'unet-mild'"):
        load_pretrained("unet-mild")


# --- the networks for colour photos --------------------------------------------------------------------------------------


def trained(name: str) -> nn.Module:
    """A colour network whose every number, of parameters and of buffers, is far from where it starts."""
    model = PHOTO_NETWORKS[name]()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5, generator=generator).mul_(0.02 if tensor.dim() == 4 else 1)
            else:
                tensor.fill_(17)
    return model


@pytest.mark.parametrize("name", PHOTO_NETWORKS)
def test_a_round_trip_of_a_colour_network(name: str, tmp_path: Path) -> None:
    model = trained(name)
    write_weights(model, tmp_path / "net", {"psnr": 25.3})
    card = json.loads((tmp_path / "net.json").read_text())
    assert card["network"] == type(model).__name__ and card["psnr"] == 25.3
    copy = read_weights((tmp_path / "net.safetensors").read_bytes(), card)
    assert type(copy) is type(model) and copy.extra_repr() == model.extra_repr()
    assert copy.state_dict().keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        kept = copy.state_dict()[key]
        assert kept.dtype == tensor.dtype and torch.equal(kept, tensor), key
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(copy.eval()(x), model.eval()(x))
    assert count_parameters(copy) == count_parameters(model)


def test_the_buffers_of_batch_normalisation_are_kept(tmp_path: Path) -> None:
    write_weights(trained("tnet-bn"), tmp_path / "net", {})
    card = json.loads((tmp_path / "net.json").read_text())
    assert card["arguments"] == {"batch_norm": True}
    copy = read_weights((tmp_path / "net.safetensors").read_bytes(), card)
    buffers = dict(copy.named_buffers())
    assert len(buffers) == 18  # six norms: mean, variance, count
    for key, tensor in buffers.items():
        assert (
            (tensor == 17).all() if key.endswith("num_batches_tracked") else not torch.isin(tensor, torch.tensor([0, 1])).any()
        )


@pytest.mark.parametrize(("name", "numbers"), [("unet", 576_099), ("unet-separate", 991_203), ("tiny-denoiser", 41_802)])
def test_shared_weights_are_saved_once(name: str, numbers: int, tmp_path: Path) -> None:
    write_weights(trained(name), tmp_path / "net", {})
    tensors = load_file(tmp_path / "net.safetensors")
    assert sum(tensor.numel() for tensor in tensors.values()) == numbers
    assert 4 * numbers < (tmp_path / "net.safetensors").stat().st_size < 4 * numbers + 10_000  # and a header
    decoders = {key.split(".")[1] for key in tensors if key.startswith("decode.")}
    assert decoders == {"unet": {"0"}, "unet-separate": {"0", "1", "2"}, "tiny-denoiser": set()}[name]


def test_the_networks_arguments_stand_in_the_card(tmp_path: Path) -> None:
    arguments: list[tuple[nn.Module, dict[str, bool]]] = [
        (TNet(), {"batch_norm": False}), (Noise2NoiseUNet(True), {"shared_decoder": True}),
        (UNet(skips=False), {"skips": False}), (Noise2NoiseUNet(), {"shared_decoder": False}), (BaseNet(), {}),
        (TinyDenoiser(), {}),
    ]  # fmt: skip
    for model, expected in arguments:
        write_weights(model, tmp_path / "net", {})
        assert json.loads((tmp_path / "net.json").read_text())["arguments"] == expected


@pytest.mark.parametrize(("name", "arguments"), [("tnet-bn", {}), ("unet", {}), ("tnet", {"batch_norm": True})])
def test_weights_do_not_fit_a_network_of_other_arguments(
    name: str, arguments: dict[str, bool], tmp_path: Path, refused: Any
) -> None:
    write_weights(trained(name), tmp_path / "net", {})
    card = json.loads((tmp_path / "net.json").read_text()) | {"arguments": arguments}
    with refused(WeightsError, "do not fit", card["network"]):
        read_weights((tmp_path / "net.safetensors").read_bytes(), card)


# --- the weights that ship -----------------------------------------------------------------------------------------------


def test_the_expected_weights_ship() -> None:
    assert set(EXPECTED) <= set(available_weights())


@pytest.mark.parametrize("name", DIGITS)
def test_a_shipped_network_is_what_its_card_says(name: str) -> None:
    card, model = weights_card(name), load_pretrained(name)
    network, _, level = name.rpartition("-")
    assert card["parameters"] == count_parameters(model) == count_parameters(experiments.NETWORKS[network]())
    assert card["test_mu"] == results.LEVELS.get(level, results.LEVELS["moderate"])
    assert set(card["mse_at_mu"]) == {f"{mu:.2f}" for mu in results.LEVELS.values()}
    assert card["mse_at_mu"][f"{card['test_mu']:.2f}"] == pytest.approx(card["mse"], rel=1e-6)
    assert card["machine"]["device"] and card["machine"]["torch"] and card["machine"]["date"]
    assert card["recipe"] and card["data"] and card["noise"] and card["training_seconds"] > 0


@pytest.mark.parametrize("name", DIGITS)
def test_a_shipped_network_denoises_the_small_test_digits_as_its_card_says(name: str) -> None:
    card = weights_card(name)
    noisy, clean = experiments.test_pairs("small", card["test_mu"])
    error = mse(predict(load_pretrained(name), noisy), clean)
    assert error == pytest.approx(card["mse_small_test"], rel=1e-3)
    assert error < mse(noisy, clean) / 2  # and it does denoise


@pytest.mark.parametrize("name", DIGITS)
def test_a_shipped_network_reproduces_its_error_on_the_full_test_digits(
    name: str, full_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENOISE_DATA", str(full_mnist))
    card = weights_card(name)
    noisy, clean = experiments.test_pairs("full", card["test_mu"])
    model = load_pretrained(name).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast
    assert mse(predict(model, noisy, batch_size=50), clean) == pytest.approx(card["mse"], rel=1e-3)


@pytest.mark.parametrize("name", DIGITS)
def test_a_shipped_cards_error_is_that_of_its_run_in_the_results(name: str) -> None:
    card = weights_card(name)
    network, _, level = name.rpartition("-")
    runs = results.read_results("unet_vs_autoencoder")["runs"]
    errors = [
        run["test"]["mse"]
        for run in runs
        if (run["network"], run["level"], run["seed"]) == (network, level, card["seed"])
        and run["test_mu"] == card["test_mu"]
        and run["machine"] == card["machine"]
    ]
    assert card["mse"] in [pytest.approx(error, rel=1e-9) for error in errors]


@pytest.mark.parametrize("name", PHOTOS)
def test_a_shipped_colour_network_is_what_its_card_says(name: str) -> None:
    card, model = weights_card(name), load_pretrained(name)
    network, loss = {"noise2noise-unet": ("unet", "l2"), "tnet-l1": ("tnet", "l1")}.get(name, (name, "l2"))
    like_it = PHOTO_NETWORKS[network]()
    assert type(model) is type(like_it) and model.extra_repr() == like_it.extra_repr()
    assert card["parameters"] == count_parameters(model)
    assert card["recipe"] and card["data"] and card["noise"] and card["training_seconds"] > 0
    assert card["machine"]["device"] and card["machine"]["torch"] and card["machine"]["date"]
    runs = results.read_results("tnet")["runs"]
    like = [run for run in runs if (run["network"], run["loss"], run["seed"]) == (network, loss, card["seed"])]
    assert card["psnr"] == card["scores"]["test"]["psnr"]
    assert card["psnr"] in [pytest.approx(run["scores"]["test"]["psnr"], rel=1e-9) for run in like]


@pytest.mark.parametrize("name", PHOTOS)
def test_a_shipped_colour_network_scores_what_its_card_says(name: str) -> None:
    assert builtin_psnr(load_pretrained(name)) == pytest.approx(weights_card(name)["psnr_builtin"], abs=0.01)


@pytest.mark.parametrize("name", PHOTOS)
def test_a_shipped_colour_network_reproduces_the_results_file(name: str) -> None:
    folder = Path(os.environ.get("DENOISE_DATA", "")) / "photos"
    if not (os.environ.get("DENOISE_DATA") and folder.is_dir()):
        pytest.skip("the photos of the results file are not in DENOISE_DATA, and they may not be shipped")
    noisy, clean = photo_test_images("point-sample", photo_pairs("test", folder, count=1000, cache=False))
    measured = psnr(predict(load_pretrained(name), noisy).clamp(0, 1), clean)
    assert measured == pytest.approx(weights_card(name)["psnr"], abs=0.01)


@pytest.mark.parametrize("name", PHOTOS)
def test_a_shipped_colour_network_denoises_the_built_in_photos(name: str) -> None:
    pairs = photo_pairs("test", count=40, cache=False)
    noisy, clean = pairs.first / 255, pairs.clean / 255
    gain = psnr(predict(load_pretrained(name), noisy).clamp(0, 1), clean) - psnr(noisy, clean)
    assert gain > 2  # dB
