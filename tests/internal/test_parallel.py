"""Jobs in other processes and on a Dask cluster of several: workers are killed, and nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jobs_at_work as work
import pytest
import torch

import denoise_lib
from denoise_lib.__main__ import main
from denoise_lib.internal import parallel, seeding
from denoise_lib.internal.atomic_write import write_whole
from denoise_lib.internal.parallel import JobsError, run_jobs
from denoise_lib.metrics import evaluate
from denoise_lib.papers import noise2noise_tnet, pairs, study, unet_vs_autoencoder
from denoise_lib.papers.noise2noise_tnet import PhotoRun
from denoise_lib.papers.pairs import Photos
from denoise_lib.papers.results import read_results
from denoise_lib.papers.unet_vs_autoencoder import Run, reproduce
from denoise_lib.pretrained.weights import read_weights
from denoise_lib.unet import UNet

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
RUNS = [
    Run("unet", level, recipe, "small", 1, seed)
    for seed in (0, 1)
    for recipe in ("paper", "best")
    for level in ("mild", "severe")
]
SWEEP = ["reproduce", "unet-vs-autoencoder", "--networks", "unet", "--levels", "mild,severe", "--recipe", "paper,best",
         "--seeds", "2", "--data", "small", "--epochs", "1"]  # fmt: skip


@contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    from distributed import LocalCluster

    preload = str(ROOT / "tests" / "helpers" / "jobs_at_work.py")
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0", preload=preload, silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What all processes share: the folder of `jobs_at_work`, and a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBS_FOLDER", str(tmp_path_factory.mktemp("jobs")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield work.folder()


@pytest.fixture(scope="module")
def cluster(shared: Path) -> Iterator[Any]:
    """A scheduler and three workers, each a process; one that is killed is replaced."""
    with local_cluster(3) as cluster:
        yield cluster


@pytest.fixture
def folder(shared: Path) -> Path:
    """Nothing begun yet, and nothing deadly."""
    for path in shared.iterdir():
        path.unlink()
    return shared


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """This process trains on a few digits, too."""
    monkeypatch.setattr(unet_vs_autoencoder, "mnist", work.tiny_digits)
    monkeypatch.setattr("denoise_lib.data.mnist", work.tiny_digits)


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what the clock and the machine say."""
    kept: dict[str, Any] = json.loads(json.dumps(result))
    del kept["training_seconds"], kept["test"]["seconds_per_image"], kept["machine"]
    return kept


def table(path: Path) -> dict[str, dict[str, Any]]:
    return {unet_vs_autoencoder._run_of(row).name: numbers(row) for row in read_results(path)["runs"]}


@pytest.fixture(scope="module")
def expected(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The sweep's numbers, from this process alone."""
    path = tmp_path_factory.mktemp("alone") / "table.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unet_vs_autoencoder, "mnist", work.tiny_digits)
        patch.setattr("denoise_lib.data.mnist", work.tiny_digits)
        reproduce(RUNS, path, device="cpu")
    return table(path)


def command(*options: str, **more: Any) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "denoise_lib", *options]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


# --- a list of jobs ------------------------------------------------------------------------------------------------------


def test_one_process_works_here_and_gives_each_result_at_once(folder: Path) -> None:
    results = run_jobs(work.square, [1, 2, 3])
    assert work.begun() == [] and next(results) == (1, 1) and work.begun() == ["1"]
    assert list(results) == [(2, 4), (3, 9)]
    assert dict(run_jobs(work.process, [1])) == {1: os.getpid()}


def test_other_processes(folder: Path) -> None:
    found = dict(run_jobs(work.process, [*range(6)], processes=2))
    assert found.keys() == {*range(6)} and os.getpid() not in found.values()
    assert dict(run_jobs(work.process, [1], processes=2))[1] != os.getpid()  # even one job, which could end its process


def test_a_process_that_dies_is_replaced(folder: Path) -> None:
    (folder / "deadly").write_text("3")
    assert dict(run_jobs(work.square, [*range(8)], processes=2)) == {number: number**2 for number in range(8)}
    assert work.begun().count("3") == 2


def test_a_job_that_always_ends_its_process_is_named_and_all_others_are_done(folder: Path, refused: Any) -> None:
    (folder / "deadly").write_text("3 always")
    found: dict[int, int] = {}
    with refused(JobsError, "1 of 8 jobs are left (3)", "died 3 times", "run the same again"):
        for number, square in run_jobs(work.square, [*range(8)], processes=2):
            found[number] = square
    assert found == {number: number**2 for number in range(8) if number != 3}


