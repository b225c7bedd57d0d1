from __future__ import annotations

import copy
import json
import math
import os
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from denoise_lib import data, training
from denoise_lib.data import TEST_NOISE_SEED, NoisyImages, training_noise_seed
from denoise_lib.display import notebook
from denoise_lib.internal import devices
from denoise_lib.internal.atomic_write import write_json
from denoise_lib.internal.tables import table
from denoise_lib.metrics import evaluate, mse, predict
from denoise_lib.noise import LEVELS, Blend
from denoise_lib.papers import results as results_module
from denoise_lib.papers import unet_vs_autoencoder
from denoise_lib.papers.results import PAPER_PARAMETERS, PAPER_TABLE_1, format_mse, markdown_table, read_results, summarize
from denoise_lib.papers.unet_vs_autoencoder import RECIPES, Run, execute, export_weights, measure_baselines, reproduce
from denoise_lib.pretrained.weights import read_weights
from denoise_lib.unet import UNet

pytestmark = pytest.mark.numbers

TINY = Run("unet", "mild", data="small", epochs=2)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, small_train: Tensor, small_test: Tensor) -> dict[str, Tensor]:
    """24 digits to train on, of which four stand in the small test set too, and 12 to test on."""
    sets = {"train": torch.cat([small_train[:20], small_test[:4]]), "test": small_test[:12]}

    def fake(split: str = "train", size: str = "small", root: Any = None) -> Tensor:
        return sets[split].clone()

    monkeypatch.setattr(unet_vs_autoencoder, "mnist", fake)
    monkeypatch.setattr(data, "mnist", fake)
    return sets


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("this run was done already, but is trained again")

    return lambda: monkeypatch.setattr(unet_vs_autoencoder, "fit", refuse)


def plain(result: dict[str, Any]) -> dict[str, Any]:
    """A result without its times, as JSON keeps it."""
    kept = json.loads(json.dumps(result))
    del kept["training_seconds"], kept["test"]["seconds_per_image"]
    return kept


# --- the paper's table ---------------------------------------------------------------------------------------------------


def test_the_papers_table() -> None:
    psnr = {"unet": (30.22, 23.28, 18.54), "autoencoder": (26.99, 22.60, 18.24)}
    for network, row in psnr.items():
        for level, expected in zip(LEVELS, row, strict=True):
            assert -10 * math.log10(PAPER_TABLE_1[network, level]["mse"]) == pytest.approx(expected, abs=0.005)
    assert list(LEVELS.values()) == [0.1, 0.25, 0.4] and len(PAPER_TABLE_1) == 6
    assert PAPER_PARAMETERS == {"unet": 88_641, "autoencoder": 104_521}  # as printed: the first has two digits swapped


# --- runs ----------------------------------------------------------------------------------------------------------------


def test_names_of_runs_are_unique_file_names() -> None:
    assert Run("unet", "mild").name == "unet-mild-paper-full-10-seed0"
    runs = [
        Run(network, level, recipe, digits, epochs, seed)
        for network in unet_vs_autoencoder.TABLE_1_NETWORKS
        for level in (*LEVELS, "blind")
        for recipe in RECIPES
        for digits in ("small", "full")
        for epochs in (1, 10)
        for seed in (0, 10)
    ]
    names = {run.name for run in runs}
    assert len(names) == len(runs)
    assert all(Path(name).name == name and Path(name).suffix == "" for name in names)


def test_the_noise_of_a_run() -> None:
    assert Run("unet", "severe").noise == Blend(0.4)
    assert Run("unet", "blind").noise == Blend((0.0, 0.5))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"network": "resnet"}, ValueError), ({"level": "wild"}, ValueError), ({"recipe": "quick"}, ValueError),
        ({"data": "tiny"}, ValueError), ({"epochs": 0}, ValueError), ({"epochs": 1.5}, TypeError), ({"seed": -1}, ValueError),
        ({"seed": "0"}, TypeError),
    ],
)  # fmt: skip
def test_bad_runs(change: dict[str, Any], error: type[Exception], refused: Any) -> None:
    with refused(error, next(iter(change))):
        replace(TINY, **change)


def test_training_images_of_the_recipes(tiny: dict[str, Tensor]) -> None:
    assert torch.equal(unet_vs_autoencoder.training_images(Run("unet", "mild", "paper", "full")), tiny["train"])
    held_out = unet_vs_autoencoder.training_images(Run("unet", "mild", "best", "full"))
    assert torch.equal(held_out, tiny["train"][:20])  # without the four test digits


