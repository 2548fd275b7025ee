import numpy as np
import pytest

from openeo_udf_fusion.baselines import linear, seasonal
from openeo_udf_fusion.models.series import Observations

FIRST = int(np.datetime64("2015-01-01").astype(int))


def make(years, noise=0.0, seed=0, series=3):
    """A season that every year repeats, and slow anomalies."""
    rng = np.random.default_rng(seed)
    days = np.arange(FIRST, FIRST + 365 * years, dtype=np.int32)
    season = 0.3 + 0.2 * np.sin(2 * np.pi * (days - FIRST) / 365.25)
    values = season[:, None, None, None] + rng.normal(0, noise, (len(days), 1, 1, series))
    return Observations(values.astype(np.float32), np.ones(values.shape, bool), days), season


def hidden(series, start, stop):
    valid = series.valid.copy()
    valid[start:stop] = False
    return series._replace(valid=valid)


def errors(module, series, truth, part):
    found = module.predict({"any": series}, series.days, "any").mean[part, 0, 0]
    return np.sqrt(np.mean((found - truth[part, None]) ** 2))


def test_other_years_fill_a_long_gap_better_than_a_line():
    series, season = make(4, noise=0.01)
    gap = slice(365 + 30, 365 + 150)
    observed = hidden(series, gap.start, gap.stop)
    assert errors(seasonal, observed, season, gap) < 0.3 * errors(linear, observed, season, gap)


def test_one_odd_year_does_not_bend_the_cycle():
    series, season = make(5)
    series.values[730:1095] += 0.3
    gap = slice(1095 + 100, 1095 + 200)
    found = seasonal.predict({"any": hidden(series, gap.start, gap.stop)}, series.days, "any").mean
    np.testing.assert_allclose(found[gap, 0, 0, 0], season[gap], atol=0.02)


def test_anomalies_of_the_edges_reach_into_the_gap():
    series, season = make(4)
    lifted = series._replace(values=series.values.copy())
    lifted.values[365:730] += 0.1
    gap = slice(365 + 100, 365 + 200)
    found = seasonal.predict({"any": hidden(lifted, gap.start, gap.stop)}, series.days, "any").mean
    np.testing.assert_allclose(found[gap, 0, 0, 0], season[gap] + 0.1, atol=0.02)


@pytest.mark.parametrize("length", [10, 60, 150])
def test_in_a_single_year_a_gap_is_filled_between_its_edges(length):
    series, _ = make(1, noise=0.01)
    start = 120
    found = seasonal.predict({"any": hidden(series, start, start + length)}, series.days, "any").mean
    inside = found[start : start + length, 0, 0]
    edges = np.concatenate([series.values[start - 15 : start], series.values[start + length :][:15]])[:, 0, 0]
    assert (inside > edges.min(0) - 0.02).all()
    assert (inside < edges.max(0) + 0.02).all()


def test_in_a_single_year_it_is_near_the_line():
    series, season = make(1, noise=0.01)
    gap = slice(120, 160)
    observed = hidden(series, gap.start, gap.stop)
    assert errors(seasonal, observed, season, gap) < 1.5 * errors(linear, observed, season, gap) + 0.01


def test_the_next_year_is_the_cycle():
    series, _ = make(3)
    query = series.days[-365:] + 365
    found = seasonal.predict({"any": series}, query, "any")
    np.testing.assert_allclose(found.mean[:, 0, 0, 0], series.values[-365:, 0, 0, 0], atol=0.02)
    assert found.sigma[-1].max() >= found.sigma[0].max()


def test_first_differences_are_solved_exactly():
    rng = np.random.default_rng(0)
    values, seen = rng.normal(size=(40, 5)), rng.random((40, 5)) < 0.4
    found = seasonal.smooth(values, seen, 1.0)
    difference = np.diff(np.eye(40), axis=0)
    for place in range(5):
        matrix = np.diag(seen[:, place].astype(float)) + difference.T @ difference
        expected = np.linalg.solve(matrix, seen[:, place] * values[:, place])
        np.testing.assert_allclose(found[:, place], expected, atol=1e-10)


def test_leap_days_have_a_place():
    days = np.arange("2016-01-01", "2017-01-01", dtype="datetime64[D]").astype(np.int32)
    series = Observations(np.full((366, 1, 1, 1), 0.2, np.float32), np.ones((366, 1, 1, 1), bool), days)
    np.testing.assert_allclose(seasonal.predict({"any": series}, days, "any").mean, 0.2, atol=1e-6)