def test_workers_of_a_cluster(cluster: Any, folder: Path) -> None:
    found = dict(run_jobs(work.process, [*range(12)], scheduler=cluster.scheduler_address))
    workers = {worker.process.pid for worker in cluster.workers.values()}
    assert found.keys() == {*range(12)} and set(found.values()) <= workers and len(set(found.values())) > 1


def test_what_a_job_does_in_parallel_stays_in_its_process(cluster: Any) -> None:
    for _, processes in run_jobs(work.parallel, [1, 2, 3], scheduler=cluster.scheduler_address):
        assert len(processes) == 1


def test_a_killed_worker_costs_one_job(cluster: Any, folder: Path) -> None:
    (folder / "deadly").write_text("3")
    found = dict(run_jobs(work.slow_square, [*range(6)], scheduler=cluster.scheduler_address))
    assert found == {number: number**2 for number in range(6)}
    assert sorted(work.begun()) == ["0", "1", "2", "3", "3", "4", "5"]


def test_a_cluster_of_one_works_there_and_tells_of_a_job_that_kills_it(folder: Path, refused: Any) -> None:
    import dask

    (folder / "deadly").write_text("3 always")
    found: dict[int, int] = {}
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), local_cluster(1) as alone:
        address = alone.scheduler_address
        assert dict(run_jobs(work.process, [0], scheduler=address))[0] == next(iter(alone.workers.values())).process.pid
        with refused(JobsError, "1 of 3 jobs are left (3)", address, "died again and again", "run the same again"):
            for number, square in run_jobs(work.square, [1, 2, 3], scheduler=address):
                found[number] = square
    assert found == {1: 1, 2: 4}


@pytest.mark.parametrize("where", ["here", "processes", "cluster"])
def test_an_error_of_the_work_comes_as_it_is_and_is_not_tried_again(
    where: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue("cluster").scheduler_address if where == "cluster" else None
    found: dict[int, int] = {}
    with pytest.raises(work.OddError) as caught:
        for number, square in run_jobs(
            work.square_but_three, [1, 2, 3], processes=2 if where == "processes" else 1, scheduler=address
        ):
            found[number] = square
    assert str(caught.value) == "three is odd." and found == {1: 1, 2: 4} and sorted(work.begun()) == ["1", "2", "3"]
    if where != "here":
        assert "in square_but_three" in caught.value.__notes__[0]  # where it was raised


def test_no_jobs_need_nobody() -> None:
    assert list(run_jobs(work.square, [], scheduler="tcp://127.0.0.1:1")) == list(run_jobs(work.square, [], processes=2)) == []


# --- clusters that cannot be used ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["foo", "", "http://192.168.0.10:8786", "192.168.0.10:8786", "tcp://192.168.0.10", "tcp://192.168.0.10:0", "tcp://a:99999",
     "tcp://:8786", "tcp://a:8786/b", "tcp://a b:8786", " tcp://a:8786"],
)  # fmt: skip
def test_bad_addresses(address: str, tmp_path: Path, refused: Any) -> None:
    with refused(ValueError, "scheduler", "'tcp://192.168.0.10:8786'"):
        run_jobs(work.square, [1], scheduler=address)
    for call in (
        lambda: reproduce(RUNS, tmp_path / "a.json", scheduler=address),
        lambda: noise2noise_tnet.reproduce([], Photos("builtin"), tmp_path / "a.json", scheduler=address),
    ):
        with refused(ValueError, "scheduler", "'tcp://192.168.0.10:8786'"):
            call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address", ["tcp://scheduler:8786", "tcp://[::1]:8786", "tls://10.0.0.1:1", "tcp://node-3.cluster.org:65535"]
)
def test_good_addresses(address: str) -> None:
    parallel.check_scheduler(address)


def test_bad_arguments(refused: Any) -> None:
    for arguments, error, word in (
        ({"work": 3}, TypeError, "work"), ({"work": lambda: 3}, TypeError, "work"), ({"jobs": 3}, TypeError, "jobs"),
        ({"jobs": "ab"}, TypeError, "jobs"), ({"processes": 0}, ValueError, "processes"),
        ({"scheduler": 8786}, TypeError, "scheduler"),
    ):  # fmt: skip
        with refused(error, word):
            run_jobs(**{"work": work.square, "jobs": [1]} | arguments)  # type: ignore[arg-type]


