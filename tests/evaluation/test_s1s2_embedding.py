from dataclasses import replace

import numpy as np
import pytest
import torch

from openeo_udf_fusion.evaluation import s1s2_embedding as evaluation
from openeo_udf_fusion.evaluation.s1s2_embedding import QUICK, Settings
from openeo_udf_fusion.evaluation.s1s2_errors import Errors
from openeo_udf_fusion.evaluation.s1s2_rivals import ALONE, METHODS, kernel_mean, methods
from openeo_udf_fusion.models.embedder import Embedder
from openeo_udf_fusion.models.s1s2_embedding import S1S2Embedding
from openeo_udf_fusion.training.s1s2_embedding import config_of
from openeo_udf_fusion.training.s1s2_sites import is_test
from openeo_udf_fusion.training.s1s2_validation import cases
from tests.training.s1s2 import made_up, write


@pytest.fixture(scope="module")
def site():
    return made_up(days=140)


@pytest.fixture(scope="module")
def embedder(site):
    torch.manual_seed(0)
    table = {"days": [0, 20], "sigma": [[0.1] * 10] * 2, "none": [0.1] * 10}
    return Embedder(S1S2Embedding(replace(config_of([site]), width=8, hidden=16)), {"s2": table})


def test_every_method_is_scored_on_the_same_cells(site, embedder, tmp_path):
    write(site, tmp_path / "site")
    told = []
    alone = {"s2": embedder}
    result = evaluation.evaluate(tmp_path, embedder, QUICK, "command", told.append, alone)
    assert len(told) == 2
    measured = [name for name in METHODS if name != ALONE["s1"]]
    assert [*methods(alone)] == [*result["methods"]] == measured
    rows = result["reconstruction"]
    assert {(row["part"], row["method"]) for row in rows} == {
        (part, name) for part in ("strip", "rest") for name in measured
    }
    assert all(row["dates"] == 2 for row in rows)
    lines = [row for row in rows if row["method"] == "linear"]
    assert all(row["rmse_ratio_to_linear"] == {"ratio": 1.0, "low": 1.0, "high": 1.0} for row in lines)
    untrained = next(row for row in rows if row["method"] == "fused")
    assert untrained["rmse_ratio_to_linear"]["ratio"] != 1
    against = {row["fused_over"]: row for row in result["comparison"] if row["part"] == "strip"}
    assert against["linear"]["rmse"] == untrained["rmse_ratio_to_linear"]
    same = {row["method"]: row["rmse"] for row in rows if row["part"] == "strip"}
    assert same["s2_only"] == same[ALONE["s2"]], "the same network with the same frames"
    assert all(0 < row["coverage80"] < 1 for row in result["coverage"])


def test_pools_hold_all_gaps_and_the_long_ones_of_the_season(site, embedder, tmp_path):
    write(site, tmp_path / "site")
    settings = Settings(half_gaps=(5, 20), resamples=50, dates=3)
    result = evaluation.evaluate(tmp_path, embedder, settings, "command")
    rows = {(row["pool"], row["method"]): row for row in result["pooled"]}
    assert {pool for pool, _ in rows} <= set(evaluation.POOLS)
    assert rows["all", "fused"]["dates"] == 3
    squares = {
        part: np.mean([row["rmse"]["B08"] ** 2 for row in result["reconstruction"] if row["method"] == part])
        for part in ("linear", "fused")
    }
    assert rows["all", "fused"]["rmse"]["B08"] ** 2 == pytest.approx(squares["fused"], rel=0.5)
    assert rows["all", "linear"]["fused_over"]["rmse"] == rows["all", "fused"]["rmse_ratio_to_linear"]
    assert "fused_over" not in rows["all", "fused_int8"]
    assert evaluation.markdown(result).count("\n") == 2 + len(result["methods"]) - 2


def test_each_fold_is_scored_on_its_own_days_by_its_own_network(site, embedder, tmp_path):
    write(site, tmp_path / "site")
    settings = Settings(half_gaps=(5,), resamples=50)
    seen = []
    own = evaluation.evaluate(tmp_path, embedder, settings, "command", seen.append)
    other = Embedder(S1S2Embedding(embedder.config), embedder.calibration)
    both = evaluation.evaluate(tmp_path, embedder, settings, "command", seen.append, folds={2: other})
    assert both["folds"] == [0, 2]
    pooled = {
        name: {row["pool"]: row for row in result["pooled"] if row["method"] == "fused"}
        for name, result in (("own", own), ("both", both))
    }
    assert pooled["both"]["shipped network"]["rmse"] == pooled["own"]["all"]["rmse"]
    assert pooled["both"]["all"]["dates"] > pooled["own"]["all"]["dates"]
    assert pooled["both"]["all"]["blocks"] > pooled["own"]["all"]["blocks"]
    assert pooled["both"]["all"]["rmse"] != pooled["own"]["all"]["rmse"]


