"""Dates in names and coordinates, and the intervals that select them."""

from pathlib import Path

import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidCollection, InvalidParameter
from openeo_udf_fusion.local.readers.dates import as_dates, date_in_path, in_interval, without_date

DATES = np.array(["2022-01-01", "2022-01-09", "2022-01-09T10:30", "2022-02-01"], "datetime64[ns]")


@pytest.mark.parametrize(
    ("path", "date"),
    [
        ("c/ndvi_20220131.tif", "2022-01-31"),
        ("c/ndvi_2022-01-31.tif", "2022-01-31"),
        ("c/2022-01-31T103000_B1.tif", "2022-01-31T10:30"),
        ("c/S2A_MSIL2A_20180506T105031_N0500.tif", "2018-05-06T10:50:31"),
        ("c/MOD09GA.A2021222.h17v04.061.tif", "2021-08-10"),
        ("c/2021222/B1.tif", "2021-08-10"),
        ("c/2021222/sub/B1.tif", "2021-08-10"),
        ("c/LC08_L2SP_197030_20190704_SR_B4.tif", "2019-07-04"),
        ("c/20220230.tif", None),  # no 30 February
        ("c/2021400.tif", None),  # no day 400
        ("c/h18v04_123456789.tif", None),
        ("c_2022-01-31/B1.tif", None),  # above the collection
    ],
)
def test_date_in_path(path: str, date: str | None):
    found = date_in_path(Path(path), Path("c"))
    assert found == (None if date is None else np.datetime64(date))


@pytest.mark.parametrize(
    ("stem", "rest"),
    [
        ("ndvi_20220131", "ndvi"),
        ("2022-01-31_B1", "B1"),
        ("MOD09GA.A2021222.sur_refl_b01", "MOD09GA_sur_refl_b01"),
        ("sur_refl_b01_1", "sur_refl_b01_1"),
        ("2022-01-31T103000Z", ""),
    ],
)
def test_without_date(stem: str, rest: str):
    assert without_date(stem) == rest


@pytest.mark.parametrize(
    ("interval", "selected"),
    [
        (["2022-01-01", "2022-02-01"], [0, 1, 2]),  # the end is excluded
        (["2022-01-09", None], [1, 2, 3]),  # the start is included
        ([None, "2022-01-09"], [0]),
        ([None, None], [0, 1, 2, 3]),
        (["2022-01-09T10:30:00Z", "2022-01-09T10:30:01Z"], [2]),
        (["2022-01-09T12:30:00+02:00", "2022-01-10"], [2]),
        (["2030-01-01", None], []),
    ],
)
def test_in_interval(interval: list[str | None], selected: list[int]):
    assert np.flatnonzero(in_interval(DATES, interval)).tolist() == selected


@pytest.mark.parametrize(
    "interval", [["2022-02-01", "2022-01-01"], ["2022-01-01"] * 2, ["x", None], ["2022-01-01"], "2022-01-01"]
)
def test_in_interval_says_what_is_wrong(interval: list[str | None]):
    with pytest.raises(InvalidParameter, match="temporal_extent"):
        in_interval(DATES, interval)


def test_as_dates_takes_texts_and_times_of_day():
    assert (as_dates(["2022-01-09", "2022-01-09T10:30:00Z"], "f") == DATES[1:3]).all()
    assert as_dates(DATES.astype("datetime64[s]"), "f").dtype == np.dtype("datetime64[ns]")


@pytest.mark.parametrize("values", [["soon"], np.array([1, 2]), np.array(["NaT"], "datetime64[ns]")])
def test_as_dates_names_the_file(values: list[str]):
    with pytest.raises(InvalidCollection, match=r"broken\.nc"):
        as_dates(values, "broken.nc: time")
