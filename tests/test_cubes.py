from itertools import permutations

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_udf_fusion import cubes
from openeo_udf_fusion.errors import InvalidCube, MissingBands
from openeo_udf_fusion.sensors import FUSED_BANDS

DIMS = ("t", "bands", "y", "x")
MODIS = FUSED_BANDS["modis"]


def small(values, labels, dates=("2022-01-01",)):
    """A cube of one pixel: values (t, bands)."""
    array = np.array(values, np.float32)[:, :, None, None]
    coords = {"t": np.array(dates, "datetime64[ns]"), "bands": list(labels), "y": [0.0], "x": [0.0]}
    return xr.DataArray(array, dims=DIMS, coords=coords)


def numbers(*dates):
    return np.array(dates, "datetime64[D]").astype(int).tolist()


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


# --- values and what is valid


def test_values_are_a_view_where_the_bands_lie_side_by_side(make_cube):
    cube = make_cube(days=4)
    assert np.shares_memory(cubes.sensor_arrays(cube, "viirs", FUSED_BANDS["viirs"]).values, cube.values)


def test_reading_changes_nothing_in_the_cube(make_cube):
    cube = make_cube(days=4, flags=True)
    before = cube.copy(deep=True)
    for sensor, bands in FUSED_BANDS.items():
        cubes.sensor_arrays(cube, sensor, bands)
    xr.testing.assert_identical(cube, before)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(15)), st.sets(st.integers(0, 14)))
def test_the_order_and_lack_of_bands(make_cube, order, lacking):
    cube = make_cube(days=4)
    labels = cube["bands"].values
    kept = [place for place in order if place not in lacking]
    shuffled = cube.isel(bands=kept)
    for sensor, bands in FUSED_BANDS.items():
        expected = cubes.sensor_arrays(cube, sensor, bands)
        found = cubes.sensor_arrays(shuffled, sensor, bands)
        for place, name in enumerate(bands):
            if f"{sensor}_{name}" in labels[kept]:
                np.testing.assert_array_equal(found.values[:, place], expected.values[:, place])
                np.testing.assert_array_equal(found.valid[:, place], expected.valid[:, place])
            else:
                assert not found.valid[:, place].any()


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (0.3, True),
        (0.0, True),
        (-0.01, True),
        (1.6, True),
        (-0.02, False),
        (1.7, False),
        (np.nan, False),
        (np.inf, False),
        (-np.inf, False),
        (-2.8672, False),
        (-28672.0, False),
    ],
)
def test_the_range_of_a_reflectance(value, valid):
    cube = small([[value, 0.1]], ["modis_B1", "modis_B2"])
    assert cubes.sensor_arrays(cube, "modis", ("B1", "B2")).valid.ravel().tolist() == [valid, True]


@pytest.mark.parametrize("attribute", ["nodata", "_FillValue"])
@pytest.mark.parametrize(
    ("nodata", "expected"),
    [(0, [False, True]), (0.1, [True, False]), (-9999, [True, True]), (np.nan, [True, True])],
)
def test_nodata_of_the_attributes(attribute, nodata, expected):
    cube = small([[0, 0.1]], ["modis_B1", "modis_B2"]).assign_attrs({attribute: nodata})
    assert cubes.sensor_arrays(cube, "modis", ("B1", "B2")).valid.ravel().tolist() == expected


@pytest.mark.parametrize(("missing", "stand_in"), [("viirs_I2", "viirs_M7"), ("viirs_M10", "viirs_I3")])
def test_a_stand_in_is_read_only_where_the_band_is_missing(missing, stand_in):
    name = missing.removeprefix("viirs_")
    alone = small([[0.3]], [stand_in])
    assert cubes.sensor_arrays(alone, "viirs", (name,)).values.item() == np.float32(0.3)
    both = small([[0.3, 0.2]], [stand_in, missing])
    assert cubes.sensor_arrays(both, "viirs", (name,)).values.item() == np.float32(0.2)


@pytest.mark.parametrize("sensor", ["modis", "viirs"])
def test_flags_clear_every_band(make_cube, sensor):
    cube = make_cube(days=20, flags=True, missing=0)
    label = {"modis": "modis_state_1km", "viirs": "viirs_QF1"}[sensor]
    cloudy = (cube.sel(bands=label).values.astype(int) & (1 << (0 if sensor == "modis" else 2))) > 0
    arrays = cubes.sensor_arrays(cube, sensor, FUSED_BANDS[sensor])
    assert cloudy.any()
    np.testing.assert_array_equal(
        arrays.valid, np.isfinite(arrays.values) & ~np.broadcast_to(cloudy[:, None], arrays.values.shape)
    )


def test_a_missing_flag_lets_nothing_through():
    cube = small([[0.3, np.nan]], ["modis_B1", "modis_state_1km"])
    assert not cubes.sensor_arrays(cube, "modis", ("B1",)).valid.any()


def test_mandatory_quality_counts_for_its_own_band():
    labels = ["modis_B1", "modis_B2", "modis_B3", "modis_quality_B1", "modis_quality_B2"]
    cube = small([[0.1, 0.1, 0.1, 0, 255]], labels)
    found = cubes.sensor_arrays(cube, "modis", ("B1", "B2", "B3")).valid
    assert found.ravel().tolist() == [True, False, True]


def test_the_flags_of_one_sensor_do_not_touch_the_other():
    cube = small([[0.1, 1, 0.1]], ["modis_B1", "modis_state_1km", "viirs_I1"])
    assert not cubes.sensor_arrays(cube, "modis", ("B1",)).valid.any()
    assert cubes.sensor_arrays(cube, "viirs", ("I1",)).valid.all()


