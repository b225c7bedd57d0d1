"""Bad input for every public function: a valid call is spoilt in one or two places, by whatever people pass by mistake.

Whatever comes in, a call returns, or is refused by the library's own words: a documented error, one sentence, no internals of
torch. It ends within seconds, changes none of its arguments and nothing global, and makes no NaN of finite numbers.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import io
import linecache
import math
import os
import pickle
import random
import re
import signal
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hostile_calls import CALLS, LEFT_OUT, Arguments, Call, colour, gray, network, uniform
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from package_walk import BENCHMARKS, FILES, MODULES, PACKAGE, full_name
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import denoise_lib
from denoise_lib.internal.checkpoints import CheckpointError
from denoise_lib.pretrained.weights import WeightsError
from denoise_lib.sources.download import DataError
from denoise_lib.tnet import TinyDenoiser
from denoise_lib.training import TrainingDiverged

SECONDS = 10
ERRORS = (TypeError, ValueError, DataError, WeightsError, CheckpointError, TrainingDiverged)
LIBRARY = (str(PACKAGE) + os.sep, str(PACKAGE.parent / "benchmarks") + os.sep)

# --- the pool ------------------------------------------------------------------------------------------------------------


class Odd(nn.Module):
    """A network whose output is made by a function of its input."""

    def __init__(self, output: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.output = output

    def forward(self, x: Tensor) -> Any:
        return self.output(self.scale * x)


class Empty(nn.Conv2d):
    """A convolution that complains here and not in torch."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input)


class TheirOwnError(Exception):
    """What a student's own code raises: it must come through as it is."""


def fails(*_: object) -> Any:
    raise TheirOwnError("this network is broken")


