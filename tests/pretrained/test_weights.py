from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from limits import files_of_at_most, peak_memory
from rounding import rounding
from safetensors.torch import load_file, save
from torch import Tensor, nn

from denoise_lib import noise
from denoise_lib.exercises.capstone import builtin_psnr
from denoise_lib.metrics import mse, predict, psnr
from denoise_lib.papers import results, unet_vs_autoencoder
from denoise_lib.papers.noise2noise_tnet import TABLE_2_NETWORKS as PHOTO_NETWORKS
from denoise_lib.papers.noise2noise_tnet import test_images as photo_test_images
from denoise_lib.papers.pairs import photo_pairs
from denoise_lib.pretrained import weights
from denoise_lib.pretrained.weights import (
    WeightsError,
    available_weights,
    load_pretrained,
    read_weights,
    weights_card,
    write_weights,
)
from denoise_lib.tnet import BaseNet, Noise2NoiseUNet, TinyDenoiser, TNet
from denoise_lib.unet import Autoencoder, UNet, count_parameters

LEVELS = ("mild", "moderate", "severe")
EXPECTED = [f"autoencoder-{level}" for level in LEVELS] + [f"unet-{level}" for level in ("blind", *LEVELS)]
DIGITS = [name for name in available_weights() if name.startswith(("unet-", "autoencoder-"))]
PHOTOS = [name for name in available_weights() if name not in DIGITS and not name.startswith("photo-")]


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


@pytest.mark.numbers
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
    # The same skips; but the weights lie otherwise in memory, so the sums, of up to 80 x 9 terms, have another order.
    assert torch.allclose(model(x), copy(x), rtol=0, atol=rounding(80 * 9, 1.0, torch.float32))
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
        read_weights(content, card | {"network": "Autoencoder", "arguments": {}})
    with refused(WeightsError, "None", "UNet, Autoencoder"):
        read_weights(content, {"sha256": card["sha256"]})


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


# --- hostile files -------------------------------------------------------------------------------------------------------


