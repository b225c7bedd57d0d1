"""A class is graded on a Dask cluster: a worker is killed, and every verdict is there, as from one machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jobs_at_work as work
import pytest
from synthetic_class import IN_THE_SANDBOX

from denoise_lib.__main__ import main
from denoise_lib.classroom import grading
from denoise_lib.classroom.collect import Roster, collect
from denoise_lib.classroom.course import SOURCES, Course
from denoise_lib.classroom.grading import grade
from denoise_lib.classroom.release import release
from denoise_lib.classroom.sandbox.bubblewrap import SandboxMissingError
from denoise_lib.classroom.sandbox.process import Limits

PS1, ROOT = "ps1_noise", Path(__file__).resolve().parents[2]
ROSTER = Roster(["id"], [{"id": "ada"}, {"id": "bo"}, {"id": "cy"}, {"id": "di"}], "id")
LIMITS = Limits(cell_seconds=40, function_seconds=12, total_seconds=400)

pytestmark = IN_THE_SANDBOX


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Of a cluster of two workers, which note what they judge."""
    from distributed import Client, LocalCluster

    monkeypatch.setenv("JOBS_FOLDER", str(tmp_path / "jobs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "helpers"))
    work.folder().mkdir()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster.scheduler_address, set_as_default=False) as client,
    ):
        client.run(work.note_verdicts)
        yield client


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """Ada is right, Bo has one number wrong, Cy hands in nothing, and Di no notebook."""
    course = release([PS1], ROOT / SOURCES, tmp_path / "course", 5)
    solution = course.source(PS1).read_text(encoding="utf-8")
    for student, content in (("ada", solution), ("bo", solution.replace("(-psnr / 20)", "(psnr / 20)")), ("di", "no notebook")):
        path = tmp_path / "in" / student / "work.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(content, encoding="utf-8")
    assert "(-psnr / 20)" in solution
    collect(tmp_path / "in", course, PS1, ROSTER)
    return course


def test_a_class_on_a_cluster_with_a_killed_worker(
    course: Course, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Course(Path(shutil.copytree(course.root, tmp_path / "other")))
    alone = grade(other, PS1, limits=LIMITS, progress=False)
    assert [row.status for row in alone] == ["right", "wrong", "nothing handed in", "unreadable"]

    def no_sandbox_here(wanted: str | None) -> str:
        raise AssertionError("the sandbox is the workers'")

    monkeypatch.setattr(grading, "choose_sandbox", no_sandbox_here)
    address, size = client.scheduler.address, str(course.original(PS1, "ada").stat().st_size)
    (work.folder() / "deadly").write_text(size)
    rows = grade(course, PS1, scheduler=address, limits=LIMITS, progress=False)
    assert rows == alone
    for student in ROSTER.ids():
        verdict, expected = (json.loads(one.verdict(PS1, student).read_text(encoding="utf-8")) for one in (course, other))
        assert verdict == expected
    assert not (work.folder() / "deadly").exists()

    before, bo = work.begun(), course.original(PS1, "bo")
    assert grade(course, PS1, scheduler=address, limits=LIMITS, progress=False) == rows and work.begun() == before
    client.run(work.note_verdicts)  # of the worker that came in place of the killed one, too
    bo.write_bytes(bo.read_bytes() + b" " * 1000)
    grade(course, PS1, scheduler=address, limits=LIMITS, progress=False)  # what has changed, and nothing else
    assert {*work.begun()[len(before) :]} == {str(bo.stat().st_size)}


def test_workers_without_bubblewrap(course: Course, client: Any, refused: Any) -> None:
    client.run(work.take_the_sandbox_away)
    with refused(SandboxMissingError, "bubblewrap, which is missing"):
        grade(course, PS1, scheduler=client.scheduler.address, limits=LIMITS, progress=False)
    assert not course.verdict(PS1, "ada").exists()


def test_a_bad_address_is_told_before_anything_is_done(course: Course, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["class", "grade", PS1, "--course", str(course.root), "--scheduler", "foo"]) == 1
    assert "error: scheduler must be an address such as 'tcp://192.168.0.10:8786', but is 'foo'." in capsys.readouterr().err
    assert not course.verdict(PS1, "ada").exists()