POOL: dict[str, Callable[[], Any]] = {
    "None": lambda: None, "True": lambda: True, "an object": object, "a class": lambda: nn.Identity, "Ellipsis": lambda: ...,
    "no text": str, "text": lambda: "abc", "a number as text": lambda: "0.5", "lines": lambda: "a\nb", "a null": lambda: "a\0b",
    "half a character": lambda: "\ud800", "much text": lambda: "x" * 5000, "a device": lambda: "cpu",
    "no device": lambda: "cuda:99", "meta": lambda: "meta", "bytes": lambda: b"x", "a path": lambda: Path("no/such/file"),
    "list": list, "tuple": tuple, "dict": dict, "set": lambda: {1}, "[None]": lambda: [None], "(1, 2)": lambda: (1, 2),
    "[0.5, 'a']": lambda: [0.5, "a"], "{'a': None}": lambda: {"a": None}, "(nan, 1)": lambda: (math.nan, 1),
    "(0, 10**30)": lambda: (0, 10**30), "iterator": lambda: iter([1, 2]), "range": lambda: range(3),
    "lambda": lambda: lambda *_: None, "a broken function": lambda: fails, "dtype": lambda: torch.float32,
    "0": lambda: 0, "1": lambda: 1, "-1": lambda: -1, "1.5": lambda: 1.5, "-0.5": lambda: -0.5, "nan": lambda: math.nan,
    "inf": lambda: math.inf, "-inf": lambda: -math.inf, "2**62": lambda: 2**62, "10**30": lambda: 10**30,
    "-10**30": lambda: -(10**30), "10**5000": lambda: 10**5000, "1e308": lambda: 1e308, "1e-308": lambda: 1e-308,
    "1j": lambda: 1j, "Fraction": lambda: Fraction(1, 3), "Decimal": lambda: Decimal("0.5"),
    "float32 number": lambda: np.float32(0.5), "int64 number": lambda: np.int64(3), "bool_": lambda: np.bool_(True),
    "float16 nan": lambda: np.float16("nan"), "0-d array": lambda: np.array(0.5), "array": lambda: np.zeros((2, 1, 8, 8)),
    "array of objects": lambda: np.array([None, "a"], dtype=object), "array of text": lambda: np.array(["a", "b"]),
    "uint8 array": lambda: np.full((8, 8), 7, np.uint8), "empty array": lambda: np.zeros((0, 8), np.uint8),
    "numpy generator": lambda: np.random.default_rng(0), "random generator": lambda: random.Random(0),
    "torch generator": torch.Generator,
    "images": gray, "colour images": colour, "one image": lambda: gray(count=1), "no batch": lambda: uniform(1, 8, 8),
    "a plane": lambda: uniform(8, 8), "three numbers": lambda: uniform(3), "5-d": lambda: uniform(1, 2, 1, 8, 8),
    "0-d": lambda: torch.tensor(0.5), "empty": lambda: torch.empty(0), "no images": lambda: torch.empty(0, 1, 8, 8),
    "no width": lambda: torch.empty(2, 1, 8, 0), "odd size": lambda: uniform(2, 1, 7, 9),
    "one pixel": lambda: uniform(2, 1, 1, 1),
    "many channels": lambda: uniform(2, 5, 8, 8), "black": lambda: torch.zeros(2, 1, 8, 8),
    "uint8": lambda: (255 * gray()).to(torch.uint8), "int64": lambda: gray().long(), "bool": lambda: gray() > 0.5,
    "complex": lambda: gray().to(torch.complex64), "float16": lambda: gray().half(), "bfloat16": lambda: gray().bfloat16(),
    "float64": lambda: gray().double(), "float8": lambda: gray().to(torch.float8_e4m3fn),
    "NaN": lambda: gray().index_fill(3, torch.tensor([2]), math.nan), "infinite": lambda: gray() / 0,
    "below 0": lambda: gray() - 0.5, "8-bit range": lambda: 255 * gray(), "huge": lambda: 1e30 * gray(),
    "huge float64": lambda: 1e300 * gray().double(), "large float16": lambda: 60000 * gray().half(),
    "tiny": lambda: 1e-30 * gray(), "needs gradients": lambda: gray().requires_grad_(),
    "not contiguous": lambda: gray().transpose(2, 3), "expanded": lambda: uniform(1, 1, 1, 8).expand(2, 1, 8, 8),
    "sparse": lambda: gray().to_sparse(), "without values": lambda: torch.empty(2, 1, 8, 8, device="meta"),
    "inference tensor": lambda: _inferred(), "parameter": lambda: nn.Parameter(gray()),
    "network": network, "colour network": lambda: network(TinyDenoiser), "no parameters": nn.Identity,
    "other shape": lambda: Odd(lambda x: x[..., 1:]), "returns None": lambda: Odd(lambda x: None),
    "returns NaN": lambda: Odd(lambda x: x * math.nan), "returns a pair": lambda: Odd(lambda x: (x, x)),
    "returns integers": lambda: Odd(lambda x: x.long()), "returns a number": lambda: Odd(lambda x: x.sum()),
    "forgets gradients": lambda: Odd(lambda x: x.detach()), "broken network": lambda: Odd(fails),
    "a network without weights": lambda: Empty(1, 1, 3, padding=1, device="meta"),
    "on another device": lambda: Odd(lambda x: x).to("meta"), "frozen": lambda: network().requires_grad_(False),
    "list of pairs": lambda: [(uniform(1, 8, 8), uniform(1, 8, 8))] * 2,
    "uneven pairs": lambda: [(gray()[0], gray()[0]), (uniform(1, 4, 4),) * 2],
    "data set": lambda: TensorDataset(gray(), gray(1)),
    "loader": lambda: DataLoader(TensorDataset(gray(), gray(1)), generator=torch.Generator()),
}  # fmt: skip


