import numpy as np
import pytest

from openeo_udf_fusion.evaluation import metrics, resampling


def sums_of(error_sd, *, seed, pixels=60, per_pixel=40, bands=2, sigma=None):
    rng = np.random.default_rng(seed)
    shape = (pixels, per_pixel, bands)
    pixel, _, band = (index.ravel() for index in np.indices(shape))
    truth = rng.uniform(0.1, 0.5, pixel.size)
    mean = truth + rng.normal(0, error_sd, pixel.size)
    return metrics.add_up(truth, mean, np.full(pixel.size, sigma or error_sd), pixel, band, (pixels, bands))


def test_a_method_equals_itself_exactly():
    same = sums_of(0.02, seed=0)
    for found in resampling.rmse_ratio(same, same, 500):
        for end in found:
            np.testing.assert_array_equal(end, 1)
    for end in resampling.nse_difference(same, same, 500):
        np.testing.assert_array_equal(end, 0)


def test_the_ratio_of_known_errors_lies_in_its_interval():
    per_band, mean = resampling.rmse_ratio(sums_of(0.03, seed=1), sums_of(0.04, seed=2), 2000)
    assert (per_band.low < 0.75).all()
    assert (per_band.high > 0.75).all()
    assert mean.low < 0.75 < mean.high
    assert mean.half_width < per_band.half_width.max()


def test_the_interval_has_the_width_of_the_mean_of_as_many_pixels():
    rng = np.random.default_rng(3)
    pixels, truth = 400, rng.normal(size=400)
    sums = metrics.add_up(
        truth, np.zeros(pixels), np.ones(pixels), np.arange(pixels), np.zeros(pixels, int), (pixels, 1)
    )
    expected = 1.96 * np.sqrt(0.8 * 0.2 / pixels)
    assert resampling.coverage(sums, 0.8).half_width[0] == pytest.approx(expected, rel=0.1)


def test_pixels_without_cells_are_no_part_of_the_sample():
    sums = sums_of(0.02, seed=4)
    padded = metrics.Sums(*(np.concatenate([part, np.zeros_like(part)], axis=-2) for part in sums))
    for one, other in zip(
        resampling.coverage(sums, 0.8, 300), resampling.coverage(padded, 0.8, 300), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_each_resample_holds_as_many_pixels_as_there_are():
    weights = resampling.draw_weights(30, 50, seed=1)
    np.testing.assert_array_equal(weights.sum(axis=1), 30)
    np.testing.assert_array_equal(weights, resampling.draw_weights(30, 50, seed=1))
