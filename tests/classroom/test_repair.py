"""Read and repair: whatever was damaged, every graded cell is there once, and the answers are the student's."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat import NotebookNode

from denoise_lib.classroom import repair as module
from denoise_lib.classroom.repair import UnreadableError, assignment_share, graded_cells, is_put_back, read_notebook, repair

STUB = "# GRADED CELL half\ndef half(x):\n    ...  # your code here"
CHECK = "# GRADED CELL half-check\ncheck.half(half)"
LETTER = '# GRADED CELL which\nwhich = ""'
QUESTION = "Why does half the light make twice the noise?"
TEXT = "<!-- GRADED CELL why -->\n*Your answer here.*"
ANSWER = "# GRADED CELL half\ndef half(x):\n    return x / 2"


def grading(name: str, **more: Any) -> dict[str, Any]:
    usual = {"grade": False, "grade_id": name, "locked": False, "schema_version": 3, "solution": True, "task": False}
    return {"nbgrader": {**usual, **more}}


def code(source: str, **metadata: Any) -> NotebookNode:
    return nbformat.v4.new_code_cell(source, metadata=metadata)  # type: ignore[no-any-return]


def text(source: str, **metadata: Any) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source, metadata=metadata)  # type: ignore[no-any-return]


def released() -> NotebookNode:
    """A small problem set: a function and its check, a letter and its check, a written answer."""
    check = {"grade": True, "locked": True, "solution": False}
    notebook: NotebookNode = nbformat.v4.new_notebook(
        cells=[
            text("# Problem set"),
            code("import torch"),
            text("Write `half(x)`: half of x."),
            code(STUB, **grading("half")),
            code(CHECK, **grading("half-check", **check, points=2)),
            text("Which one? A, B or C."),
            code(LETTER, **grading("which")),
            code("# GRADED CELL which-check\ncheck.letter(which)", **grading("which-check", **check, points=1)),
            text(QUESTION),
            text(TEXT, **grading("why", grade=True, points=3)),
            text("The end."),
        ]
    )
    return notebook


NAMES = ["half", "half-check", "which", "which-check", "why"]
LOCKED = {"half-check", "which-check"}


def handed(notebook: Any) -> NotebookNode:
    return read_notebook(json.dumps(notebook).encode())[0]


def solved() -> NotebookNode:
    notebook = released()
    at(notebook, "half").source = ANSWER
    at(notebook, "which").source = '# GRADED CELL which\nwhich = "B"'
    at(notebook, "why").source = "<!-- GRADED CELL why -->\nBecause of photons."
    return notebook


def at(notebook: NotebookNode, name: str) -> NotebookNode:
    return graded_cells(notebook)[name]


def place(notebook: NotebookNode, name: str) -> int:
    return next(index for index, cell in enumerate(notebook.cells) if cell is at(notebook, name))


def without_metadata(notebook: NotebookNode) -> NotebookNode:
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def sources(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells]


def check_repaired(result: NotebookNode) -> None:
    """What holds of every repaired notebook."""
    original = graded_cells(released())
    names = [cell.metadata.nbgrader.grade_id for cell in result.cells if "nbgrader" in cell.metadata]
    assert sorted(names) == sorted(NAMES)
    for name, cell in graded_cells(result).items():
        assert cell.metadata.nbgrader == original[name].metadata.nbgrader
        assert cell.cell_type == original[name].cell_type
        if name in LOCKED:
            assert cell.source == original[name].source
    nbformat.validate(nbformat.from_dict(json.loads(nbformat.writes(result))))


# Reading


def test_a_notebook_is_read_without_its_outputs() -> None:
    notebook = solved()
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="x" * 30_000_000)]
    found, shown = read_notebook(json.dumps(notebook).encode())
    assert sources(found) == sources(notebook) and not shown.strip()
    assert all(not cell.get("outputs") for cell in found.cells)
    assert list(graded_cells(found)) == NAMES
    nbformat.validate(found)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_every_unicode_is_read(encoding: str) -> None:
    notebook = solved()
    notebook.cells[0].source = "Rauschen für Öl €"
    content = json.dumps(notebook, ensure_ascii=False).encode(encoding)
    assert read_notebook(content)[0].cells[0].source == "Rauschen für Öl €"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\n  <html>", "a web page"),
        (b"PK\x03\x04rest", "a zip file"),
        (b"%PDF-1.7", "no notebook"),
        (b"\xff\xfe\xfd", "no notebook"),
        (b"\xef\xbb\xbf", "no notebook"),
        (b'{"cells": [', "no notebook"),
        (b"[" * 100_000, "no notebook"),
        (b'{"cells": [' + b"9" * 10_000 + b"]}", "no notebook"),
        (b"[]", "no cells"),
        (b"null", "no cells"),
        (b'"cells"', "no cells"),
        (b"3", "no cells"),
        (b"{}", "no cells"),
        (b'{"cells": {}}', "no cells"),
        (b'{"cells": "none"}', "no cells"),
        (b'{"worksheets": {}}', "no cells"),
    ],
)
def test_what_is_no_notebook_is_told(content: bytes, words: str) -> None:
    with pytest.raises(UnreadableError, match=words) as caught:
        read_notebook(content)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_file_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIZE_LIMIT", 2 * 2**20)
    with pytest.raises(UnreadableError, match="more than 2 MB; clear the outputs"):
        read_notebook(b" " * (2 * 2**20 + 1))


@pytest.mark.parametrize(
    ("cell", "source"),
    [
        ({"cell_type": "code", "source": ["a = 1\n", "b = 2"]}, "a = 1\nb = 2"),
        ({"cell_type": "code", "source": ["a", 3, None, ["b"], "c"]}, "ac"),
        ({"cell_type": "code", "input": ["a = 1"]}, "a = 1"),
        ({"cell_type": "code", "source": None}, ""),
        ({"cell_type": "code", "source": {"a": 1}}, ""),
        ({"cell_type": "code", "source": 5}, ""),
        ({"cell_type": "code"}, ""),
        ({"cell_type": "code", "source": "a\r\nb\r\n"}, "a\nb\n"),
        ({"cell_type": "code", "source": "a\x00b"}, "a\x00b"),
        ({"cell_type": "code", "source": "half of \ud83d is lost"}, "half of ? is lost"),
        ({"cell_type": "code", "source": ["\ud83d", "\ude00"]}, "??"),
        ({"cell_type": ["code"], "source": "x"}, "x"),
        ({"cell_type": "heading", "level": 2, "source": "x"}, "x"),
        ({"source": "x", "metadata": [1]}, "x"),
        ({"cell_type": "code", "source": "x", "metadata": {"nbgrader": "half"}, "outputs": "none"}, "x"),
        ({"cell_type": "code", "source": "x", "metadata": {"nbgrader": {"grade_id": ["half"]}}, "outputs": [1, {}]}, "x"),
        ({"cell_type": "code", "source": "x", "outputs": [{"data": []}, {"data": {"text/plain": 3}}], "id": 3}, "x"),
        ({"cell_type": "markdown", "source": "x", "attachments": ["a"]}, "x"),
        ({"cell_type": "markdown", "source": "x", "attachments": {"a": ["b"], "c": {"image/png": 3}}}, "x"),
    ],
)
def test_damaged_cells_are_read(cell: dict[str, Any], source: str) -> None:
    found = handed({"cells": [cell], "nbformat": 4})
    assert sources(found) == [source]
    nbformat.writes(found).encode()
    check_repaired(repair(found, released())[0])


def test_cells_that_are_none_are_left_out() -> None:
    notebook = {"cells": [None, 3, "code", ["code"], {"cell_type": "code", "source": "x = 1"}]}
    assert sources(handed(notebook)) == ["x = 1"]


def test_deep_metadata_is_read() -> None:
    deep = '{"a":' * 700 + "1" + "}" * 700
    cell = '{"cell_type": "code", "source": "x", "metadata": {"nbgrader": {"grade_id": "half", "deep": DEEP}, "deep": DEEP}}'
    found = read_notebook(f'{{"cells": [{cell.replace("DEEP", deep)}]}}'.encode())[0]
    assert list(graded_cells(found)) == ["half"]
    check_repaired(repair(found, released())[0])


def test_notebooks_of_before_2015() -> None:
    cells = [{"cell_type": "code", "input": ["half = 3"], "outputs": [], "prompt_number": 1, "language": "python"}]
    old = {"nbformat": 3, "worksheets": [{"cells": cells}, {"cells": None}, {}, 3, {"cells": cells}]}
    assert sources(handed(old)) == ["half = 3", "half = 3"]


def test_what_colab_writes() -> None:
    notebook: Any = json.loads(json.dumps(solved()))
    notebook["nbformat_minor"] = 0
    notebook["metadata"] = {"colab": {"provenance": [], "toc_visible": True}, "accelerator": "GPU"}
    for number, cell in enumerate(notebook["cells"]):
        del cell["id"]
        cell["metadata"] = {"id": f"aB_{number}", **cell["metadata"]}
        if cell["cell_type"] == "code":
            cell["metadata"] |= {"outputId": "0a1b", "colab": {"base_uri": "https://localhost:8080/", "height": 35}}
        cell["source"] = cell["source"].splitlines(keepends=True)
    result, notes = repair(handed(notebook), released())
    assert notes == [] and sources(result) == sources(solved())
    check_repaired(result)


def test_weights_in_the_outputs_are_found() -> None:
    notebook = solved()
    packed = ["<code>denoise-weights:", "AAAA", "</code>"]
    notebook.cells[1].outputs = [
        nbformat.v4.new_output("stream", text="ready"),
        {"output_type": "display_data", "data": {"text/html": packed, "text/plain": "<HTML>", "image/png": "AAAA"}},
    ]
    assert read_notebook(json.dumps(notebook).encode())[1].strip() == "<code>denoise-weights:AAAA</code>"


def test_pictures_in_a_written_answer_are_kept_and_nothing_else() -> None:
    notebook = solved()
    good = {"plot.png": {"image/png": "iVBORw0KGgo="}}
    bad = {"a.svg": {"image/svg+xml": "PHN2Zz4="}, "b.png": {"image/png": '"onerror="alert(1)'}, "c.png": {"text/html": "AAAA"}}
    at(notebook, "why").attachments = {**good, **bad}
    result, _ = repair(handed(notebook), released())
    assert at(result, "why").attachments == good
    check_repaired(result)


def test_pictures_are_no_part_of_code() -> None:
    notebook = solved()
    index = place(notebook, "half")
    notebook.cells[index] = text(ANSWER, **grading("half"))
    notebook.cells[index].attachments = {"plot.png": {"image/png": "iVBORw0KGgo="}}
    check_repaired(repair(handed(notebook), released())[0])


# How much of an assignment there is


def test_the_share_of_an_assignment() -> None:
    assert assignment_share(handed(solved()), released()) == 1
    assert assignment_share(handed(without_metadata(solved())), released()) == 1
    other = nbformat.v4.new_notebook(cells=[code("# GRADED CELL other\nx = 1", **grading("other")), code("half = 1")])
    assert assignment_share(handed(other), released()) == 0
    some = nbformat.v4.new_notebook(cells=[code(ANSWER), code(ANSWER), code("x", **grading("which"))])
    assert assignment_share(handed(some), released()) == pytest.approx(2 / 5)
    assert assignment_share(handed(solved()), nbformat.v4.new_notebook()) == 0


# Repairing


def test_a_whole_notebook_stays_as_it_is() -> None:
    for notebook in (released(), solved()):
        result, notes = repair(handed(notebook), released())
        assert notes == [] and sources(result) == sources(notebook)
        check_repaired(result)


def test_metadata_is_put_back() -> None:
    result, notes = repair(handed(without_metadata(solved())), released())
    assert notes == ["the metadata of 5 graded cells was put back."]
    assert sources(result) == sources(solved())
    check_repaired(result)


@pytest.mark.parametrize("name", NAMES)
def test_a_deleted_cell_is_put_back_where_it_was(name: str) -> None:
    notebook = solved()
    index = place(notebook, name)
    before = sources(notebook)
    del notebook.cells[index]
    result, notes = repair(handed(notebook), released())
    assert notes == [f"{name}: the cell was missing, and was put back empty."]
    check_repaired(result)
    assert is_put_back(at(result, name))
    assert [cell.source for cell in result.cells if not is_put_back(cell)] == before[:index] + before[index + 1 :]
    assert at(result, name).source == at(released(), name).source
    names = list(graded_cells(result))
    assert names == NAMES


def test_the_note_on_what_was_put_back_is_not_forged() -> None:
    notebook = solved()
    at(notebook, "half").id = "put-back-half"
    assert not is_put_back(at(repair(handed(notebook), released())[0], "half"))


def test_nothing_but_an_empty_notebook() -> None:
    result, notes = repair(handed({"cells": []}), released())
    assert sources(result) == [cell.source for cell in graded_cells(released()).values()]
    assert len(notes) == len(NAMES)
    check_repaired(result)


def test_a_changed_check_is_put_back() -> None:
    notebook = solved()
    check = at(notebook, "half-check")
    check.source = "# GRADED CELL half-check\nprint('right')"
    check.metadata.nbgrader.points = 1000
    result, notes = repair(handed(notebook), released())
    assert notes == ["half-check: the check had been changed, and was put back."]
    check_repaired(result)


def test_windows_ends_of_lines_are_no_change() -> None:
    notebook = solved()
    for cell in notebook.cells:
        cell.source = cell.source.replace("\n", "\r\n")
    assert repair(handed(notebook), released())[1] == []


def test_a_changed_copy_of_a_check_is_not_taken_for_it() -> None:
    notebook = solved()
    index = place(notebook, "half-check")
    mine = code("# GRADED CELL half-check\n# I try it with other numbers\nprint(half(3))", **grading("half-check", locked=True))
    notebook.cells.insert(index + 1, mine)
    result, notes = repair(handed(notebook), released())
    assert notes == [] and mine.source in sources(result)
    check_repaired(result)


def test_a_check_without_marker_and_metadata_is_found() -> None:
    original, notebook = released(), solved()
    for one in (original, notebook):
        at(one, "half-check").source = "check.half(half)"
    at(notebook, "half-check").metadata = {}
    result, notes = repair(handed(notebook), original)
    assert notes == ["the metadata of 1 graded cells was put back."]
    assert sources(result).count("check.half(half)") == 1


def test_a_retyped_answer_is_code_again() -> None:
    for new in (text, nbformat.v4.new_raw_cell):
        notebook = solved()
        notebook.cells[place(notebook, "half")] = new(ANSWER)
        result, notes = repair(handed(notebook), released())
        assert notes == ["the metadata of 1 graded cells was put back.", "half: the cell had another type."]
        assert at(result, "half").source == ANSWER
        check_repaired(result)


def test_a_written_answer_in_a_code_cell_is_text_again() -> None:
    notebook = solved()
    notebook.cells[place(notebook, "why")] = code("<!-- GRADED CELL why -->\nphotons", **grading("why"))
    result, notes = repair(handed(notebook), released())
    assert notes == ["why: the cell had another type."]
    assert at(result, "why").source == "<!-- GRADED CELL why -->\nphotons"
    check_repaired(result)


def test_the_last_copy_that_is_filled_in_counts() -> None:
    notebook = without_metadata(solved())
    index = next(i for i, cell in enumerate(notebook.cells) if cell.source == ANSWER)
    first = ANSWER.replace("x / 2", "x * 0")
    for source in (first, STUB, "# GRADED CELL half", "# GRADED CELL half\n\n"):
        notebook.cells.insert(index + (source != first), code(source))
        index += source == first
    result, notes = repair(handed(notebook), released())
    assert at(result, "half").source == ANSWER
    assert "half: 5 copies of the answer; the last one that is filled in counts." in notes
    check_repaired(result)


def test_copies_by_metadata() -> None:
    notebook = solved()
    index = place(notebook, "why")
    notebook.cells[index : index + 1] = [
        text("<!-- GRADED CELL why -->\nan old one", **grading("why")),
        text("<!-- GRADED CELL why --> the new one, on one line", **grading("why")),
        text(TEXT, **grading("why")),
        text("", **grading("why")),
    ]
    result, notes = repair(handed(notebook), released())
    assert at(result, "why").source == "<!-- GRADED CELL why --> the new one, on one line"
    assert notes == ["why: 4 copies of the answer; the last one that is filled in counts."]
    check_repaired(result)


def test_several_empty_copies() -> None:
    notebook = released()
    notebook.cells.append(code(STUB, **grading("half")))
    result, _ = repair(handed(notebook), released())
    assert result.cells[-1].metadata.nbgrader.grade_id == "half"
    check_repaired(result)


def test_a_heading_about_a_cell_is_no_copy_of_it() -> None:
    """In a text cell # is a heading."""
    notebook = solved()
    notebook.cells.append(text("# GRADED CELL half\nThis one took me an hour."))
    result, _ = repair(handed(notebook), released())
    assert at(result, "half").source == ANSWER and result.cells[-1].cell_type == "markdown"
    check_repaired(result)