def test_all_models_share_one_test_noise(tiny: dict[str, Tensor]) -> None:
    noisy, clean = unet_vs_autoencoder.test_pairs("small", 0.25)
    again, _ = unet_vs_autoencoder.test_pairs("small", 0.25)
    assert torch.equal(noisy, again) and torch.equal(clean, tiny["test"] / 255)
    assert torch.equal(noisy, Blend(0.25)(clean, torch.Generator().manual_seed(TEST_NOISE_SEED)))


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_no_run_trains_on_the_test_noise(
    seed: int, tiny: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Tensor] = []

    def watched(model: UNet, pairs: NoisyImages, **options: Any) -> training.History:
        trained.append(next(pairs.batches(len(pairs)))[0])
        return training.fit(model, pairs, **options)

    monkeypatch.setattr(unet_vs_autoencoder, "fit", watched)
    execute(replace(TINY, seed=seed, epochs=1), tmp_path, device="cpu")
    noise = Blend(TINY.noise.mu)
    same_noise = noise(tiny["train"] / 255, torch.Generator().manual_seed(TEST_NOISE_SEED))
    assert not torch.equal(trained[0], same_noise)


@given(st.integers(0, 2**63 - 2), st.integers(0, 2**63 - 2))
def test_each_seed_has_training_noise_of_its_own(first: int, second: int) -> None:
    assert training_noise_seed(first) != TEST_NOISE_SEED
    assert (training_noise_seed(first) == training_noise_seed(second)) == (first == second)


