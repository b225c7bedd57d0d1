"""The problem sets beside the first, graded as their sources solve them; the capstone; and what cannot be graded yet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from synthetic_class import IN_THE_SANDBOX, index_of

from denoise_lib.classroom.collect import read_roster
from denoise_lib.classroom.course import Course, CourseError
from denoise_lib.classroom.grading import grade
from denoise_lib.classroom.pages import class_page, students_page
from denoise_lib.classroom.release import release
from denoise_lib.classroom.sandbox.process import Limits
from denoise_lib.classroom.verdicts import items, verdict

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "notebooks" / "assignments" / "src"
PS1 = "ps1_noise"
LIMITS = Limits(cell_seconds=40, function_seconds=12, total_seconds=400)

pytestmark = IN_THE_SANDBOX


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return release([], SOURCES, tmp_path_factory.mktemp("course"), seed=5)


@pytest.mark.parametrize("name", ["ps2_networks", "ps3_noise2noise", "ps4_smoothgrad"])
def test_the_instructors_own_solutions_have_full_points_and_the_release_none(course: Course, name: str) -> None:
    for student, path in {"solved": course.source(name), "untouched": course.released(name)}.items():
        target = course.original(name, student)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    solved, untouched = (verdict(course, name, student, limits=LIMITS) for student in ("solved", "untouched"))
    graded = [item for item in items(nbformat.read(course.released(name), 4)) if item.kind != "written"]
    assert {item.name: solved["items"][item.name]["points"] for item in graded} == {item.name: item.points for item in graded}
    assert {untouched["items"][item.name]["status"] for item in graded} == {"not attempted"}
    assert solved["notes"] == untouched["notes"] == []
    for found in (solved, untouched):  # Run all has to pass with and without answers
        assert [cell["error"] for cell in found["cells"].values() if cell["error"]] == []


def test_the_capstone(course: Course) -> None:
    from denoise_lib import TNet, load_pretrained
    from denoise_lib.exercises.capstone import pack_weights

    name, source = "capstone_beat_tnet", nbformat.read(course.source("capstone_beat_tnet"), 4)
    trained = pack_weights(load_pretrained("tnet"))

    def hand(student: str, body: str, packed: str | None) -> dict[str, object]:
        notebook = nbformat.from_dict(json.loads(json.dumps(source)))
        notebook.cells[index_of(notebook, "make_network")].source = f"# GRADED CELL make_network\n{body}"
        if packed:
            notebook.cells[-1].outputs = [nbformat.v4.new_output("display_data", data={"text/html": f"<code>{packed}</code>"})]
        path = course.original(name, student)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook))
        found = verdict(course, name, student, limits=LIMITS)
        return {**found["items"]["make_network"], "psnr": found["psnr"]}

    tnet = "def make_network():\n    from denoise_lib import TNet\n    return TNet()"
    assert hand("as-good", tnet, trained)["points"] == 12
    untrained = hand("untrained", tnet, pack_weights(TNet()))
    assert (untrained["points"], untrained["mistake"]) == (4, "below a Gaussian filter")
    assert hand("stub", "def make_network():\n    ...", None)["status"] == "not attempted"
    cleared = hand("cleared", tnet, None)
    assert cleared["points"] == 0 and "no weights" in str(cleared["sentence"])
    other = hand("other", "def make_network():\n    import torch\n    return torch.nn.Conv2d(3, 3, 3, padding=1)", trained)
    assert (other["points"], other["mistake"]) == (0, "does not run")


def test_what_is_asked_too_early_is_told(tmp_path: Path) -> None:
    course = release([PS1], SOURCES, tmp_path, seed=1)
    with pytest.raises(CourseError, match="nothing of ps1_noise is collected"):
        grade(course, PS1, progress=False)
    with pytest.raises(CourseError, match=r"cannot be read"):
        read_roster(tmp_path / "none.csv")
    assert students_page([], course, PS1).startswith("<!doctype html>")
    assert "0 students" in class_page([], PS1)
