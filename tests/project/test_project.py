"""The project as a whole: its settings agree with one another, and what is stored is fit to be published."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbval.plugin import get_sanitize_patterns
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RELEASED = sorted((ROOT / "notebooks" / "assignments" / "release").glob("*/*.ipynb"))
MAX_NOTEBOOK_BYTES, MAX_FILE_BYTES, MIN_ALT = 1_000_000, 5_000_000, 15

COLAB_LINK = re.compile(r"https://colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/blob/([\w.-]+)/([^\s)\"'<>]+)")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def outputs(path):
    return [output for cell in code_cells(path) for output in cell.outputs]


def project_files():
    """All files that are, or would be, in the repository."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


# --- the three ways to install agree ---


def test_conda_environment_is_the_makefiles():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (by_pip,) = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    extras = re.search(r"^EXTRAS := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    assert by_pip == [f"-e .[{extras}]"]
    assert set(extras.split(",")) == set(PROJECT["optional-dependencies"])
    assert "pip" in dependencies
    (python,) = [Requirement(entry) for entry in dependencies if isinstance(entry, str) and entry.startswith("python")]
    assert str(python.specifier) == PROJECT["requires-python"]


def test_make_refuses_a_python_older_than_the_project_asks_for():
    oldest = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["requires-python"])
    assert f"sys.version_info < ({oldest.group(1)}, {oldest.group(2)})" in (ROOT / "Makefile").read_text(encoding="utf-8")


# --- notebooks ---


def test_there_are_notebooks():
    assert NOTEBOOKS, "the tests of the notebooks below would pass with none"


@each_notebook
def test_every_code_cell_was_executed_in_order(path):
    # A notebook without outputs passes nbval, because nothing is compared.
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_no_error_is_stored(path):
    assert [output.ename for output in outputs(path) if output.output_type == "error"] == []


@each_notebook
def test_nothing_is_stored_that_github_cannot_show_or_that_varies(path):
    notebook = read(path)
    assert "widgets" not in notebook.metadata, "GitHub shows 'Invalid Notebook' for a widget state"
    assert "version" not in notebook.metadata.get("language_info", {})
    assert not [cell.id for cell in notebook.cells if "execution" in cell.metadata]
    assert path.stat().st_size < MAX_NOTEBOOK_BYTES