def test_blocks_of_folds_are_blocks_of_their_own():
    days = np.array([17_400, 17_413, 17_415, 17_428, 17_460])
    ones = np.ones((5, 1))
    errors = Errors(
        ("fused",),
        ones,
        ones,
        ones[None],
        ones[None],
        days > 0,
        days,
        days,
        ones[:, 0],
        fold=np.array([0, 0, 1, 1, 0]),
    )
    blocks = errors.blocks
    assert blocks[0] == blocks[1] != blocks[2] == blocks[3]
    assert len(set(blocks.tolist())) == 3


def test_the_verdict_says_what_is_sure():
    def row(method, low, high, pool="all"):
        rmse = {"ratio": (low + high) / 2, "low": low, "high": high}
        return {"pool": pool, "method": method, "fused_over": {"rmse": rmse}}

    rows = [row("line", 0.8, 0.9), row("mean", 0.9, 1.1), row("oracle", 1.1, 1.3), row("x", 2, 3, "strip")]
    assert evaluation.verdict([*rows, {"pool": "all", "method": "fused"}]) == (
        "The fused code is better than line (0.850 (0.800-0.900)); not distinguishable from "
        "mean (1.000 (0.900-1.100)); worse than oracle (1.200 (1.100-1.300))."
    )


def test_the_season_is_told_from_the_date():
    days = np.array(["2018-02-28", "2018-03-01", "2018-10-31", "2018-11-01", "2018-06-01"], "datetime64[D]")
    gaps = np.array([30, 30, 20, 20, 15])
    nothing = np.ones((5, 1))
    errors = Errors(
        ("fused",),
        nothing,
        nothing,
        nothing[None],
        nothing[None],
        gaps > 99,
        days.astype(np.int64),
        gaps,
        gaps,
        fold=np.zeros(5, np.int64),
    )
    chosen = evaluation.in_pool(errors, "long gaps in season")
    assert chosen.tolist() == [False, True, True, False, False]


def test_the_nearest_clear_value_is_beyond_the_gap(site):
    days = is_test(site.observed["s2"].days)
    for case in cases(site, days, days, 15):
        away = evaluation.days_to_clear(case)
        assert np.nanmin(away) > 15
        series = case.seen["s2"]
        near = np.abs(series.days[series.valid[:, 0, 2, 3]] - case.day).min()
        assert away[2, 3] == near


def test_the_kernel_mean_is_that_of_clear_values_alone(site):
    days = is_test(site.observed["s2"].days)
    case = next(cases(site, days, days, 5))
    series = case.seen["s2"]
    pixel = (0, 3, 4)
    seen = series.valid[:, *pixel]
    weight = np.exp(-np.abs(series.days - case.day)[seen] / 30)
    expected = (weight * series.values[:, *pixel][seen]).sum() / weight.sum()
    assert kernel_mean(case)[pixel] == pytest.approx(expected, rel=1e-5)


def scored(site, drawn):
    """Errors where a method's reconstructions are `drawn(case)` and the line is off by 0.02."""
    days = is_test(site.observed["s2"].days)
    parts = []
    for case in cases(site, days, days, 5):
        estimates = dict.fromkeys(METHODS, case.truth + 0.02)
        estimates["fused"] = drawn(case)
        sigma = np.full(case.truth.shape, 0.01, np.float32)
        parts += evaluation.add_up(case, estimates, sigma, strip=18, half_gap=5)
    found = Errors.of(parts)
    return found.take(found.is_strip & (found.cells.sum(1) > 0))


def test_the_truth_has_no_error_and_half_the_error_half_the_ratio(site):
    perfect = scored(site, lambda case: case.truth)
    row = next(row for row in perfect.rows("linear", QUICK.draws) if row["method"] == "fused")
    assert set(row["mae"].values()) == {0.0}
    assert row["rmse_ratio_to_linear"]["high"] == 0
    assert perfect.coverage() == 1
    half = scored(site, lambda case: case.truth - 0.01)
    row = next(row for row in half.rows("linear", QUICK.draws) if row["method"] == "fused")
    assert row["rmse_ratio_to_linear"]["ratio"] == pytest.approx(0.5, abs=1e-3)
    assert row["mae"]["B08"] == pytest.approx(0.01, abs=1e-4)
    assert half.coverage() == 1
    assert scored(site, lambda case: case.truth - 0.013).coverage() == 0


def test_cells_without_a_value_of_some_method_count_for_none(site):
    def partly(case):
        drawn = case.truth + 0.05
        drawn[:, 3:] = np.nan
        return drawn

    few, all_ = scored(site, partly), scored(site, lambda case: case.truth)
    assert 0 < few.cells.sum() < 0.4 * all_.cells.sum()
    linear = next(row for row in few.rows("linear", QUICK.draws) if row["method"] == "linear")
    assert linear["mae"]["B02"] == pytest.approx(0.02, abs=1e-4)


def test_intervals_come_from_blocks_of_dates(site):
    found = scored(site, lambda case: case.truth + (0.001 if case.day % 120 < 60 else 0.05))
    row = found.against("fused", Settings().draws)[0]["mae"]
    assert row["low"] < row["ratio"] < row["high"]
    within = found.take(found.blocks == found.blocks[0]).against("fused", Settings().draws)[0]["mae"]
    assert within["low"] == within["ratio"] == within["high"], "one block is one witness"
