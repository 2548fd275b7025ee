"""fill_gaps keeps what was observed, fills the rest as far as it may, and says where a value comes from."""

import inspect
import json

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import openeo_udf_fusion
from openeo_udf_fusion import provenance
from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, MissingBands, NoDataAvailable
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes.fill_gaps import FILLERS, fill_gaps
from openeo_udf_fusion.sensors import FUSED_BANDS, VALID_REFLECTANCE
from tests.processes.conftest import ANY, CLOSE, EXTENT, assert_alike, relabelled, split

METHODS = pytest.mark.parametrize("method", [*FILLERS, "satfusenet"])
MODIS = list(FUSED_BANDS["modis"])


# --- what was observed


@METHODS
def test_what_was_observed_survives_to_the_bit_and_the_rest_is_filled(modis, method):
    result = fill_gaps(modis, method)
    seen = modis.notnull().values
    found = result.sel(bands=MODIS).values
    assert 0.3 < seen.mean() < 0.7
    np.testing.assert_array_equal(found[seen], modis.values[seen])
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(result.sel(bands="provenance") == provenance.OBSERVED, seen.all(1))
    assert set(np.unique(result.sel(bands="provenance"))) <= {0, 2, 3}


@pytest.mark.parametrize("method", ["whittaker", "seasonal", "satfusenet"])
def test_the_estimate_on_observed_days_is_smooth_on_request(modis, method):
    kept, smooth = (fill_gaps(modis, method, smooth=smooth) for smooth in (False, True))
    seen = modis.notnull().values
    difference = np.abs(kept.sel(bands=MODIS).values - smooth.sel(bands=MODIS).values)
    assert (difference[seen] > 0).any()
    assert (difference[~seen] == 0).all()
    xr.testing.assert_equal(kept.sel(bands="provenance"), smooth.sel(bands="provenance"))


@METHODS
def test_clouds_are_replaced(make_cube, method):
    cube = make_cube(days=80, flags=True, missing=0, sensors=("modis",))
    result = fill_gaps(cube, method)
    cloudy = (cube.sel(bands="modis_state_1km") != 8).values & cube.isel(bands=0).notnull().values
    assert cloudy.any()
    assert (cube.sel(bands="modis_B1").values[cloudy] > 0.6).all()
    assert (result.sel(bands="B1").values[cloudy] < 0.4).all()
    assert (result.sel(bands="provenance").values[cloudy] > 0).all()


def test_a_composite_is_read_at_the_day_of_each_pixel(make_cube):
    cube = make_cube(days=1, first="2022-03-06", missing=0, sensors=("modis",), seed=1).fillna(0.1)
    days = xr.full_like(cube[:, :1], 65).assign_coords(bands=["modis_day_of_year"])
    days[..., 1] = 67
    result = fill_gaps(xr.concat([cube, days], "bands"), dates=["2022-03-06", "2022-03-08"])
    origin = result.sel(bands="provenance").isel(y=0).values
    np.testing.assert_array_equal(origin == provenance.OBSERVED, [[True, False, True], [False, True, False]])


# --- what changes nothing


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_orders_change_nothing(make_cube, data):
    cube = make_cube(days=24, flags=True)
    expected = fill_gaps(cube)
    shuffled = cube.transpose(*data.draw(st.permutations(cube.dims)))
    for dim in ("t", "bands"):
        shuffled = shuffled.isel({dim: data.draw(st.permutations(range(cube.sizes[dim])))})
    found = fill_gaps(shuffled)
    assert_alike(found.sel(bands=expected["bands"]).transpose(*expected.dims), expected)


@METHODS
@settings(max_examples=4, deadline=None)
@given(st.sets(st.integers(1, 6), max_size=2), st.sets(st.integers(1, 4), max_size=2))
def test_tiled_equals_whole(make_cube, method, columns, rows):
    cube = make_cube(days=24, y=5, x=7, sensors=("modis",))
    options = {"uncertainty": "quantiles", "days_to_observation": True, "dates": "P3D"}
    tiles = [
        [fill_gaps(part, method, EXTENT, **options) for part in split(strip, columns, "x")]
        for strip in split(cube, rows, "y")
    ]
    assert_alike(xr.combine_nested(tiles, ["y", "x"]), fill_gaps(cube, method, EXTENT, **options))