def test_without_dask_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refused(JobsError, "pip install 'denoise-lib[cluster]'"):
        list(run_jobs(work.square, [1], scheduler="tcp://127.0.0.1:1"))


def test_nobody_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    begin = time.monotonic()
    process = command(*SWEEP, "--scheduler", address, "--output", "table.json", cwd=tmp_path)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 1 and out == "" and time.monotonic() - begin < 60  # most of it are imports
    assert (
        err.startswith(f"error: no Dask scheduler answers at {address}; start one with: dask scheduler")
        and err.count("\n") == 1
    )


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n" * 9])
def test_something_else_answers(greeting: bytes, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setattr(parallel, "CONNECT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].sendall(greeting), daemon=True).start()
        with refused(JobsError, "no Dask scheduler answers", "dask worker tcp://"):
            list(run_jobs(work.square, [1], scheduler=f"tcp://127.0.0.1:{server.getsockname()[1]}"))


def test_no_workers(shared: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setattr(parallel, "WORKER_SECONDS", 0.5)
    with (
        local_cluster(0) as empty,
        refused(JobsError, "no workers after 0.5 seconds", f"dask worker {empty.scheduler_address}"),
    ):
        list(run_jobs(work.square, [1], scheduler=empty.scheduler_address))


def test_workers_that_come_late_are_waited_for(shared: Path, folder: Path) -> None:
    with local_cluster(0) as empty:
        threading.Timer(1, lambda: empty.scale(1)).start()
        assert list(run_jobs(work.square, [3], scheduler=empty.scheduler_address)) == [(3, 9)]


def test_workers_of_another_version(cluster: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    theirs = denoise_lib.__version__
    monkeypatch.setattr(denoise_lib, "__version__", "0.0.9")
    with refused(JobsError, "the worker tcp://", f"has denoise_lib {theirs}, but this machine has 0.0.9"):
        list(run_jobs(work.square, [1], scheduler=cluster.scheduler_address))
    assert work.begun() == []


def test_workers_that_lack_a_module(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    (tmp_path / "only_here.py").write_text("def work(job):\n    return job\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # type: ignore[import-not-found]

    with refused(JobsError, "cannot import only_here (No module named 'only_here')", "install the same there"):
        list(run_jobs(only_here.work, [1], scheduler=cluster.scheduler_address))
    assert dict(run_jobs(work.square, [2], scheduler=cluster.scheduler_address)) == {2: 4}  # the workers are still alive


def test_a_scheduler_that_goes_away(folder: Path, refused: Any, capfd: pytest.CaptureFixture[str]) -> None:
    found: dict[int, int] = {}
    with local_cluster(1) as lost, refused(JobsError, "8 jobs are left", "connection to the scheduler was lost"):
        for number, square in run_jobs(work.slow_square, [*range(8)], scheduler=lost.scheduler_address):
            found[number] = square
            threading.Thread(target=lost.close, daemon=True).start()
    assert 1 <= len(found) < 8 and "Traceback" not in capfd.readouterr().err


# --- sweeps --------------------------------------------------------------------------------------------------------------


def test_a_sweep_on_a_cluster_survives_a_killed_worker(
    cluster: Any, folder: Path, tmp_path: Path, expected: dict[str, dict[str, Any]]
) -> None:
    deadly = RUNS[4].name
    (folder / "deadly").write_text(deadly)
    process = command(*SWEEP, "--scheduler", cluster.scheduler_address, "--output", "out/table.json", cwd=tmp_path)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert err == "" and "8 of 8: unet-" in out
    assert table(tmp_path / "out/table.json") == expected
    assert sorted(work.begun()) == sorted([*(run.name for run in RUNS), deadly])  # one is lost, and trained again
    files = sorted(path.name for path in (tmp_path / "out/runs").iterdir())
    assert files == sorted([".sweep", *(run.name + suffix for run in RUNS for suffix in (".json", ".safetensors"))])


# Ctrl-C is a signal on Linux and macOS alone.
@pytest.mark.parametrize("stop", [work.KILL, *([signal.SIGINT] if os.name == "posix" else [])])
def test_a_sweep_goes_on_after_its_driver_was_stopped(
    stop: signal.Signals, cluster: Any, folder: Path, tmp_path: Path, expected: dict[str, dict[str, Any]]
) -> None:
    line = [*SWEEP, "--scheduler", cluster.scheduler_address, "--output", "table.json"]
    process, runs = command(*line, cwd=tmp_path), tmp_path / "runs"
    while process.poll() is None and len([*runs.glob("*.json")]) < 2:
        time.sleep(0.01)
    process.send_signal(stop)
    _, err = process.communicate(timeout=60)
    assert not (tmp_path / "table.json").exists()
    if stop == signal.SIGINT:
        assert process.returncode == 130 and err == "stopped; run the same command again to go on.\n"
    done = {path.stem for path in runs.glob("*.json")}
    process = command(*line, cwd=tmp_path)
    process.communicate(timeout=180)
    begun = work.begun()
    assert process.returncode == 0 and table(tmp_path / "table.json") == expected
    assert len(done) >= 2 and all(begun.count(name) == 1 for name in done) and {*begun} == expected.keys()


def test_a_sweep_in_processes_survives_a_killed_one(
    tiny: None, folder: Path, tmp_path: Path, expected: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "deadly").write_text(RUNS[4].name)
    monkeypatch.setattr(unet_vs_autoencoder, "execute", work.execute_tiny)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    reproduce(RUNS, tmp_path / "table.json", device="cpu", jobs=2)
    assert table(tmp_path / "table.json") == expected
    begun = work.begun()
    assert begun.count(RUNS[4].name) == 2 and len(begun) <= len(RUNS) + 2  # the two that were in training


def test_workers_with_disks_of_their_own(
    cluster: Any, tiny: None, folder: Path, tmp_path: Path, expected: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    address, runs = cluster.scheduler_address, RUNS[:3]
    with Client(address, set_as_default=False) as client:
        client.run(work.pass_over_the_mark, True)
        try:
            monkeypatch.chdir(tmp_path)
            reproduce(runs, "table.json", device="cpu", scheduler=address)
            assert table(tmp_path / "table.json").items() <= expected.items() and len(work.begun()) == 3
            own = Path(os.environ["XDG_CACHE_HOME"]) / "denoise_lib" / "sweeps" / (tmp_path / "runs/.sweep").read_text()
            for run in runs:  # what the workers have is here, too
                for suffix in (".json", ".safetensors"):
                    assert (tmp_path / f"runs/{run.name}{suffix}").read_bytes() == (own / f"{run.name}{suffix}").read_bytes()
                card = json.loads((tmp_path / f"runs/{run.name}.json").read_text())
                assert isinstance(read_weights((tmp_path / f"runs/{run.name}.safetensors").read_bytes(), card), UNet)

            for path in (Path("table.json"), Path(f"runs/{runs[0].name}.json"), Path(f"runs/{runs[0].name}.safetensors")):
                path.unlink()  # as when the driver was stopped before the last one came
            reproduce(runs, "table.json", device="cpu", scheduler=address)
            assert table(tmp_path / "table.json").items() <= expected.items() and len(work.begun()) == 3

            for path in [*Path("runs").iterdir(), Path("table.json")]:
                path.unlink()
            reproduce(runs, "table.json", device="cpu", scheduler=address)  # whoever deletes all measures all again
            assert len(work.begun()) == 6
        finally:
            client.run(work.pass_over_the_mark, False)


def test_what_is_in_the_folder_is_read_and_needs_no_cluster(
    tiny: None, folder: Path, tmp_path: Path, expected: dict[str, dict[str, Any]]
) -> None:
    unet_vs_autoencoder.execute(RUNS[0], tmp_path / "runs", device="cpu")
    reproduce(RUNS[:1] * 2, tmp_path / "table.json", scheduler="tcp://127.0.0.1:1")
    assert table(tmp_path / "table.json") == {RUNS[0].name: expected[RUNS[0].name]}


def test_of_two_workers_that_do_one_run_the_first_counts(tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[dict[str, Any]] = []

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.setattr(unet_vs_autoencoder, "evaluate", evaluate)
        first.append(unet_vs_autoencoder.execute(RUNS[0], tmp_path, device="cpu"))
        return evaluate(*arguments)

    monkeypatch.setattr(unet_vs_autoencoder, "evaluate", overtaken)
    result = unet_vs_autoencoder.execute(RUNS[0], tmp_path, device="cpu")
    kept = json.loads((tmp_path / f"{RUNS[0].name}.json").read_text())["result"]
    assert result == kept == json.loads(json.dumps(first[0]))
    assert sorted(os.listdir(tmp_path)) == [f"{RUNS[0].name}.json", f"{RUNS[0].name}.safetensors"]


def test_each_run_has_its_share_of_the_cores(
    cluster: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    given: list[int | None] = []

    def execute(run: Run, folder: Path, threads: int | None) -> dict[str, Any]:
        given.append(threads)
        return {}

    monkeypatch.setattr(study, "run_jobs", lambda work, runs, **where: [(run, work(run)) for run in runs])
    for processes in (1, 2, 3, 100):
        list(study.sweep(execute, RUNS[:1], tmp_path, processes=processes))
    assert given == [None, 4, 2, 1]


def test_initial_weights_in_many_threads() -> None:
    """A worker of a cluster may have several threads, and torch has one generator for all."""
    with torch.random.fork_rng():
        right = {}
        for seed in range(4):
            torch.manual_seed(seed)
            right[seed] = [value.clone() for value in UNet().state_dict().values()]
    wrong: list[int] = []

    def check(seed: int) -> None:
        for _ in range(40):
            drawn = seeding.build_seeded(UNet, seed).state_dict().values()
            wrong.extend(seed for one, other in zip(drawn, right[seed], strict=True) if not torch.equal(one, other))

    before = torch.random.get_rng_state()
    _at_once([lambda seed=seed: check(seed) for seed in range(4)])  # type: ignore[misc]
    assert wrong == [] and torch.equal(torch.random.get_rng_state(), before)


def test_many_write_one_file(tmp_path: Path) -> None:
    path, failed = tmp_path / "new" / f"{'x' * 250}.json", []
    contents = [bytes([letter]) * 100_000 for letter in range(4)]

    def write(content: bytes) -> None:
        for _ in range(50):
            try:
                write_whole(path, content)
                assert path.read_bytes() in contents
            except (OSError, AssertionError) as error:
                failed.append(error)

    _at_once([lambda content=content: write(content) for content in contents])  # type: ignore[misc]
    assert failed == [] and os.listdir(path.parent) == [path.name]


def _at_once(calls: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- photos --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "TEST_PAIRS", 20)


def test_a_sweep_on_photos(cluster: Any, few_pairs: None, folder: Path, tmp_path: Path) -> None:
    from distributed import Client

    address, run = cluster.scheduler_address, PhotoRun("tiny-denoiser", epochs=1, pairs=32, recipe="course")
    with Client(address, set_as_default=False) as client:
        client.run(setattr, pairs, "TEST_PAIRS", 20)
    alone = noise2noise_tnet.reproduce([run], Photos("builtin"), tmp_path / "alone.json", device="cpu")
    for path in (tmp_path / "runs").iterdir():
        path.unlink()
    there = noise2noise_tnet.reproduce([run], Photos("builtin"), tmp_path / "there.json", device="cpu", scheduler=address)
    for name in ("psnr_by_epoch", "loss_by_epoch", "untrained_psnr", "photos"):
        assert there["runs"][0][name] == alone["runs"][0][name]
    assert sorted(os.listdir(tmp_path / "runs")) == [".sweep", f"{run.name}.json", f"{run.name}.safetensors"]


def test_workers_with_other_photos_are_refused(few_pairs: None, tmp_path: Path, refused: Any) -> None:
    run = PhotoRun("tiny-denoiser", epochs=1, pairs=32, recipe="course")
    with refused(ValueError, "the worker's photos 'builtin' are others than here"):
        noise2noise_tnet._execute_on_the_same(run, Photos("builtin"), "0" * 16, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folders_of_photos_are_named_for_all_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Photos("builtin").absolute() == Photos("builtin") and Photos("imagenette").absolute().train == "imagenette"
    photos = Photos("mine", held_out="others/new").absolute()
    assert (Path(photos.train), Path(photos.held_out or "")) == (tmp_path / "mine", tmp_path / "others/new")


# --- the command line ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", ["unet-vs-autoencoder", "tnet"])
def test_the_commands_hand_the_scheduler_on(
    paper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", paper, "--scheduler", "here:8786"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: scheduler must be an address such as 'tcp://192.168.0.10:8786', but is 'here"
    )


def test_a_sweep_over_recipes(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = [*SWEEP[:-6], "--seeds", "1", "--data", "small", "--epochs", "1", "--device", "cpu", "--output", "a.json"]
    assert main(line) == 0
    assert {(row["recipe"], row["level"]) for row in read_results("a.json")["runs"]} == {
        (recipe, level) for recipe in ("paper", "best") for level in ("mild", "severe")
    }
    assert main([*line, "--recipe", "paper,quick"]) == 1
    assert "recipe must be one of 'paper', 'best', but is 'quick'" in capsys.readouterr().err
