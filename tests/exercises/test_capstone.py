"""A network's weights as text: they come back as they were, and damaged ones are told."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from denoise_lib.classroom.repair import read_notebook
from denoise_lib.exercises.capstone import MARK, PARAMETER_LIMIT, pack_weights, submit_network, unpack_weights
from denoise_lib.pretrained.weights import load_pretrained


def packed(header: Any, data: bytes = b"") -> str:
    """A text as `pack_weights` makes it, of any header."""
    words = header if isinstance(header, bytes) else json.dumps(header).encode()
    return MARK + base64.b64encode(struct.pack("<Q", len(words)) + words + data).decode()


def tensor(dtype: str, shape: list[int], size: int) -> str:
    return packed({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}, b"\x01" * size)


def check_same(network: nn.Module, text: str) -> None:
    found, state = unpack_weights(text), network.state_dict()
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value)


def test_tnet_comes_back() -> None:
    network = load_pretrained("tnet")
    text = pack_weights(network)
    assert len(text) == pytest.approx(230_000, rel=0.02) and "\n" not in text
    check_same(network, text)


def odd_networks() -> dict[str, nn.Module]:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    turned = nn.Linear(3, 4)
    turned.weight = nn.Parameter(torch.rand(3, 4).t())
    return {
        "buffers": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        "tied": tied,
        "turned": turned,
        "half": nn.Linear(2, 2).half(),
        "double": nn.Linear(2, 2).double(),
        "empty": nn.Sequential(nn.ReLU()),
        "inference": nn.Linear(2, 2).requires_grad_(False).eval(),
    }


@pytest.mark.parametrize("kind", odd_networks())
def test_odd_networks_come_back(kind: str) -> None:
    network = odd_networks()[kind]
    check_same(network, pack_weights(network))


def test_packing_copies() -> None:
    network = nn.Linear(2, 2)
    text = pack_weights(network)
    found = unpack_weights(text)
    found["weight"].zero_()
    assert network.weight.abs().sum() > 0 and pack_weights(network) == text


def test_the_limit_of_parameters(refused: Any) -> None:
    pack_weights(nn.Linear(PARAMETER_LIMIT, 1, bias=False))
    with refused(ValueError, f"{PARAMETER_LIMIT + 1:,}", f"{PARAMETER_LIMIT:,}", "leader board"):
        pack_weights(nn.Linear(PARAMETER_LIMIT, 1))
    with refused(TypeError, "torch.nn.Module"):
        pack_weights(nn.Linear)  # type: ignore[arg-type]


def test_the_last_of_several_counts() -> None:
    first, last = nn.Linear(2, 2), nn.Linear(2, 2)
    check_same(last, f"<code>{pack_weights(first)}</code>\n{MARK}\n<code>{pack_weights(last)}</code> and more")


@pytest.mark.parametrize("text", ["", "nothing", MARK, f"{MARK} AAAA", f"{MARK}<"])
def test_no_weights(text: str, refused: Any) -> None:
    with refused(ValueError, "no weights", "submit_network"):
        unpack_weights(text)


WHOLE = pack_weights(nn.Linear(2, 2))
DAMAGED = {
    "cut": WHOLE[:-40],
    "cut by a letter": WHOLE[:-1],
    "begun late": MARK + WHOLE[len(MARK) + 4 :],
    "one letter": f"{MARK}A",
    "padding": f"{MARK}====",
    "padding inside": f"{MARK}AA==AAAA",
    "too short": f"{MARK}AAAA",
    "header too long": MARK + base64.b64encode(struct.pack("<Q", 2**63) + b"x" * 99).decode(),
    "header is no JSON": packed(b"{nothing}"),
    "header is a list": packed([]),
    "no such type": tensor("X7", [2], 2),
    "type of 4 bits": tensor("F4", [2], 1),
    "type of 6 bits": tensor("F6_E2M3", [4], 3),
    "type that torch has and safetensors does not read": tensor("F8_E8M0", [4], 4),
    "another size": tensor("F32", [3], 8),
    "size beyond all memory": tensor("F32", [2**62, 2**62, 0], 0),
    "negative size": tensor("F32", [-1], 4),
    "beyond its end": packed({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
    "more than it says": packed({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"12345678"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_weights_are_told(kind: str, refused: Any) -> None:
    with refused(ValueError, "damaged", "run submit_network again"):
        unpack_weights(DAMAGED[kind])


@pytest.mark.parametrize(("dtype", "size"), [("F32", 4), ("BOOL", 1), ("F8_E4M3", 1), ("BF16", 2), ("I64", 8), ("C64", 8)])
def test_other_types_are_read(dtype: str, size: int) -> None:
    assert unpack_weights(tensor(dtype, [1], size))["a"].shape == (1,)


def test_empty_tensors_are_read() -> None:
    assert unpack_weights(tensor("F32", [10**9, 0], 0))["a"].numel() == 0
    assert unpack_weights(tensor("F32", [], 4))["a"].shape == ()


@given(st.data())
def test_any_damage_is_told(data: st.DataObject) -> None:
    """Either the weights are read, or there is a ValueError: nothing else may stop the grading of a class."""
    content = bytearray(base64.b64decode(WHOLE.removeprefix(MARK)))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpack_weights(MARK + base64.b64encode(content).decode())
    except ValueError as error:
        assert "damaged" in str(error)
    else:
        assert all(isinstance(value, torch.Tensor) for value in found.values())


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr("IPython.display.display", found.append)
    return found


def test_hand_in_shows_the_weights_folded_away(shown: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    network = nn.Linear(10, 100)
    submit_network(network)
    assert capsys.readouterr().out == "ready: 1,100 parameters. Save the notebook with this output, and hand it in.\n"
    assert len(shown) == 1 and shown[0].data.startswith("<details><summary>")
    check_same(network, shown[0].data)


def make_lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(3))


@pytest.mark.parametrize(
    ("make", "words"),
    [(lambda: nn.Linear(300, 300), "90,300"), (lambda: None, "torch.nn.Module"), (make_lazy, "uninitialized parameter")],
)
def test_hand_in_tells_what_is_wrong(
    make: Callable[[], Any], words: str, shown: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    submit_network(make())
    assert words in capsys.readouterr().out and shown == []


def test_from_the_student_to_the_grader(shown: list[Any]) -> None:
    """Through a notebook's outputs, as Jupyter and Colab save them."""
    network = load_pretrained("tnet")
    submit_network(network)
    data = {"text/plain": "<IPython.core.display.HTML object>", "text/html": shown[0].data.splitlines(keepends=True)}
    cell = nbformat.v4.new_code_cell("submit_network(network)")
    cell.outputs = [nbformat.v4.new_output("stream", text="ready"), {"output_type": "display_data", "data": data}]
    _, text = read_notebook(json.dumps({"cells": [cell]}).encode())
    check_same(network, text)


@pytest.mark.parametrize("shape", [[0, 2**63], [0, 2**62, 2**62]])
def test_weights_of_an_impossible_shape_are_damaged(shape: list[int]) -> None:
    head = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    packed = base64.b64encode(len(head).to_bytes(8, "little") + head).decode()
    with pytest.raises(ValueError, match="the weights in this text are damaged"):
        unpack_weights(f"denoise-weights:{packed}")
