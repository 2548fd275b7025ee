"""harmonize_modis_viirs keeps what was observed, translates and interpolates, and says which it did."""

import inspect
import json

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr

import openeo_udf_fusion
from openeo_udf_fusion import provenance
from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, MissingBands, NoDataAvailable
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs, output_bands
from openeo_udf_fusion.sensors import FUSED_BANDS, VALID_REFLECTANCE
from tests.processes.conftest import CLOSE, EXTENT, TARGETS, assert_alike, harmonized


def own_values(cube, target, dates):
    labels = [f"{target}_{name}" for name in FUSED_BANDS[target]]
    return cube.sel(bands=labels, t=dates).values


# --- what was observed


@TARGETS
def test_what_was_observed_survives_to_the_bit(make_cube, target):
    cube = make_cube()
    result = harmonized(cube, target, dates="acquisition")
    given = own_values(cube, target, result["t"])
    found = result.sel(bands=list(FUSED_BANDS[target])).values
    seen = np.isfinite(given)
    assert 0.3 < seen.mean() < 0.7
    np.testing.assert_array_equal(found[seen], given[seen])
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(result.sel(bands="provenance") == provenance.OBSERVED, seen.all(1))


def test_the_estimate_on_observed_days_is_smooth_on_request(make_cube):
    cube = make_cube()
    kept, smooth = (harmonized(cube, dates="acquisition", smooth=smooth) for smooth in (False, True))
    seen = np.isfinite(own_values(cube, "modis", kept["t"]))
    bands = list(FUSED_BANDS["modis"])
    difference = np.abs(kept.sel(bands=bands).values - smooth.sel(bands=bands).values)
    assert (difference[seen] > 0).any()
    assert (difference[~seen] == 0).all()
    xr.testing.assert_equal(kept.sel(bands="provenance"), smooth.sel(bands="provenance"))


@TARGETS
def test_clouds_are_replaced_and_the_rest_survives(make_cube, target):
    cube = make_cube(days=80, flags=True, missing=0)
    result = harmonized(cube, target, ["2022-03-01", "2022-05-20"], "acquisition")
    flag = {"modis": "modis_state_1km", "viirs": "viirs_QF1"}[target]
    clear = cube.sel(bands=flag).isin([8, 3]).values[:, None]
    given = own_values(cube, target, result["t"])
    found = result.sel(bands=list(FUSED_BANDS[target])).values
    kept = clear & np.isfinite(given)
    np.testing.assert_array_equal(found[kept], given[kept])
    cloudy = ~clear & np.isfinite(given)
    assert cloudy.any()
    assert (found[cloudy] < 0.6).all()
    assert not (result.sel(bands="provenance").values[:, None] == 0)[cloudy[:, :1]].any()


def test_a_composite_is_read_at_the_day_of_each_pixel(make_cube):
    cube = make_cube(days=1, first="2022-03-06", missing=0, sensors=("modis",), seed=1).fillna(0.1)
    days = xr.full_like(cube[:, :1], 65).assign_coords(bands=["modis_day_of_year"])
    days[..., 1] = 67
    result = harmonized(xr.concat([cube, days], "bands"), dates=["2022-03-06", "2022-03-08"])
    origin = result.sel(bands="provenance").isel(y=0).values
    np.testing.assert_array_equal(origin == provenance.OBSERVED, [[True, False, True], [False, True, False]])
    np.testing.assert_array_equal(
        result.sel(bands="B1").values[1, :, 1], cube.sel(bands="modis_B1").values[0, :, 1]
    )


# --- what is missing


@TARGETS
@pytest.mark.parametrize("present", ["modis", "viirs"])
def test_one_sensor_is_enough(make_cube, target, present):
    cube = make_cube(sensors=(present,))
    result = harmonized(cube, target, dates="P1D")
    assert result["bands"].values.tolist() == output_bands(target)
    assert np.isfinite(result.values).all()
    origins = set(np.unique(result.sel(bands="provenance")))
    assert (provenance.OBSERVED in origins) == (present == target)
    assert (provenance.TRANSLATED in origins) == (present != target)


