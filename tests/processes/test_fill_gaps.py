import inspect
import json
from itertools import pairwise

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
from openeo_udf_fusion.processes.fill_gaps import FILLERS, fill_gaps, output_bands
from openeo_udf_fusion.sensors import FUSED_BANDS, VALID_REFLECTANCE

EXTENT = ["2022-03-01", "2022-04-18"]
METHODS = pytest.mark.parametrize("method", [*FILLERS, "satfusenet"])
ANY = pytest.mark.parametrize("method", FILLERS)
MODIS = list(FUSED_BANDS["modis"])
CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module")
def modis(make_cube):
    return make_cube(sensors=("modis",))


def relabelled(cube, *labels):
    return cube[:, : len(labels)].assign_coords(bands=list(labels))


def assert_alike(found, expected):
    assert found.dims == expected.dims
    assert found["bands"].values.tolist() == expected["bands"].values.tolist()
    np.testing.assert_array_equal(found["t"], expected["t"])
    np.testing.assert_array_equal(found.sel(bands="provenance"), expected.sel(bands="provenance"))
    np.testing.assert_allclose(found.values, expected.values, **CLOSE)


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


# --- any sensor, any band


def test_each_sensor_is_filled_on_its_own(make_cube):
    cube = make_cube(flags=True)
    both = fill_gaps(cube)
    assert {"modis_B1", "modis_B1_sigma", "viirs_I1", "provenance"} <= set(both["bands"].values)
    worst = np.zeros(both.sel(bands="provenance").shape)
    for sensor in ("modis", "viirs"):
        own = [label for label in cube["bands"].values if label.startswith(sensor)]
        alone = fill_gaps(cube.sel(bands=own))
        for name in FUSED_BANDS[sensor]:
            np.testing.assert_array_equal(both.sel(bands=f"{sensor}_{name}"), alone.sel(bands=name))
        worst = np.maximum(worst, alone.sel(bands="provenance").values)
    np.testing.assert_array_equal(both.sel(bands="provenance"), worst)


@ANY
def test_an_index_of_no_sensor_is_filled_as_it_is(modis, method):
    index = relabelled(modis * 20 - 3, "NDVI", "EVI")
    result = fill_gaps(index, method)
    assert result["bands"].values.tolist() == ["NDVI", "EVI", "NDVI_sigma", "EVI_sigma", "provenance"]
    seen = index.notnull().values
    np.testing.assert_array_equal(result[:, :2].values[seen], index.values[seen])
    assert np.isfinite(result.values).all()
    assert result[:, 0].min() < -1


def test_an_index_is_masked_by_the_flags_of_the_only_sensor(make_cube):
    cube = make_cube(flags=True, sensors=("modis",))
    index = cube.assign_coords(bands=["NDVI", *cube["bands"].values[1:]])
    beside = fill_gaps(index.sel(bands=["NDVI", "modis_state_1km"]))
    np.testing.assert_allclose(beside.sel(bands="NDVI"), fill_gaps(cube).sel(bands="B1"), rtol=0, atol=1e-6)
    without = fill_gaps(index.sel(bands=["NDVI"]))
    assert without.max() > 0.6 > beside.sel(bands="NDVI").max()


def test_a_bare_name_belongs_to_the_only_sensor(modis):
    scene = xr.full_like(modis[:, :1], 4).assign_coords(bands=["SCL"])
    scene[3:6] = 9
    cube = xr.concat([relabelled(modis, "B04", "B08"), scene], "bands")
    result = fill_gaps(cube)
    assert result["bands"].values.tolist() == ["B04", "B08", "B04_sigma", "B08_sigma", "provenance"]
    assert (result.sel(bands="provenance")[3:6] > 0).all()
    assert result.attrs["band_attrs"]["B04"]["long_name"] == "S2 surface reflectance, band B04"
    with pytest.raises(InvalidCube, match="scale"):
        fill_gaps(cube.where(cube["bands"] == "SCL", cube * 10_000))


def test_units_are_kept(modis):
    kelvin = relabelled(modis * 100 + 260, "l8_LST")
    result = fill_gaps(kelvin, "whittaker")
    assert result["bands"].values.tolist() == ["LST", "LST_sigma", "provenance"]
    assert 260 < result[:, 0].min() < result[:, 0].max() < 330
    about = result.attrs["band_attrs"]
    assert about["LST"] == {
        "long_name": "L8 surface temperature, band LST",
        "standard_name": "surface_temperature",
        "units": "K",
        "ancillary_variables": "LST_sigma provenance",
    }
    assert about["LST_sigma"]["standard_name"] == "surface_temperature standard_error"


