"""Cubes of any form become canonical ones, and results take the place of the cube they came from."""

from itertools import permutations

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr

from openeo_udf_fusion import cubes
from openeo_udf_fusion.errors import InvalidCube, MissingBands
from openeo_udf_fusion.sensors import FUSED_BANDS
from tests.pixels import DIMS, small

MODIS = FUSED_BANDS["modis"]


# --- canonical


@pytest.mark.parametrize("order", list(permutations(DIMS)), ids=" ".join)
def test_any_order_of_dims(make_cube, order):
    cube = make_cube(days=4)
    xr.testing.assert_identical(cubes.canonical(cube.transpose(*order)), cube)


def test_a_canonical_cube_is_not_copied(make_cube):
    cube = make_cube(days=4)
    assert np.shares_memory(cubes.canonical(cube).values, cube.values)
    assert np.shares_memory(cubes.canonical(cube.transpose("x", "t", "y", "bands")).values, cube.values)


@pytest.mark.parametrize(
    "names",
    [
        {"t": "time"},
        {"t": "timestamp", "bands": "band"},
        {"bands": "variable", "y": "lat", "x": "lon"},
        {"t": "date", "y": "latitude", "x": "longitude"},
    ],
    ids=lambda names: " ".join(names.values()),
)
def test_other_names_of_dims(make_cube, names):
    cube = make_cube(days=4)
    xr.testing.assert_equal(cubes.canonical(cube.rename(names)), cube)


def test_bands_may_be_variables(make_cube):
    cube = make_cube(days=4)
    found = cubes.canonical(cube.to_dataset("bands").rename(t="time"))
    xr.testing.assert_equal(found, cube)


def test_variables_that_are_no_bands_are_left_out(make_cube):
    cube = make_cube(days=4)
    dataset = cube.to_dataset("bands")
    dataset["crs"] = ((), "", {"grid_mapping_name": "sinusoidal"})
    dataset["time_bounds"] = ("t", np.arange(4.0))
    xr.testing.assert_equal(cubes.canonical(dataset), cube)


def test_a_dataset_without_bands_is_an_error():
    for dataset in (xr.Dataset(), xr.Dataset({"crs": ((), 0)})):
        with pytest.raises(InvalidCube, match="bands"):
            cubes.canonical(dataset)


def test_a_lazy_cube_is_computed_once(make_cube):
    cube, computed = make_cube(days=4, flags=True), []

    def count(block):
        computed.append(1)
        return block

    lazy = cube.chunk({"t": 4}).copy(
        data=cube.chunk({"t": 4}).data.map_blocks(count, dtype="float32", meta=cube.data[:0])
    )
    found = cubes.canonical(lazy)
    for sensor, bands in FUSED_BANDS.items():
        cubes.sensor_arrays(found, sensor, bands)
    assert len(computed) == 1
    xr.testing.assert_identical(found, cube)


def test_a_series_without_place(make_cube):
    cube = make_cube(days=4, y=1, x=1)
    found = cubes.canonical(cube.isel(y=0, x=0))
    assert found.dims == DIMS
    np.testing.assert_array_equal(found.values, cube.values)
    np.testing.assert_array_equal(cubes.canonical(cube.isel(y=0, x=0, drop=True)).values, cube.values)


def test_labels_become_those_of_the_alias_table():
    cube = small([[0.1, 0.2, 0.3, 4]], ["sur_refl_b01", "SurfReflect_M3", "ndvi", "state_1km"])
    labels = cubes.canonical(cube)["bands"].values.tolist()
    assert labels == ["modis_B1", "viirs_M3", "ndvi", "modis_state_1km"]


@pytest.mark.parametrize("dtype", ["float64", "int16", "uint16", "float32"])
def test_numbers_of_any_kind(make_cube, dtype):
    cube = make_cube(days=4, missing=0).fillna(0).astype(dtype)
    assert cubes.canonical(cube).dtype == dtype
    assert cubes.sensor_arrays(cubes.canonical(cube), "modis", MODIS).values.dtype == np.float32


def no_dates(cube):
    return cube.drop_vars("t")


def no_labels(cube):
    return cube.drop_vars("bands")


def without(dim):
    return lambda cube: cube.isel({dim: 0})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_dates, "t \\(with dates\\)"),
        (no_labels, "bands \\(with labels\\)"),
        (without("t"), "dimensions t"),
        (without("bands"), "bands"),
        (lambda cube: cube.expand_dims("realization"), "realization"),
        (lambda cube: cube.isel(t=slice(0)), "empty"),
        (lambda cube: cube.isel(x=slice(0)), "empty"),
        (lambda cube: cube.isel(bands=slice(0)), "empty"),
        (lambda cube: cube.astype(object), "object"),
        (lambda cube: cube.astype(bool), "bool"),
        (lambda cube: cube.astype(complex), "complex"),
        (lambda cube: cube.assign_coords(t=np.arange(cube.sizes["t"])), "datetime64"),
        (lambda cube: cube.assign_coords(t=np.full(cube.sizes["t"], "NaT", "datetime64[ns]")), "NaT"),
        (lambda cube: cube.isel(bands=[0, 1, 0]), "modis_B1"),
        (lambda cube: cube.isel(bands=[0, 1]).assign_coords(bands=["refl_1", "Band1"]), "modis_B1"),
    ],
)
def test_what_is_no_cube_is_an_error(make_cube, spoil, message):
    with pytest.raises(InvalidCube, match=message):
        cubes.canonical(spoil(make_cube(days=4)))


