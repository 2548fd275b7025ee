"""fill_gaps over HTTP and by the command line, on the generated scene."""

import json

import numpy as np
import pytest
import xarray as xr
from openeo.rest import OpenEoApiError

from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.processes.fill_gaps import fill_gaps

from .conftest import CLOSE, PERIOD


@pytest.fixture(scope="module")
def modis(merged):
    own = [label for label in merged["bands"].values.tolist() if label.startswith("modis")]
    cube = merged.sel(bands=own).astype(np.float32)
    return cube.dropna("t", how="all")


def test_an_area_is_filled_as_the_plain_function_fills_it(connection, area, result, modis):
    cube = connection.datacube_from_process(
        "fill_gaps", spatial_extent=area, temporal_extent=PERIOD, method="whittaker", dates="P5D"
    )
    assert cube.validate() == []
    found = result(cube)
    expected = fill_gaps(modis, "whittaker", PERIOD, "P5D").to_dataset("bands")
    assert list(found) == list(expected)
    xr.testing.assert_allclose(found.drop_attrs(), expected.drop_attrs(), **CLOSE)
    assert found.attrs["process"] == "fill_gaps"
    assert found["B1"].attrs["units"] == "1"


def test_an_index_without_a_sensor_keeps_its_gaps_filled(connection, area, result, modis):
    loaded = connection.load_collection("modis", area, PERIOD, bands=["modis_B1", "modis_B2"])
    index = loaded.ndvi(red="modis_B1", nir="modis_B2", target_band="NDVI").filter_bands(["NDVI"])
    found = result(connection.datacube_from_process("fill_gaps_cube", data=index, dates="acquisition"))
    red, near_infrared = modis.sel(bands="modis_B1"), modis.sel(bands="modis_B2")
    given = (near_infrared - red) / (near_infrared + red)
    expected = fill_gaps(given.expand_dims(bands=["NDVI"])).to_dataset("bands")
    assert list(found) == ["NDVI", "NDVI_sigma", "provenance"]
    same = found.sel(t=expected["t"])
    xr.testing.assert_allclose(same.drop_attrs(), expected.drop_attrs(), **CLOSE)
    assert int(given.isnull().sum()) > 0
    assert int(same["NDVI"].isnull().sum()) == 0


def test_several_sensors_are_filled_side_by_side(connection, area, result):
    cubes = [
        connection.load_collection("modis", area, PERIOD, bands=["modis_B1", "modis_state_1km"]),
        connection.load_collection("viirs", area, PERIOD, bands=["viirs_I1", "viirs_QF1"]),
    ]
    cube = connection.datacube_from_process(
        "fill_gaps_cube", data=cubes[0].merge_cubes(cubes[1]), temporal_extent=PERIOD, dates="P10D"
    )
    found = result(cube)
    assert list(found) == ["modis_B1", "viirs_I1", "modis_B1_sigma", "viirs_I1_sigma", "provenance"]
    assert found.to_dataarray().notnull().all()


def test_a_method_that_will_not_do_says_which_will(connection, area, tmp_path):
    loaded = connection.load_collection("modis", area, PERIOD, bands=["modis_B1", "modis_B2"])
    index = loaded.ndvi(red="modis_B1", nir="modis_B2", target_band="NDVI").filter_bands(["NDVI"])
    cube = connection.datacube_from_process("fill_gaps_cube", data=index, method="satfusenet")
    with pytest.raises(OpenEoApiError, match="linear, whittaker, seasonal, fluxneteo") as raised:
        cube.download(tmp_path / "x.nc")
    assert (raised.value.http_status_code, raised.value.code) == (400, "ProcessParameterInvalid")


def test_the_command_line_fills_a_collection(scene, tmp_path, modis):
    parameters = {"data": "modis", "method": "seasonal", "temporal_extent": PERIOD, "dates": "P8D"}
    given = [part for name, value in parameters.items() for part in ("-p", f"{name}={json.dumps(value)}")]
    status = main(["run", "fill_gaps_cube", "--data", str(scene), *given, "-o", str(tmp_path / "filled.nc")])
    assert status == 0
    with xr.open_dataset(tmp_path / "filled.nc") as found:
        assert {"B1", "B7_sigma", "provenance"} <= set(found)
        assert found["provenance"].attrs["flag_meanings"].split()[0] == "observed"
        assert found["B1"].notnull().all()
