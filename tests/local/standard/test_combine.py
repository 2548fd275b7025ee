"""Merging cubes that have a date twice, as Terra and Aqua in one collection have it."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from openeo_udf_fusion.local.standard.combine import mask, merge_cubes
from tests.local.graphs import make_cube


def on_dates(days, bands, seed):
    dates = pd.to_datetime([f"2022-01-0{day}" for day in days])
    return make_cube(3, 4, dates=len(days), bands=bands, seed=seed).assign_coords(t=dates)


TWICE = on_dates((1, 1, 2, 2, 4, 4), ("modis",), 0)
DAILY = on_dates((1, 2, 3, 4), ("viirs",), 1)


@pytest.mark.parametrize("chunks", [None, 2])
def test_each_occurrence_of_a_date_survives_a_merge(chunks):
    first, second = (cube if chunks is None else cube.chunk(t=chunks) for cube in (TWICE, DAILY))
    merged = merge_cubes(first, second)
    assert merged.t.dt.day.values.tolist() == [1, 1, 2, 2, 3, 4, 4]
    np.testing.assert_array_equal(merged.sel(bands="modis").values[[0, 1, 2, 3, 5, 6]], TWICE.values[:, 0])
    np.testing.assert_array_equal(merged.sel(bands="viirs").values[[0, 2, 4, 5]], DAILY.values[:, 0])
    assert np.isnan(merged.sel(bands="viirs").values[[1, 3, 6]]).all()
    assert np.isnan(merged.sel(bands="modis").values[4]).all()


def test_the_order_of_the_cubes_does_not_matter():
    one, other = merge_cubes(TWICE, DAILY), merge_cubes(DAILY, TWICE)
    xr.testing.assert_equal(one, other.isel(bands=[1, 0]))


def test_occurrences_of_a_date_meet_in_their_order():
    def total(named_parameters):
        return named_parameters["x"] + named_parameters["y"]

    merged = merge_cubes(TWICE, TWICE, total)
    np.testing.assert_array_equal(merged.values, TWICE.values * 2)
    third = on_dates((1, 1, 1), ("modis",), 2)
    merged = merge_cubes(TWICE.isel(t=slice(0, 2)), third, total)
    np.testing.assert_array_equal(merged.values[:2], TWICE.values[:2] + third.values[:2])
    np.testing.assert_array_equal(merged.values[2], third.values[2])


def test_a_mask_holds_for_each_occurrence_of_a_date():
    bad = TWICE.isel(bands=0, drop=True) > 0.5
    np.testing.assert_array_equal(mask(TWICE, bad).values, np.where(TWICE.values > 0.5, np.nan, TWICE.values))