WRONG = ("an object", "Ellipsis", "bytes", "set", "{'a': None}", "dtype", "1j", "array of objects", "complex", "5-d", "NaN")
"""What no argument of the library can be."""
# What becomes of the right value itself; a value of another kind is left as it is.
TENSORS: dict[str, Callable[[Tensor], Any]] = {
    "float64": Tensor.double, "float16": Tensor.half, "uint8": lambda x: (255 * x).to(torch.uint8), "int64": Tensor.long,
    "bool": Tensor.bool, "complex": lambda x: x.to(torch.complex64), "NaN": lambda x: x * math.nan,
    "infinite": lambda x: x / 0, "negative": lambda x: -1 * x, "huge": lambda x: 1e30 * x, "8-bit range": lambda x: 255 * x,
    "sparse": Tensor.to_sparse, "meta": lambda x: x.to("meta"), "gradients": lambda x: x.float().requires_grad_(),
    "array": lambda x: x.numpy(), "nested": Tensor.tolist, "one less": lambda x: x[1:], "one axis more": lambda x: x[None],
    "first": lambda x: x[0], "narrow": lambda x: x[..., 1:], "twice": lambda x: torch.cat([x, x]),
    "turned": lambda x: x.transpose(0, -1),
    "black": torch.zeros_like, "white": torch.ones_like,
}  # fmt: skip
SEQUENCES: dict[str, Callable[[Any], Any]] = {
    "twice": lambda x: x + x, "with None": lambda x: [None, *x], "with text": lambda x: (*x, "a"),
    "without the last": lambda x: x[:-1], "all None": lambda x: [None] * len(x), "an iterator": iter,
}  # fmt: skip
MAPPINGS: dict[str, Callable[[dict[Any, Any]], Any]] = {
    "without a key": lambda x: dict([*x.items()][1:]), "None for a value": lambda x: {**x, next(iter(x), "a"): None},
    "all None": lambda x: dict.fromkeys(x), "numbers as keys": lambda x: dict(enumerate(x.values())), "keys alone": list,
    "lists": lambda x: {key: [] for key in x}, "a key more": lambda x: {**x, "another": 1},
    "NaN": lambda x: dict.fromkeys(x, math.nan),
}  # fmt: skip
TWISTS: dict[str, tuple[type | tuple[type, ...], Callable[[Any], Any]]] = {
    **{f"own, {name}": (Tensor, twist) for name, twist in TENSORS.items()},
    **{f"own list, {name}": ((list, tuple), twist) for name, twist in SEQUENCES.items()},
    **{f"own dict, {name}": (dict, twist) for name, twist in MAPPINGS.items()},
}


def _inferred() -> Tensor:
    with torch.inference_mode():
        return gray() * 1


# --- what is looked at before and after ----------------------------------------------------------------------------------