@TARGETS
@pytest.mark.parametrize(
    "missing", [["modis_B5", "modis_B7"], ["viirs_M8", "viirs_I2"], ["modis_B1", "viirs_M11"]]
)
def test_missing_bands_are_estimated(make_cube, target, missing):
    cube = make_cube(days=24)
    result = harmonized(cube.drop_sel(bands=missing), target, dates="acquisition")
    assert np.isfinite(result.values).all()
    if any(label.startswith(target) for label in missing):
        assert provenance.OBSERVED not in result.sel(bands="provenance").values


def test_a_stand_in_replaces_its_band(make_cube):
    cube = make_cube(days=24)
    labels = cube["bands"].values.tolist()
    renamed = cube.assign_coords(bands=[{"viirs_I2": "viirs_M7"}.get(label, label) for label in labels])
    assert_alike(harmonized(renamed), harmonized(cube))


@TARGETS
def test_without_any_clear_observation_all_is_refused(make_cube, target):
    cube = make_cube(days=24, flags=True)
    cube.loc[{"bands": "modis_state_1km"}] = 1
    cube.loc[{"bands": "viirs_QF1"}] = 12
    options = {"uncertainty": "quantiles", "days_to_observation": True}
    result = harmonized(cube, target, **options)
    assert (result.sel(bands="provenance") == provenance.REFUSED).all()
    assert result.drop_sel(bands="provenance").isnull().all()


def test_a_pixel_without_observation_is_refused_and_the_others_are_not(make_cube):
    cube = make_cube(days=24)
    cube[:, :, 1, 2] = np.nan
    result = harmonized(cube)
    refused = (result.sel(bands="provenance") == provenance.REFUSED).values
    assert refused[:, 1, 2].all()
    assert refused.sum() == len(result["t"])
    np.testing.assert_array_equal(np.isnan(result.sel(bands="B1").values), refused)


def test_far_from_any_observation_values_are_refused(make_cube):
    support = cards.read("satfusenet").support_days
    cube = make_cube(days=8, missing=0, seed=3)
    last = cube["t"].values[np.isfinite(cube.values).any((1, 2, 3))][-1].astype("datetime64[D]")
    dates = [str(last + support), str(last + support + 1)]
    result = harmonized(cube, dates=dates, uncertainty="quantiles")
    origin, values = result.sel(bands="provenance"), result.drop_sel(bands="provenance")
    assert (origin[0] == provenance.EXTRAPOLATED).all()
    assert values[0].notnull().all()
    assert (origin[1] == provenance.REFUSED).all()
    assert values[1].isnull().all()


@pytest.mark.parametrize("year", [1990, 2050])
def test_dates_far_from_the_cube_are_a_mistake(make_cube, year):
    with pytest.raises(NoDataAvailable, match=f"{year}-01-01.*temporal_extent"):
        harmonized(make_cube(days=4), temporal_extent=[f"{year}-01-01", f"{year}-02-01"])


@pytest.mark.parametrize("labels", [["B1", "B2"], ["modis_state_1km", "viirs_QF1"]])
def test_a_cube_of_other_bands_is_an_error(make_cube, labels):
    with pytest.raises(MissingBands, match="rename_labels"):
        harmonized(make_cube(days=4)[:, :2].assign_coords(bands=labels))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda cube: cube.isel(t=slice(0)), "empty"),
        (lambda cube: cube.astype(str), "numbers"),
        (lambda cube: cube * 10_000, "scale"),
        (lambda cube: cube.rename(y="row"), "dimensions"),
    ],
)
def test_what_is_no_cube_of_reflectance_is_an_error(make_cube, spoil, message):
    with pytest.raises(InvalidCube, match=message):
        harmonized(spoil(make_cube(days=4)))


# --- the numbers that come out