def test_a_marker_that_was_spoiled_leaves_the_metadata() -> None:
    notebook = solved()
    at(notebook, "half").source = ANSWER.replace("CELL half", "CELL halff")
    at(notebook, "why").source = "<!-- GRADED CELL because -->\nphotons"
    notebook.cells.insert(place(notebook, "why"), text("This was hard."))
    result, notes = repair(handed(notebook), released())
    assert notes == []
    assert at(result, "why").source.endswith("photons") and at(result, "half").source.endswith("x / 2")


@pytest.mark.parametrize("marker", ["#GRADED CELL half", "\n\n  # graded cell half  # mine", "#  GRADED  CELL  half"])
def test_markers_may_be_written_loosely(marker: str) -> None:
    notebook = without_metadata(solved())
    notebook.cells[3].source = marker.replace("  CELL", " CELL") + "\nx = 1  # no def"
    assert at(repair(handed(notebook), released())[0], "half").source.endswith("no def")


@pytest.mark.parametrize("marker", ["<!--GRADED CELL why-->", "<!-- GRADED CELL why-->", "<!-- graded cell why -->"])
def test_text_markers_may_be_written_loosely(marker: str) -> None:
    notebook = without_metadata(solved())
    notebook.cells = [text(f"{marker}\nphotons")]
    result, _ = repair(handed(notebook), released())
    assert at(result, "why").source.endswith("photons")


