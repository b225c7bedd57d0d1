"""The workflows call make targets alone, and all that `make test` checks is called by one of them."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
# BaseLoader: plain YAML reads the key `on` as true.
WORKFLOWS: dict[str, dict[str, Any]] = {
    path.stem: yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
STEPS = [
    pytest.param(step, id=f"{name}-{job}-{index}")
    for name, workflow in WORKFLOWS.items()
    for job, content in workflow["jobs"].items()
    for index, step in enumerate(content["steps"])
]
ACTIONS = {"actions/checkout@v4", "actions/setup-python@v5", "actions/upload-artifact@v4"}


def called() -> set[str]:
    return {step.values[0]["run"].split()[1] for step in STEPS if "run" in step.values[0]}


def test_there_are_the_workflows() -> None:
    assert set(WORKFLOWS) == {"test", "nbval", "browser", "colab"}


@pytest.mark.parametrize("step", STEPS)
def test_each_step_calls_a_make_target_or_a_known_action(step: dict[str, Any]) -> None:
    if "uses" in step:
        assert step["uses"] in ACTIONS
        return
    words = step["run"].split()
    assert words[0] == "make" and words[1] in TARGETS and all(re.fullmatch(r"[A-Z]+=\w+", word) for word in words[2:])


def test_all_that_make_test_checks_is_checked_there_too() -> None:
    (parts,) = re.findall(r'for part in ([a-z "]+); do', MAKEFILE)
    more = {"run", "colab", "colab-image", "robustness", "results", "portable", "report-failure"}
    checked = set(parts.replace('"', "").split())
    assert len(checked) == 6 and checked | more <= called()


def test_no_workflow_may_do_more_than_it_must() -> None:
    for name, workflow in WORKFLOWS.items():
        issues = {"issues": "write"} if name == "colab" else {}
        assert workflow["permissions"] == {"contents": "read", **issues}
        assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_systems_and_versions() -> None:
    jobs = WORKFLOWS["test"]["jobs"]
    systems = {jobs["linux"]["runs-on"], *jobs["other-systems"]["strategy"]["matrix"]["os"]}
    assert {system.split("-")[0] for system in systems} == {"ubuntu", "macos", "windows"}
    assert jobs["linux"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (python,) = [step["with"]["python-version"] for step in jobs["oldest-versions"]["steps"] if "with" in step]
    assert f">={python}" == project["requires-python"]
    assert {"run": "make install OLDEST=1"} in jobs["oldest-versions"]["steps"]


def test_the_image_is_tried_every_week_and_a_failure_opens_an_issue() -> None:
    workflow = WORKFLOWS["colab"]
    (schedule,) = workflow["on"]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", schedule["cron"])
    report = workflow["jobs"]["image"]["steps"][-1]
    assert report["run"] == "make report-failure" and report["if"] == "failure()" and "GH_TOKEN" in report["env"]


@pytest.mark.parametrize(("known", "expected"), [("", "issue create"), ("7", "issue comment 7")])
def test_a_failure_opens_one_issue(tmp_path: Path, known: str, expected: str) -> None:
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\necho "$*" >> "{tmp_path}/calls"\n[ "$2" = list ] && echo "{known}"\nexit 0\n')
    gh.chmod(0o755)
    run = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "org/name", "GITHUB_RUN_ID": "42"}
    environment = os.environ | run | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["make", "--no-print-directory", "report-failure"], cwd=ROOT, env=environment, check=True)
    listed, done = (tmp_path / "calls").read_text().strip().split("\n")
    assert listed.startswith("issue list") and done.startswith(expected)
    assert "https://github.com/org/name/actions/runs/42" in done
