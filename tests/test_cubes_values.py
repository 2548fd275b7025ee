"""What is read from a cube: values, which of them are valid, and the days they were seen on."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_udf_fusion import cubes
from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.sensors import FUSED_BANDS
from tests.pixels import DIMS, small

MODIS = FUSED_BANDS["modis"]


def numbers(*dates):
    return np.array(dates, "datetime64[D]").astype(int).tolist()


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
