import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_udf_fusion.cubes import SensorArrays
from openeo_udf_fusion.provenance import (
    EXTRAPOLATED,
    INTERPOLATED,
    LONGEST_INTERPOLATED_GAP_DAYS,
    MEANINGS,
    OBSERVED,
    REFUSED,
    TRANSLATED,
    Trace,
    refuse_strangers,
    trace,
)

SUPPORT_DAYS = 100


def series(*days, bands=1, blind=()):
    """One pixel seen on the given days, except in the bands named by `blind`; None without a day."""
    if not days:
        return None
    shape = (len(days), bands, 1, 1)
    valid = np.ones(shape, bool)
    valid[:, list(blind)] = False
    return SensorArrays(np.full(shape, 0.1, np.float32), valid, np.array(days, np.int32))


def codes(own, other, *query, partners=(0,)):
    found = trace(own, other, partners, np.array(query, np.int32), SUPPORT_DAYS)
    return found.code.ravel().tolist(), found.days_to_observation.ravel().tolist()


GAP = LONGEST_INTERPOLATED_GAP_DAYS


@pytest.mark.parametrize(
    ("own", "other", "query", "code", "distance"),
    [
        ((5,), (5,), 5, OBSERVED, 0),
        ((9,), (5,), 5, TRANSLATED, 0),
        ((0, 10), (), 4, INTERPOLATED, 4),
        ((0,), (10,), 8, INTERPOLATED, 2),
        ((0, GAP), (), 1, INTERPOLATED, 1),
        ((0, GAP + 1), (), 1, EXTRAPOLATED, 1),
        ((0, 10), (), 11, EXTRAPOLATED, 1),
        ((10,), (20,), 3, EXTRAPOLATED, 7),
        ((0,), (), SUPPORT_DAYS, EXTRAPOLATED, SUPPORT_DAYS),
        ((0,), (), SUPPORT_DAYS + 1, REFUSED, SUPPORT_DAYS + 1),
        ((0, 2 * SUPPORT_DAYS + 2), (), SUPPORT_DAYS + 1, REFUSED, SUPPORT_DAYS + 1),
        ((0,), (0,), -SUPPORT_DAYS - 1, REFUSED, SUPPORT_DAYS + 1),
    ],
)
def test_codes(own, other, query, code, distance):
    assert codes(series(*own), series(*other), query) == ([code], [distance])


def test_without_any_observation_all_is_refused():
    nothing = series(0, 5, blind=(0,))
    for own, other in [(nothing, None), (None, nothing), (nothing, nothing)]:
        found, distance = codes(own, other, 0, 5)
        assert found == [REFUSED, REFUSED]
        assert np.isnan(distance).all()


def test_the_code_is_the_worst_over_the_bands():
    own, other = series(0, 5, bands=2, blind=(1,)), series(0, 8, bands=2)
    assert codes(own, other, 0, 5, partners=(0, 1)) == ([TRANSLATED, INTERPOLATED], [0, 0])


def test_the_other_sensor_helps_through_the_partner_of_a_band():
    own, other = series(0, bands=2, blind=(0, 1)), series(5, bands=2, blind=(0,))
    assert codes(own, other, 5, partners=(1, 1))[0] == [TRANSLATED]
    assert codes(own, other, 5, partners=(0, 1))[0] == [EXTRAPOLATED]


def test_meanings_are_words_in_the_order_of_the_codes():
    named = [OBSERVED, TRANSLATED, INTERPOLATED, EXTRAPOLATED, REFUSED]
    assert named == list(range(len(MEANINGS)))
    assert not any(" " in meaning for meaning in MEANINGS)


# --- against the obvious, slow way


def seen_on(arrays, band, row, column):
    if arrays is None:
        return set()
    return {
        int(arrays.days[step] if arrays.days.ndim == 1 else arrays.days[step, row, column])
        for step in range(len(arrays.valid))
        if arrays.valid[step, band, row, column]
    }


def grade(query, own, either):
    """The code of one band of one pixel on one day."""
    if query in own:
        return OBSERVED
    if query in either:
        return TRANSLATED
    before, after = [day for day in either if day < query], [day for day in either if day > query]
    if before and after and min(after) - max(before) <= LONGEST_INTERPOLATED_GAP_DAYS:
        return INTERPOLATED
    return EXTRAPOLATED


def slow_trace(own, other, partners, query_days, support_days, y, x):
    code = np.zeros((len(query_days), y, x), np.uint8)
    distance = np.full((len(query_days), y, x), np.nan, np.float32)
    for place, row, column in np.ndindex(code.shape):
        query, grades, anything = int(query_days[place]), [], set()
        for band, partner in enumerate(partners):
            mine = seen_on(own, band, row, column)
            either = mine | seen_on(other, partner, row, column)
            grades.append(grade(query, mine, either))
            anything |= either
        nearest = min((abs(query - day) for day in anything), default=None)
        if nearest is not None:
            distance[place, row, column] = nearest
        refused = nearest is None or nearest > support_days
        code[place, row, column] = REFUSED if refused else max(grades)
    return code, distance


@st.composite
def sensor(draw, y, x, bands):
    steps = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    days = rng.integers(0, draw(st.sampled_from([12, 300])), (steps, y, x) if draw(st.booleans()) else steps)
    valid = rng.random((steps, bands, y, x)) < draw(st.sampled_from([0, 0.3, 0.8, 1]))
    if draw(st.booleans()):
        valid &= valid[:, :1]
    return SensorArrays(np.zeros(valid.shape, np.float32), valid, days.astype(np.int32))


@st.composite
def cases(draw):
    y, x, bands = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    own = draw(st.none() | sensor(y, x, bands))
    other = draw(sensor(y, x, bands) if own is None else st.none() | sensor(y, x, bands))
    partners = draw(st.lists(st.integers(0, bands - 1), min_size=bands, max_size=bands))
    query = np.unique(draw(st.lists(st.integers(-150, 450), min_size=1, max_size=6))).astype(np.int32)
    near = np.arange(0, 12, draw(st.integers(1, 4)), dtype=np.int32)
    return own, other, partners, draw(st.sampled_from([query, near])), draw(st.sampled_from([3, 100])), y, x


@settings(max_examples=150, deadline=None)
@given(cases())
def test_trace_equals_the_obvious_way(case):
    found = trace(*case[:5])
    code, distance = slow_trace(*case)
    np.testing.assert_array_equal(found.code, code)
    np.testing.assert_array_equal(found.days_to_observation, distance)


def test_a_stranger_is_refused_where_no_observation_is_near():
    days = np.array([[0.0], [16.0], [17.0], [np.nan]], np.float32)[:, :, None].repeat(2, 2)
    code = np.array([0, 2, 2, 4], np.uint8)[:, None, None].repeat(2, 2)
    traced = Trace(code, days)
    found = refuse_strangers(traced, np.array([[0.9, 1.1]], np.float32))
    np.testing.assert_array_equal(found.code[:, 0, 0], [0, 2, 2, 4])
    np.testing.assert_array_equal(found.code[:, 0, 1], [0, 2, 4, 4])
    assert refuse_strangers(traced, None) is traced
