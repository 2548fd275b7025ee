"""The texts of the UDFs that fuse Landsat and Sentinel-2, run as a backend runs them."""

import pytest
import xarray as xr

from openeo_udf_fusion import udfs
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.processes.fuse_landsat_sentinel2 import fuse_landsat_sentinel2
from openeo_udf_fusion.processes.sharpen_landsat_thermal import sharpen_landsat_thermal
from openeo_udf_fusion.processes.sharpen_sentinel2 import sharpen_sentinel2

from ..landsat_sentinel2_cube import PERIOD, cube_of

pytestmark = pytest.mark.usefixtures("random_fusion")

CONTEXT = {"temporal_extent": PERIOD, "dates": ["2018-04-23", "2018-05-07"]}
FUNCTIONS = {
    function.__name__: function
    for function in (fuse_landsat_sentinel2, sharpen_sentinel2, sharpen_landsat_thermal)
}
EVERY = pytest.mark.parametrize("name", FUNCTIONS)


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    """As production gives it."""
    cube = cube_of(6, 9)
    return cube.assign_coords(y=cube["y"].astype("float32"), x=cube["x"].astype("float32"))


@EVERY
def test_the_udf_is_the_process(run_code, cube, name):
    found = run_code(udfs.source(name), cube, CONTEXT)
    xr.testing.assert_identical(found, FUNCTIONS[name](cube, **CONTEXT))


@EVERY
@pytest.mark.parametrize("choices", [{}, {"days_to_observation": True}, {"model": "raw"}])
def test_the_bands_are_those_announced(run_code, announce, cube, name, choices):
    metadata = announce(udfs.source(name), cube, CONTEXT | choices)
    found = run_code(udfs.source(name), cube, CONTEXT | choices)
    assert found["bands"].values.tolist() == metadata.band_names


def test_the_sensors_returned_are_announced(announce, cube):
    metadata = announce(udfs.source("fuse_landsat_sentinel2"), cube, CONTEXT | {"sensors": ["s2"]})
    assert metadata.band_names[0] == "B02"


@EVERY
def test_wrong_keys_and_values_are_errors_that_name_them(run_code, announce, cube, name):
    with pytest.raises(TypeError, match="day_zero"):
        run_code(udfs.source(name), cube, CONTEXT | {"day_zero": "2018-01-01"})
    with pytest.raises(InvalidParameter, match="days_to_observation must be true or false"):
        announce(udfs.source(name), cube, CONTEXT | {"days_to_observation": 1})
    with pytest.raises(InvalidParameter, match="no model 'other'"):
        announce(udfs.source(name), cube, CONTEXT | {"model": "other"})


@pytest.mark.parametrize("name", ["fuse_landsat_sentinel2", "sharpen_sentinel2"])
def test_bands_that_the_cube_lacks_are_warned_of_by_name(run_code, cube, name, caplog):
    with caplog.at_level("INFO"):
        run_code(udfs.source(name), cube, CONTEXT)
    assert "the cube has no" not in caplog.text
    misspelt = cube.assign_coords(
        bands=[str(label).replace("s2_B02", "s2_B2") for label in cube["bands"].values]
    )
    with caplog.at_level("INFO"):
        run_code(udfs.source(name), misspelt, CONTEXT)
    assert "the cube has no s2_B02" in caplog.text
