"""The notebook tools, on tiny notebooks in a folder of their own."""

import nbformat
import pytest

from tools import execution, notebooks, pairing, run_notebooks

SOURCE = """# %% [markdown]
# # Title

# %%
import os

value = 20 + 1

# %% tags=["keep"]
print(f"value {value * 2}")
"""
WIDGETS = """# %%
import ipywidgets

ipywidgets.IntSlider(3)
"""
HEADLINES = """# %%
print("before")
print("headline  U-Net, mild: MSE: 0.0010   band 0.0009 .. 0.0012   ok")

# %%
# A comment.
print("headline  ratio: 1.9 dB   band 2.0 .. 3.0   {verdict}")
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a space in its name, as many users have."""
    folder = tmp_path / "my course" / "notebooks"
    (folder / "src").mkdir(parents=True)
    return folder


def add(folder, name, text):
    (folder / "src" / f"{name}.py").write_text(text, encoding="utf-8")
    return folder / f"{name}.ipynb"


def call(folder, *arguments):
    return notebooks.main(["--folder", str(folder), *arguments])


def cells(path):
    return nbformat.read(path, as_version=4).cells


def test_pair_makes_a_notebook_of_the_sources_cells(folder):
    path = add(folder, "one", SOURCE)
    assert call(folder, "pair") == 0
    notebook = nbformat.read(path, as_version=4)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        ("markdown", "# Title"), ("code", "import os\n\nvalue = 20 + 1"), ("code", 'print(f"value {value * 2}")'),
    ]  # fmt: skip
    assert notebook.cells[2].metadata == {"tags": ["keep"]}
    assert call(folder, "check") == 0


def test_cells_that_did_not_change_keep_ids_and_outputs(folder):
    path = add(folder, "one", SOURCE)
    call(folder, "pair")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells[1:]:
        cell.execution_count = 7
    nbformat.write(notebook, path)
    add(folder, "one", SOURCE.replace("# # Title", "# # Title\n\n# %%\nnew = 1").replace("20 + 1", "20 + 2"))
    call(folder, "pair")
    title, new, changed, same = cells(path)
    assert (title.id, same.id) == (notebook.cells[0].id, notebook.cells[2].id)
    assert changed.id != notebook.cells[1].id
    assert [cell.execution_count for cell in (new, changed, same)] == [None, None, 7]


def test_ids_follow_from_name_and_content(folder):
    twins = "# %%\nprint()\n\n# %%\nprint()\n"
    one, two = add(folder, "one", twins), add(folder, "two", twins)
    call(folder, "pair")
    ids = [cell.id for path in (one, two) for cell in cells(path)]
    assert len(set(ids)) == 4
    one.unlink()
    call(folder, "pair")
    assert [cell.id for cell in cells(one)] == ids[:2]


@pytest.mark.parametrize(
    "old, new",
    [("20 + 1", "20 + 2"), ('tags=["keep"]', 'tags=["other"]'), (' tags=["keep"]', ""), ("%% [markdown]", "%% [raw]")],
    ids=["source", "tag", "no tag", "type"],
)
def test_check_finds_a_difference(folder, capsys, old, new):
    add(folder, "one", SOURCE)
    call(folder, "pair")
    assert call(folder, "check") == 0
    assert old in SOURCE
    add(folder, "one", SOURCE.replace(old, new))
    assert call(folder, "check") == 1
    assert "one.ipynb differs from" in capsys.readouterr().out


def test_check_finds_a_missing_cell_and_missing_partners(folder):
    path = add(folder, "one", SOURCE)
    call(folder, "pair")
    add(folder, "one", SOURCE + "\n# %%\nlast = 1\n")
    assert "at cell 4" in pairing.check(folder)[0]
    add(folder, "two", SOURCE)
    path.rename(folder / "three.ipynb")
    one, three, two = pairing.check(folder)
    assert "one.py has no notebook" in one
    assert "three.ipynb has no source" in three
    assert "two.py has no notebook" in two
    assert call(folder, "check") == 1


def test_check_fails_without_sources(folder):
    assert call(folder, "check") == 1


def test_execute_stores_outputs_and_nothing_that_varies(folder):
    path, live = add(folder, "one", SOURCE), add(folder, "live", WIDGETS)
    assert call(folder, "execute") == 0
    assert [(output.name, output.text) for output in cells(path)[2].outputs] == [("stdout", "value 42\n")]
    assert [cell.execution_count for cell in cells(path)[1:]] == [1, 2]
    notebook = nbformat.read(live, as_version=4)
    assert notebook.metadata == pairing.NOTEBOOK_METADATA
    assert notebook.cells[0].metadata == {}
    assert notebook.cells[0].outputs[0].data == {"text/plain": execution.WIDGET_NOTE}
    first = live.read_bytes()
    assert call(folder, "execute", "--force", "live") == 0
    assert live.read_bytes() == first


def test_execute_runs_only_what_is_stale(folder, monkeypatch):
    path = add(folder, "one", SOURCE)
    call(folder, "execute")
    ran = []
    monkeypatch.setattr(notebooks, "execute", lambda notebook, where: ran.append(where))
    call(folder, "execute")
    add(folder, "one", SOURCE.replace("Title", "Another title"))
    call(folder, "execute")
    assert (ran, cells(path)[0].source) == ([], "# Another title")
    call(folder, "execute", "--force")
    assert len(ran) == 1
    add(folder, "one", SOURCE.replace("import os\n\nvalue = 20 + 1\n\n# %%", "# %%"))  # a cell is gone, the others are old
    call(folder, "execute")
    assert len(ran) == 2


