from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from denoise_lib.papers.noise2noise_tables import (
    GROUP,
    NAMES,
    PAPER_MODELS,
    PAPER_RATES,
    format_psnr,
    mean_and_std,
    model_name,
    photo_table,
    summarize_photo_runs,
)
from denoise_lib.papers.noise2noise_tnet import TABLE_2_NETWORKS, PhotoRun


def result(network: str = "tnet", psnr: float = 25.0, *, held_out: float | None = None, **more: Any) -> dict[str, Any]:
    """What a run leaves, so far as the table reads it."""
    scores = {"test": {"psnr": psnr}} | ({} if held_out is None else {"held-out": {"psnr": held_out}})
    row = {
        "network": network, "loss": "l2", "lr": 5e-4, "epochs": 50, "seed": 0, "recipe": "paper", "pairs": 50_000,
        "noise": "point-sample", "targets": "noisy", "amp": False, "parameters": 43_064, "scores": scores,
        "self_ensemble": {test: {"psnr": values["psnr"] + 0.5} for test, values in scores.items()},
        "loss_as_the_paper_counts": psnr / 10,
    }  # fmt: skip
    return row | more


def cells(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown text, as rows of cells."""
    tables: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if not line:
            tables.append([])
        else:
            assert line.startswith("|") and line.endswith("|")
            tables[-1].append([cell.strip() for cell in line[1:-1].split("|")])
    return tables


def only_row(*runs: dict[str, Any]) -> list[str]:
    table = cells(photo_table({"runs": list(runs)}))[0]
    assert len(table) == 3
    return table[2]


# --- the paper's numbers -------------------------------------------------------------------------------------------------


def test_the_papers_learning_rates() -> None:
    assert {rate: row[0] for rate, row in PAPER_RATES.items()} == {1e-4: 25.31, 5e-4: 25.33, 9e-4: 25.32}
    assert {rate: row[2] for rate, row in PAPER_RATES.items()} == {1e-4: 0.70896, 5e-4: 0.70859, 9e-4: 0.70869}
    assert [row[1] for row in PAPER_RATES.values()] == [0.01, 0.02, 0.02]
    assert [row[3] for row in PAPER_RATES.values()] == [0.00035, 0.00056, 0.00083]
    best = max(PAPER_RATES, key=lambda rate: PAPER_RATES[rate][0])
    assert best == min(PAPER_RATES, key=lambda rate: PAPER_RATES[rate][2]) == PhotoRun("tnet").lr  # least loss, most PSNR


def test_the_papers_models() -> None:
    assert PAPER_MODELS == {
        ("basenet", "l2"): (167.0, 6.95, 0.32), ("unet", "l2"): (991.0, 25.24, 0.08), ("tnet", "l2"): (43.0, 25.32, 0.01),
        ("tnet", "l1"): (43.0, 25.29, 0.01), ("tnet-bn", "l2"): (43.5, 24.45, 0.05),
    }  # fmt: skip
    for (network, _), (thousands, _, _) in PAPER_MODELS.items():
        # The paper counts the U-Net's shared decoder each time that it is used.
        model = TABLE_2_NETWORKS["unet-separate" if network == "unet" else network]()
        assert sum(parameter.numel() for parameter in model.parameters()) / 1000 == pytest.approx(thousands, abs=0.5)


# --- names ---------------------------------------------------------------------------------------------------------------


def test_model_names(refused: Any) -> None:
    assert model_name("tnet", "l2") == "TNet" and model_name("tnet", "l1") == "TNet + L1"
    assert model_name("tnet-bn", "l2") == "TNet + BN" and model_name("unet", "hdr") == "U-Net of Noise2Noise + HDR"
    assert set(NAMES) == set(TABLE_2_NETWORKS) and len(set(NAMES.values())) == len(NAMES)
    with refused(ValueError, "network", "'tnet-bn'", "'resnet'"):
        model_name("resnet", "l2")


@pytest.mark.parametrize(
    ("score", "text"),
    [((25.321, 0.0149), "25.32 ± 0.01"), ((25.321, None), "25.32"), ((7.0, 0.0), "7.00 ± 0.00"), (None, "-")],
)
def test_format_psnr(score: tuple[float, float | None] | None, text: str) -> None:
    assert format_psnr(score) == text


# --- summaries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 5])
def test_mean_and_std_agree_with_numpy(count: int) -> None:
    values = np.random.default_rng(count).normal(25, 1, count)
    mean, deviation = mean_and_std(iter(values.tolist()))
    assert mean == pytest.approx(values.mean(), rel=1e-12) and deviation == pytest.approx(values.std(ddof=1), rel=1e-12)


def test_one_value_has_no_deviation() -> None:
    assert mean_and_std([25.0]) == (25.0, None)


def test_summarize_against_numpy() -> None:
    psnrs = [25.1, 25.4, 24.8]
    runs = [result(psnr=value, held_out=value - 2, seed=seed) for seed, value in enumerate(psnrs)]
    others = [result("unet", 30.0, parameters=576_099), result(psnr=1.0, epochs=5)]
    rows = summarize_photo_runs([runs[1], others[0], runs[0], others[1], runs[2]])
    assert len(rows) == 3 and sum(row["seeds"] for row in rows) == 5
    row = next(row for row in rows if row["seeds"] == 3)
    mean, deviation = np.mean(psnrs), np.std(psnrs, ddof=1)
    assert row["psnr"]["test"] == pytest.approx((mean, deviation))
    assert row["psnr"]["held-out"] == pytest.approx((mean - 2, deviation))
    assert row["ensemble"]["test"] == pytest.approx((mean + 0.5, deviation))
    assert row["ensemble"]["held-out"] == pytest.approx((mean - 1.5, deviation))
    assert row["epoch_loss"] == pytest.approx((mean / 10, deviation / 10))
    alone = next(row for row in rows if row["network"] == "unet")
    assert alone["psnr"] == {"test": (30.0, None)} and alone["parameters"] == 576_099
    assert summarize_photo_runs([]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"network": "basenet"}, {"loss": "l1"}, {"lr": 1e-4}, {"recipe": "course"}, {"noise": "gaussian:0.1"},
        {"targets": "clean"}, {"pairs": 100}, {"epochs": 1}, {"amp": True},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_runs_that_differ_but_in_the_seed_are_kept_apart(change: dict[str, Any]) -> None:
    assert set(change) <= set(GROUP)
    rows = summarize_photo_runs([result(), result(seed=1), result(**change)])
    assert sorted(row["seeds"] for row in rows) == [1, 2]
    changed = next(row for row in rows if row["seeds"] == 1)
    assert {name: changed[name] for name in change} == change


def test_every_setting_of_a_run_but_the_seed_makes_a_group() -> None:
    assert set(GROUP) | {"seed"} == set(PhotoRun.__dataclass_fields__)


def test_the_rows_do_not_depend_on_the_order_of_the_runs() -> None:
    runs = [result(name, seed=seed) for name in ("unet", "tnet", "basenet") for seed in (0, 1)]
    assert summarize_photo_runs(runs[::-1]) == summarize_photo_runs(runs)


# --- the table -------------------------------------------------------------------------------------------------------------


def test_the_table_is_well_formed() -> None:
    runs = [result(), result(seed=1, psnr=26.0), result("unet", held_out=23.456), result("tiny-denoiser", recipe="course")]
    baselines = [
        {"baseline": "do nothing", "psnr": {"test": 20.4, "held-out": 19.0}, "fitted": {"strength": 0}},
        {"baseline": "BM3D", "psnr": {"test": 24.0, "held-out": 22.126}, "fitted": {"strength": 0.09}},
    ]
    text = photo_table({"runs": runs, "baselines": baselines})
    assert text.endswith("|\n")
    networks, filters = cells(text)
    assert [len(row) for row in networks] == [12] * 5 and [len(row) for row in filters] == [4] * 4
    for table in (networks, filters):
        assert all(set(cell) <= set("-:") and len(cell) >= 3 for cell in table[1])
    by_name = {row[0]: dict(zip(networks[0], row, strict=True)) for row in networks[2:]}
    tnet, unet = by_name["TNet"], by_name["U-Net of Noise2Noise"]
    assert tnet["parameters"] == "43,064" and tnet["pairs x epochs"] == "50,000 x 50" and tnet["lr"] == "0.0005"
    assert tnet["PSNR dB, test"] == f"25.50 ± {math.sqrt(0.5):.2f}" and tnet["seeds"] == "2"
    assert tnet["PSNR dB, held out"] == tnet["with self-ensemble, held out"] == "-"
    assert unet["PSNR dB, held out"] == "23.46" and unet["with self-ensemble, held out"] == "23.96"
    assert unet["PSNR dB, test"] == "25.00" and unet["noise, targets"] == "point-sample, noisy"
    assert by_name["TinyDenoiser"]["recipe"] == "course"
    assert filters[0][2:] == ["PSNR dB, test", "PSNR dB, held-out"]
    assert filters[2:] == [["do nothing", "0", "20.40", "19.00"], ["BM3D", "0.09", "24.00", "22.13"]]


def test_a_table_of_nothing() -> None:
    for content in ({}, {"runs": []}, {"runs": [], "baselines": []}):
        tables = cells(photo_table(content))
        assert len(tables) == 1 and [len(row) for row in tables[0]] == [12, 12]


def test_a_table_of_baselines_alone() -> None:
    rows = [{"baseline": "do nothing", "psnr": {"test": 20.4}, "fitted": {"strength": 0}}]
    networks, filters = cells(photo_table({"baselines": rows}))
    assert len(networks) == 2 and [len(row) for row in filters] == [3, 3, 3]


@pytest.mark.parametrize(("amp", "precision"), [(True, "mixed"), (False, "float32")])
def test_the_table_tells_the_precision(amp: bool, precision: str) -> None:
    assert only_row(result(amp=amp))[6] == precision


@pytest.mark.parametrize(
    ("network", "loss", "paper"),
    [
        ("tnet", "l2", "25.32 ± 0.01"), ("tnet", "l1", "25.29 ± 0.01"), ("tnet-bn", "l2", "24.45 ± 0.05"),
        ("unet", "l2", "25.24 ± 0.08"), ("basenet", "l2", "6.95 ± 0.32"), ("tiny-denoiser", "l2", "-"),
        ("unet-separate", "l2", "-"), ("unet", "l1", "-"), ("tnet", "l0", "-"),
    ],
)  # fmt: skip
def test_the_papers_number_stands_beside_like_runs(network: str, loss: str, paper: str) -> None:
    assert only_row(result(network, loss=loss))[-1] == paper


@pytest.mark.parametrize("change", [{"recipe": "course"}, {"noise": "gaussian:0.1"}, {"targets": "clean"}], ids=str)
def test_other_runs_have_no_number_of_the_papers(change: dict[str, Any]) -> None:
    assert only_row(result(**change))[-1] == "-"


@pytest.mark.parametrize(("lr", "paper"), [(1e-4, "25.31 ± 0.01"), (9e-4, "25.32 ± 0.02")])
def test_the_papers_other_rates_have_numbers_of_their_own(lr: float, paper: str) -> None:
    assert only_row(result(lr=lr))[-1] == paper


def test_seeds_need_not_have_the_same_test_sets() -> None:
    assert only_row(result(held_out=23.0), result(seed=1))[9] == "23.00"
