import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.periods import output_dates, parse_day, parse_extent, period_dates

YEAR = ["2022-01-01", "2023-01-01"]
NOTHING = np.array([], "datetime64[D]")


def days(*texts):
    return np.array(texts, "datetime64[D]")


def on(dates, extent, acquired=NOTHING):
    return output_dates(dates, extent, acquired).astype(str).tolist()


# --- periods


@pytest.mark.parametrize(
    ("period", "extent", "expected"),
    [
        ("P8D", ["2022-01-01", "2022-01-25"], ["2022-01-01", "2022-01-09", "2022-01-17"]),
        ("P8D", ["2022-12-20", "2023-01-10"], ["2022-12-27", "2023-01-01", "2023-01-09"]),
        ("P8D", ["2024-12-20", "2025-01-05"], ["2024-12-26", "2025-01-01"]),  # 2024 has a 29 February
        ("P16D", ["2022-01-02", "2022-02-20"], ["2022-01-17", "2022-02-02", "2022-02-18"]),
        ("P1D", ["2024-02-28", "2024-03-02"], ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("P2W", ["2021-12-20", "2022-02-01"], ["2021-12-31", "2022-01-01", "2022-01-15", "2022-01-29"]),
        ("P1M", ["2021-11-15", "2022-02-02"], ["2021-12-01", "2022-01-01", "2022-02-01"]),
        ("P3M", ["2021-06-01", "2022-06-01"], ["2021-07-01", "2021-10-01", "2022-01-01", "2022-04-01"]),
        ("P5M", ["2022-01-01", "2023-02-01"], ["2022-01-01", "2022-06-01", "2022-11-01", "2023-01-01"]),
        ("P1Y", ["2020-06-01", "2022-01-02"], ["2021-01-01", "2022-01-01"]),
        ("P5Y", ["2008-01-01", "2021-01-01"], ["2010-01-01", "2015-01-01", "2020-01-01"]),
    ],
)
def test_periods_come_from_the_calendar(period, extent, expected):
    assert on(period, extent) == expected


def test_a_year_of_p8d_is_that_of_the_modis_composites():
    found = output_dates("P8D", YEAR, NOTHING)
    assert len(found) == 46
    assert ((found - found[0]).astype(int) % 8 == 0).all()


PERIODS = st.sampled_from(["P1D", "P8D", "P16D", "P400D", "P1W", "P2W", "P1M", "P3M", "P7M", "P1Y", "P3Y"])
EXTENTS = st.tuples(st.integers(0, 20_000), st.integers(1, 1500)).map(
    lambda pair: (np.datetime64(pair[0], "D"), np.datetime64(pair[0] + pair[1], "D"))
)


@settings(max_examples=60, deadline=None)
@given(PERIODS, EXTENTS, st.integers(1, 1499))
def test_dates_do_not_depend_on_where_the_extent_begins(period, extent, later):
    start, end = extent
    cut = min(start + np.timedelta64(later, "D"), end - np.timedelta64(1, "D"))
    whole = period_dates(period, start, end)
    parts = [period_dates(period, start, cut), period_dates(period, cut, end)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert ((whole >= start) & (whole < end)).all()
    assert (np.diff(whole).astype(int) > 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 366), EXTENTS)
def test_days_restart_on_1_january(step, extent):
    for date in period_dates(f"P{step}D", *extent):
        assert (date - date.astype("datetime64[Y]")).astype(int) % step == 0


# --- extents


@pytest.mark.parametrize(
    ("extent", "expected"),
    [
        (YEAR, ("2022-01-01", "2023-01-01")),
        (("2022-01-01", "2022-01-02"), ("2022-01-01", "2022-01-02")),
        (["2022-01-01T00:00:00Z", "2022-02-01T00:00:00Z"], ("2022-01-01", "2022-02-01")),
        (["2022-01-01T00:00:00.000Z", "2022-02-01T00:00:00.000Z"], ("2022-01-01", "2022-02-01")),
        (["2022-01-01T00:00Z", "2022-02-01T00:00+00:00"], ("2022-01-01", "2022-02-01")),
        (["2022-01-01T10:30:00Z", "2022-02-01T10:30:00Z"], ("2022-01-01", "2022-02-02")),
        (["2022-01-01T00:00:00Z", "2022-01-01T23:59:59Z"], ("2022-01-01", "2022-01-02")),
    ],
)
def test_extents(extent, expected):
    assert parse_extent(extent) == tuple(np.datetime64(text) for text in expected)


def test_extents_are_left_closed():
    assert on("P1M", ["2022-01-01", "2022-02-01"]) == ["2022-01-01"]
    assert on("acquisition", ["2022-01-01", "2022-02-01"], days("2022-01-01", "2022-02-01")) == ["2022-01-01"]


@pytest.mark.parametrize(
    "extent",
    [
        ["2022-01-01"],
        ["2022-01-01", "2022-02-01", "2022-03-01"],
        ["2022-01-01", None],
        [None, "2022-01-01"],
        "2022-01-01/2022-02-01",
        "ab",
        ["2022-02-01", "2022-01-01"],
        ["2022-01-01", "2022-01-01"],
        ["01.02.2022", "2023-01-01"],
        ["2022-02-30", "2023-01-01"],
        [2022, 2023],
        2022,
        {"start": "2022-01-01", "end": "2023-01-01"},
    ],
)
def test_an_extent_that_is_none_is_named_in_the_error(extent):
    with pytest.raises(InvalidParameter, match="temporal_extent"):
        output_dates("P8D", extent, NOTHING)


@pytest.mark.parametrize(
    ("text", "day"),
    [("2022-01-31", "2022-01-31"), ("2022-01-31T23:59:59Z", "2022-01-31"), ("2024-02-29", "2024-02-29")],
)
def test_days(text, day):
    assert parse_day(text, "dates") == np.datetime64(day)


@pytest.mark.parametrize(
    "text", ["2022-13-01", "2023-02-29", "2022-1-1", "2022-01", "today", "", 20220101, None]
)
def test_what_is_no_day_is_quoted_in_the_error(text):
    with pytest.raises(InvalidParameter, match=r"dates takes .*got") as error:
        parse_day(text, "dates")
    assert repr(text) in str(error.value)


# --- lists and acquisition dates


def test_a_list_is_sorted_and_stands_for_itself():
    wanted = ["2022-03-01", "2019-01-01T12:00:00Z", "2022-03-01"]
    assert on(wanted, YEAR) == on(wanted, None) == ["2019-01-01", "2022-03-01"]
    assert on(tuple(wanted), None) == on(wanted, None)


def test_acquisition_dates_are_those_of_the_cube():
    acquired = np.array(["2022-05-02T10:31", "2021-12-31T23:59", "2022-05-02T12:10", "2023-01-01"], "M8[ns]")
    assert on("acquisition", None, acquired) == ["2021-12-31", "2022-05-02", "2023-01-01"]
    assert on("acquisition", YEAR, acquired) == ["2022-05-02"]


@pytest.mark.parametrize("period", ["P0D", "8D", "P8", "p8d", "P1.5M", "P-1D", "PT8H", "P1M8D", "daily", ""])
def test_what_is_no_period_is_an_error_that_says_what_is(period):
    with pytest.raises(InvalidParameter, match="P8D") as error:
        output_dates(period, YEAR, NOTHING)
    assert repr(period) in str(error.value)


@pytest.mark.parametrize("dates", [None, 8, True, 1.5, [None], [20220101], {"P8D": 1}])
def test_dates_of_another_kind_are_an_error(dates):
    with pytest.raises(InvalidParameter, match="dates"):
        output_dates(dates, YEAR, NOTHING)


def test_a_period_needs_an_extent():
    with pytest.raises(InvalidParameter, match="needs a temporal_extent"):
        output_dates("P8D", None, days("2022-01-01"))


@pytest.mark.parametrize(
    ("dates", "extent"),
    [([], None), ("P1M", ["2022-01-02", "2022-01-30"]), ("acquisition", ["2030-01-01", "2031-01-01"])],
)
def test_no_date_left_is_an_error(dates, extent):
    with pytest.raises(InvalidParameter, match="no date"):
        output_dates(dates, extent, days("2022-01-01"))


def test_where_no_date_is_left_the_error_says_which_there_are():
    acquired = np.array(["2023-01-05", "2023-03-09"], "datetime64[D]")
    with pytest.raises(InvalidParameter, match="the cube has 2 dates from 2023-01-05 to 2023-03-09"):
        output_dates("acquisition", ["2021-01-01", "2022-01-01"], acquired)