@pytest.mark.parametrize(("factor", "message"), [(1e4, "scale"), (100, "0-1"), (1e-4, "twice")])
def test_reflectance_that_is_not_scaled_is_an_error(make_cube, factor, message):
    cube = make_cube(days=40, y=8, x=8, missing=0) * np.float32(factor)
    with pytest.raises(InvalidCube, match=message):
        cubes.sensor_arrays(cube, "modis", MODIS)
    strided = cube.transpose("x", "y", "bands", "t").transpose(*DIMS)
    with pytest.raises(InvalidCube, match=message):
        cubes.sensor_arrays(strided, "modis", MODIS)


def test_a_composite_among_daily_dates_is_checked_too(make_cube):
    cube = make_cube(days=40)
    stored = cube.where(np.arange(40)[:, None, None, None] % 8 == 1) * 1e4
    with pytest.raises(InvalidCube, match="modis"):
        cubes.sensor_arrays(stored.where(cube["bands"].str.startswith("modis"), cube), "modis", MODIS)


def test_snow_and_dark_water_are_no_error(make_cube):
    cube = make_cube(days=30, y=4, x=4)
    for level in (1.2, 0.004):
        arrays = cubes.sensor_arrays(xr.full_like(cube, level), "modis", MODIS)
        assert arrays.valid.all()


def test_the_unscaled_error_names_the_median():
    with pytest.raises(InvalidCube, match="1234"):
        cubes.sensor_arrays(small([[1234]], ["modis_B1"]), "modis", ("B1",))


# --- days


def test_days_are_those_of_the_dates():
    dates = ["1999-12-31", "2000-02-29", "2022-03-01T23:59", "2022-03-01T10:00"]
    arrays = cubes.sensor_arrays(small([[0.1]] * 4, ["modis_B1"], dates), "modis", ("B1",))
    assert arrays.days.dtype == np.int32
    assert arrays.days.tolist() == numbers("1999-12-31", "2000-02-29", "2022-03-01", "2022-03-01")


@pytest.mark.parametrize(
    ("date", "day_of_year", "acquired"),
    [
        ("2022-03-06", 65, "2022-03-06"),
        ("2022-03-06", 72, "2022-03-13"),
        ("2022-12-27", 361, "2022-12-27"),
        ("2022-12-27", 365, "2022-12-31"),
        ("2022-12-27", 3, "2023-01-03"),
        ("2024-12-26", 366, "2024-12-31"),
        ("2024-12-26", 1, "2025-01-01"),
        ("2024-02-26", 60, "2024-02-29"),
        ("2022-01-08", 3, "2022-01-03"),  # labelled by its end
        ("2022-01-03", 361, "2021-12-27"),
        ("2022-03-06", 200, "2022-03-06"),  # no composite is that long
        ("2022-03-06", np.nan, "2022-03-06"),
        ("2022-03-06", 65535, "2022-03-06"),
        ("2022-03-06", 0, "2022-03-06"),
        ("2022-03-06", -1, "2022-03-06"),
    ],
)
def test_each_pixel_of_a_composite_has_its_own_day(date, day_of_year, acquired):
    cube = small([[0.1, day_of_year]], ["modis_B1", "modis_day_of_year"], [date])
    arrays = cubes.sensor_arrays(cube, "modis", ("B1",))
    assert arrays.days.shape == (1, 1, 1)
    assert arrays.days.ravel().tolist() == numbers(acquired)


def test_the_day_of_year_of_modis_is_not_that_of_viirs():
    cube = small([[0.1, 0.1, 72]], ["modis_B1", "viirs_I1", "modis_day_of_year"], ["2022-03-06"])
    assert cubes.sensor_arrays(cube, "viirs", ("I1",)).days.tolist() == numbers("2022-03-06")


def test_the_quality_of_a_stand_in_counts_for_it():
    labels = ["viirs_M7", "viirs_quality_M7"]
    dates = ["2022-01-01", "2022-01-02"]
    arrays = cubes.sensor_arrays(small([[0.3, 0], [0.3, 255]], labels, dates), "viirs", ("I1", "I2"))
    assert arrays.valid[:, 1, 0, 0].tolist() == [True, False]
    assert not arrays.valid[:, 0].any()


@st.composite
def observations(draw):
    """A few observations of a few pixels, with shared or own days; wanted days."""
    steps, bands, y, x = (draw(st.integers(1, most)) for most in (7, 2, 2, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = (steps, bands, y, x)
    day_shape = (steps, y, x) if draw(st.booleans()) else (steps,)
    days = rng.integers(100, 108, day_shape).astype(np.int32)
    values = rng.uniform(0, 1, shape).astype(np.float32)
    valid = rng.random(shape) < 0.7
    values[~valid & (rng.random(shape) < 0.5)] = np.nan
    wanted = np.unique(rng.integers(98, 111, draw(st.integers(1, 6)))).astype(np.int32)
    return cubes.SensorArrays(values, valid, days), wanted


@settings(max_examples=80, deadline=None)
@given(observations())
def test_on_days_equals_a_loop(case):
    arrays, wanted = case
    found, seen = cubes.on_days(arrays, wanted)
    assert found.dtype == np.float32
    steps, bands, y, x = arrays.values.shape
    assert found.shape == seen.shape == (len(wanted), bands, y, x)
    for query, band, row, column in np.ndindex(found.shape):
        there = []
        for step in range(steps):
            day = arrays.days[step] if arrays.days.ndim == 1 else arrays.days[step, row, column]
            if day == wanted[query] and arrays.valid[step, band, row, column]:
                there.append(arrays.values[step, band, row, column])
        assert seen[query, band, row, column] == bool(there)
        if len(there) == 1:
            assert found[query, band, row, column] == there[0]
        elif there:
            assert found[query, band, row, column] == pytest.approx(np.mean(there), rel=1e-5)


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
