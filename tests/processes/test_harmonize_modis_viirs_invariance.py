"""What changes nothing in the answer of harmonize_modis_viirs."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_udf_fusion.models import pixelwise
from tests.processes.conftest import TARGETS, assert_alike, harmonized, split


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_orders_change_nothing(make_cube, data):
    cube = make_cube(days=24, flags=True)
    shuffled = cube.transpose(*data.draw(st.permutations(cube.dims)))
    for dim in ("t", "bands"):
        shuffled = shuffled.isel({dim: data.draw(st.permutations(range(cube.sizes[dim])))})
    assert_alike(harmonized(shuffled), harmonized(cube))


@TARGETS
@settings(max_examples=8, deadline=None)
@given(st.sets(st.integers(1, 6), max_size=2), st.sets(st.integers(1, 4), max_size=2))
def test_tiled_equals_whole(make_cube, target, columns, rows):
    cube = make_cube(days=24, y=5, x=7)
    options = {"uncertainty": "quantiles", "days_to_observation": True}
    tiles = [
        [harmonized(part, target, **options) for part in split(strip, columns, "x")]
        for strip in split(cube, rows, "y")
    ]
    whole = xr.combine_nested(tiles, ["y", "x"])
    assert_alike(whole, harmonized(cube, target, **options))


@pytest.mark.parametrize("pixel_days", [1, 200, 1_000_000])
def test_the_size_of_a_batch_changes_nothing(make_cube, monkeypatch, pixel_days):
    cube = make_cube(days=24, y=4, x=5)
    expected = harmonized(cube)
    monkeypatch.setattr(pixelwise, "PIXEL_DAYS", pixel_days)
    assert_alike(harmonized(cube), expected)


def test_chunks_change_nothing(make_cube):
    cube = make_cube(days=24, flags=True)
    assert_alike(harmonized(cube.chunk({"t": 5, "x": 2})), harmonized(cube))


def test_dates_without_data_change_nothing(make_cube):
    cube = make_cube(days=24)
    empty = np.array(["1999-01-01", "2021-06-01", "2022-03-24T12:00", "2022-03-26", "2024-01-01"], "M8[ns]")
    longer = cube.reindex(t=np.concatenate([cube["t"].values, empty]))
    assert_alike(harmonized(longer), harmonized(cube))


def test_two_passes_of_a_day_count_as_their_mean(make_cube):
    cube = make_cube(days=24, sensors=("modis",), missing=0)
    morning, evening = cube + np.float32(0.01), cube - np.float32(0.01)
    evening = evening.assign_coords(t=evening["t"] + np.timedelta64(10, "h"))
    result = harmonized(xr.concat([morning, evening], "t"), dates="acquisition")
    np.testing.assert_allclose(result.values, harmonized(cube, dates="acquisition").values, rtol=0, atol=5e-5)


def test_numbers_of_double_precision_change_nothing(make_cube):
    cube = make_cube(days=24)
    assert_alike(harmonized(cube.astype("float64")), harmonized(cube))


def test_variables_equal_bands(make_cube):
    cube = make_cube(days=24, flags=True)
    assert_alike(harmonized(cube.to_dataset("bands")), harmonized(cube))


def test_bands_of_other_kinds_change_nothing(make_cube):
    cube = make_cube(days=24)
    other = xr.full_like(cube[:, :2], 280.0).assign_coords(bands=["l8_LST", "elevation"])
    assert_alike(harmonized(xr.concat([other, cube], "bands")), harmonized(cube))


def test_the_cube_that_came_in_is_not_touched(make_cube):
    cube = make_cube(days=24, flags=True)
    before = cube.copy(deep=True)
    harmonized(cube, dates="acquisition")
    xr.testing.assert_identical(cube, before)


def test_each_date_is_answered_alike_whichever_others_are_asked_for(make_cube):
    cube = make_cube()
    daily = harmonized(cube, dates="P1D")
    some = daily["t"].values[[3, 17, 30]]
    assert_alike(harmonized(cube, dates=some.astype("datetime64[D]").astype(str).tolist()), daily.sel(t=some))
