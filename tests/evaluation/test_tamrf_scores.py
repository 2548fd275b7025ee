import numpy as np
import pytest

from openeo_udf_fusion.baselines.image_pairs import BANDS
from openeo_udf_fusion.evaluation.tamrf_scores import (
    COARSE,
    Group,
    Measured,
    compare,
    ratios_of,
    rows_of,
    sums_of,
)

SIZE, MARGIN = 36, 6


def truth_of(seed, sensor="s2"):
    """Smooth enough that a point spread function changes little."""
    size = SIZE if sensor == "s2" else SIZE // 3
    count = len(BANDS[sensor])
    slope = np.random.default_rng(seed).uniform(0.001, 0.002, (count, 1, 1))
    return (0.2 + slope * np.add.outer(np.arange(size), np.arange(size))).astype(np.float32)


def group_of(dates, drawn, sensor="s2", reference="truth", fine=True, judge=None, counts=None):
    group = Group("task", "STRATEGY", sensor)
    for seed in range(dates):
        truth = truth_of(seed, sensor)
        mask = np.ones(truth.shape, bool) if counts is None else counts
        measured = Measured(sensor, truth, mask, reference, fine)
        group.dates.append(compare(measured, drawn(truth, seed), MARGIN, judge))
    return group


def row(rows, **labels):
    (found,) = [r for r in rows if labels.items() <= r.items()]
    return found


def scored(group, models=("ours",)):
    sums = sums_of(group)
    return rows_of(group, sums), ratios_of(group, sums, models, 200, 0)


def test_known_errors_come_out_and_half_the_error_is_half_the_ratio():
    group = group_of(6, lambda truth, seed: {"other": truth + 0.02, "ours": truth - 0.01})
    rows, ratios = scored(group)
    assert row(rows, method="ours", band="B04")["rmse"] == pytest.approx(0.01, rel=1e-4)
    assert row(rows, method="ours", band="B04")["cells"] == 6 * (SIZE - 2 * MARGIN) ** 2
    found = row(ratios, band="mean", baseline="other")
    assert [found[key] for key in ("ratio", "low", "high")] == pytest.approx([0.5] * 3, rel=1e-4)
    assert found["drawn"] == "dates"


def test_few_dates_are_drawn_as_blocks():
    ratios = scored(group_of(2, lambda truth, seed: {"other": truth + 0.02, "ours": truth - 0.01}))[1]
    assert {r["drawn"] for r in ratios} == {"blocks"}


def test_intervals_tell_how_a_ratio_hangs_on_dates():
    def drawn(truth, seed):
        return {"other": truth + 0.02, "ours": truth + (0.005 if seed % 2 else 0.03)}

    found = row(scored(group_of(8, drawn))[1], band="B02")
    assert found["low"] < found["ratio"] < found["high"]