def test_form_and_chunks_change_nothing(make_cube):
    cube = make_cube(days=24, flags=True)
    expected = fill_gaps(cube)
    for other in (cube.to_dataset("bands"), cube.chunk({"t": 5, "x": 2}), cube.astype("float64")):
        assert_alike(fill_gaps(other), expected)


def test_the_cube_that_came_in_is_not_touched(make_cube):
    cube = make_cube(days=24, flags=True)
    before = cube.copy(deep=True)
    fill_gaps(cube, "whittaker")
    xr.testing.assert_identical(cube, before)


# --- what is missing


@METHODS
def test_far_from_observations_a_value_is_refused(make_cube, method):
    cube = make_cube(days=30, missing=0, sensors=("modis",))
    seen = np.flatnonzero(cube.notnull().all(("bands", "y", "x")).values)
    last = cube["t"].values[seen[-1]].astype("datetime64[D]")
    result = fill_gaps(
        cube, method, dates=[str(last + 20), str(last + 21)], support_days=20, days_to_observation=True
    )
    origin, values = result.sel(bands="provenance"), result.sel(bands=[*MODIS, "B1_sigma"])
    assert (origin[0] == provenance.EXTRAPOLATED).all()
    assert values[0].notnull().all()
    assert (origin[1] == provenance.REFUSED).all()
    assert values[1].isnull().all()
    assert result.sel(bands="days_to_observation")[:, 0, 0].values.tolist() == [20, 21]


@ANY
def test_a_band_that_was_never_seen_is_refused_and_the_others_are_not(modis, method):
    cube = modis.copy()
    cube.loc[{"bands": "modis_B6"}] = np.nan
    result = fill_gaps(cube, method)
    assert result.sel(bands=["B6", "B6_sigma"]).isnull().all()
    assert result.sel(bands=["B5", "B5_sigma"]).notnull().all()
    assert (result.sel(bands="provenance") == provenance.REFUSED).all()


@METHODS
def test_a_pixel_without_observation_is_refused_and_the_others_are_not(modis, method):
    cube = modis.copy()
    cube[:, :, 1, 2] = np.nan
    result = fill_gaps(cube, method, days_to_observation=True)
    refused = (result.sel(bands="provenance") == provenance.REFUSED).values
    assert refused[:, 1, 2].all()
    assert refused.sum() == len(result["t"])
    np.testing.assert_array_equal(np.isnan(result.sel(bands="B1").values), refused)
    np.testing.assert_array_equal(np.isnan(result.sel(bands="days_to_observation").values), refused)


@pytest.mark.parametrize(("method", "code"), [("linear", 2), ("fluxneteo", 3)])
def test_what_the_season_fills_is_no_interpolation(make_cube, method, code):
    cube = make_cube(days=90, missing=0, sensors=("modis",))
    cube[20:70] = np.nan
    result = fill_gaps(cube, method)
    assert (result.sel(bands="provenance")[45] == code).all()


def test_dates_far_from_the_cube_are_a_mistake(modis):
    with pytest.raises(NoDataAvailable, match=r"2050-01-01.*temporal_extent"):
        fill_gaps(modis, temporal_extent=["2050-01-01", "2050-02-01"], dates="P8D")


@pytest.mark.parametrize("labels", [["modis_state_1km"], ["viirs_QF1", "modis_day_of_year"]])
def test_a_cube_of_flags_alone_is_an_error(modis, labels):
    with pytest.raises(MissingBands, match="nothing but flags"):
        fill_gaps(relabelled(modis, *labels))


@pytest.mark.parametrize("labels", [["NDVI"], ["modis_B1", "s2_B04"], ["viirs_I1", "viirs_M1"]])
def test_satfusenet_names_the_methods_that_would_do(modis, labels):
    with pytest.raises(MissingBands, match="linear, whittaker, seasonal, fluxneteo") as raised:
        fill_gaps(relabelled(modis, *labels), "satfusenet")
    assert labels[-1] in str(raised.value)


def test_a_result_is_no_input(modis):
    with pytest.raises(InvalidCube, match="result already"):
        fill_gaps(fill_gaps(modis))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda cube: cube.isel(t=slice(0)), "empty"),
        (lambda cube: cube.astype(str), "numbers"),
        (lambda cube: cube * 10_000, "scale"),
        (lambda cube: cube.rename(y="row"), "dimensions"),
    ],
)
def test_what_is_no_cube_is_an_error(modis, spoil, message):
    with pytest.raises(InvalidCube, match=message):
        fill_gaps(spoil(modis))