@pytest.mark.parametrize("form", ["variables", "bands", "cube"])
def test_what_the_cube_says_of_its_bands_is_kept(modis, form):
    stated = {"long_name": "gross primary production", "units": "g m-2 d-1"}
    cube = relabelled(modis, "GPP")
    if form == "variables":
        cube = cube.to_dataset("bands")
        cube["GPP"].attrs = stated
    else:
        cube.attrs = {"band_attrs": {"GPP": stated}} if form == "bands" else stated
    about = fill_gaps(cube).attrs["band_attrs"]
    assert about["GPP"].items() >= stated.items()
    assert about["GPP_sigma"]["units"] == "g m-2 d-1"


def test_of_a_band_that_nobody_describes_nothing_is_said(modis):
    about = fill_gaps(relabelled(modis, "mystery")).attrs["band_attrs"]
    assert list(about) == ["mystery_sigma", "provenance"]


def test_nodata_is_missing(modis):
    cube = relabelled(modis, "NDVI").fillna(-9999)
    cube.attrs["nodata"] = -9999
    assert fill_gaps(cube).sel(bands="NDVI").min() > 0


def test_an_integer_cube_without_gaps_comes_back(modis):
    cube = relabelled((modis.fillna(0.5) * 100).astype(np.int16), "NDVI")
    np.testing.assert_array_equal(fill_gaps(cube)[:, :1].values, cube.values)


def test_satfusenet_fills_some_of_a_sensors_bands_by_all_of_them(modis):
    result = fill_gaps(modis, "satfusenet")
    some = fill_gaps(modis.sel(bands=["modis_B7", "modis_B2"]), "satfusenet")
    assert some["bands"].values.tolist() == ["B7", "B2", "B7_sigma", "B2_sigma", "provenance"]
    assert np.isfinite(some.values).all()
    assert np.isfinite(result.values).all()


def test_satfusenet_takes_a_stand_in_under_its_own_name(make_cube):
    cube = make_cube(sensors=("viirs",))
    renamed = relabelled(cube[:, 1:2], "viirs_M7")
    found, expected = (fill_gaps(each, "satfusenet") for each in (renamed, cube[:, 1:2]))
    assert found["bands"].values.tolist()[0] == "M7"
    np.testing.assert_array_equal(found.values, expected.values)


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

    def split(part, cuts, dim):
        edges = [0, *sorted(cuts), part.sizes[dim]]
        return [part.isel({dim: slice(*pair)}) for pair in pairwise(edges)]

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


@pytest.mark.parametrize("uncertainty", ["none", "sigma", "quantiles"])
@pytest.mark.parametrize("days_to_observation", [False, True])
@pytest.mark.parametrize(
    "labels",
    [
        ["modis_B2", "modis_state_1km"],
        ["sur_refl_b01", "NDVI"],
        ["modis_B1", "viirs_I1"],
        ["B04", "SCL"],
        ["x"],
    ],
)
def test_bands_are_those_promised(modis, labels, uncertainty, days_to_observation):
    cube = relabelled(modis, *labels)
    result = fill_gaps(cube, uncertainty=uncertainty, days_to_observation=days_to_observation)
    assert result["bands"].values.tolist() == output_bands(labels, uncertainty, days_to_observation)
    assert result.dtype == np.float32
    assert result.dims == ("t", "bands", "y", "x")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["sur_refl_b02", "state_1km"], ["B2"]),
        (["modis_B1", "NDVI"], ["B1", "NDVI"]),
        (["modis_B1", "s2_B04"], ["modis_B1", "s2_B04"]),
        (["s2_B04", "viirs_QF1"], ["B04"]),
        (["NDVI", "LAI"], ["NDVI", "LAI"]),
        (["B4", "QA_PIXEL"], ["B4"]),
        (["l8_B4", "l9_B4"], ["l8_B4", "l9_B4"]),
    ],
)
def test_names_carry_their_sensor_only_where_there_are_several(labels, names):
    assert output_bands(labels, "none") == [*names, "provenance"]


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