class Payload:
    """A pickle of it makes a file when it is loaded, by any loader of pickles."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def sealed(content: bytes, **changes: Any) -> dict[str, Any]:
    """A card with the right checksum: only the content itself can give it away."""
    return {"network": "UNet", "arguments": {"skips": True}, "sha256": hashlib.sha256(content).hexdigest(), **changes}


def with_header(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start: int, end: int, shape: tuple[int, ...] = (1,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def whole() -> bytes:
    return save(built("unet").state_dict())


HUGE = 10 * 2**30
NO_SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"<html><body>Please log in</body></html>",
    "truncated": lambda: whole()[:-4],
    "truncated header": lambda: whole()[:100],
    "more than the header says": lambda: whole() + bytes(4),
    "a header of 10 GB": lambda: with_header({}, length=HUGE),
    "a header without end": lambda: with_header({}, length=2**64 - 1),
    "a tensor of 10 GB": lambda: with_header({"a": entry(0, HUGE, (HUGE // 4,))}),
    "a shape that overflows": lambda: with_header({"a": entry(0, 4, (2**62, 2**62))}, bytes(4)),
    "a shape of another size": lambda: with_header({"a": entry(0, 4, (1000,))}, bytes(4)),
    "tensors that overlap": lambda: with_header({"a": entry(0, 8, (2,)), "b": entry(4, 12, (2,))}, bytes(12)),
    "a hole between tensors": lambda: with_header({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)),
    "offsets that run backwards": lambda: with_header({"a": entry(8, 4)}, bytes(8)),
    "offsets before the beginning": lambda: with_header({"a": entry(-4, 0)}, bytes(4)),
    "an unknown dtype": lambda: with_header({"a": entry(0, 4, dtype="PICKLE")}, bytes(4)),
    "a list for a header": lambda: with_header([1, 2]),
    "lists in lists": lambda: with_header(b'{"a":' + b"[" * 100_000),
    "no text for a header": lambda: with_header(b"\xff\xfe{}"),
}


@pytest.mark.parametrize("kind", NO_SAFETENSORS)
def test_what_is_no_safetensors_is_refused(kind: str, refused: Any) -> None:
    content = NO_SAFETENSORS[kind]()
    memory = peak_memory()
    with refused(WeightsError, "no safetensors file, or a damaged one"):
        read_weights(content, sealed(content))
    assert peak_memory() - memory < 50  # MB: what is claimed is not made room for


@pytest.mark.parametrize("kind", ["pickle", "torch file", "a pickle behind a header"])
def test_a_pickle_of_another_name_is_refused_and_not_run(kind: str, folder: Path, refused: Any) -> None:
    bait = Payload(folder / "executed")
    stream = io.BytesIO()
    torch.save({"encode_a.weight": bait}, stream)
    behind = with_header({}, pickle.dumps(bait))
    content = {"pickle": pickle.dumps(bait), "torch file": stream.getvalue(), "a pickle behind a header": behind}[kind]
    (folder / "unet-test.safetensors").write_bytes(content)
    (folder / "unet-test.json").write_text(json.dumps(sealed(content)))
    with refused(WeightsError, "no safetensors"):
        load_pretrained("unet-test")
    assert not (folder / "executed").exists()
    pickle.loads(pickle.dumps(bait))  # and the bait is a good one
    assert (folder / "executed").exists()


NAME = "up_1.bias"
MISFITS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "missing": (lambda tensors: tensors.pop(NAME), "1 tensors are missing, 0 too many"),
    "none": (lambda tensors: tensors.clear(), "16 tensors are missing, 0 too many"),
    "too many": (lambda tensors: tensors.update(extra=torch.zeros(3)), "0 tensors are missing, 1 too many"),
    "renamed": (lambda tensors: tensors.update({NAME.upper(): tensors.pop(NAME)}), "1 tensors are missing, 1 too many"),
    "longer": (lambda tensors: tensors.update({NAME: torch.zeros(41)}), f"{NAME} is float32 of shape (41,) in place of"),
    "of no length": (lambda tensors: tensors.update({NAME: torch.zeros(0)}), f"{NAME} is float32 of shape (0,)"),
    "one for all": (lambda tensors: tensors.update({NAME: torch.zeros(())}), f"{NAME} is float32 of shape ()"),
    "of another form": (
        lambda tensors: tensors.update({NAME: torch.zeros(40, 1)}),
        "(40, 1) in place of float32 of shape (40,)",
    ),
    "int64": (lambda tensors: tensors.update({NAME: torch.zeros(40).long()}), f"{NAME} is int64 of"),
    "float64": (lambda tensors: tensors.update({NAME: torch.zeros(40).double()}), f"{NAME} is float64 of"),
    "float16": (lambda tensors: tensors.update({NAME: torch.zeros(40).half()}), f"{NAME} is float16 of"),
    "bool": (lambda tensors: tensors.update({NAME: torch.zeros(40).bool()}), f"{NAME} is bool of"),
    "NaN": (lambda tensors: tensors[NAME][3:4].fill_(torch.nan), f"{NAME} holds NaN or infinity"),
    "infinite": (lambda tensors: tensors[NAME][3:4].fill_(-torch.inf), f"{NAME} holds NaN or infinity"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_tensors_that_do_not_fit_are_refused(kind: str, refused: Any) -> None:
    change, words = MISFITS[kind]
    tensors = dict(built("unet").state_dict())
    content = save(tensors)
    read_weights(content, sealed(content))
    change(tensors)
    content = save(tensors)
    with refused(WeightsError, words):
        read_weights(content, sealed(content))


CARDS = {
    "a list": "[1, 2]", "a text": '"UNet"', "null": "null", "lists in lists": "[" * 100_000,
    "a long number": '{"a": ' + "1" * 10_000 + "}", "no text": "\ud800", "nothing in it": "{}",
}  # fmt: skip


@pytest.mark.parametrize("kind", CARDS)
def test_a_hostile_card(kind: str, folder: Path, refused: Any) -> None:
    (folder / "unet-test.json").write_bytes(CARDS[kind].encode(errors="surrogatepass"))
    with refused(WeightsError, "checksum" if kind == "nothing in it" else "missing or damaged", "reinstall"):
        load_pretrained("unet-test")


@pytest.mark.parametrize("network", ["Transformer", "", None, 3, ["UNet"], {"UNet": 1}, "unet", "nn.Module", "os.system"])
def test_a_card_of_an_unknown_network(network: Any, folder: Path, refused: Any) -> None:
    content = (folder / "unet-test.safetensors").read_bytes()
    with refused(WeightsError, "UNet, Autoencoder, TNet"):
        read_weights(content, sealed(content, network=network))


@pytest.mark.parametrize(
    "arguments",
    [
        {"skips": "x"},
        {"skips": 1},
        {"skips": None},
        {"skips": []},
        {"depth": 3},
        {"skips": True, "self": True},
        [True],
        True,
        None,
        "x",
    ],
)
def test_a_card_of_wrong_arguments(arguments: Any, folder: Path, refused: Any) -> None:
    content = (folder / "unet-test.safetensors").read_bytes()
    with refused(WeightsError, "arguments do not fit the network UNet, which takes skips, true or false"):
        read_weights(content, sealed(content, arguments=arguments))


def test_arguments_of_a_network_that_takes_none(tmp_path: Path, refused: Any) -> None:
    content = save(built("autoencoder").state_dict())
    read_weights(content, sealed(content, network="Autoencoder", arguments={}))
    with refused(WeightsError, "the network Autoencoder, which takes none"):
        read_weights(content, sealed(content, network="Autoencoder", arguments={"skips": True}))


@pytest.mark.parametrize(
    ("content", "card", "word"), [("x", {}, "content"), (None, {}, "content"), (b"", [], "card"), (b"", None, "card")]
)
def test_read_weights_takes_bytes_and_a_dictionary(content: Any, card: Any, word: str, refused: Any) -> None:
    with refused(TypeError, word):
        read_weights(content, card)


def test_a_folder_in_the_place_of_the_weights(folder: Path, refused: Any) -> None:
    (folder / "unet-test.safetensors").unlink()
    (folder / "unet-test.safetensors").mkdir()
    with refused(WeightsError, "unet-test.safetensors cannot be read", "reinstall"):
        load_pretrained("unet-test")


@pytest.mark.parametrize("device", ["nonsense", "", "cuda:99", "meta", 3.5, object(), ["cpu"], "cpu\n"])
def test_no_such_device(device: Any, folder: Path, refused: Any) -> None:
    with refused(ValueError, "device", "'cpu'"):
        load_pretrained("unet-test", device)


# --- writing -------------------------------------------------------------------------------------------------------------


def test_a_full_disk_costs_no_older_weights(folder: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with files_of_at_most(1000), refused(WeightsError, "unet-test.safetensors cannot be written"):
        write_weights(built("no skips"), folder / "unet-test", {})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


class Copy(UNet):
    """A student's own variant."""