@TARGETS
@pytest.mark.parametrize("smooth", [False, True])
def test_quantiles_are_ordered_and_physical(make_cube, target, smooth):
    result = harmonized(
        make_cube(days=30, y=3, x=4, seed=2), target, dates="P1D", uncertainty="quantiles", smooth=smooth
    )
    low, high = np.float32(VALID_REFLECTANCE)
    for name in FUSED_BANDS[target]:
        levels = result.sel(bands=[f"{name}_q10", f"{name}_q50", f"{name}_q90"]).values
        assert (np.diff(levels, axis=1) >= 0).all()
        assert (levels[:, 0] < levels[:, 2]).all()
        assert (levels >= low).all()
        assert (levels <= high).all()
        np.testing.assert_allclose(levels[:, 1], result.sel(bands=name).values, **CLOSE)


@TARGETS
def test_sigma_is_positive_and_grows_with_the_gap(make_cube, target):
    cube = make_cube(days=60, missing=0)
    cube[20:50] = np.nan
    result = harmonized(cube, target, ["2022-03-01", "2022-05-01"], "P1D")
    sigma = result.sel(bands=[f"{name}_sigma" for name in FUSED_BANDS[target]]).values
    assert (sigma > 0).all()
    assert (sigma[30:40].mean((0, 2, 3)) > sigma[:20].mean((0, 2, 3))).all()


def test_days_to_observation(make_cube):
    cube = make_cube()
    result = harmonized(cube, dates="P1D", days_to_observation=True)
    seen = np.isfinite(cube.values).any(1)
    for row, column in np.ndindex(seen.shape[1:]):
        days = np.flatnonzero(seen[:, row, column])
        expected = [np.abs(days - day).min() for day in range(len(seen))]
        assert result.sel(bands="days_to_observation").values[:, row, column].tolist() == expected


@TARGETS
def test_bfloat16_is_close_to_float32(make_cube, target):
    cube = make_cube(days=24)
    exact, near = (harmonized(cube, target, precision=name) for name in ("float32", "bfloat16"))
    assert near.dtype == np.float32
    assert (near.values != exact.values).any()
    np.testing.assert_allclose(near.values, exact.values, rtol=0, atol=5e-3)


# --- the form of the result


@TARGETS
@pytest.mark.parametrize("uncertainty", ["none", "sigma", "quantiles"])
@pytest.mark.parametrize("days_to_observation", [False, True])
def test_bands_are_those_promised(make_cube, target, uncertainty, days_to_observation):
    result = harmonized(
        make_cube(days=8), target, uncertainty=uncertainty, days_to_observation=days_to_observation
    )
    promised = output_bands(target, uncertainty, days_to_observation)
    assert result["bands"].values.tolist() == promised == list(result.attrs["band_attrs"])
    own, per_band = FUSED_BANDS[target], {"none": 0, "sigma": 1, "quantiles": 3}[uncertainty]
    assert promised[: len(own)] == list(own)
    assert len(promised) == len(own) * (1 + per_band) + 1 + days_to_observation
    assert result.dtype == np.float32
    assert result.dims == ("t", "bands", "y", "x")


def test_dates_are_those_of_the_period(make_cube):
    result = harmonized(make_cube(), temporal_extent=["2022-03-01", "2022-05-01"], dates="P1M")
    assert result["t"].values.astype("datetime64[D]").astype(str).tolist() == ["2022-03-01", "2022-04-01"]


def test_coordinates_come_back_untouched(make_cube):
    cube = make_cube(days=8).rio.write_crs(32632).assign_coords(tile="h18v04")
    result = harmonized(cube)
    for name in ("y", "x", "spatial_ref", "tile"):
        xr.testing.assert_identical(result.coords[name], cube.coords[name])
    assert result.rio.crs == cube.rio.crs


def test_a_single_series_stays_one(make_cube):
    cube = make_cube()
    series = harmonized(cube.isel(y=1, x=2))
    assert series.dims == ("t", "bands")
    np.testing.assert_allclose(series.values, harmonized(cube).isel(y=1, x=2).values, **CLOSE)


