"""sigma as what it claims to be: how far a value may be off."""

import numpy as np
import pytest

from openeo_udf_fusion.baselines import linear, spread
from openeo_udf_fusion.baselines.daily import Daily
from openeo_udf_fusion.models.series import Observations

FIRST = 18_000


def walks(days=600, series=200, rate=1e-4, noise=1e-4, seed=0):
    rng = np.random.default_rng(seed)
    path = 0.4 + np.cumsum(rng.normal(0, np.sqrt(rate), (days, series)), axis=0)
    return path + rng.normal(0, np.sqrt(noise), path.shape)


@pytest.mark.parametrize(("rate", "noise"), [(1e-4, 1e-4), (1e-4, 0), (4e-6, 1e-4)])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_rate_and_noise_are_found_again(rate, noise, share):
    values = walks(rate=rate, noise=noise)
    seen = np.random.default_rng(1).random(values.shape) < share
    found = spread.walk(Daily(np.where(seen, values, 0), seen, FIRST))
    assert np.median(found.rate) == pytest.approx(rate, rel=0.35, abs=5e-6)
    assert np.median(found.noise) == pytest.approx(noise, rel=0.35, abs=3e-5)


@pytest.mark.parametrize("length", [5, 20, 60])
def test_intervals_cover_what_they_promise(length):
    values = walks().astype(np.float32)[:, None, None]
    valid = np.ones(values.shape, bool)
    gap = slice(300, 300 + length)
    valid[gap] = False
    days = np.arange(FIRST, FIRST + 600, dtype=np.int32)
    found = linear.predict({"any": Observations(values, valid, days)}, days, "any")
    inside = np.abs(found.mean - values)[gap] <= 1.2815516 * found.sigma[gap]
    assert 0.72 < inside.mean() < 0.89


def test_it_grows_with_the_distance_from_observations(make_series):
    series = make_series(share=1.0, days=200)
    gap = (series.days > FIRST + 60) & (series.days < FIRST + 140)
    series.valid[gap] = False
    query = np.arange(FIRST + 60, FIRST + 141, dtype=np.int32)
    sigma = linear.predict({"any": series}, query, "any").sigma
    assert (np.diff(sigma[:41], axis=0) >= -0.01 * sigma[:40]).all()
    assert (sigma[40] > 1.5 * sigma[0]).all()


def test_an_event_does_not_rule_it():
    values = walks(series=50)
    snowy = values.copy()
    snowy[300:310] += 0.6
    seen = np.ones(values.shape, bool)
    calm, event = (spread.walk(Daily(each, seen, FIRST)) for each in (values, snowy))
    assert (event.rate < 3 * calm.rate).all()


def test_few_observations_are_drawn_to_what_is_usual():
    block = Daily(np.full((30, 1), 0.2), np.arange(30)[:, None] % 29 == 0, FIRST)
    block.values[~block.seen] = 0
    found = spread.walk(block)
    usual = (spread.USUAL_RATE * 0.2) ** 2
    assert 0.5 * usual < found.rate[0] < usual


def test_what_is_extrapolated_is_never_surer_than_the_series_is_wide(make_series):
    series = make_series(days=300)
    query = np.array([FIRST + 300, FIRST + 400, FIRST + 3000, FIRST + 5000], np.int32)
    sigma = linear.predict({"any": series}, query, "any").sigma
    assert (np.diff(sigma, axis=0) >= 0).all()
    np.testing.assert_allclose(sigma[2], sigma[3])