def test_execute_keeps_the_stored_notebook_when_a_cell_raises(folder, capsys):
    path = add(folder, "one", SOURCE)
    call(folder, "execute")
    stored = path.read_bytes()
    add(folder, "one", SOURCE.replace("value * 2", "value / 0"))
    assert call(folder, "execute") == 1
    assert path.read_bytes() == stored
    assert sorted(file.name for file in folder.iterdir()) == ["one.ipynb", "src"]
    message = capsys.readouterr().err
    assert 'one.ipynb, cell 3 [print(f"value {value / 0}")]: ZeroDivisionError: division by zero' in message


def test_execute_reports_a_cell_that_takes_too_long_and_a_kernel_that_dies(folder):
    slow = pairing.pair(_source(folder, "# %%\n1\n\n# %%\nimport time\ntime.sleep(60)\n"), None, "slow")
    assert execution.execute(slow, folder, timeout=2).startswith("cell 2 [import time]: CellTimeoutError")
    dead = pairing.pair(_source(folder, "# %%\nimport os\nos._exit(1)\n"), None, "dead")
    assert execution.execute(dead, folder).startswith("cell 1 [import os]: DeadKernelError")


def _source(folder, text):
    add(folder, "scratch", text)
    return pairing.read_source(folder / "src" / "scratch.py")


def test_unknown_name_is_one_sentence(folder, capsys):
    add(folder, "one", SOURCE)
    assert call(folder, "execute", "two") == 1
    assert "two.py; there are one." in capsys.readouterr().err


def test_adopt_writes_the_source_without_colabs_metadata(folder):
    (folder.parent / "pyproject.toml").write_text(
        '[tool.jupytext]\nnotebook_metadata_filter = "kernelspec,colab"\ncell_metadata_filter = "tags,-all"\n', encoding="utf-8"
    )
    path = add(folder, "one", SOURCE)
    call(folder, "pair")
    edited = nbformat.read(path, as_version=4)
    edited.metadata.colab = {"provenance": [], "name": "Copy of one"}
    edited.cells[1].source = "value = 5"
    edited.cells[1].metadata = {"id": "x1", "outputId": "y2"}
    badge = nbformat.v4.new_markdown_cell("Open in Colab")
    badge.metadata = {"id": "view-in-github"}
    edited.cells.insert(0, badge)
    downloaded = folder.parent / "Copy of one.ipynb"
    nbformat.write(edited, downloaded)
    assert call(folder, "adopt", str(downloaded), "one") == 0
    text = (folder / "src" / "one.py").read_text(encoding="utf-8")
    assert "value = 5" in text
    assert '# %% tags=["keep"]' in text
    assert not [word for word in ("Copy of", "outputId", "x1", "view-in-github", "Open in Colab") if word in text]


def test_run_reports_numbers_and_leaves_the_stored_notebook(folder, tmp_path, capsys):
    path = add(folder, "one", HEADLINES.format(verdict="ok"))
    call(folder, "pair")
    stored = path.read_bytes()
    build = tmp_path / "build"
    assert call(folder, "run", "--build", str(build)) == 0
    assert path.read_bytes() == stored
    printed = capsys.readouterr().out
    assert "U-Net, mild: MSE  0.0010  0.0009 .. 0.0012  ok" in printed
    assert str(build / "one.html") in printed
    assert 'href="one.html"' in (build / "index.html").read_text(encoding="utf-8")
    assert cells(build / "one.ipynb")[0].outputs[0].text.startswith("before\n")


def test_run_fails_for_a_number_outside_of_its_band_and_a_cell_that_raises(folder, tmp_path, capsys):
    add(folder, "a_raises", "# %%\nprint('half way')\n\n# %%\nraise ValueError('no digits')\n\n# %%\nprint('never')\n")
    add(folder, "b_outside", HEADLINES.format(verdict="OUTSIDE"))
    call(folder, "pair")
    capsys.readouterr()
    assert call(folder, "run", "--build", str(tmp_path / "build")) == 1
    table, problems = capsys.readouterr().out.split("all pages:")
    assert "a_raises" in table and "OUTSIDE" in table
    first, second = problems.splitlines()[1:]
    assert first == f"FAILED  {folder}/a_raises.ipynb, cell 2 [raise ValueError('no digits')]: ValueError: no digits"
    assert second.startswith(f"FAILED  {folder}/b_outside.ipynb, cell 2 [print(")
    assert second.endswith("]: ratio is 1.9 dB, outside of its band 2.0 .. 3.0")
    page = (tmp_path / "build" / "a_raises.html").read_text(encoding="utf-8")
    assert "half way" in page and "no digits" in page


def test_run_fails_without_notebooks_and_for_an_unreadable_headline(folder, tmp_path, capsys):
    assert call(folder, "run", "--build", str(tmp_path / "build")) == 1
    add(folder, "one", "# %%\nprint('headline  MSE 3')\n")
    call(folder, "pair")
    assert call(folder, "run", "--build", str(tmp_path / "build")) == 1
    assert "this headline cannot be read" in capsys.readouterr().out


def test_pages_carry_alternative_texts():
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    figure = nbformat.v4.new_output(
        "display_data", {"image/png": f"{pixel}\n"}, metadata={"image/png": {"alt": 'digits at mu "0.25"'}}
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("show()", outputs=[figure])])
    page = run_notebooks.render(notebook, "figures")
    assert 'alt="digits at mu &quot;0.25&quot;"' in page or "alt='digits at mu \"0.25\"'" in page
    assert "<title>figures</title>" in page
    assert "image/png" in figure.data, "the notebook itself is left as it was"


def test_a_page_shows_formulas_without_a_script():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Before\n\n$$\\frac{a}{b}$$\n\nafter")])
    page = run_notebooks.render(notebook, "formulas")
    assert "<mfrac>" in page and "\\frac" not in page and "@formula" not in page