def test_all_methods_are_scored_on_the_cells_that_all_answer():
    def drawn(truth, seed):
        partly = truth + 0.1
        partly[:, : SIZE // 2] = np.nan
        ours = truth.copy()
        ours[:, : SIZE // 2] += 5.0  # where the other has no answer
        return {"partly": partly, "ours": ours}

    rows, _ = scored(group_of(5, drawn))
    both = [row(rows, method=m, band="B08") for m in ("partly", "ours")]
    assert both[0]["cells"] == both[1]["cells"] == 5 * (SIZE // 2 - MARGIN) * (SIZE - 2 * MARGIN)
    assert both[1]["rmse"] == pytest.approx(0, abs=1e-6)


def test_a_method_without_a_band_takes_no_cell_from_others():
    def drawn(truth, seed):
        few = truth + 0.1
        few[3:] = np.nan
        return {"few": few, "ours": truth + 0.01}

    rows, ratios = scored(group_of(5, drawn))
    assert row(rows, method="ours", band="B12")["cells"] > 0
    assert {r["band"] for r in rows if r["method"] == "few"} == {"B02", "B03", "B04"}
    assert {r["band"] for r in ratios} == {"B02", "B03", "B04", "mean"}
    assert row(ratios, band="mean")["ratio"] == pytest.approx(0.1, rel=1e-3)


def test_a_method_without_an_answer_is_in_no_row_and_no_ratio():
    def drawn(truth, seed):
        return {"silent": np.full_like(truth, np.nan), "ours": truth + 0.01}

    rows, ratios = scored(group_of(2, drawn))
    assert {r["method"] for r in rows} == {"ours"}
    assert ratios == []


def test_what_does_not_count_is_not_scored():
    counts = np.ones((10, SIZE, SIZE), bool)
    counts[:, :, : SIZE // 2] = False

    def drawn(truth, seed):
        made = truth.copy()
        made[:, :, : SIZE // 2] = 9.0
        return {"ours": made}

    rows, _ = scored(group_of(1, drawn, counts=counts))
    assert row(rows, method="ours", band="B03")["rmse"] == pytest.approx(0, abs=1e-6)


def test_landsat_is_compared_at_thirty_metres_after_its_point_spread_function():
    """A level passes any point spread function; detail of 10 m without a mean vanishes in 30 m."""

    def drawn(truth, seed):
        level = np.full((8, SIZE, SIZE), 0.3, np.float32)
        checks = np.indices((SIZE, SIZE)).sum(0) % 2 - 0.5
        return {"level": level, "checks": level + 0.1 * checks.astype(np.float32)}

    group = Group("task", "STRATEGY", "l8")
    truth = np.full((8, SIZE // 3, SIZE // 3), 0.3, np.float32)
    group.dates.append(compare(Measured("l8", truth, truth > 0), drawn(truth, 0), MARGIN))
    rows, _ = scored(group, models=())
    assert row(rows, method="level", band="B4")["rmse"] == pytest.approx(0, abs=1e-6)
    assert row(rows, method="checks", band="B4")["rmse"] < 0.01
    assert row(rows, method="level", band="B4")["cells"] == (SIZE // 3 - 2 * MARGIN // 3) ** 2


def test_detail_is_relative_to_the_truth_or_to_the_fine_bands():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, (10, SIZE, SIZE)).astype(np.float32)

    def drawn(truth, seed):
        return {"same": truth, "noisy": truth + noise}

    rows, _ = scored(group_of(1, drawn), models=())
    assert row(rows, method="same", band="B05")["fr_db"] == pytest.approx(0)
    assert row(rows, method="noisy", band="B05")["fr_db"] > 3
    rows, _ = scored(group_of(1, drawn, reference="fine bands", fine=False), models=())
    assert row(rows, method="same", band="B05")["fr_gain_db"] == pytest.approx(0)
    assert row(rows, method="noisy", band="B05")["fr_gain_db"] > 3
    told = {r["band"] for r in rows if r["fr_gain_db"] is not None}
    assert told == {BANDS["s2"][place] for place in COARSE}


def test_brisque_sees_all_methods_in_the_stretch_of_what_was_observed():
    seen = []

    def judge(image):
        seen.append((float(image.min()), float(image.max())))
        return float(image.mean())

    rows, _ = scored(group_of(1, lambda truth, seed: {"ours": truth + 9.0}, judge=judge), models=())
    assert row(rows, method="ours", band="B02")["brisque"] == 1
    assert row(rows, method="observed", band="B02")["brisque"] == pytest.approx(0.5, abs=0.05)
    assert row(rows, method="observed", band="B02")["rmse"] is None
    assert all(0 <= low <= high <= 1 for low, high in seen)


def test_without_a_model_there_is_no_brisque_and_no_row_of_what_was_observed():
    rows, _ = scored(group_of(1, lambda truth, seed: {"ours": truth}), models=())
    assert {r["method"] for r in rows} == {"ours"}
    assert {r["brisque"] for r in rows} == {None}


def test_scores_without_cells_are_means_over_dates_that_all_methods_share():
    """A method that failed on the hard date would else look better than those that tried."""

    def drawn(truth, seed):
        partial = truth.copy()
        if seed == 0:
            partial[:] = np.nan
        return {"all": truth + 0.1 * (seed == 0), "some": partial, "none": np.full_like(truth, np.nan)}

    rows, _ = scored(group_of(3, drawn, judge=lambda image: float(image.mean())))
    found = [row(rows, method=m, band="B04") for m in ("all", "some")]
    assert found[0]["brisque"] == found[1]["brisque"]
    assert found[0]["rmse"] == found[1]["rmse"] == 0
    assert [each["dates"] for each in found] == [2, 2]
    assert not [r for r in rows if r["method"] == "none"]
