from dataclasses import replace

import numpy as np
import pytest
import torch

from openeo_udf_fusion.evaluation import s1s2_embedding as evaluation
from openeo_udf_fusion.evaluation.s1s2_embedding import METHODS, QUICK, Settings
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
    result = evaluation.evaluate(tmp_path, embedder, QUICK, "command", told.append)
    assert len(told) == 2
    rows = result["reconstruction"]
    assert [(row["part"], row["method"]) for row in rows] == [
        (p, m) for p in ("strip", "rest") for m in METHODS
    ]
    assert all(row["dates"] == 2 for row in rows)
    lines = [row for row in rows if row["method"] == "linear"]
    assert all(row["rmse_ratio_to_linear"] == {"ratio": 1.0, "low": 1.0, "high": 1.0} for row in lines)
    untrained = next(row for row in rows if row["method"] == "fused")
    assert untrained["rmse_ratio_to_linear"]["ratio"] != 1
    against = {row["fused_over"]: row for row in result["comparison"] if row["part"] == "strip"}
    assert against["linear"]["rmse"] == untrained["rmse_ratio_to_linear"]
    assert all(0 < row["coverage80"] < 1 for row in result["coverage"])


def scored(site, drawn, settings=QUICK):
    """Errors where a method's reconstructions are `drawn(case)` and the line is off by 0.02."""
    days = is_test(site.observed["s2"].days)
    parts = []
    for case in cases(site, days, days, 5):
        estimates = dict.fromkeys(METHODS, case.truth + 0.02)
        estimates["fused"] = drawn(case)
        sigma = np.full(case.truth.shape, 0.01, np.float32)
        parts += evaluation.add_up(case, estimates, sigma, strip=18)
    return evaluation.Errors.of(parts).part("strip")


def test_the_truth_has_no_error_and_half_the_error_half_the_ratio(site):
    perfect = scored(site, lambda case: case.truth)
    row = next(row for row in perfect.rows(QUICK) if row["method"] == "fused")
    assert set(row["mae"].values()) == {0.0}
    assert row["rmse_ratio_to_linear"]["high"] == 0
    assert perfect.coverage() == 1
    half = scored(site, lambda case: case.truth - 0.01)
    row = next(row for row in half.rows(QUICK) if row["method"] == "fused")
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
    linear = next(row for row in few.rows(QUICK) if row["method"] == "linear")
    assert linear["mae"]["B02"] == pytest.approx(0.02, abs=1e-4)


def test_intervals_come_from_dates(site):
    rng = np.random.default_rng(0)
    wide = scored(site, lambda case: case.truth + rng.choice([0.001, 0.05]))
    row = wide.against(Settings())[0]["mae"]
    assert row["low"] < row["ratio"] < row["high"]
