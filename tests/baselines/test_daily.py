"""The laws that every gap filler obeys."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_udf_fusion.baselines import daily, linear
from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models.series import Observations

from .conftest import FILLERS, FIRST_DAY

QUERY = np.arange(FIRST_DAY - 5, FIRST_DAY + 130, 3, dtype=np.int32)
EVERY = pytest.mark.parametrize("name", FILLERS)
CLOSE = {"rtol": 0, "atol": 1e-6}


def filled(name, series, query=QUERY, **options):
    return FILLERS[name].predict({"any": series}, query, "any", **options)


def assert_alike(found, expected):
    for one, other in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


def test_every_series_gets_a_value_and_a_spread(filler, make_series):
    found = filler.predict({"any": make_series()}, QUERY, "any", (0.1, 0.5, 0.9))
    assert found.mean.shape == found.sigma.shape == (len(QUERY), 2, 2, 3)
    assert found.mean.dtype == found.sigma.dtype == found.quantiles.dtype == np.float32
    assert np.isfinite(found.mean).all()
    assert (found.sigma > 0).all()
    assert (np.diff(found.quantiles, axis=0) > 0).all()
    np.testing.assert_allclose(found.quantiles[1], found.mean, **CLOSE)
    np.testing.assert_allclose(found.quantiles[2] - found.mean, 1.2815516 * found.sigma, rtol=1e-3, atol=1e-6)


@EVERY
@settings(max_examples=8, deadline=None)
@given(st.data())
def test_the_order_of_observations_and_queries_changes_nothing(name, make_series, data):
    series = make_series(days=60)
    order = data.draw(st.permutations(range(60)))
    asked = np.array(data.draw(st.lists(st.integers(0, len(QUERY) - 1), min_size=1, max_size=9)))
    expected = filled(name, series)
    found = filled(name, Observations(*(part[order] for part in series)), QUERY[asked])
    np.testing.assert_allclose(found.mean, expected.mean[asked], **CLOSE)
    np.testing.assert_allclose(found.sigma, expected.sigma[asked], **CLOSE)


@EVERY
@settings(max_examples=6, deadline=None)
@given(st.sets(st.integers(1, 4), max_size=2), st.booleans())
def test_tiled_equals_whole(name, make_series, cuts, own_days):
    series = make_series(days=60, y=2, x=5, own_days=own_days)
    tiles = [
        filled(
            name,
            Observations(
                series.values[..., start:stop],
                series.valid[..., start:stop],
                series.days[..., start:stop] if own_days else series.days,
            ),
        )
        for start, stop in pairwise([0, *sorted(cuts), 5])
    ]
    whole = filled(name, series)
    np.testing.assert_array_equal(np.concatenate([tile.mean for tile in tiles], -1), whole.mean)
    np.testing.assert_array_equal(np.concatenate([tile.sigma for tile in tiles], -1), whole.sigma)


@EVERY
@pytest.mark.parametrize("cells", [1, 700, 1 << 20])
def test_the_size_of_a_block_changes_nothing(name, make_series, monkeypatch, cells):
    series = make_series(days=40, y=3, x=4)
    expected = filled(name, series)
    monkeypatch.setattr(daily, "BLOCK_CELLS", cells)
    assert_alike(filled(name, series), expected)


def test_bands_know_nothing_of_one_another(filler, make_series):
    series = make_series(bands=3)
    alone = Observations(series.values[:, 1:2], series.valid[:, 1:2], series.days)
    found, expected = (filler.predict({"any": each}, QUERY, "any") for each in (alone, series))
    np.testing.assert_allclose(found.mean, expected.mean[:, 1:2], **CLOSE)
    np.testing.assert_allclose(found.sigma, expected.sigma[:, 1:2], **CLOSE)


def test_other_sensors_are_not_read(filler, make_series):
    both = {"any": make_series(), "other": make_series(bands=5, seed=1)}
    assert_alike(filler.predict(both, QUERY, "any"), filler.predict({"any": both["any"]}, QUERY, "any"))


@EVERY
def test_days_of_each_pixel_are_its_own(name, make_series):
    series = make_series(own_days=True)
    later = Observations(series.values, series.valid, series.days + np.array([0, 3, 9], np.int32))
    found = filled(name, later)
    for column, shift in enumerate((0, 3, 9)):
        expected = filled(
            name, Observations(series.values, series.valid, series.days[:, 0, 0]), QUERY - shift
        )
        if name in ("linear", "whittaker"):  # the others know the day of year
            np.testing.assert_allclose(found.mean[..., column], expected.mean[..., column], **CLOSE)
        np.testing.assert_allclose(
            found.sigma[..., column], expected.sigma[..., column], rtol=1e-3, atol=1e-4
        )


def test_repetitions_of_a_day_count_as_their_mean(filler, make_series):
    series = make_series(share=1.0)
    twice = Observations(
        np.concatenate([series.values + np.float32(0.01), series.values - np.float32(0.01)]),
        np.concatenate([series.valid, series.valid]),
        np.concatenate([series.days, series.days]),
    )
    assert_alike(filler.predict({"any": twice}, QUERY, "any"), filler.predict({"any": series}, QUERY, "any"))


def test_empty_days_around_change_nothing(filler, make_series):
    series = make_series()
    empty = np.full((2, *series.values.shape[1:]), np.nan, np.float32)
    longer = Observations(
        np.concatenate([series.values, empty]),
        np.concatenate([series.valid, np.zeros_like(empty, bool)]),
        np.concatenate([series.days, np.array([0, 40_000], np.int32)]),
    )
    assert_alike(filler.predict({"any": longer}, QUERY, "any"), filler.predict({"any": series}, QUERY, "any"))


def test_units_are_kept(filler, make_series):
    series = make_series()
    kelvin = series._replace(values=series.values * np.float32(1000))
    found, expected = (filler.predict({"any": each}, QUERY, "any") for each in (kelvin, series))
    np.testing.assert_allclose(found.mean, 1000 * expected.mean, rtol=1e-4)
    np.testing.assert_allclose(found.sigma, 1000 * expected.sigma, rtol=1e-3)


def test_a_constant_stays_constant(filler, make_series):
    series = make_series(share=0.3)
    flat = series._replace(values=np.full_like(series.values, 0.3))
    found = filler.predict({"any": flat}, QUERY, "any")
    np.testing.assert_allclose(found.mean, 0.3, rtol=0, atol=1e-6)
    assert (found.sigma > 0).all()
    assert (found.sigma < 0.05).all()


def test_a_series_that_was_never_seen_is_nan_and_no_other_is(filler, make_series):
    series = make_series()
    series.valid[:, 1, 0, 2] = False
    series.valid[:, :, 1, 1] = False
    found = filler.predict({"any": series}, QUERY, "any", (0.1,))
    never = np.broadcast_to(~series.valid.any(0), found.mean.shape)
    assert never.any()
    for part in (found.mean, found.sigma, found.quantiles[0]):
        np.testing.assert_array_equal(np.isnan(part), never)


def test_one_observation_stands_for_all_days_but_ever_less(filler, make_series):
    series = make_series(days=1, share=1.0)
    found = filler.predict({"any": series}, np.array([0, 1, 9], np.int32) + FIRST_DAY, "any")
    np.testing.assert_allclose(found.mean, np.broadcast_to(series.values, found.mean.shape), **CLOSE)
    assert (np.diff(found.sigma, axis=0) > 0).all()


def test_without_any_observation_all_is_nan(filler, make_series):
    series = make_series()
    found = filler.predict({"any": series._replace(valid=series.valid & False)}, QUERY, "any")
    assert np.isnan(found.mean).all()
    assert found.mean.shape == (len(QUERY), 2, 2, 3)


def test_without_a_query_there_is_no_answer(filler, make_series):
    assert filler.predict({"any": make_series()}, QUERY[:0], "any").mean.shape == (0, 2, 2, 3)


def test_the_input_is_not_touched(filler, make_series):
    series = make_series()
    before = [part.copy() for part in series]
    filler.predict({"any": series}, QUERY, "any")
    for part, copy in zip(series, before, strict=True):
        np.testing.assert_array_equal(part, copy)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda s: ({"modis": s}, "any", ()), InvalidParameter, "observations of any"),
        (lambda s: ({"any": s}, "any", (1.5,)), InvalidParameter, "levels"),
        (lambda s: ({"any": s._replace(valid=s.valid[:1])}, "any", ()), InvalidCube, "valid"),
        (lambda s: ({"any": s._replace(days=s.days[:1])}, "any", ()), InvalidCube, "days"),
        (lambda s: ({"any": s._replace(days=s.days * 30)}, "any", ()), InvalidCube, "century"),
    ],
)
def test_what_cannot_be_read_is_an_error(make_series, spoil, error, message):
    observed, target, levels = spoil(make_series())
    with pytest.raises(error, match=message):
        linear.predict(observed, QUERY, target, levels)