def test_a_function_is_found_by_its_name() -> None:
    notebook = without_metadata(solved())
    notebook.cells[3].source = "import math\n\n\ndef half( x ):\n    return x / 2"
    notebook.cells[6].source = 'which = "B"'
    result, _ = repair(handed(notebook), released())
    assert at(result, "half").source.startswith("import math") and at(result, "which").source == 'which = "B"'
    check_repaired(result)


@pytest.mark.parametrize("source", ["half == 3", "halfway = 1", "behalf = 1", "    half = 2", "def halfway(x): ...", "half(3)"])
def test_a_mention_of_a_name_is_no_answer(source: str) -> None:
    notebook = without_metadata(solved())
    notebook.cells[3].source = source
    result, notes = repair(handed(notebook), released())
    assert "half: the cell was missing, and was put back empty." in notes and source in sources(result)


def test_names_are_no_patterns() -> None:
    original = nbformat.v4.new_notebook(cells=[code("x", **grading("a.b+(c")), text("y", **grading("[d"))])
    result, _ = repair(handed({"cells": [{"cell_type": "code", "source": "aXbb(c = 1"}]}), original)
    assert list(graded_cells(result)) == ["a.b+(c", "[d"]


def test_a_written_answer_is_found_after_its_question() -> None:
    notebook = without_metadata(solved())
    notebook.cells[9].source = "Because of photons."
    result, _ = repair(handed(notebook), released())
    assert at(result, "why").source == "Because of photons."
    check_repaired(result)
    notebook.cells[9] = code("print(3)")
    assert is_put_back(at(repair(handed(notebook), released())[0], "why"))
    notebook.cells[9:10] = []  # now "The end." follows the question
    result, _ = repair(handed(notebook), released())
    assert is_put_back(at(result, "why")) and "The end." in sources(result)


