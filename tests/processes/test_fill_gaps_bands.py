"""fill_gaps takes the bands of any sensor, or of none, and says what it gives of each."""

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.processes.fill_gaps import fill_gaps, output_bands
from openeo_udf_fusion.sensors import FUSED_BANDS
from tests.processes.conftest import ANY, relabelled

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
