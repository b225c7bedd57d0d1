from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from denoise_lib.internal.checks import (
    LARGEST,
    check_choice,
    check_count,
    check_device,
    check_flag,
    check_function,
    check_generator,
    check_images,
    check_instance,
    check_keys,
    check_list,
    check_model,
    check_number,
    check_output,
    check_pair,
    check_path,
    check_real,
    check_same_shape,
    check_tensor,
    describe,
    reading,
)
from denoise_lib.internal.seeding import derive_seed


def test_good_images_come_back_as_they_are() -> None:
    for shape in ((4, 5), (3, 4, 5), (2, 3, 4, 5)):
        image = torch.rand(shape)
        assert check_images(image) is image
    assert check_images(torch.tensor([[0.0, 1.0]])).shape == (1, 2)  # both ends of the range are allowed
    assert check_images(torch.full((2, 2), -7.0), value_range=None).min() == -7


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ([[0.5]], TypeError, ["picture", "list", "torch.Tensor"]),
        (np.zeros((2, 2)), TypeError, ["picture", "ndarray", "from_numpy"]),
        (None, TypeError, ["picture", "None"]),
        ("a.png", TypeError, ["picture", "'a.png'"]),
        (torch.zeros(2, 2, dtype=torch.uint8), TypeError, ["picture", "uint8", "/ 255"]),
        (torch.zeros(2, 2, dtype=torch.int64), TypeError, ["picture", "int64"]),
        (torch.zeros(2, 2, dtype=torch.complex64), TypeError, ["picture", "complex64"]),
        (torch.rand(5), ValueError, ["picture", "(H, W)", "(5,)"]),
        (torch.rand(0, 1, 4, 4), ValueError, ["picture", "empty", "(0, 1, 4, 4)"]),
        (torch.tensor([[0.5, torch.nan]]), ValueError, ["picture", "NaN"]),
        (torch.tensor([[0.5, torch.inf]]), ValueError, ["picture", "infinity"]),
        (torch.tensor([[0.5, -torch.inf]]), ValueError, ["picture", "infinity"]),
        (torch.tensor([[0.0, 1.01]]), ValueError, ["picture", "[0, 1]", "1.01"]),
        (torch.tensor([[-0.01, 1.0]]), ValueError, ["picture", "[0, 1]", "-0.01"]),
        (torch.tensor([[0.0, 255.0]]), ValueError, ["picture", "[0, 1]", "divide 8-bit values by 255"]),
    ],
)
def test_bad_images(image: Any, error: type[Exception], words: list[str], refused: Any) -> None:
    with refused(error, *words):
        check_images(image, "picture")


def test_bad_images_where_a_batch_is_wanted(refused: Any) -> None:
    with refused(ValueError, "image", "(N, C, H, W)", "(28, 28)"):
        check_images(torch.rand(28, 28), min_dim=4)
    with refused(ValueError, "image", "(N, 3, H, W)", "(2, 1, 8, 8)"):
        check_images(torch.rand(2, 1, 8, 8), channels=3)
    assert check_images(torch.rand(2, 3, 8, 8), channels=3).shape == (2, 3, 8, 8)


@pytest.mark.parametrize(("dims", "words"), [(2, "(H, W)"), (3, "(P, H, W)"), (4, "(N, C, H, W)")])
def test_an_exact_number_of_axes(dims: int, words: str, refused: Any) -> None:
    for axes in range(1, 6):
        image = torch.rand((1,) * axes)
        if axes == dims:
            assert check_images(image, dims=dims) is image
        else:
            with refused(ValueError, f"image must have the shape {words}", str(tuple(image.shape))):
                check_images(image, dims=dims)


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (torch.rand(2, 2).to_sparse(), TypeError, ["picture", "dense", "to_dense()"]),
        (torch.empty(2, 2, device="meta"), ValueError, ["picture", "meta", "'cpu'"]),
        (torch.zeros(2, 2, dtype=torch.float8_e5m2), TypeError, ["picture", "float8_e5m2"]),
        (torch.full((2, 2), 1e10), ValueError, ["picture", "[-1e+09, 1e+09]", "1e+10"]),
        (torch.full((2, 2), -1e10), ValueError, ["picture", "-1e+10"]),
        (torch.full((2, 2), 200, dtype=torch.float16), ValueError, ["picture", "65.5", "200"]),
    ],
)
def test_tensors_to_compute_with(image: Any, error: type[Exception], words: list[str], refused: Any) -> None:
    with refused(error, *words):
        check_images(image, "picture", value_range=None)
    assert check_images(torch.tensor([[-LARGEST, LARGEST]]), value_range=None).shape == (1, 2)


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25), np.int64(1)])
def test_good_numbers(value: Any) -> None:
    number = check_number(value, "level", 0, 1)
    assert type(number) is float and number == float(value)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (True, TypeError), ("0.5", TypeError), (None, TypeError), (1j, TypeError), ([0.5], TypeError),
        (-0.001, ValueError), (1.001, ValueError), (float("nan"), ValueError), (float("inf"), ValueError),
    ],
)  # fmt: skip
def test_bad_numbers(value: Any, error: type[Exception], refused: Any) -> None:
    with refused(error, "level", "for example level=0.25"):
        check_number(value, "level", 0, 1, example=0.25)


