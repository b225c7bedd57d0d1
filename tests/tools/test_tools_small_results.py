"""The small budget: what is compared, and that a number outside of its band, or missing, is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from denoise_lib.internal.atomic_write import write_json
from denoise_lib.papers.results import read_results
from tools import small_results

ROOT = Path(__file__).resolve().parents[2]
FILTER = "digits median filter mild, MSE"
RESULTS = ("unet_vs_autoencoder", "tnet", "smoothgrad")


@pytest.fixture
def regenerated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stored results stand in for the regenerated ones."""
    steps: list[list[str]] = []

    def command(step: list[str]) -> int:
        steps.append(step)
        folder = Path(step[step.index("--output") + 1]).parent
        folder.mkdir(parents=True, exist_ok=True)
        for name in RESULTS:
            shutil.copy(ROOT / "results" / f"{name}.json", folder)
        return 0

    monkeypatch.setattr(small_results, "command", command)
    return tmp_path


def options(folder: Path, *more: str) -> list[str]:
    return ["--build", str(folder / "build"), "--bands", str(folder / "bands.json"), *more]


def test_what_is_measured_lies_in_its_own_bands(regenerated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small_results.main(options(regenerated, "--measure", "2")) == 0
    assert small_results.main(options(regenerated)) == 0
    assert "all " in capsys.readouterr().out
    bands = read_results(regenerated / "bands.json")["bands"]
    assert bands[FILTER]["low"] < bands[FILTER]["mean"] < bands[FILTER]["high"]


def test_a_number_outside_of_its_band_fails(regenerated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_results.main(options(regenerated, "--measure", "2"))
    content = read_results(regenerated / "bands.json")
    content["bands"][FILTER]["high"] = content["bands"][FILTER]["low"]
    write_json(regenerated / "bands.json", content)
    assert small_results.main(options(regenerated)) == 1
    told = capsys.readouterr().out
    assert "1 of " in told and any(line.startswith(FILTER) and line.endswith("OUTSIDE") for line in told.splitlines())


@pytest.mark.parametrize(("measured", "bands"), [({"a": 1.0}, {}), ({}, {"a": {"low": 0.0, "high": 2.0}})])
def test_a_number_that_is_missing_on_one_side_is_outside(
    measured: dict[str, float], bands: dict[str, dict[str, float]]
) -> None:
    (row,) = small_results.compare(measured, bands)
    assert row.endswith("OUTSIDE")


def test_a_command_that_fails_stops_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def command(step: list[str]) -> int:
        calls.append(step)
        return 1

    monkeypatch.setattr(small_results, "command", command)
    assert small_results.main(options(tmp_path)) == 1 and len(calls) == 1


def test_one_seed_is_no_band(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        small_results.main(options(tmp_path, "--measure", "1"))


def test_the_stored_bands_cover_both_papers_and_the_claims() -> None:
    bands = read_results(ROOT / "results" / "small_bands.json")["bands"]
    assert {"digits unet mild, MSE", "digits autoencoder severe, MSE"} <= bands.keys()
    assert {"photos tnet, dB", "photos tiny-denoiser, dB"} <= bands.keys()
    assert any(key.startswith("groups: ") for key in bands) and any(key.startswith("self_influence: ") for key in bands)
    assert all(band["low"] <= band["mean"] <= band["high"] for band in bands.values())
