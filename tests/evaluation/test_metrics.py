import numpy as np
import pytest
import scoringrules

from openeo_udf_fusion.evaluation import metrics

CELLS = 40_000


@pytest.fixture(scope="module")
def cells():
    """Truth, mean and sigma of calibrated normal predictions with pixel and band of every cell."""
    rng = np.random.default_rng(0)
    mean, sigma = rng.uniform(0.1, 0.5, CELLS), rng.uniform(0.01, 0.05, CELLS)
    truth = rng.normal(mean, sigma)
    return truth, mean, sigma, rng.integers(20, size=CELLS), rng.integers(3, size=CELLS)


def sums_of(truth, mean, sigma, pixel, band):
    return metrics.over_pixels(metrics.add_up(truth, mean, sigma, pixel, band, (20, 3)))


def test_crps_is_that_of_scoringrules(cells):
    truth, mean, sigma, *_ = cells
    np.testing.assert_allclose(
        metrics.crps_normal(truth, mean, sigma), scoringrules.crps_normal(truth, mean, sigma), atol=1e-12
    )


def test_crps_of_a_certain_prediction_is_its_absolute_error():
    np.testing.assert_allclose(
        metrics.crps_normal(np.array([0.3, 0.2]), np.array([0.1, 0.2]), np.zeros(2)), [0.2, 0]
    )


def test_mean_crps_of_a_calibrated_standard_normal_is_one_over_root_pi():
    z = np.random.default_rng(1).normal(size=400_000)
    assert metrics.crps_normal(z, np.zeros_like(z), np.ones_like(z)).mean() == pytest.approx(
        np.pi**-0.5, rel=5e-3
    )


@pytest.mark.parametrize("level", metrics.LEVELS)
def test_calibrated_intervals_cover_what_they_promise(cells, level):
    np.testing.assert_allclose(metrics.coverage(sums_of(*cells), level), level, atol=0.012)


def test_a_perfect_method_has_no_error(cells):
    truth, _, _, pixel, band = cells
    perfect = sums_of(truth, truth, np.zeros_like(truth), pixel, band)
    for score in (metrics.rmse, metrics.bias, metrics.crps):
        np.testing.assert_allclose(score(perfect), 0, atol=1e-15)
    np.testing.assert_allclose(metrics.nse(perfect), 1)


def test_the_mean_of_the_truth_has_no_efficiency(cells):
    truth, _, sigma, pixel, band = cells
    means = np.array([truth[band == index].mean() for index in range(3)])[band]
    np.testing.assert_allclose(metrics.nse(sums_of(truth, means, sigma, pixel, band)), 0, atol=1e-9)


def test_scores_are_those_of_the_definitions(cells):
    truth, mean, _, _, band = cells
    error = (mean - truth)[band == 1]
    found = sums_of(*cells)
    assert metrics.rmse(found)[1] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert metrics.bias(found)[1] == pytest.approx(error.mean())


def test_a_band_without_cells_has_no_score(cells):
    truth, mean, sigma, pixel, band = cells
    found = metrics.over_pixels(metrics.add_up(truth, mean, sigma, pixel, band, (20, 4)))
    assert np.isnan(metrics.rmse(found)[3])
    assert np.isnan(metrics.nse(found)[3])


def test_weights_of_one_give_the_sum_of_all_pixels(cells):
    parts = metrics.add_up(*cells, (20, 3))
    weighed = metrics.weigh(parts, np.ones((1, 20)))
    for found, expected in zip(weighed, metrics.over_pixels(parts), strict=True):
        np.testing.assert_allclose(found[..., 0, :], expected)


def test_pit_of_calibrated_predictions_is_flat_and_of_too_narrow_ones_is_not(cells):
    truth, mean, sigma, *_ = cells
    np.testing.assert_allclose(metrics.pit_histogram(truth, mean, sigma, 10), 0.1, atol=0.01)
    narrow = metrics.pit_histogram(truth, mean, sigma / 3, 10)
    assert narrow.sum() == pytest.approx(1)
    assert min(narrow[0], narrow[-1]) > 0.2


def test_reliability_of_calibrated_predictions_is_the_diagonal(cells):
    levels = (0.1, 0.5, 0.9)
    np.testing.assert_allclose(metrics.reliability(*cells[:3], levels), levels, atol=0.01)


def test_spread_of_calibrated_predictions_is_their_error(cells):
    spread, error = metrics.spread_error(*cells[:3], bins=5)
    np.testing.assert_allclose(error, spread, rtol=0.05)
    assert (np.diff(spread) > 0).all()