def test_open_and_unbounded_ranges(refused: Any) -> None:
    with refused(ValueError, "(0, 1]"):
        check_number(0, "level", 0, 1, open_low=True)
    with refused(ValueError, "greater than 0"):
        check_number(0, "level", 0, open_low=True)
    with refused(ValueError, "at least 0"):
        check_number(-1, "level", 0)
    with refused(ValueError, "at least 0", "inf"):
        check_number(float("inf"), "level", 0)
    assert check_number(1e9, "level", 0, open_low=True) == 1e9


def test_numbers_have_bounds_beyond_which_squares_overflow(refused: Any) -> None:
    with refused(ValueError, "at most 1e+09", "1e+30"):
        check_number(1e30, "level", 0)
    with refused(ValueError, "at least 1e-09", "1e-30"):
        check_number(1e-30, "level", 0, open_low=True)
    with refused(ValueError, "at least 0", "-inf"):
        check_number(-(10**400), "level", 0)
    with refused(ValueError, "in [0, 1]", "inf"):
        check_number(10**400, "level", 0, 1)
    assert check_number(1e-30, "level", 0) == check_number(1e-30, "level", 0, 1, open_low=True) == 1e-30
    assert check_number(1e30, "rate", 0, 1e38) == 1e30


def test_real_numbers_may_be_unknown(refused: Any) -> None:
    assert math.isnan(check_real(math.nan, "error")) and check_real(np.float32(math.inf), "error") == math.inf
    assert check_real(3, "error") == 3.0 and type(check_real(np.int64(3), "error")) is float
    for value in (True, "3", None, torch.tensor(3.0)):
        with refused(TypeError, "error", "number"):
            check_real(value, "error")
    with refused(ValueError, "error", "[-1e+09, 1e+09]"):
        check_real(10**400, "error")


def test_flags(refused: Any) -> None:
    assert check_flag(True, "clip") is True and check_flag(np.False_, "clip") is False
    for value in ("no", 0, 1, None, torch.tensor(True)):
        with refused(TypeError, "clip", "True or False"):
            check_flag(value, "clip")


def test_counts(refused: Any) -> None:
    assert check_count(3, "epochs", 3) == 3
    with refused(ValueError, "epochs", "at least 3", "is 2"):
        check_count(2, "epochs", 3)
    for value in (3.0, "3", True, None):
        with refused(TypeError, "epochs", "whole number"):
            check_count(value, "epochs")
    with refused(ValueError, "epochs", "at most 10", "is 11"):
        check_count(11, "epochs", high=10)
    with refused(ValueError, "seed", f"at most {2**63 - 1}"):
        check_count(10**5000, "seed")
    assert torch.Generator().manual_seed(check_count(2**63 - 1, "seed")).initial_seed() == 2**63 - 1


def test_choices(refused: Any) -> None:
    assert check_choice("full", "size", ("small", "full")) == "full"
    for value in ("Full", "", None, 3):
        with refused(ValueError, "size", "'small', 'full'", repr(value)):
            check_choice(value, "size", ("small", "full"))


def test_choices_of_another_kind(refused: Any) -> None:
    for value in (np.array(["full"]), torch.rand(2), "x" * 1000, ["full"], 10**5000):
        with refused(ValueError, "size", "'small', 'full'", f"a {type(value).__name__}"):
            check_choice(value, "size", ("small", "full"))


def test_devices(refused: Any) -> None:
    assert check_device("cpu") == check_device(torch.device("cpu")) == torch.device("cpu")
    for value in ("", "gpu", "cpu:abc", None, 3.5, [], 10**30, "x" * 1000):
        with refused(ValueError, "device must be a name such as 'cpu'"):
            check_device(value)
    with refused(ValueError, "device='meta'", "'cpu'"):
        check_device("meta")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_device(refused: Any) -> None:
    with refused(ValueError, "device='cuda'", "no CUDA device", "device='cpu'"):
        check_device("cuda")


