"""The runs in the sandbox, two at a time; without bubblewrap there is none to run behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from denoise_lib.classroom.sandbox.bubblewrap import bubblewrap_works

from .helpers import Outcome
from .runs import RUNS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    if here and not bubblewrap_works() and not os.environ.get("DENOISE_NEED_SANDBOX"):
        for item in here:
            item.add_marker(pytest.mark.skip(reason="bubblewrap is missing or not allowed here"))


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], list[Outcome]]]:
    """`outcomes("full disk", "01_noise_injection")`: what came of a run. All that the chosen tests need are started at once."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        started: dict[tuple[str, str], Future[list[Outcome]]] = {}

        def start(hardship: str, name: str) -> Future[list[Outcome]]:
            if (hardship, name) not in started:
                started[hardship, name] = pool.submit(RUNS[hardship], name)
            return started[hardship, name]

        for item in request.session.items:
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            if "hardship" in parameters:
                start(parameters["hardship"], parameters["name"])
        yield lambda hardship, name: start(hardship, name).result()
        pool.shutdown(cancel_futures=True)
