"""Several files make one cube: their dates, bands and grids."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.local.collections import get_collection
from tests.local.collection_files import DATES, dataset


def test_files_join_over_time_in_order_of_date(data: Path):
    (data / "c").mkdir()
    later, earlier = dataset(seed=1, dates=DATES[[2, 1]]), dataset(seed=2, dates=DATES[:1])
    later.to_netcdf(data / "c" / "a.nc")  # its own dates descend
    earlier.to_netcdf(data / "c" / "b.nc")
    cube = get_collection(data, "c").open()
    assert (cube["t"].values == DATES).all()
    expected = xr.concat([earlier, later], "t").sortby("t")["B1"]
    np.testing.assert_array_equal(cube.sel(bands="B1"), expected)


def test_a_date_that_is_there_twice_stays_in_the_order_of_the_files(data: Path):
    (data / "c").mkdir()
    first, second = dataset(seed=1, dates=DATES[[0, 0]]), dataset(seed=2, dates=DATES[:2])
    first.to_netcdf(data / "c" / "a.nc")
    second.to_netcdf(data / "c" / "b.nc")
    cube = get_collection(data, "c").open(bands=["B1"])
    assert (cube["t"].values == DATES[[0, 0, 0, 1]]).all()
    np.testing.assert_array_equal(cube.squeeze("bands"), np.concatenate([first["B1"], second["B1"]]))


def test_a_band_is_missing_where_its_file_has_no_such_date(data: Path):
    (data / "c").mkdir()
    dataset(("a",), dates=DATES[:2]).to_netcdf(data / "c" / "a.nc")
    dataset(("b",), dates=DATES[1:]).to_netcdf(data / "c" / "b.nc")
    cube = get_collection(data, "c").open()
    assert np.isnan(cube).all(("y", "x")).values.tolist() == [[False, True], [False, False], [True, False]]


def test_a_coarser_band_is_brought_onto_the_finest_grid_by_nearest(data: Path):
    (data / "c").mkdir()
    fine, coarse = dataset(("fine",), size=12), dataset(("coarse",), size=4, pixel=30.0)
    fine.to_netcdf(data / "c" / "fine.nc")
    coarse.to_netcdf(data / "c" / "coarse.nc")
    collection = get_collection(data, "c")
    blocks = coarse["coarse"].values.repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_array_equal(collection.open(bands=["coarse"]).squeeze("bands"), blocks)
    window = collection.open(bands=["coarse"], window=(slice(2, 8), slice(5, 6)))
    np.testing.assert_array_equal(window.squeeze("bands"), blocks[:, 2:8, 5:6])


def test_the_finest_copy_of_a_band_wins(data: Path):
    (data / "c").mkdir()
    fine = dataset(("a",), size=12)
    fine.to_netcdf(data / "c" / "fine.nc")
    dataset(("a", "b"), size=6, pixel=20.0).to_netcdf(data / "c" / "coarse.nc")
    collection = get_collection(data, "c")
    np.testing.assert_array_equal(collection.open(bands=["a"]).squeeze("bands"), fine["a"])
    assert "coarse.nc" in collection.metadata()["description"]


def test_grids_that_do_not_fit_are_named(data: Path):
    (data / "c").mkdir()
    dataset(("a",)).to_netcdf(data / "c" / "here.nc")
    moved = dataset(("b",))
    moved.assign_coords(x=moved["x"] + 4.0).to_netcdf(data / "c" / "moved.nc")
    with pytest.raises(InvalidCollection, match=r"moved\.nc.*does not fit"):
        get_collection(data, "c").grid()


def test_a_band_without_time_holds_on_all_dates(data: Path):
    (data / "c").mkdir()
    dataset(("a",)).to_netcdf(data / "c" / "a.nc")
    still = dataset(("height",)).isel(t=0, drop=True)
    still.to_netcdf(data / "c" / "height.nc")
    cube = get_collection(data, "c").open(bands=["height"])
    np.testing.assert_array_equal(cube.squeeze("bands"), np.stack([still["height"]] * 3))