def test_functions(refused: Any) -> None:
    model = nn.Identity()
    assert check_function(math.sqrt, "score", "x") is math.sqrt and check_function(model, "score", "x") is model
    assert check_function(max, "score", "x") is max  # tells nothing of its arguments
    assert check_function(lambda *arguments: 0, "score", "x", "y") is not None
    with refused(TypeError, "score must be a function", "score(x, y)", "'mean'"):
        check_function("mean", "score", "x", "y")
    with refused(TypeError, "score(x)", "missing a required argument"):
        check_function(lambda x, clean: x, "score", "x")
    with refused(TypeError, "score(x, y)", "too many"):
        check_function(model, "score", "x", "y")


def test_instances(refused: Any) -> None:
    assert check_instance("a", "about", str, "'photos'") == "a"
    with refused(TypeError, "about", "class str", "a list", "'photos'"):
        check_instance([], "about", str, "'photos'")


def test_dictionaries(refused: Any) -> None:
    assert check_keys({"a": 1, "b": 2}, "content", ("a",)) == {"a": 1, "b": 2}
    with refused(ValueError, "content", "'a', 'b'", "'b' is missing"):
        check_keys({"a": 1}, "content", ("a", "b"))
    for value in (None, "ab", ["a", "b"]):
        with refused(TypeError, "content", "'a', 'b'"):
            check_keys(value, "content", ("a", "b"))


@pytest.mark.parametrize("content", [None, {}, {"rows": None}, {"rows": [1]}, {"rows": [{"mse": "x" * 99}]}, {"rows": [{}]}])
def test_contents_of_many_parts(content: Any, refused: Any) -> None:
    @reading("content", "read_results('tnet')")
    def total(content: dict[str, Any]) -> float:
        return sum(float(row["mse"]) for row in content["rows"])

    with refused(ValueError, "content must be as read_results('tnet') returns it"):
        total(content)
    assert total({"rows": [{"mse": 1}, {"mse": 2}]}) == 3


def test_generators(refused: Any) -> None:
    generator = torch.Generator()
    assert check_generator(generator, torch.device("cpu")) is generator
    assert check_generator(None, torch.device("cpu")) is None
    for value in (0, "cpu", np.random.default_rng(0)):
        with refused(TypeError, "generator", "manual_seed"):
            check_generator(value, torch.device("cpu"))
    with refused(ValueError, "generator", "cpu", "cuda"):
        check_generator(generator, torch.device("cuda"))


def test_paths(refused: Any) -> None:
    assert check_path("run/unet.pt") == check_path(Path("run/unet.pt")) == "run/unet.pt"
    with refused(ValueError, "checkpoint", "empty"):
        check_path("", "checkpoint")
    for value in (5, None, True, b"run.pt"):
        with refused(TypeError, "checkpoint", "path"):
            check_path(value, "checkpoint")
    for name in ("run\0.pt", "run\ud800.pt"):
        with refused(ValueError, "checkpoint", "character"):
            check_path(name, "checkpoint")
    with refused(ValueError, "checkpoint", "255 letters"):
        check_path(f"run/{'ä' * 128}/unet.pt", "checkpoint")
    assert check_path("run/\udce4.pt") == "run/\udce4.pt", "a name that is no UTF-8, as Python reads it from the disk"


def test_same_shape(refused: Any) -> None:
    check_same_shape(torch.rand(2, 3), torch.rand(2, 3), "a", "b")
    with refused(ValueError, "a and b", "(2, 3)", "(1, 3)"):
        check_same_shape(torch.rand(2, 3), torch.rand(1, 3), "a", "b")
    with refused(ValueError, "cpu", "meta"):
        check_same_shape(torch.rand(2), torch.rand(2, device="meta"), "a", "b")
    for name, pair in (("a", ([1.0], torch.rand(1))), ("b", (torch.rand(1), None)), ("b", (torch.rand(1), np.zeros(1)))):
        with refused(TypeError, f"{name} must be a torch.Tensor"):
            check_same_shape(*pair, "a", "b")  # type: ignore[arg-type]


