import pytest

from openeo_udf_fusion.evaluation.verdicts import MEAN_RATIO, verdicts


def result(
    *, high=1.01, mean=0.75, covered=0.8, half_width=0.01, rmse=0.01, difference=0.02, platform="NOAA-20"
):
    at = {"direction": "viirs_to_modis", "platform": platform, "band": "B1"}
    return {
        "gap_ratio": [
            {"band": "B1", "gap_days": 5, "baseline": "linear", "ratio": 0.9, "low": 0.8, "high": high}
        ],
        "gap_ratio_mean": [{"gap_days": gap, "ratio": mean, "low": 0.7, "high": 0.8} for gap in MEAN_RATIO],
        "gap_coverage": [{"gap_days": 5, "band": "all", "coverage80": covered, "half_width": half_width}],
        "translation": [at | {"method": "ridge", "rmse": 0.011}, at | {"method": "satfusenet", "rmse": rmse}],
        "translation_nse_difference": [at | {"baseline": "mlp", "difference": difference, "low": 0.01}],
    }


def test_all_gates_hold_at_their_edges():
    found = verdicts(result(high=1.02, covered=0.819, mean=0.76))
    assert found["all_hold"] is True
    assert found["aim"]["holds"] is False


@pytest.mark.parametrize(
    ("wrong", "gate"),
    [
        ({"high": 1.0201}, "ratio_to_best_baseline"),
        ({"mean": 0.761}, "mean_ratio"),
        ({"covered": 0.77}, "coverage80"),
        ({"covered": 0.83}, "coverage80"),
        ({"rmse": 0.011}, "translation_below_ridge"),
        ({"difference": 0.0}, "translation_beats_mlp"),
    ],
)
def test_each_gate_fails_on_its_own(wrong, gate):
    found = verdicts(result(**wrong))
    assert found[gate]["holds"] is False
    assert found["all_hold"] is False
    others = {
        name: each["holds"]
        for name, each in found.items()
        if isinstance(each, dict) and name not in (gate, "aim")
    }
    assert set(others.values()) == {True}


def test_a_wide_interval_of_coverage_forgives_more():
    assert verdicts(result(covered=0.77, half_width=0.031))["coverage80"]["holds"] is True


def test_rows_without_a_number_are_left_out_and_counted():
    found = verdicts(result(high=None, rmse=None, difference=None, covered=None))
    for gate in ("ratio_to_best_baseline", "coverage80", "translation_below_ridge", "translation_beats_mlp"):
        assert found[gate]["holds"] is None
        assert found[gate]["not_measured"] == 1
    assert found["mean_ratio"]["not_measured"] == 0
    rows = result()
    rows["gap_ratio"].append({**rows["gap_ratio"][0], "band": "B5", "ratio": None, "low": None, "high": None})
    assert verdicts(rows)["ratio_to_best_baseline"]["holds"] is True


def test_what_was_not_measured_has_no_verdict():
    found = verdicts(result(platform="NOAA-21"))
    assert found["translation_below_ridge"]["holds"] is None
    assert found["all_hold"] is None
