"""Reference bands are measured by executing the notebooks with several seeds."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path

import pytest

from tools import notebooks, reference_ranges

SOURCE = """# %%
import os

seed = int(os.environ["DENOISE_SEED"])
print(f"headline  error: {10 + seed}   band nan .. nan   OUTSIDE")
MORE
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DENOISE_SEED", "0")  # set back when the test ends
    folder = tmp_path / "notebooks"
    (folder / "src").mkdir(parents=True)
    return folder


def measure(folder: Path, more: str = "") -> tuple[int, Path]:
    (folder / "src" / "one.py").write_text(SOURCE.replace("MORE", more), encoding="utf-8")
    assert notebooks.main(["--folder", str(folder), "pair"]) == 0
    output = folder.parent / "bands.json"
    arguments = ["--folder", str(folder), "--build", str(folder.parent / "build"), "--seeds", "2", "--output", str(output)]
    return reference_ranges.main(arguments), output


def test_a_band_is_mean_plus_or_minus_four_standard_deviations(folder: Path) -> None:
    status, output = measure(folder)
    assert status == 0
    found = json.loads(output.read_text(encoding="utf-8"))["bands"]["error"]
    mean, std = statistics.fmean([10, 11]), statistics.stdev([10, 11])
    assert found["values"] == [10, 11] and found["mean"] == mean and found["std"] == pytest.approx(std)
    assert (found["low"], found["high"]) == pytest.approx((mean - 4 * std, mean + 4 * std))


def test_a_cell_that_raises_leaves_the_old_bands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, output = measure(folder, more="1 / 0")
    assert status == 1 and not output.exists()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_one_seed_gives_no_band(folder: Path) -> None:
    with pytest.raises(SystemExit):
        reference_ranges.main(["--folder", str(folder), "--seeds", "1"])
    assert os.environ["DENOISE_SEED"] == "0"