def test_pairs(refused: Any) -> None:
    x = torch.rand(2, 1, 4, 4)
    check_pair(x - 3, x + 3)
    with refused(ValueError, "noisy", "(N, C, H, W)"):
        check_pair(x[0], x[0])
    with refused(ValueError, "noisy and clean", "(2, 1, 4, 4)", "(1, 1, 4, 4)"):
        check_pair(x, x[:1])
    with refused(TypeError, "target"):
        check_pair(x, None, "x", "target")  # type: ignore[arg-type]


def test_tensors_and_models(refused: Any) -> None:
    x, model = torch.zeros(3, dtype=torch.int64), nn.Identity()
    assert check_tensor(x, "labels") is x and check_model(model) is model
    with refused(TypeError, "labels", "list"):
        check_tensor([1], "labels")
    for value in ("unet", None, nn.Identity):
        with refused(TypeError, "model must be a torch.nn.Module"):
            check_model(value)
    with refused(ValueError, "model", "meta", "CPU"):
        check_model(nn.Linear(1, 1, device="meta"))
    with refused(TypeError, "images", "torch.Tensor"):
        check_model(nn.Linear(1, 1), [1.0])  # type: ignore[arg-type]


def test_outputs(refused: Any) -> None:
    x = torch.rand(2, 1, 4, 4)
    assert check_output(x, x.double()) is x
    with refused(ValueError, "the model's output and its input", "(2, 1, 4, 3)"):
        check_output(x[..., 1:], x)
    with refused(TypeError, "the model's output", "None"):
        check_output(None, x)  # type: ignore[arg-type]
    for output, other in ((x.long(), x), (x, x > 0.5), (x[:0], x[:0])):
        with refused(ValueError, "float numbers"):
            check_output(output, other, "its target")


def test_lists(refused: Any) -> None:
    assert check_list((1, 2), "shifts", [0.1]) == [1, 2] == check_list([1, 2], "shifts", [0.1])
    with refused(ValueError, "shifts", "empty", "shifts=[0.1]"):
        check_list([], "shifts", [0.1])
    for value in (None, 3, "ab", {1, 2}, torch.rand(2), np.zeros(2)):
        with refused(TypeError, "shifts must be a list", "shifts=[0.1]"):
            check_list(value, "shifts", [0.1])


def test_values_are_named_in_few_words() -> None:
    assert (
        describe("abc") == "the str 'abc'" and describe(None) == "the NoneType None" and describe((1, 2)) == "the tuple (1, 2)"
    )
    assert describe(np.zeros((2, 3))) == "a ndarray of shape (2, 3)" and describe(torch.rand(5)) == "a Tensor of shape (5,)"
    assert describe([1] * 100) == "a list" and describe((1,) * 100) == "a tuple" and describe(np.float32(1)) == "a float32"


def test_long_values_are_named_by_type_alone() -> None:
    with pytest.raises(TypeError, match=r"^image must be .{1,200}$") as caught:
        check_images("x" * 1000)
    assert "is a str;" in str(caught.value) and "xxx" not in str(caught.value)


# --- streams -------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_streams_seed_has_32_bits(seed: int, index: int) -> None:
    assert 0 <= derive_seed(seed, index) < 2**32 and derive_seed(seed, index) == derive_seed(seed, index)


@given(st.integers(0, 2**32 - 1))
def test_seed_zero_leaves_the_index(index: int) -> None:
    assert derive_seed(0, index) == index


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=20, unique=True))
def test_streams_of_one_seed_differ(seed: int, indices: list[int]) -> None:
    assert len({derive_seed(seed, index) for index in indices}) == len(indices)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=20, unique=True), st.integers(0, 2**32 - 1))
def test_seeds_differ_in_every_stream(seeds: list[int], index: int) -> None:
    assert len({derive_seed(seed, index) for seed in seeds}) == len(seeds)


def test_small_seeds_share_no_stream() -> None:
    # A hundred seeds of 1,000 photos each: where seed + index would give 1,099 streams.
    assert len({derive_seed(seed, index) for seed in range(100) for index in range(1000)}) == 100_000


def test_torchs_generator_draws_differently_for_each_stream() -> None:
    def first_number(seed: int, index: int) -> float:
        return torch.rand(1, generator=torch.Generator().manual_seed(derive_seed(seed, index))).item()

    assert len({first_number(seed, index) for seed in (0, 1, 2**31, 2**32 - 1) for index in range(20)}) == 80


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_seeds_that_differ_above_32_bits_alone_differ(seed: int, high: int) -> None:
    assert derive_seed(seed, 5) != derive_seed(seed + (high << 32), 5)
