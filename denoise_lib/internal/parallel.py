"""A list of independent jobs: one after another, in several processes, or on a Dask cluster.

A worker may die in the middle of a job, and a job may be done twice: its result must be the same each time.
"""

from __future__ import annotations

import logging
import platform
import re
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any, TypeVar

from .checks import check_count, check_function, describe

Job = TypeVar("Job")
Result = TypeVar("Result")
# A job's number, and its result or the error that the work raised.
Answer = tuple[int, Any, Exception | None]

CONNECT_SECONDS, WORKER_SECONDS = 8.0, 60.0
MOST_DEATHS = 3
"""How often in a row a process may die before any job is done."""


class JobsError(RuntimeError):
    """Jobs cannot be done: there is no such cluster, or processes die; the message says which are left, and what to do."""


def run_jobs(
    work: Callable[[Job], Result], jobs: Sequence[Job], *, processes: int = 1, scheduler: str | None = None
) -> Iterator[tuple[Job, Result]]:
    """Call `work(job)` for each job, and give out each result as soon as it is there.

    Args:
        work: a function of a module, which other processes can import. Only 1 process needs no import.
        jobs: what it is called with. One with a `name` is told by it in messages.
        processes: at a time, on this machine; 1 works in this process.
        scheduler: address of a Dask scheduler, such as 'tcp://192.168.0.10:8786': its workers do the jobs, as many at a time
            as they have threads.

    Yields:
        (job, result), in the order in which the jobs are done.

    Raises:
        TypeError, ValueError: a bad argument.
        JobsError: the cluster cannot be used, or jobs are left because their processes died; all others are done.
        Exception: what `work` raises for one job, as it is. No job is begun after that.
    """
    check_function(work, "work", "job")
    if not isinstance(jobs, (list, tuple)):
        raise TypeError(f"jobs must be a list, but is {describe(jobs)}; for example jobs=[1, 2, 3].")
    check_count(processes, "processes", high=1024, example=2)
    check_scheduler(scheduler)
    if not jobs:
        return iter(())
    if scheduler is not None:
        return _on_cluster(work, jobs, scheduler)
    return _in_processes(work, jobs, processes) if processes > 1 else ((job, work(job)) for job in jobs)


def check_scheduler(scheduler: object) -> None:
    """Raise a clear error unless `scheduler` is None or an address such as 'tcp://192.168.0.10:8786'."""
    if scheduler is None:
        return
    if not isinstance(scheduler, str):
        raise TypeError(f"scheduler must be an address such as 'tcp://192.168.0.10:8786', but is {describe(scheduler)}.")
    port = re.fullmatch(r"(?:tcp|tls)://(?:[\w.-]+|\[[\da-fA-F:.%]+\]):(\d{1,5})", scheduler, re.ASCII)
    if port is None or not 0 < int(port[1]) < 2**16:
        raise ValueError(f"scheduler must be an address such as 'tcp://192.168.0.10:8786', but is {scheduler!r:.60}.")


def _attempt(work: Callable[[Any], Any], number: int, job: Any) -> Answer:
    """Do one job. An error of the work is no fault of the machine: it travels as a value, and stops no pool."""
    from joblib import parallel_config

    try:
        with parallel_config(backend="threading"):  # what a job does in parallel stays in its process: Dask would spread it
            return number, work(job), None
    except Exception as error:
        error.add_note(traceback.format_exc())  # its own lines do not travel
        return number, None, error


def _in_processes(work: Callable[[Job], Result], jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Result]]:
    left, deaths = dict(enumerate(jobs)), 0
    while left:
        try:
            # One process would be this one, which a job must not take with it.
            with _results(work, left, n_jobs=max(2, min(processes, len(left))), backend="loky") as results:
                for number, result, error in results:
                    if error is not None:
                        raise error
                    deaths = 0
                    yield left.pop(number), result
        except BrokenProcessPool:  # with one process, all end
            deaths += 1
            if deaths == MOST_DEATHS:
                raise JobsError(
                    f"{_left(left, jobs)}: their process died {deaths} times, as it does where memory is short; run the same "
                    "again to go on, with fewer processes at a time."
                ) from None
            # One of these has done it: all others go first.
            suspects = [*left][:processes]
            left |= {number: left.pop(number) for number in suspects}


def _on_cluster(work: Callable[[Job], Result], jobs: Sequence[Job], scheduler: str) -> Iterator[tuple[Job, Result]]:
    left, lost = dict(enumerate(jobs)), None
    with _connected(scheduler, work) as client, _results(work, left, backend=_dask_backend(client)) as results:
        for number, result, error in results:
            if number < 0:
                lost = error
                continue
            if error is not None:
                raise error
            yield left.pop(number), result
    if left:
        raise JobsError(f"{_left(left, jobs)} on {scheduler}: {_reason(lost)}; run the same again to go on.")