def frozen(value: Any) -> Any:
    """A copy of all that a call could change in an argument, in a form that `==` compares."""
    if isinstance(value, Tensor):
        empty = value.device.type == "meta" or value.is_sparse or not value.numel()
        content = None if empty else value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        return (tuple(value.shape), value.dtype, value.requires_grad, value.grad is None, content)
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype, value.tobytes())
    if isinstance(value, nn.Module):
        modes = [module.training for module in value.modules()]
        return (modes, [(name, frozen(part)) for name, part in [*value.named_parameters(), *value.named_buffers()]])
    if isinstance(value, dict):
        return [(key, frozen(part)) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [frozen(part) for part in value]
    if isinstance(value, float):
        return str(value)
    return None


def outside() -> dict[str, Any]:
    """What no function has a right to change."""
    return {
        "torch's random numbers": torch.get_rng_state().numpy().tobytes(),
        "numpy's random numbers": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "default dtype": torch.get_default_dtype(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "threads": torch.get_num_threads(),
        "folder": Path.cwd(),
        "environment": dict(os.environ),
        "filters of warnings": [*warnings.filters],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def finite(value: Any) -> bool:
    """Whether no number in it is NaN or infinite."""
    if isinstance(value, (float, complex, np.floating)):
        return math.isfinite(abs(complex(value)))
    if isinstance(value, Tensor):
        strange = value.device.type == "meta" or not (value.is_floating_point() or value.is_complex())
        return strange or bool(value.detach().to_dense().to(torch.complex128).isfinite().all())
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    if isinstance(value, Odd):
        return bool(finite(value.output(torch.zeros(1))) if value.output is not fails else True)
    if isinstance(value, nn.Module):
        return all(map(finite, value.state_dict().values()))
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(finite, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return all(map(finite, vars(value).values()))
    return True


# --- one call ------------------------------------------------------------------------------------------------------------


@contextmanager
def alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError(f"still at work after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def complaint(call: Call, error: BaseException) -> str | None:
    """What is wrong with an error; None where it is as it should be."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = any(frame.filename == __file__ for frame in frames[1:])
    if theirs and not isinstance(error, TimeoutError):
        return None  # the fault of a function or a network of the caller's own, told as it is
    where = f"{type(error).__name__} from {frames[-1].filename}:{frames[-1].lineno}: {str(error)[:200]!r}"
    if not isinstance(error, (*ERRORS, *call.errors)):
        return f"an undocumented {where}"
    last = frames[-1]
    statement = linecache.getline(last.filename, last.lineno or 0).strip()
    named = type(error).__module__.startswith("denoise_lib.")  # a thread's error comes through joblib
    if not named and not (last.filename.startswith(LIBRARY) and statement.startswith("raise ")):
        return f"not the library's own {where}"
    message = str(error)
    if not message or "\n" in message or re.search(r"[a-z)\]'\"]\.\s+[A-Z]", message) or len(message) > 600:
        return f"not one sentence, but {where}"
    return None


def judged(call: Call, arguments: Arguments) -> str | None:
    """What is wrong with what a call does; None where nothing is."""
    before, world, numbers = {name: frozen(value) for name, value in arguments.items()}, outside(), finite(arguments)
    problem, result = None, None
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        filters = [*warnings.filters]
        try:
            with alarm():
                result = call.function(**arguments)
        except Exception as error:
            problem = complaint(call, error)
        if [*warnings.filters] != filters:
            return "the filters of warnings are changed"
    if problem is not None:
        return problem
    if numbers and not call.unknown and not finite(result):
        return f"NaN or infinity out of finite numbers: {str(result)[:200]}"
    for name, value in arguments.items():
        if name not in call.changes and frozen(value) != before[name]:
            return f"the argument {name} is changed"
    changed = [name for name, value in outside().items() if value != world[name]]
    if "torch's random numbers" in changed and (call.draws or arguments.get("generator", 0) is None):
        changed.remove("torch's random numbers")
    return f"changed: {', '.join(changed)}" if changed else None


def spoilt(call: Call, places: dict[str, str]) -> Arguments:
    """The valid arguments, with some replaced by values of the pool, or twisted."""
    arguments = call.valid()
    for name, value in places.items():
        if value in POOL:
            arguments[name] = POOL[value]()
        elif isinstance(arguments[name], TWISTS[value][0]):
            arguments[name] = TWISTS[value][1](arguments[name])
    return arguments


# --- the tests -----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    plt.close("all")


@pytest.fixture(scope="module", autouse=True)
def imports_are_over() -> None:
    """What torch, joblib and torch-snippets import when first used changes the environment and the filters of warnings."""
    for name in ("training.fit", "sources.photographs.photos", "display.figures.paper_show"):
        with redirect_stdout(io.StringIO()):
            CALLS[name].function(**CALLS[name].valid())


# Each was told in torch's or Python's own words, or hung, crashed, or gave a wrong result without a word.
REGRESSIONS: list[tuple[str, dict[str, str]]] = [
    # Python itself crashed: numpy makes a picture of that size, and writes beside it
    ("display.figures.tile", {"scale": "2**62"}),
    # never finished
    ("saliency.self_sensitivity_with_error", {"probes": "2**62"}), ("training.fit", {"epochs": "2**62"}),
    ("benchmarks.timing.time_interleaved", {"repeats": "2**62"}),
    ("papers.digit_classifier.train_classifier", {"epochs": "2**62"}),
    # answered with NaN or infinity
    ("metrics.mse", {"a": "huge float64"}), ("metrics.mse", {"a": "large float16", "b": "float16"}),
    ("papers.saliency_statistics.summary", {"values": "huge float64"}),
    ("saliency.smoothgrad", {"x": "large float16"}),
    ("papers.baselines.best_affine", {"noisy": "no images"}), ("training.fit", {"lr": "10**30"}),
    # changed what is not theirs: layers that were frozen, torch's random numbers, the caller's gradients
    ("metrics.predict", {}), ("metrics.evaluate", {}), ("training.fit", {"validation": "list of pairs"}),
    ("papers.digit_classifier.train_classifier", {"images": "own, gradients"}),
    # networks and what they return
    ("unet.UNet.forward", {"x": "float64"}), ("unet.UNet.forward", {"x": "sparse"}),
    ("unet.UNet.forward", {"x": "inference tensor"}), ("tnet.SelfEnsemble.forward", {"model": "None"}),
    ("tnet.SelfEnsemble.forward", {"model": "other shape"}), ("tnet.SelfEnsemble.forward", {"model": "returns integers"}),
    ("tnet.TNet", {"batch_norm": "images"}), ("metrics.predict", {"model": "returns None"}),
    ("metrics.predict", {"model": "returns a number"}), ("metrics.evaluate", {"model": "returns a pair"}),
    ("training.fit", {"model": "returns None"}), ("training.fit", {"model": "other shape"}),
    ("training.fit", {"model": "forgets gradients"}), ("saliency.output_gradient", {"model": "returns None"}),
    ("saliency.output_gradient", {"model": "returns a number"}),
    ("papers.saliency_statistics.output_map", {"model": "returns a pair"}),
    ("exercises.capstone.pack_weights", {"network": "a network without weights"}), ("losses.hdr_loss", {"output": "None"}),
    ("losses.masked_l2_loss", {"target": "three numbers"}), ("losses.AnnealedL0.__call__", {"target": "bool"}),
    # images that cannot be looked at, or of which no gradient can be taken
    ("internal.checks.check_images", {"image": "sparse"}), ("internal.checks.check_images", {"image": "without values"}),
    ("internal.checks.check_images", {"image": "float8"}), ("saliency.loss_gradient", {"x": "inference tensor"}),
    ("saliency.smoothgrad", {"context": "sparse"}), ("saliency.smoothgrad", {"context": "0-d"}),
    ("losses.best_prediction", {"targets": "float16"}), ("losses.risk", {"targets": "not contiguous"}),
    ("papers.baselines.fit_baseline", {"noisy": "needs gradients"}), ("papers.baselines.fit_baseline", {"noisy": "bfloat16"}),
    ("papers.saliency_statistics.compare_groups", {"maps": "complex"}),
    ("papers.saliency_statistics.rank_correlation", {"a": "float8", "b": "float8"}),
    ("display.figures.tile", {"images": "5-d"}), ("display.views.render_smoothgrad", {"samples": "needs gradients"}),
    # numbers, choices and names
    ("internal.checks.check_number", {"value": "10**5000"}), ("internal.checks.describe", {"value": "10**5000"}),
    ("internal.checks.check_choice", {"value": "array"}), ("internal.checks.check_choice", {"value": "images"}),
    ("training.fit", {"checkpoint": "much text"}),
    ("metrics.psnr", {"data_range": "1e308"}),
    ("corruptions.Bernoulli", {"missing": "array"}), ("losses.corrupted_pixel", {"count": "2**62"}),
    ("saliency.smoothgrad", {"n_samples": "2**62"}), ("papers.saliency_statistics.loss_map", {"noise_level": "images"}),
    ("saliency.check_pixel", {"x": "None"}), ("papers.pairs.photo_pairs", {"side": "2**62"}),
    ("papers.pairs.distinct_photos", {"seed": "None"}),
    ("display.views.noisy_copy", {"seed": "10**30"}), ("display.views.render_assumptions", {"draws": "2**62"}),
    ("display.sliders.estimator_explorer", {"corruption": "text"}), ("data.NoisyImages.batches", {"device": "no device"}),
    ("data.NoisyImages.batches", {"device": "meta"}), ("internal.devices.default_device", {"device": "10**30"}),
    # flags that were not looked at
    ("noise.add_noise", {"clip": "images"}), ("data.NoisyImages", {"fresh": "array"}),
    ("data.NoisyPairs", {"exchange": "images"}),
    ("data.NoisyImages.batches", {"shuffle": "images"}), ("training.fit", {"shuffle": "images"}),
    ("training.fit", {"progress": "array"}), ("papers.pairs.photo_pairs", {"cache": "images"}),
    # functions and data sets
    ("saliency.smoothgrad", {"score": "None"}), ("saliency.smoothgrad", {"score": "network"}),
    ("training.fit", {"loss": "network"}),
    ("training.fit", {"loss": "lambda"}), ("training.fit", {"schedule": "a class"}), ("training.fit", {"validation": "lambda"}),
    ("training.fit", {"dataset": "text"}), ("training.fit", {"dataset": "uneven pairs"}),
    ("training.fit", {"dataset": "[None]"}),
    ("data.NoisyImages.__getitem__", {"index": "1.5"}), ("data.NoisyPairs.__getitem__", {"index": "None"}),
    ("sources.digits.exclude_images", {"images": "own, sparse"}), ("sources.digits.exclude_images", {"unwanted": "own, meta"}),
    ("data.exchange_pixels", {"first": "None"}), ("data.random_symmetry", {"second": "None"}),
    # contents of many parts
    ("papers.results.markdown_table", {"content": "None"}),
    ("papers.results.markdown_table", {"content": "own dict, all None"}),
    ("papers.noise2noise_tables.photo_table", {"content": "text"}),
    ("papers.smoothgrad_claims.claims_table", {"content": "dict"}),
    ("benchmarks.tables.benchmark_table", {"content": "own dict, lists"}),
    ("papers.noise2noise_tables.mean_and_std", {"values": "list"}),
    ("papers.noise2noise_tables.model_name", {"network": "text"}),
    ("internal.atomic_write.write_json", {"content": "an object"}),
    ("internal.tables.table", {"rows": "images"}),
    ("display.notebook.headline", {"key": "list"}),
    ("papers.saliency_statistics.format_summary", {"value": "None"}),
    ("exercises.judging.compare", {"mine": "text"}), ("exercises.judging.attempt", {"seed": "None"}),
    ("exercises.judging.CallRecord.unpacked", {"content": "own dict, NaN"}),
    ("exercises.checker.Answers.of", {"name": "list"}), ("exercises.checker.Checks.export", {"path": "a path"}),
    ("exercises.capstone.unpack_weights", {"text": "None"}),
    ("display.figures.panel", {"pictures": "[None]"}),
    ("display.figures.mark", {"picture": "None"}),
    ("display.figures.heat_map", {"values": "None"}),
    ("display.figures.learning_curves", {"histories": "{'a': None}"}),
    ("display.sliders.filmstrip", {"render": "lambda"}), ("display.sliders.guess_the_mu", {"images": "sparse"}),
    ("papers.unet_vs_autoencoder.execute", {"run": "an object"}), ("papers.noise2noise_tnet.table_runs", {"base": "None"}),
    ("papers.noise2noise_tnet.PhotoRun", {"noise": "array"}),
    ("papers.digit_classifier.class_score", {"labels": "int64 number"}),
]  # fmt: skip


def places(call: Call, name: str) -> list[str]:
    """What may stand in the place of an argument."""
    if call.wrong_only:
        return [*WRONG]
    return [*POOL, *(twist for twist, (kinds, _) in TWISTS.items() if isinstance(call.valid()[name], kinds))]


def spoils(call: Call) -> st.SearchStrategy[dict[str, str]]:
    """One or two arguments, and what stands in their places."""
    open_arguments = [name for name in call.valid() if name not in call.fixed]
    one = st.one_of([st.tuples(st.just(name), st.sampled_from(places(call, name))) for name in open_arguments])
    return st.lists(one, min_size=1, max_size=2).map(dict)


@pytest.mark.parametrize("name", CALLS)
def test_bad_input(name: str) -> None:
    call = CALLS[name]

    @seed(zlib.crc32(name.encode()))  # else all functions would be tried with the same few values
    @settings(max_examples=call.examples)
    @given(spoils(call))
    def check(places: dict[str, str]) -> None:
        assert judged(call, spoilt(call, places)) is None

    check()


@pytest.mark.parametrize(("name", "places"), REGRESSIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_what_once_went_wrong(name: str, places: dict[str, str]) -> None:
    assert judged(CALLS[name], spoilt(CALLS[name], places)) is None


def takes_a_model_and_images(call: Call) -> bool:
    """By its signature: arguments may be files, and none is to be written while tests are collected."""
    return {"model", "x"} <= inspect.signature(call.function).parameters.keys()


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if takes_a_model_and_images(call)])
def test_a_network_without_weights_is_refused(name: str, refused: Any) -> None:
    """torch's convolution on the device 'meta' takes images on the CPU, and returns whatever stands in the memory."""
    empty = nn.Conv2d(1, 1, 3, padding=1, device="meta")
    with refused(ValueError, "model", "meta"):
        CALLS[name].function(**CALLS[name].valid() | {"model": empty})


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if not call.wrong_only])
def test_a_valid_call_is_taken(name: str) -> None:
    call = CALLS[name]
    with redirect_stdout(io.StringIO()):
        call.function(**call.valid())


# --- every function is there ---------------------------------------------------------------------------------------------


def public(module: str) -> list[str]:
    """All functions, classes and methods of a module that take arguments, by name."""
    found = []
    for name, value in vars(importlib.import_module(full_name(module))).items():
        if name.startswith("_") or getattr(value, "__module__", "") != full_name(module):
            continue
        if inspect.isclass(value) and not issubclass(value, BaseException):
            found += [f"{module}.{name}.{method}" for method, code in vars(value).items() if takes_more_than_self(method, code)]
        if inspect.isroutine(value) or (inspect.isclass(value) and not issubclass(value, BaseException)):
            found += [f"{module}.{name}"] if inspect.signature(value).parameters else []
    return found


def takes_more_than_self(name: str, code: object) -> bool:
    if isinstance(code, property):
        return code.fset is not None
    function = code.__func__ if isinstance(code, (classmethod, staticmethod)) else code
    hidden = name.startswith("_") and name not in ("__call__", "__getitem__")
    return inspect.isfunction(function) and not hidden and len(inspect.signature(function).parameters) > 1


PUBLIC = [name for module in (*MODULES, *BENCHMARKS) if module != "__main__" for name in public(module)]


def test_every_public_function_is_in_the_table_or_left_out_for_a_reason() -> None:
    missing = [name for name in PUBLIC if name not in CALLS and name not in LEFT_OUT]
    missing = [name for name in missing if not any(name.startswith(f"{part}.") for part in LEFT_OUT)]
    assert not missing, f"give a valid call in hostile_calls.py, or a reason in LEFT_OUT: {missing}"
    assert not CALLS.keys() & LEFT_OUT.keys()
    for name in denoise_lib.__all__:
        value = getattr(denoise_lib, name)
        error = inspect.isclass(value) and issubclass(value, BaseException)
        if callable(value) and not error and inspect.signature(value).parameters:
            assert {f"{value.__module__.removeprefix('denoise_lib.')}.{name}"} & (CALLS.keys() | LEFT_OUT.keys()), name


def test_the_table_has_no_function_that_is_gone() -> None:
    gone = [name for name in (*CALLS, *LEFT_OUT) if name not in PUBLIC and name not in (FILES | BENCHMARKS)]
    assert not gone, f"these are no public functions with arguments: {gone}"


def test_arguments_have_their_functions_names() -> None:
    """So that no argument is forgotten: each that a function takes is in its call."""
    for name, call in CALLS.items():
        if not name.startswith("internal.checks.") and getattr(call.function, "__module__", "").startswith(
            ("denoise_lib.", "benchmarks.")
        ):
            assert call.valid().keys() == inspect.signature(call.function).parameters.keys(), name
