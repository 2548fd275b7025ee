"""The fitted translators: lines per band, ridge and network."""

import time

import numpy as np
import pytest

from openeo_udf_fusion.baselines import band_linear, mlp, ridge, same_day
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.series import Observations

FIRST = 18_000
PARTNER = (0, 1, 2, 3, 0, 4, 5, 6)


def rows(count=4000, seed=0, noise=0.01):
    """MODIS, and a VIIRS that is a linear mixture of it."""
    rng = np.random.default_rng(seed)
    source = rng.uniform(0.02, 0.5, (count, 7))
    mixture = 0.1 * np.random.default_rng(99).normal(size=(7, 8))
    mixture[PARTNER, range(8)] += 0.9
    target = source @ mixture + 0.02 + rng.normal(0, noise, (count, 8))
    return source, target, rng.integers(1, 367, count)


def lines(source, target, day):
    return band_linear.fit(source, target, PARTNER)


def ridged(source, target, day):
    return ridge.fit(source, target)


def network(source, target, day):
    return mlp.fit(source, target, day, epochs=15)


EVERY = pytest.mark.parametrize("fit", [lines, ridged, network])


def cube(table, days=None):
    """Rows (n, bands) as a series of one pixel on n days."""
    values = table[:, :, None, None].astype(np.float32)
    days = np.arange(FIRST, FIRST + len(table)) if days is None else days
    return Observations(values, np.isfinite(values), days.astype(np.int32))


def test_ridge_finds_the_line():
    rng = np.random.default_rng(0)
    source = rng.uniform(size=(500, 3))
    true = np.array([[1.0, 0], [0.5, -1], [0, 2]])
    found = ridge.fit(source, source @ true + 0.1, penalty=1e-9)
    np.testing.assert_allclose(found.weight, true, atol=1e-5)
    np.testing.assert_allclose(found.bias, 0.1, atol=1e-5)


@EVERY
def test_the_spread_is_that_of_other_rows(fit):
    fitted = fit(*rows())
    source, target, _ = rows(seed=1)
    found = fitted.predict({"modis": cube(source)}, cube(source).days, "viirs", (0.1, 0.9))
    error = found.mean[..., 0, 0] - target
    sigma = found.sigma[0, :, 0, 0]
    np.testing.assert_allclose(error.std(0), sigma, rtol=0.15)
    inside = (found.quantiles[0] < target[..., None, None]) & (found.quantiles[1] > target[..., None, None])
    assert 0.75 < inside.mean() < 0.85
    assert np.abs(error.mean(0)).max() < 0.2 * sigma.max()


def test_all_bands_know_more_than_one_and_the_truth_is_linear():
    source, target, day = rows()
    sigmas = [fit(source, target, day).sigma for fit in (lines, ridged, network)]
    assert (sigmas[1] < sigmas[0]).all()
    np.testing.assert_allclose(sigmas[1], 0.01, rtol=0.05)
    assert (sigmas[2] < sigmas[0].mean()).all()


@EVERY
def test_nan_where_the_source_did_not_see_the_day(fit):
    fitted = fit(*rows(400))
    source = cube(rows(4)[0])
    source.valid[1] = False
    source.valid[2, 5] = False
    query = np.array([FIRST + 3, FIRST + 1, FIRST + 50, FIRST + 2, FIRST], np.int32)
    found = fitted.predict({"modis": source, "viirs": source}, query, "viirs", (0.5,))
    for part in (found.mean, found.sigma, found.quantiles[0]):
        missing = np.isnan(part[..., 0, 0])
        assert missing[[1, 2]].all()
        assert not missing[[0, 4]].any()
        assert missing[3, 6]


@EVERY
def test_pixels_are_translated_alike_wherever_they_lie(fit):
    fitted = fit(*rows(400))
    table = rows(12)[0]
    days = np.repeat(np.arange(3), 1) + FIRST
    values = table.reshape(3, 2, 2, 7).transpose(0, 3, 1, 2).astype(np.float32)
    series = Observations(values, np.ones_like(values, bool), days.astype(np.int32))
    found = fitted.predict({"modis": series}, series.days, "viirs").mean
    for pixel in np.ndindex(2, 2):
        alone = Observations(
            *(part[:, :, pixel[0] : pixel[0] + 1, pixel[1] : pixel[1] + 1] for part in series[:2]),
            series.days,
        )
        expected = fitted.predict({"modis": alone}, series.days, "viirs").mean[:, :, 0, 0]
        np.testing.assert_allclose(found[(slice(None), slice(None), *pixel)], expected, atol=1e-6)


def test_a_composite_is_read_at_the_day_of_each_pixel():
    source = cube(rows(2)[0])
    wide = Observations(
        np.concatenate([source.values] * 2, -1),
        np.ones((2, 7, 1, 2), bool),
        np.array([[[FIRST, FIRST + 5]], [[FIRST + 9, FIRST + 9]]], np.int32),
    )
    found = same_day.source_values({"modis": wide}, np.array([FIRST + 5, FIRST], np.int32), "viirs")
    np.testing.assert_array_equal(np.isnan(found[:, 0, 0]), [[True, False], [False, True]])


@EVERY
def test_rows_with_missing_values_are_left_out(fit):
    source, target, day = rows(300)
    holes = np.where(np.arange(300)[:, None] % 3 == 0, np.nan, source)
    kept = np.arange(300) % 3 > 0
    found, expected = fit(holes, target, day), fit(source[kept], target[kept], day[kept])
    np.testing.assert_allclose(found.sigma, expected.sigma)
    with pytest.raises(InvalidParameter, match="complete rows, got 0 of 300"):
        fit(source * np.nan, target, day)


def test_the_network_learns_season_and_place():
    rng = np.random.default_rng(0)
    source, _, day = rows(3000)
    longitude, latitude = rng.uniform(-180, 180, 3000), rng.uniform(-60, 60, 3000)
    season, north = np.sin(2 * np.pi * day / 365.25), np.sin(np.radians(latitude))
    target = source[:, :1] + 0.1 * season[:, None] + 0.1 * north[:, None]
    longitude[:50] = np.nan
    plain, placed = (
        mlp.fit(source, target, day, epochs=25),
        mlp.fit(source, target, day, longitude, latitude, epochs=25),
    )
    assert placed.sigma[0] < 0.5 * plain.sigma[0]
    series = cube(source[100:160], FIRST + np.arange(60))
    here = {"longitude": longitude[100:101, None], "latitude": latitude[100:101, None]}
    found = placed.predict({"modis": series}, series.days, "viirs", **here).mean[:, 0, 0, 0]
    wave = 0.1 * np.sin(2 * np.pi * mlp.day_of_year(series.days) / 365.25)
    expected = source[100:160, 0] + wave + 0.1 * north[100]
    assert np.abs(found - expected).mean() < 0.02
    assert np.isfinite(placed.predict({"modis": series}, series.days, "viirs").mean).all()


def test_the_same_seed_gives_the_same_network_and_leaves_other_chance_alone():
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    source, target, day = rows(300)
    one, two = (mlp.fit(source, target, day, epochs=2) for _ in range(2))
    assert torch.rand(1) == expected
    for layer, other in zip(one.layers, two.layers, strict=True):
        np.testing.assert_array_equal(layer.weight, other.weight)
    assert (mlp.fit(source, target, day, epochs=2, seed=1).layers[0].weight != one.layers[0].weight).any()


@pytest.mark.slow
def test_fifty_thousand_rows_take_less_than_a_minute():
    start = time.perf_counter()
    mlp.fit(*rows(50_000))
    assert time.perf_counter() - start < 60