@contextmanager
def _results(work: Callable[[Any], Any], jobs: dict[int, Any], **where: Any) -> Iterator[Iterator[Answer]]:
    """What joblib does with the jobs, as it comes; it is stopped where the block is left early."""
    from joblib import Parallel, delayed

    # One job a batch: a process that dies costs no other.
    pool = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all", **where)
    calls = [delayed(_attempt)(work, number, job) for number, job in jobs.items()]
    results: Generator[Answer, None, None] = pool(calls)
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib warns that jobs are left
            results.close()


@contextmanager
def _connected(scheduler: str, work: Callable[..., Any]) -> Iterator[Any]:
    """A client of a cluster on which the work can be done."""
    if find_spec("distributed") is None:
        raise JobsError("a cluster needs the package distributed; install it with: pip install 'denoise-lib[cluster]'.")
    from distributed import Client

    answer: Future[Any] = Future()

    def connect() -> None:
        try:
            answer.set_result(Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False))
        except Exception as error:  # whatever it makes of something else that listens there
            answer.set_exception(error)

    # In a thread that is not waited for: Dask waits for ever for something that takes the connection and says nothing.
    threading.Thread(target=connect, daemon=True).start()
    try:
        client = answer.result(CONNECT_SECONDS + 1)
    except Exception:
        raise JobsError(
            f"no Dask scheduler answers at {scheduler}; start one with: dask scheduler, and workers with: "
            f"dask worker {scheduler}."
        ) from None
    with _quiet("distributed.client", "tornado.application"), client:
        _wait_for_workers(client, scheduler)
        _check_machines(client, scheduler, work)
        yield client


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """What goes wrong is told in one sentence, and not in the words of these logs as well."""
    levels = {log: log.level for log in map(logging.getLogger, names)}
    for log in levels:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in levels.items():
            log.setLevel(level)


def _wait_for_workers(client: Any, scheduler: str) -> None:
    if client.ncores():
        return
    task = client.submit(platform.node, pure=False)  # a cluster that grows on demand needs one to grow for
    try:
        task.result(timeout=WORKER_SECONDS)
    except TimeoutError:
        raise JobsError(
            f"the scheduler {scheduler} has no workers after {WORKER_SECONDS:g} seconds; start some with: "
            f"dask worker {scheduler}."
        ) from None


def _check_machines(client: Any, scheduler: str, work: Callable[..., Any]) -> None:
    """All must have this library and what it needs: a worker that cannot read a job dies of it, without a word."""
    while isinstance(work, partial):
        work = work.func
    for name in ("denoise_lib:__version__", f"{getattr(work, '__module__', None) or 'denoise_lib'}:__name__"):
        ours = resolve_name(name)
        found = {f"the worker {at}": it for at, it in client.run(resolve_name, name, on_error="return").items()}
        try:
            found[f"the scheduler {scheduler}"] = client.run_on_scheduler(resolve_name, name)  # it reads jobs, too
        except Exception as error:
            found[f"the scheduler {scheduler}"] = error
        for machine, theirs in found.items():
            if isinstance(theirs, Exception):
                reason = " ".join(str(theirs).split())[:200]
                module = name.partition(":")[0]
                raise JobsError(f"{machine} cannot import {module} ({reason}); install the same there as on this machine.")
            if theirs != ours:
                raise JobsError(f"{machine} has denoise_lib {theirs}, but this machine has {ours}; install the same on all.")


def _dask_backend(client: Any) -> Any:
    """joblib's backend, for jobs of which some may be lost."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):  # type: ignore[misc]
        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, int(super().effective_n_jobs(n_jobs)))  # for a cluster of one, joblib would do the work here

        def submit(self, func: Any, callback: Any = None) -> Any:
            def tell(done: Future[Any]) -> None:
                if done.exception() is not None:
                    callback(done.exception())

            future = super().submit(func, callback)
            future.add_done_callback(tell)  # joblib tells of nothing that Dask gave up, and would wait for ever
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            return [(-1, None, out)] if isinstance(out, BaseException) else super().retrieve_result_callback(out)

    return Backend(client=client)


def _reason(lost: BaseException | None) -> str:
    """Why a cluster gave jobs up."""
    from distributed import CancelledError, KilledWorker

    if isinstance(lost, KilledWorker):
        return "the workers that did them died again and again, as they do where memory is short"
    if isinstance(lost, CancelledError):
        return "the connection to the scheduler was lost"
    return f"Dask gave them up ({type(lost).__name__}: {' '.join(str(lost).split())[:200]})"


def _left(left: dict[int, Any], jobs: Sequence[Any]) -> str:
    """'2 of 30 jobs are left (a, b)'."""
    names = [str(getattr(left[number], "name", left[number])) for number in sorted(left)]
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(left)} of {len(jobs)} jobs are left ({listed})"