# --- which sensors


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["modis_B1"], ["modis"]),
        (["viirs_M11", "ndvi"], ["viirs"]),
        (["viirs_I1", "modis_B7"], ["modis", "viirs"]),
        (["viirs_M7"], ["viirs"]),  # stands in for I2
        (["viirs_I3"], ["viirs"]),  # stands in for M10
        (["modis_B3", "viirs_QF1"], ["modis"]),
    ],
)
def test_sensors_in(labels, expected):
    assert cubes.sensors_in(small([[0.1] * len(labels)], labels), FUSED_BANDS) == expected


@pytest.mark.parametrize("labels", [["ndvi", "B1"], ["modis_state_1km"], ["viirs_M1"]])
def test_none_of_the_bands_is_an_error_that_shows_the_labels(labels):
    with pytest.raises(MissingBands, match="rename") as error:
        cubes.sensors_in(small([[0.1] * len(labels)], labels), FUSED_BANDS)
    assert all(label in str(error.value) for label in [*labels, "modis_B1..B7", "viirs_I1..M11"])


# --- back again


COORDS = ["y", "x", "spatial_ref", "lon", "tile", "zone"]


def georeferenced(cube):
    """A cube with a CRS, uneven float coordinates, and further coordinates of all kinds."""
    rng = np.random.default_rng(1)
    y, x = cube.sizes["y"], cube.sizes["x"]
    cube = cube.assign_coords(
        y=cube["y"] + rng.normal(size=y), x=cube["x"].astype(np.float32), lon=(("y", "x"), rng.random((y, x)))
    )
    cube = cube.assign_coords(
        tile="h18v04", zone=("x", np.arange(x)), season=("t", np.arange(cube.sizes["t"]))
    )
    cube["y"].attrs["units"] = "m"
    return cube.rio.write_crs("+proj=sinu +R=6371007.181 +units=m +no_defs")


def two_dates():
    return np.array(["2022-05-01", "2022-05-09"], "datetime64[D]")


def layers_like(cube):
    shape = (2, cube.sizes.get("y", cube.sizes.get("lat", 1)), cube.sizes.get("x", cube.sizes.get("lon", 1)))
    rng = np.random.default_rng(2)
    return {name: rng.random(shape, np.float32) for name in ("B1", "provenance")}


@pytest.mark.parametrize("order", [DIMS, ("x", "y", "t", "bands")], ids=" ".join)
def test_what_the_cube_knows_of_its_place_comes_back_untouched(make_cube, order):
    cube = georeferenced(make_cube(days=4)).transpose(*order)
    layers = layers_like(cube)
    result = cubes.assemble(layers, two_dates(), like=cube)
    assert result.dims == DIMS
    assert result.dtype == np.float32
    assert result["bands"].values.tolist() == ["B1", "provenance"]
    assert result["t"].dtype == "datetime64[ns]"
    np.testing.assert_array_equal(result["t"].values.astype("datetime64[D]"), two_dates())
    for name in COORDS:
        xr.testing.assert_identical(result.coords[name], cube.coords[name])
    assert result.rio.crs == cube.rio.crs
    assert set(result.coords) == {*COORDS, "t", "bands"}
    for name, layer in layers.items():
        np.testing.assert_array_equal(result.sel(bands=name).values, layer)


def test_a_dataset_gives_its_place_too(make_cube):
    dataset = georeferenced(make_cube(days=4)).to_dataset("bands")
    result = cubes.assemble(layers_like(dataset), two_dates(), like=dataset)
    for name in COORDS:
        xr.testing.assert_identical(result.coords[name], dataset.coords[name])


def test_dims_keep_the_names_they_came_with(make_cube):
    cube = make_cube(days=4).rename(t="time", bands="band", y="lat", x="lon")
    result = cubes.assemble(layers_like(cube), two_dates(), like=cube)
    assert result.dims == ("time", "band", "lat", "lon")
    xr.testing.assert_identical(result["lat"], cube["lat"])


def test_a_series_stays_a_series(make_cube):
    cube = make_cube(days=4, y=1, x=1).isel(y=0, x=0)
    result = cubes.assemble(layers_like(cube), two_dates(), like=cube)
    assert result.dims == ("t", "bands")
    assert result["x"].item() == cube["x"].item()


def test_a_cube_without_coordinates_gets_none(make_cube):
    cube = make_cube(days=4).drop_vars(["y", "x"])
    assert set(cubes.assemble(layers_like(cube), two_dates(), like=cube).coords) == {"t", "bands"}