# --- execute -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [TINY, replace(TINY, level="blind", recipe="best"), replace(TINY, network="unet-no-skips")])
def test_a_run_is_measured_on_the_weights_that_it_keeps(run: Run, tiny: dict[str, Tensor], tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    result = execute(run, tmp_path, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert sorted(os.listdir(tmp_path)) == [f"{run.name}.json", f"{run.name}.safetensors"]  # the checkpoint is gone
    kept = json.loads((tmp_path / f"{run.name}.json").read_text())
    assert kept["result"] == json.loads(json.dumps(result))
    model = read_weights((tmp_path / f"{run.name}.safetensors").read_bytes(), kept)
    mu = 0.25 if run.level == "blind" else 0.1
    noisy, clean = unet_vs_autoencoder.test_pairs("small", mu)
    scores = evaluate(model, noisy, clean)
    assert result["test_mu"] == mu and result["test"]["images"] == 12 and len(result["loss"]) == 2
    for name in ("mse", "mse_clipped", "psnr", "psnr_pooled", "ssim"):
        assert result["test"][name] == pytest.approx(getattr(scores, name), rel=1e-5)
    assert result["mse_small_test"] == result["mse_first_1000"] == pytest.approx(scores.mse, rel=1e-5)
    for level in LEVELS.values():
        pairs = unet_vs_autoencoder.test_pairs("small", level)
        assert result["mse_at_mu"][f"{level:.2f}"] == pytest.approx(mse(predict(model, pairs[0]), pairs[1]), rel=1e-5)
    assert result["parameters"] == 88_461 and result["training_images"] == 24 and result["training_seconds"] >= 0
    assert result["machine"]["torch"] == torch.__version__ and result["machine"]["device"].startswith("CPU")


def test_a_finished_run_is_read(tiny: dict[str, Tensor], tmp_path: Path, no_training: Callable[[], None]) -> None:
    first = execute(TINY, tmp_path, device="cpu")
    no_training()
    assert execute(TINY, tmp_path) == json.loads(json.dumps(first))


def test_seeds_differ_and_repeat(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    first = execute(TINY, tmp_path / "a", device="cpu")
    torch.manual_seed(123)  # a run follows its own seed alone
    assert plain(execute(TINY, tmp_path / "b", device="cpu")) == plain(first)
    assert execute(replace(TINY, seed=1), tmp_path / "a", device="cpu")["test"]["mse"] != first["test"]["mse"]


def test_the_initial_weights_follow_the_runs_seed(
    tiny: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initial: list[Tensor] = []

    def watched(model: UNet, *arguments: Any, **options: Any) -> training.History:
        initial.append(model.encode_a.weight.detach().clone())
        return training.fit(model, *arguments, **options)

    monkeypatch.setattr(unet_vs_autoencoder, "fit", watched)
    for seed in (0, 1):
        execute(replace(TINY, seed=seed), tmp_path, device="cpu")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            assert torch.equal(initial[seed], UNet().encode_a.weight)


def test_results_that_another_command_adds_meanwhile_are_kept(
    tiny: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "table.json"
    other = replace(TINY, seed=7)

    def while_it_trains(run: Run, *arguments: Any, **options: Any) -> dict[str, Any]:
        monkeypatch.setattr(unet_vs_autoencoder, "execute", execute)
        reproduce([other], output, device="cpu")
        return execute(run, *arguments, **options)

    monkeypatch.setattr(unet_vs_autoencoder, "execute", while_it_trains)
    content = reproduce([TINY], output, device="cpu")
    assert {result["seed"] for result in content["runs"]} == {TINY.seed, other.seed}


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_an_interrupted_run_goes_on(
    recipe: str, tiny: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(TINY, recipe=recipe, epochs=3)
    straight = execute(run, tmp_path / "straight", device="cpu")
    calls: list[int] = []

    def interrupted(output: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return torch.nn.functional.mse_loss(output, target)

    with monkeypatch.context() as patched:
        patched.setitem(training.LOSSES, "l2", interrupted)
        with pytest.raises(KeyboardInterrupt):
            execute(run, tmp_path / "stopped", device="cpu")
    assert os.listdir(tmp_path / "stopped") == [f"{run.name}.pt"]
    assert plain(execute(run, tmp_path / "stopped", device="cpu")) == plain(straight)


# --- reproduce -----------------------------------------------------------------------------------------------------------


def test_reproduce_merges_and_does_not_train_again(
    tiny: dict[str, Tensor], tmp_path: Path, no_training: Callable[[], None]
) -> None:
    output, other = tmp_path / "table.json", replace(TINY, network="autoencoder", level="severe")
    first = reproduce([TINY], output, device="cpu")
    both = reproduce([TINY, other], output, device="cpu")
    assert [(run["network"], run["level"]) for run in both["runs"]] == [("autoencoder", "severe"), ("unet", "mild")]
    assert plain(both["runs"][1]) == plain(first["runs"][0])
    assert read_results(output) == json.loads(json.dumps(both))
    assert output.with_suffix(".md").read_text(encoding="utf-8") == markdown_table(both)
    assert sorted(os.listdir(tmp_path)) == ["runs", "table.json", "table.md"]

    no_training()
    for path in (tmp_path / "runs").iterdir():  # the table alone is enough
        path.unlink()
    assert reproduce([TINY], output)["runs"] == read_results(output)["runs"]
    assert len(reproduce([], output)["runs"]) == 2


def test_reproduce_takes_runs_that_another_process_left(
    tiny: dict[str, Tensor], tmp_path: Path, no_training: Callable[[], None]
) -> None:
    result = execute(TINY, tmp_path / "runs", device="cpu")
    no_training()
    content = reproduce([TINY], tmp_path / "table.json")
    assert content["runs"] == [json.loads(json.dumps(result))]


def test_reproduce_refuses_bad_arguments(tmp_path: Path, refused: Any) -> None:
    for jobs, error in ((0, ValueError), ("2", TypeError)):
        with refused(error, "jobs"):
            reproduce([], tmp_path / "table.json", jobs=jobs)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_exported_weights_are_those_of_the_first_seed(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    runs = [replace(TINY, seed=seed) for seed in (1, 0)]
    content = reproduce(runs, tmp_path / "table.json", device="cpu")
    export_weights(runs, tmp_path / "table.json", tmp_path / "shipped")
    assert sorted(os.listdir(tmp_path / "shipped")) == ["unet-mild.json", "unet-mild.safetensors"]
    card = json.loads((tmp_path / "shipped/unet-mild.json").read_text())
    assert card["seed"] == 0 and card["mse"] == content["runs"][0]["test"]["mse"] != content["runs"][1]["test"]["mse"]
    model = read_weights((tmp_path / "shipped/unet-mild.safetensors").read_bytes(), card)
    assert isinstance(model, UNet)
    noisy, clean = unet_vs_autoencoder.test_pairs("small", card["test_mu"])
    assert mse(predict(model, noisy), clean) == pytest.approx(card["mse_small_test"], rel=1e-5)


# --- tables --------------------------------------------------------------------------------------------------------------


def result(network: str = "unet", level: str = "mild", seed: int = 0, error: float = 0.001, **more: Any) -> dict[str, Any]:
    test = {"mse": error, "mse_clipped": error / 2, "psnr": 30 + seed, "ssim": 0.9}
    row = {"network": network, "level": level, "recipe": "paper", "data": "full", "epochs": 10, "seed": seed, "test": test}
    return row | more


def test_summarize_against_statistics_by_hand() -> None:
    errors = [0.0010, 0.0013, 0.0008]
    results = [result(seed=seed, error=error) for seed, error in enumerate(errors)]
    others = [result("autoencoder", "blind", error=0.5), result(epochs=5, error=0.7)]
    table = summarize([results[1], others[0], results[0], others[1], results[2]])
    assert len(table) == 3
    row = next(row for row in table if row["seeds"] == 3)
    mean = sum(errors) / 3
    assert row["mse"] == pytest.approx(mean)
    assert row["mse_std"] == pytest.approx(math.sqrt(sum((error - mean) ** 2 for error in errors) / 2))
    assert row["mse_std"] == pytest.approx(statistics.stdev(errors))
    assert row["mse_clipped"] == pytest.approx(mean / 2) and row["psnr"] == pytest.approx(31) and row["ssim"] == 0.9
    assert row["paper_mse"] == 0.00095 and row["ratio_to_paper"] == pytest.approx(mean / 0.00095)
    alone = next(row for row in table if row["network"] == "autoencoder")
    assert alone["seeds"] == 1 and alone["mse_std"] is None  # one run has no deviation
    assert alone["paper_mse"] is None and alone["ratio_to_paper"] is None  # the paper has no blind network
    assert summarize([]) == []


def test_markdown_table() -> None:
    results = [result(level="severe", error=0.014), result(error=0.00095), result(seed=1, error=0.00105), result(level="blind")]
    rows = [
        {"baseline": "do nothing", "data": "full", "level": level, "mse": value}
        for level, value in zip(LEVELS, (0.1, 0.2, 0.3), strict=True)
    ]
    lines = markdown_table({"table": summarize(results), "baselines": rows}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line]
    assert {len(row) for row in cells[:5]} == {11} and {len(row) for row in cells[5:]} == {5}
    assert [row[1] for row in cells[2:5]] == ["mild", "severe", "blind"]  # in the order of the levels
    assert cells[2][6:9] == ["0.00100 ± 0.00007", "0.00095", "1.05"] and cells[2][5] == "2"
    assert cells[4][7:9] == ["-", "-"]
    assert cells[-1] == ["do nothing", "full", "0.10000", "0.20000", "0.30000"]
    assert "baseline" not in markdown_table({"table": summarize(results)})


def test_format_mse() -> None:
    assert format_mse(0.004874, 0.00003) == "0.00487 ± 0.00003"
    assert format_mse(0.004874) == "0.00487"


def test_readme_table() -> None:
    results = [result(error=0.0009), result(recipe="best", error=0.0007), result("unet-no-skips", "severe", error=0.02)]
    results += [result(seed=1, error=0.0011), result(level="moderate", data="small"), result(level="moderate", epochs=3)]
    lines = results_module.readme_table({"table": summarize(results)}).splitlines()
    assert len(lines) == 4  # of the full data and ten epochs alone
    assert "mild" in lines[2] and "0.00095" in lines[2] and "0.00070" in lines[2]
    assert f"0.00100 ± {statistics.stdev([0.0009, 0.0011]):.5f} (2 seeds)" in lines[2]
    assert "severe" in lines[3] and "| - |" in lines[3] and "0.02000" in lines[3]


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.0, "ok"), (2.0, "ok"), (0.99, "OUTSIDE"), (2.01, "OUTSIDE"), (math.nan, "OUTSIDE")]
)
def test_headlines(value: float, verdict: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(notebook, "read_results", lambda name: {"bands": {"key": {"low": 1.0, "high": 2.0}}})
    notebook.headline("key", value)
    assert capsys.readouterr().out == f"headline  key: {value:.4g}   band 1 .. 2   {verdict}\n"
    notebook.headline("unknown", value)
    assert capsys.readouterr().out.endswith("OUTSIDE\n")


def test_setup_report(tiny: dict[str, Tensor]) -> None:
    before = torch.random.get_rng_state()
    report = notebook.setup_report("cpu")
    assert "\n" not in report and f"torch {torch.__version__}" in report and "device cpu" in report and "minutes" in report
    assert "No GPU is used" in report and "T4 GPU" in report and "No network is needed" in report
    assert torch.equal(torch.random.get_rng_state(), before)


# --- baselines -----------------------------------------------------------------------------------------------------------


def test_baselines_are_measured_and_merged(tiny: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from denoise_lib.papers.baselines import BASELINES

    path = tmp_path / "table.json"
    old_row = {"baseline": "do nothing", "level": "mild", "data": "full", "mse": 0.5, "fitted": {}, "tuned_on": 1}
    full_rows = [old_row | {"level": level} for level in LEVELS]
    write_json(path, {"runs": [], "table": [], "baselines": full_rows})
    for _ in range(2):  # the second time replaces the rows of the first
        rows = measure_baselines(path, "small", tuning_images=10)
        assert read_results(path)["baselines"] == full_rows + json.loads(json.dumps(rows))
    assert [(row["level"], row["baseline"]) for row in rows] == [(level, name) for level in LEVELS for name in BASELINES]
    for row in rows:
        assert row["tuned_on"] == (24 if row["baseline"].startswith(("best", "do")) else 10)
        if row["baseline"] == "do nothing":
            noisy, clean = unet_vs_autoencoder.test_pairs("small", LEVELS[row["level"]])
            assert row["mse"] == pytest.approx(mse(noisy, clean), rel=1e-6)
    assert "| median filter | small |" in path.with_suffix(".md").read_text(encoding="utf-8")
    content = reproduce([TINY], path, device="cpu")
    assert content["baselines"] == read_results(path)["baselines"] and len(content["baselines"]) == 3 + len(rows)


def test_baselines_tell_how_many_digits_tuned_them(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    rows = measure_baselines(tmp_path / "table.json", "small", tuning_images=500)
    assert {row["tuned_on"] for row in rows} == {24}  # there are no more


# --- Markdown ------------------------------------------------------------------------------------------------------------


def test_a_table_in_markdown() -> None:
    assert table(["network", "dB"], [["TNet", 25.1]]) == "| network | dB |\n|---|---:|\n| TNet | 25.1 |"
    rows: list[list[object]] = [["a b", 1, "-"], ["", 2.5, None]]
    expected = ["| name | n | the rest |", "|---|---:|---:|", "| a b | 1 | - |", "|  | 2.5 | None |"]
    assert (
        table(["name", "n", "the rest"], rows).split("\n")
        == table(("name", "n", "the rest"), iter(rows)).split("\n")
        == expected
    )
    assert table(["only"], [["one"]]) == "| only |\n|---|\n| one |"
    assert table(["a", "b"], []) == "| a | b |\n|---|---:|"


@pytest.mark.parametrize("row", [["TNet"], ["TNet", 25.1, 0.9], []])
def test_a_row_needs_one_cell_a_column(row: list[object], refused: Any) -> None:
    with refused(ValueError, "2 cells", f"{len(row)}: {row}"):
        table(["network", "dB"], [["U-Net", 26.0], row])


# --- files ---------------------------------------------------------------------------------------------------------------


def test_results_are_read_by_path_or_name(tmp_path: Path, refused: Any) -> None:
    write_json(tmp_path / "mine.json", {"a": [1, 2.5, "é"]})
    assert read_results(tmp_path / "mine.json") == read_results(str(tmp_path / "mine.json")) == {"a": [1, 2.5, "é"]}
    for name in ("nothing", tmp_path / "nothing.json"):
        with refused(ValueError, repr(str(name)), "unet_vs_autoencoder"):
            read_results(name)
    for damage in (b"", b'{"a": [1', b"\xff\xfe"):
        (tmp_path / "mine.json").write_bytes(damage)
        with refused(ValueError, "mine.json", "damaged"):
            read_results(tmp_path / "mine.json")


def test_the_shipped_table_agrees_with_its_runs() -> None:
    content = read_results("unet_vs_autoencoder")
    assert json.loads(json.dumps(summarize(content["runs"]))) == content["table"]
    for run in content["runs"]:
        assert run["parameters"] == {"unet": 88_461, "autoencoder": 104_521, "unet-no-skips": 88_461}[run["network"]]
        assert run["machine"]["device"] and run["machine"]["date"]
        assert len(run["loss"]) == run["epochs"] and run["test"]["images"] == (10_000 if run["data"] == "full" else 1000)
    assert len({unet_vs_autoencoder._run_of(run).name for run in content["runs"]}) == len(content["runs"])


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "table.json"
    write_json(path, {"version": 1})

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="No space left"):
            write_json(path, {"version": 2})
    assert read_results(path) == {"version": 1} and os.listdir(path.parent) == ["table.json"]
    with pytest.raises(TypeError):
        write_json(path, {"version": copy})  # no JSON
    assert read_results(path) == {"version": 1}
    write_json(path, {"version": 3})
    assert read_results(path) == {"version": 3} and os.listdir(path.parent) == ["table.json"]


def test_the_machine_is_named() -> None:
    machine = devices.machine(torch.device("cpu"))
    assert machine["device"].startswith("CPU ") and f"{os.cpu_count()} cores" in machine["device"]
    assert machine["threads"] == torch.get_num_threads() == 1
    assert set(machine) == {"device", "threads", "python", "torch", "denoise_lib", "date"}