def test_a_written_answer_is_found_below_what_it_was_joined_to() -> None:
    notebook = without_metadata(solved())
    notebook.cells[8].source += "\n\n" + notebook.cells.pop(9).source
    result, notes = repair(handed(notebook), released())
    assert at(result, "why").source == f"{QUESTION}\n\n<!-- GRADED CELL why -->\nBecause of photons."
    assert notes == ["the metadata of 5 graded cells was put back."]
    check_repaired(result)


def test_students_may_move_cells() -> None:
    notebook = solved()
    notebook.cells.reverse()
    result, notes = repair(handed(notebook), released())
    assert notes == [] and sources(result) == sources(notebook)
    check_repaired(result)


def test_metadata_that_is_none() -> None:
    """As nbgrader's own steps may give it, which do not read with `read_notebook`."""
    notebook = solved()
    notebook.cells[0].metadata = nbformat.from_dict({"nbgrader": None})
    notebook.cells[1].metadata = nbformat.from_dict({"nbgrader": "half"})
    notebook.cells[2].metadata = nbformat.from_dict({"nbgrader": {"grade_id": ["half"]}})
    result, notes = repair(notebook, released())
    assert notes == []
    check_repaired(result)


pieces = st.sampled_from(
    [
        "", " ", "\n", "\r\n", "x = 1", "half = 2", "which = 'A'", "def half(x):\n    return 1", STUB, CHECK, LETTER, TEXT,
        QUESTION, ANSWER, "# GRADED CELL half", "# GRADED CELL which", "# GRADED CELL nothing", "<!-- GRADED CELL why -->",
        "# GRADED CELL which-check\nprint()", "<!-- GRADED CELL half -->\nx", "\x00", "\ud800", "é", "The end.", "import torch",
    ]
)  # fmt: skip
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | pieces,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(pieces, inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from([*NAMES, "other", ""])
nbgraders = junk | st.fixed_dictionaries({"grade_id": names | junk}, optional={"locked": junk, "points": junk})
damaged_cells = junk | st.fixed_dictionaries(
    {"cell_type": st.sampled_from(["code", "markdown", "raw", "heading", "nonsense"]) | junk},
    optional={
        "source": pieces | st.lists(pieces, max_size=3).map("".join) | st.lists(pieces | junk, max_size=3) | junk,
        "input": pieces | junk,
        "metadata": st.fixed_dictionaries({}, optional={"nbgrader": nbgraders, "id": junk, "outputId": junk}) | junk,
        "outputs": junk | st.lists(junk | st.fixed_dictionaries({"data": junk}), max_size=2),
        "attachments": junk | st.dictionaries(pieces, st.fixed_dictionaries({"image/png": pieces | junk}), max_size=2),
        "id": junk,
        "execution_count": junk,
    },
)


@settings(max_examples=100)
@given(st.lists(damaged_cells, max_size=10))
def test_any_damage_is_repaired(cells: list[Any]) -> None:
    submitted, _ = read_notebook(json.dumps({"cells": cells}).encode())
    check_all_claims(submitted)


@settings(max_examples=100)
@given(st.randoms(use_true_random=False))
def test_any_accident_is_repaired(draw: random.Random) -> None:
    """What happens to notebooks: cells are copied, moved, deleted, split, joined, retyped, and lose marker or metadata."""
    notebook = solved()
    for _ in range(draw.randrange(1, 9)):
        cells = notebook.cells
        if not cells:
            break
        index = draw.randrange(len(cells))
        cell = cells[index]
        accident = draw.randrange(9)
        if accident == 0:
            cells.insert(draw.randrange(len(cells) + 1), copy.deepcopy(cell))
        elif accident == 1:
            del cells[index]
        elif accident == 2:
            draw.shuffle(cells)
        elif accident == 3:
            cell.metadata = {}
        elif accident == 4:
            cell.source = cell.source.partition("\n")[2]
        elif accident == 5:
            cell.source += "\nmore = 1"
        elif accident == 6:
            cell.cell_type = draw.choice(["code", "markdown", "raw"])
        elif accident == 7:
            other = copy.deepcopy(cell)
            middle = draw.randrange(len(cell.source) + 1)
            cell.source, other.source = cell.source[:middle], cell.source[middle:]
            cells.insert(index + 1, other)
        elif index + 1 < len(cells):
            cell.source += "\n\n" + cells.pop(index + 1).source
    check_all_claims(handed(notebook))


def check_all_claims(submitted: NotebookNode) -> None:
    before = copy.deepcopy(submitted)
    result, notes = repair(submitted, released())
    assert submitted == before
    check_repaired(result)
    assert all(note.endswith(".") for note in notes)
    # The student's cells are there in the student's order; only a check has another content.
    mine = [cell for cell in result.cells if not is_put_back(cell)]
    assert len(mine) == len(submitted.cells)
    for old, new in zip(submitted.cells, mine, strict=True):
        name = new.metadata.get("nbgrader", {}).get("grade_id")
        assert new.source == old.source or name in LOCKED
        assert new.cell_type == old.cell_type or name
    # nbgrader repairs once more, and counts the cells.
    again, second = repair(result, released())
    assert again == result and not any("missing" in note or "put back" in note for note in second)
    written = nbformat.reads(nbformat.writes(result), as_version=4)
    assert sources(repair(written, released())[0]) == sources(result)
    assert list(graded_cells(repair(written, released())[0])) == list(graded_cells(result))


def test_a_file_of_too_many_cells_is_not_read() -> None:
    with pytest.raises(UnreadableError, match="the file has 5,001 cells"):
        read_notebook(json.dumps({"cells": [{}] * 5001}).encode())