# --- the numbers that come out


@METHODS
@pytest.mark.parametrize("smooth", [False, True])
def test_quantiles_are_ordered_and_physical(make_cube, method, smooth):
    cube = make_cube(days=60, y=3, x=4, seed=2, sensors=("modis",))
    cube[20:50] = np.nan
    result = fill_gaps(cube, method, uncertainty="quantiles", smooth=smooth)
    low, high = np.float32(VALID_REFLECTANCE)
    for name in MODIS:
        values = result.sel(bands=[f"{name}_q10", f"{name}_q50", f"{name}_q90"]).values
        assert (np.diff(values, axis=1) >= 0).all()
        assert (values >= low).all()
        assert (values <= high).all()
        np.testing.assert_allclose(values[:, 1], result.sel(bands=name).values, **CLOSE)


@ANY
def test_sigma_is_positive_and_grows_with_the_gap(make_cube, method):
    cube = make_cube(days=60, missing=0, sensors=("modis",))
    cube[20:50] = np.nan
    sigma = fill_gaps(cube, method).sel(bands=[f"{name}_sigma" for name in MODIS]).values
    assert (sigma > 0).all()
    assert (sigma[30:40].mean((0, 2, 3)) > sigma[:20].mean((0, 2, 3))).all()


# --- the form of the result


def test_the_dates_are_those_of_the_cube_or_of_the_period(modis):
    assert fill_gaps(modis)["t"].values.tolist() == modis["t"].values.tolist()
    monthly = fill_gaps(modis, temporal_extent=["2022-03-01", "2022-05-01"], dates="P1M")
    assert monthly["t"].values.astype("datetime64[D]").astype(str).tolist() == ["2022-03-01", "2022-04-01"]


def test_coordinates_come_back_untouched(modis):
    cube = modis.rio.write_crs(32632).assign_coords(tile="h18v04")
    result = fill_gaps(cube)
    for name in ("y", "x", "spatial_ref", "tile"):
        xr.testing.assert_identical(result.coords[name], cube.coords[name])


def test_a_single_series_stays_one(modis):
    series = fill_gaps(modis.isel(y=1, x=2))
    assert series.dims == ("t", "bands")
    np.testing.assert_allclose(series.values, fill_gaps(modis).isel(y=1, x=2).values, **CLOSE)


@METHODS
def test_attributes_say_what_made_the_result(modis, method):
    attributes = fill_gaps(modis, method, support_days=30).attrs
    assert attributes["process"] == "fill_gaps"
    assert attributes["package_version"] == openeo_udf_fusion.__version__
    assert attributes["method"]
    assert ("model_sha256" in attributes) == (method == "satfusenet")
    parameters = json.loads(attributes["parameters"])
    assert parameters.keys() == inspect.signature(fill_gaps).parameters.keys() - {"cube"}
    assert parameters.items() >= {"method": method, "support_days": 30}.items()
    flags = attributes["band_attrs"]["provenance"]
    assert flags["flag_values"] == [0, 1, 2, 3, 4]


# --- parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "kriging"}, "method must be one of .*kriging"),
        ({"uncertainty": "variance"}, "uncertainty must be one of .*variance"),
        ({"smooth": "false"}, "smooth must be true or false"),
        ({"days_to_observation": 1}, "days_to_observation must be true or false"),
        ({"dates": "weekly"}, "dates.*weekly"),
        ({"dates": "P8D"}, "temporal_extent"),
        ({"support_days": 0}, "support_days must be a whole number.*0"),
        ({"support_days": True}, "support_days.*True"),
        ({"support_days": 2.5}, "support_days.*2.5"),
        ({"method": "satfusenet", "support_days": 9999}, "support_days is 9999.*linear"),
    ],
)
def test_a_wrong_parameter_is_an_error_that_names_it(modis, options, message):
    with pytest.raises(InvalidParameter, match=message):
        fill_gaps(modis, **options)


def test_the_default_support_is_within_that_of_the_model():
    default = inspect.signature(fill_gaps).parameters["support_days"].default
    assert default <= cards.read("satfusenet").support_days
