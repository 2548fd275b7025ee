import numpy as np
import pytest

from openeo_udf_fusion.baselines import fluxneteo
from openeo_udf_fusion.models.series import Observations

FIRST = int(np.datetime64("2018-01-01").astype(int))


def series_of(values, days):
    values = np.asarray(values, np.float32)[:, None, None, None]
    return Observations(values, np.isfinite(values), np.asarray(days, np.int32) + FIRST)


def filled(series, days):
    query = np.atleast_1d(np.asarray(days, np.int32)) + FIRST
    return fluxneteo.predict({"any": series}, query, "any").mean[:, 0, 0, 0]


def test_what_was_observed_survives_to_the_bit(make_series):
    series = make_series()
    found = fluxneteo.predict({"any": series}, series.days, "any").mean
    np.testing.assert_array_equal(found[series.valid], series.values[series.valid])


@pytest.mark.parametrize(
    ("days", "values", "asked", "expected"),
    [
        ([0, 1, 3, 4], [1, 2, 4, 9], 2, 3.0),  # the median of five days
        ([0, 1, 3, 30], [1, 2, 6, 9], 2, 2.0),
        ([0, 9], [1, 5], 5, 3.0),  # eleven days, both ends of it
        ([0, 9], [1, 5], 2, 1.0),  # five days hold only one
        ([0, 30], [1, 5], 10, 1.0),  # twenty-one days
        ([0, 30], [1, 5], 15, 3.0),  # forty-one days
    ],
)
def test_the_smallest_window_with_an_observation_counts(days, values, asked, expected):
    assert filled(series_of(values, days), asked) == pytest.approx([expected])


def test_beyond_the_largest_window_the_season_counts():
    days = np.concatenate([np.arange(365), 365 + np.arange(100), 365 + np.arange(250, 365)])
    season = 0.3 + 0.2 * np.sin(2 * np.pi * days / 365)
    found = filled(series_of(season, days), 365 + np.arange(130, 220))
    np.testing.assert_allclose(found, 0.3 + 0.2 * np.sin(2 * np.pi * np.arange(130, 220) / 365), atol=0.01)


def test_the_reach_says_where_windows_end():
    days = np.concatenate([np.arange(100), np.arange(250, 365)])
    series = series_of(np.where(days < 100, 0.1, 0.5), days)
    near, far = filled(series, [99 + fluxneteo.REACH_DAYS, 100 + fluxneteo.REACH_DAYS])
    assert near == pytest.approx(0.1)
    assert far > 0.101
