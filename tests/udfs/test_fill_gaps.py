"""The UDF's text, run as a backend runs it."""

import numpy as np
import pytest
import xarray as xr
from openeo.metadata import Band, BandDimension, CubeMetadata, SpatialDimension, TemporalDimension
from openeo.udf import UdfData, XarrayDataCube
from openeo.udf.run_code import load_module_from_string, run_udf_code

from openeo_udf_fusion import udfs
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.processes.fill_gaps import fill_gaps

CONTEXT = {"temporal_extent": ["2022-03-01", "2022-04-18"], "dates": "P4D"}


@pytest.fixture
def cube(make_cube):
    """As production gives it: float32, coordinates of x and y rounded to float32, no CRS."""
    cube = make_cube(flags=True)
    return cube.assign_coords(y=cube["y"].astype(np.float32), x=cube["x"].astype(np.float32))


def run(cube, context):
    data = UdfData(proj={"EPSG": 32632}, datacube_list=[XarrayDataCube(cube)], user_context=context)
    (result,) = run_udf_code(udfs.source("fill_gaps"), data).get_datacube_list()
    return result.get_array()


def announced(cube, context):
    metadata = CubeMetadata(
        dimensions=[
            SpatialDimension("x", extent=[]),
            SpatialDimension("y", extent=[]),
            TemporalDimension("t", extent=[]),
            BandDimension("bands", bands=[Band(str(label)) for label in cube["bands"].values]),
        ]
    )
    module = load_module_from_string(udfs.source("fill_gaps"))
    return module["apply_metadata"](metadata, context)


@pytest.mark.parametrize("method", ["linear", "satfusenet"])
def test_the_udf_is_the_process(cube, method):
    context = CONTEXT | {"method": method}
    xr.testing.assert_identical(run(cube, context), fill_gaps(cube, **context))


@pytest.mark.parametrize(
    "labels", [["modis_B1", "modis_state_1km", "viirs_I1"], ["NDVI"], ["SCL", "B04", "B08"]]
)
@pytest.mark.parametrize(
    "context",
    [
        {},
        {"uncertainty": "none"},
        {"uncertainty": "quantiles", "days_to_observation": True, "method": "whittaker"},
    ],
)
def test_the_bands_are_those_announced(cube, labels, context):
    given = cube[:, : len(labels)].assign_coords(bands=labels)
    metadata = announced(given, CONTEXT | context)
    assert run(given, CONTEXT | context)["bands"].values.tolist() == metadata.band_names
    assert {dimension.name for dimension in metadata._dimensions} == {"x", "y", "t", "bands"}


def test_neighbouring_tiles_have_the_same_dates(cube):
    early, late = cube.isel(t=slice(0, 30)), cube.isel(t=slice(9, None))
    xr.testing.assert_equal(run(early, CONTEXT)["t"], run(late, CONTEXT)["t"])


@pytest.mark.parametrize("key", ["metod", "target"])
def test_an_unknown_key_is_an_error_that_names_it(cube, key):
    with pytest.raises(TypeError, match=key):
        run(cube, CONTEXT | {key: "linear"})


def test_a_wrong_value_is_an_error(cube):
    with pytest.raises(InvalidParameter, match="method must be one of"):
        run(cube, CONTEXT | {"method": "kriging"})
    with pytest.raises(InvalidParameter, match="uncertainty must be one of"):
        announced(cube, CONTEXT | {"uncertainty": "all"})
