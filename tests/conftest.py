"""What the tests share: one thread, reproducible hypothesis, tiny digits, and the check that an error is one clear sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from torch import Tensor

from denoise_lib.data import mnist

torch.set_num_threads(1)
# Derandomised: a property that fails must fail on every machine, not on one unlucky day.
settings.register_profile("course", max_examples=20, deadline=None, derandomize=True, database=None)
settings.load_profile("course")


Refused = Callable[..., AbstractContextManager[None]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fast tests first: what fails, fails early."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def refused() -> Refused:
    """`with refused(ValueError, "mu"):` demands this error, told in one line and one sentence that names each word."""

    @contextmanager
    def check(error: type[BaseException] | tuple[type[BaseException], ...], *words: str) -> Iterator[None]:
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert message and "\n" not in message
        assert not re.search(r"[a-z)\]'\"]\.\s+[A-Z]", message), f"more than one sentence: {message}"
        for word in words:
            assert word in message, f"{word!r} is not in: {message}"

    return check


@pytest.fixture(scope="session")
def small_train() -> Tensor:
    return mnist("train", "small")


@pytest.fixture(scope="session")
def small_test() -> Tensor:
    return mnist("test", "small")


@pytest.fixture
def digits(small_train: Tensor) -> Tensor:
    """32 digits, uint8 (32, 1, 28, 28)."""
    return small_train[:32].clone()


@pytest.fixture
def seeded() -> Callable[[int], torch.Generator]:
    return lambda seed: torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def full_mnist() -> Path:
    """The folder that holds all of MNIST: DENOISE_DATA, else the cache. Nothing is downloaded."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "denoise_lib"
    folders = [Path(os.environ["DENOISE_DATA"]), cache] if os.environ.get("DENOISE_DATA") else [cache]
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    for folder in folders:
        if all((folder / "MNIST" / "raw" / name).exists() for name in names):
            return folder
    pytest.skip("the full MNIST is neither in DENOISE_DATA nor in the cache folder, and tests download nothing")