@pytest.mark.parametrize("path", [*NOTEBOOKS, *RELEASED], ids=lambda path: path.stem)
def test_first_cell_has_a_badge_that_opens_this_notebook(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    ((repository, _, target),) = COLAB_LINK.findall(first.source)
    assert f"https://github.com/{repository}" == REPOSITORY
    assert target == path.relative_to(ROOT).as_posix()


def test_nbval_compares_of_a_headline_all_but_its_value():
    text = (ROOT / "tests" / "notebooks" / "nbval_sanitize.cfg").read_text(encoding="utf-8")

    def compared(line):
        for pattern, replacement in get_sanitize_patterns(text):
            line = re.sub(pattern, replacement, line)
        return line

    line = "headline  MSE of the U-Net: 0.0068   band 0.0046 .. 0.0098   ok"
    assert compared(line) == compared(line.replace("0.0068", "-6.81e-03"))
    for other in (("U-Net", "TNet"), ("0.0046", "0.0047"), ("0.0098", "0.0099"), ("ok", "OUTSIDE")):
        assert compared(line) != compared(line.replace(*other))


@each_notebook
def test_images_have_alternative_texts(path):
    for output in outputs(path):
        for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
            alt = output.metadata.get(kind, {}).get("alt", "")
            assert len(alt.strip()) >= MIN_ALT, f"an {kind} output has the alternative text {alt!r}"


# --- README ---


@pytest.fixture
def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_names_both_commands(readme):
    assert "make run" in readme
    assert "make test" in readme


def test_readme_table_is_rendered_from_the_results(readme):
    from denoise_lib.papers import results

    content = json.loads((ROOT / "results" / "unet_vs_autoencoder.json").read_text(encoding="utf-8"))
    (stands,) = re.findall(r"<!-- results -->\n(.*?)\n<!-- /results -->", readme, re.DOTALL)
    assert stands.strip() == results.readme_table(content).strip()


def test_readme_photo_table_is_rendered_from_the_results(readme):
    from denoise_lib.papers import noise2noise_tables

    content = json.loads((ROOT / "results" / "tnet.json").read_text(encoding="utf-8"))
    (stands,) = re.findall(r"<!-- tnet -->\n(.*?)\n<!-- /tnet -->", readme, re.DOTALL)
    assert stands.strip() == noise2noise_tables.readme_photo_table(content).strip()
    assert (ROOT / "results" / "tnet.md").read_text(encoding="utf-8") == noise2noise_tables.photo_table(content)


def test_readme_claims_are_rendered_from_the_results(readme):
    from denoise_lib.papers import smoothgrad_claims

    content = json.loads((ROOT / "results" / "smoothgrad.json").read_text(encoding="utf-8"))
    (stands,) = re.findall(r"<!-- smoothgrad -->\n(.*?)\n<!-- /smoothgrad -->", readme, re.DOTALL)
    assert stands.strip() == smoothgrad_claims.readme_claims_table(content).strip()
    assert (ROOT / "results" / "smoothgrad.md").read_text(encoding="utf-8") == smoothgrad_claims.claims_table(content)
    assert f"{content['settings']['pairs']} pairs, crops of photos" in readme


@pytest.mark.parametrize(
    ("file", "name"), [("README.md", "speed"), ("CONTRIBUTING.md", "limits"), ("CONTRIBUTING.md", "growth")]
)
def test_tables_of_speed_are_rendered_from_the_results(file, name):
    from benchmarks import tables

    render = {"speed": tables.readme_speed_table, "limits": tables.limits_table, "growth": tables.growth_table}[name]
    content = json.loads((ROOT / "results" / "benchmark.json").read_text(encoding="utf-8"))
    text = (ROOT / file).read_text(encoding="utf-8")
    (stands,) = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", text, re.DOTALL)
    assert stands.strip() == render(content).strip()


def test_both_loops_of_the_benchmark_ended_with_one_loss():
    content = json.loads((ROOT / "results" / "benchmark.json").read_text(encoding="utf-8"))
    losses = {row["name"]: row["loss"] for row in content["parts"]["training"]["rows"]}
    for network in ("unet", "autoencoder", "tnet"):
        # Adam's first steps are of one size, however small the gradient: a rounding is multiplied from step to step.
        assert losses[f"{network}: fit"] == pytest.approx(losses[f"{network}: the papers' loop"], rel=1e-4)


def test_the_guide_lists_every_mistake_that_the_checks_know():
    from denoise_lib.classroom.question_bank import QUESTIONS
    from denoise_lib.exercises.checker import NOTEBOOKS, PROBLEM_SETS
    from tools.readme import mistakes_table

    guide = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
    graded = mistakes_table(PROBLEM_SETS, QUESTIONS.values())
    tables = {"mistakes": mistakes_table(NOTEBOOKS), "mistakes of problem sets": graded}
    for marker, table in tables.items():
        (stands,) = re.findall(rf"<!-- {marker} -->\n(.*?)\n<!-- /{marker} -->", guide, re.DOTALL)
        assert stands == table


def test_readme_badges_open_the_notebooks(readme):
    badges = COLAB_LINK.findall(readme)
    assert {repository for repository, _, _ in badges} == {REPOSITORY.removeprefix("https://github.com/")}
    assert {target for _, _, target in badges} == {path.relative_to(ROOT).as_posix() for path in [*NOTEBOOKS, *RELEASED]}


# --- all files ---


def test_no_file_is_large():
    assert [path.name for path in project_files() if path.stat().st_size > MAX_FILE_BYTES] == []


# Not preceded by a part of an address or a path: https://example.org/work/ is no folder of a machine.
MACHINE_FOLDER = re.compile(r"(?<![\w./~-])/(?:root|work|home/[\w.-]+)/")
DOWNLOAD_ADDRESS = re.compile(r"https?://\S+\.(?:whl|tar\.gz)\b")


@pytest.mark.parametrize("pattern", [MACHINE_FOLDER, DOWNLOAD_ADDRESS], ids=["machine folder", "download address"])
def test_no_text_names(pattern):
    found = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        # In a notebook's JSON a line may begin after an escaped line break.
        if match := pattern.search(text.replace("\\n", "\n")):
            found.append(f"{path.relative_to(ROOT)}: {match.group()}")
    assert found == []


@pytest.mark.parametrize("folder", ["root", "work", "home/ann"])
def test_pattern_tells_a_machines_folder_from_an_address(folder):
    assert MACHINE_FOLDER.search(f"cd /{folder}/course")
    assert MACHINE_FOLDER.search(f'["/{folder}/course"]')
    assert not MACHINE_FOLDER.search(f"https://example.org/{folder}/course")