def test_attributes_say_what_made_the_result(make_cube):
    card = cards.read("satfusenet")
    options = {"uncertainty": "quantiles", "days_to_observation": True}
    result = harmonized(make_cube(days=8), **options)
    attributes = result.attrs
    assert attributes["process"] == "harmonize_modis_viirs"
    assert attributes["package_version"] == openeo_udf_fusion.__version__
    assert (attributes["model"], attributes["model_sha256"]) == ("satfusenet", card.sha256)
    parameters = json.loads(attributes["parameters"])
    assert parameters.keys() == inspect.signature(harmonize_modis_viirs).parameters.keys() - {"cube"}
    assert parameters.items() >= {"target": "modis", "dates": "P4D", **options}.items()
    assert parameters["temporal_extent"] == EXTENT


def test_attributes_of_bands_follow_cf(make_cube):
    options = {"uncertainty": "quantiles", "days_to_observation": True}
    attributes = harmonized(make_cube(days=8), **options).attrs["band_attrs"]
    flags = attributes["provenance"]
    assert flags["flag_values"] == [0, 1, 2, 3, 4]
    assert len(flags["flag_meanings"].split()) == 5
    assert attributes["days_to_observation"]["units"] == "day"
    assert attributes["B1"]["units"] == "1"
    assert "10%" in attributes["B1_q10"]["long_name"]
    for band in attributes:
        assert attributes[band]["long_name"]
        assert set(attributes[band].get("ancillary_variables", "").split()) <= set(attributes)
    sigma = harmonized(make_cube(days=8)).attrs["band_attrs"]["B1_sigma"]
    assert sigma["standard_name"].endswith(" standard_error")


# --- parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "landsat"}, "target must be one of .*landsat"),
        ({"target": None}, "target"),
        ({"uncertainty": "variance"}, "uncertainty must be one of .*variance"),
        ({"uncertainty": True}, "uncertainty"),
        ({"precision": "float16"}, "precision.*float16"),
        ({"smooth": "false"}, "smooth must be true or false"),
        ({"days_to_observation": 1}, "days_to_observation must be true or false"),
        ({"dates": "weekly"}, "dates.*weekly"),
        ({"dates": None}, "dates"),
        ({"dates": []}, "no date"),
        ({"temporal_extent": None}, "temporal_extent"),
        ({"temporal_extent": ["2022-01-01"]}, "temporal_extent"),
    ],
)
def test_a_wrong_parameter_is_an_error_that_names_it(make_cube, options, message):
    with pytest.raises(InvalidParameter, match=message):
        harmonized(make_cube(days=4), **options)


def test_acquisition_keeps_every_observation_of_a_composite_on_its_date(make_cube):
    cube = make_cube(days=64, sensors=("modis",), missing=0.2).isel(t=slice(None, None, 8))
    days = cube["t"].dt.dayofyear.values[:, None, None] + np.arange(cube.sizes["x"]) % 8
    own_day = xr.DataArray(
        np.broadcast_to(days, (cube.sizes["t"], cube.sizes["y"], cube.sizes["x"])).astype(np.float32),
        coords={name: cube[name] for name in ("t", "y", "x")},
        dims=("t", "y", "x"),
    ).expand_dims(bands=["modis_day_of_year"])
    composite = xr.concat([cube, own_day], "bands").transpose("t", "bands", "y", "x")
    result = harmonized(composite, temporal_extent=None, dates="acquisition", days_to_observation=True)
    observed = cube.sel(bands="modis_B2").values
    np.testing.assert_array_equal(
        np.where(np.isnan(observed), 0, result.sel(bands="B2").values), np.nan_to_num(observed)
    )
    complete = cube.notnull().all("bands").values
    assert complete.any()
    assert (result.sel(bands="provenance").values[complete] == 0).all()
    assert (result.sel(bands="days_to_observation").values[complete] == 0).all()