Copy.__name__ = "TNet"


@pytest.mark.parametrize(
    ("model", "path", "card", "error", "word"),
    [
        (Copy(), "net", {}, ValueError, "TNet of denoise_lib"),
        (UNet(), None, {}, TypeError, "path"), (UNet(), "", {}, ValueError, "path"),
        (UNet(), "net", [], TypeError, "card"), (UNet(), "net", {"a": torch.ones(2)}, TypeError, "JSON"),
        (UNet(), "net", {"a": {1, 2}}, TypeError, "JSON"),
        (UNet(), "unet-test.json/net", {}, WeightsError, "cannot be written"),
    ],
)  # fmt: skip
def test_bad_arguments_of_write_weights(
    model: Any, path: Any, card: Any, error: type[Exception], word: str, folder: Path, refused: Any
) -> None:
    before = sorted(os.listdir(folder))
    with refused(error, word):
        write_weights(model, str(folder / path) if path else path, card)
    assert sorted(os.listdir(folder)) == before


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
    assert card["parameters"] == count_parameters(model) == count_parameters(unet_vs_autoencoder.TABLE_1_NETWORKS[network]())
    assert card["test_mu"] == noise.LEVELS.get(level, noise.LEVELS["moderate"])
    assert set(card["mse_at_mu"]) == {f"{mu:.2f}" for mu in noise.LEVELS.values()}
    assert card["mse_at_mu"][f"{card['test_mu']:.2f}"] == pytest.approx(card["mse"], rel=1e-6)
    assert card["machine"]["device"] and card["machine"]["torch"] and card["machine"]["date"]
    assert card["recipe"] and card["data"] and card["noise"] and card["training_seconds"] > 0


@pytest.mark.numbers
@pytest.mark.parametrize("name", DIGITS)
def test_a_shipped_network_denoises_the_small_test_digits_as_its_card_says(name: str) -> None:
    card = weights_card(name)
    noisy, clean = unet_vs_autoencoder.test_pairs("small", card["test_mu"])
    error = mse(predict(load_pretrained(name), noisy), clean)
    assert error == pytest.approx(card["mse_small_test"], rel=1e-3)
    assert error < mse(noisy, clean) / 2  # and it does denoise


@pytest.mark.parametrize("name", DIGITS)
def test_a_shipped_network_reproduces_its_error_on_the_full_test_digits(
    name: str, full_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENOISE_DATA", str(full_mnist))
    card = weights_card(name)
    noisy, clean = unet_vs_autoencoder.test_pairs("full", card["test_mu"])
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
