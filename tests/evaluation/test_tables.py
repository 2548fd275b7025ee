import json

import numpy as np
import pytest

from openeo_udf_fusion.evaluation import metrics, tables

BANDS = ["B1", "B2"]


def sums_of(errors, seed=0):
    """Two bands with errors of the given sizes, (B1, B2)."""
    rng = np.random.default_rng(seed)
    pixel, band = np.repeat(np.arange(30), 40), np.tile([0, 1], 600)
    truth = rng.uniform(0.1, 0.4, 1200)
    size = np.array(errors)[band]
    return metrics.add_up(truth, truth + rng.normal(0, size), size, pixel, band, (30, 2))


@pytest.fixture(scope="module")
def sums():
    return {
        "linear": sums_of((0.02, 0.04)),
        "other": sums_of((0.04, 0.02), 1),
        "satfusenet": sums_of((0.01, 0.01), 2),
    }


def test_a_row_per_band_and_method_with_every_score(sums):
    rows = tables.score_rows(sums, BANDS, {"gap_days": 5}, "linear")
    assert [(row["method"], row["band"]) for row in rows[:3]] == [
        ("linear", "B1"),
        ("linear", "B2"),
        ("other", "B1"),
    ]
    first = rows[0]
    assert {"rmse", "bias", "crps", "crps_skill", "nse", "coverage50", "coverage80", "coverage95"} <= set(
        first
    )
    assert first["crps_skill"] == 0
    assert first["rmse"] == pytest.approx(0.02, rel=0.1)
    assert first["cells"] == 600
    json.dumps(rows, allow_nan=False)


def test_the_best_baseline_is_chosen_band_by_band(sums):
    assert tables.best_baselines(sums, ["linear", "other"]) == ["linear", "other"]
    rows, mean = tables.ratio_rows(sums, "satfusenet", ["linear", "other"], BANDS, {}, 500)
    assert [row["baseline"] for row in rows] == ["linear", "other"]
    for row in [*rows, mean]:
        assert row["low"] < row["ratio"] < row["high"]
        assert row["ratio"] == pytest.approx(0.5, rel=0.1)


def test_a_method_without_sigma_has_neither_crps_nor_coverage():
    truth, none = np.full(4, 0.2), np.full(4, np.nan)
    found = metrics.add_up(truth, truth + 0.1, none, np.arange(4), np.zeros(4, int), (4, 1))
    (row,) = tables.score_rows({"identity": found}, ["B1"], {}, "identity")
    assert row["rmse"] == pytest.approx(0.1)
    assert row["crps"] is None
    assert row["coverage80"] is None


def test_coverage_is_given_for_all_bands_together_and_each(sums):
    rows = tables.coverage_rows(sums["linear"], BANDS, {"gap_days": 5}, 500)
    assert [row["band"] for row in rows] == ["all", "B1", "B2"]
    assert rows[0]["half_width"] < rows[1]["half_width"]
    assert rows[0]["coverage80"] == pytest.approx(0.8, abs=0.03)
