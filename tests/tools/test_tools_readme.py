"""What is rendered into README and guide."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from denoise_lib.classroom.question_bank import QUESTIONS
from denoise_lib.exercises.checker import EXERCISES
from tools import readme


def test_fill_replaces_what_stands_between_the_markers() -> None:
    text = "before\n<!-- one -->\nold\nolder\n<!-- /one -->\nafter\n"
    filled = readme.fill(text, "one", "new\n\n")
    assert filled == "before\n<!-- one -->\nnew\n<!-- /one -->\nafter\n"
    assert readme.fill(filled, "one", "new") == filled
    assert readme.fill("<!-- one -->\n<!-- /one -->", "one", "x") == "<!-- one -->\nx\n<!-- /one -->"


@pytest.mark.parametrize("text", ["", "<!-- one -->\n", "<!-- /one -->", "<!-- one -->\n<!-- one -->\n<!-- /one -->"])
def test_fill_needs_both_markers_once(text: str) -> None:
    with pytest.raises(ValueError, match="<!-- one --> and <!-- /one --> must be there once"):
        readme.fill(text, "one", "x")


def test_the_table_of_mistakes_has_a_row_for_each() -> None:
    rows = readme.mistakes_table(EXERCISES.values(), QUESTIONS.values()).splitlines()[2:]
    assert len(rows) == sum(len(one.mistakes) for one in EXERCISES.values()) + sum(len(one.wrong) for one in QUESTIONS.values())
    assert all(row.count("|") == 4 for row in rows), "a sentence with a bar would break the table"


def test_the_animation_goes_up_and_down_and_is_small(tmp_path: Path) -> None:
    readme.animation(tmp_path / "slider.gif", count=4, steps=4)
    with Image.open(tmp_path / "slider.gif") as image:
        assert image.n_frames == 6  # type: ignore[attr-defined]
        frames = []
        for index in range(6):
            image.seek(index)
            frames.append(image.convert("L").tobytes())
    assert frames[1] == frames[5] and frames[2] == frames[4] and len(set(frames)) == 4


def test_a_missing_marker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for tables in ("TABLES", "MAINTAINERS"):
        monkeypatch.setattr(readme, tables, {})
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("")
    Path("INSTRUCTORS.md").write_text("no markers")
    assert readme.main() == 1
    assert "error: INSTRUCTORS.md: the markers" in capsys.readouterr().err
