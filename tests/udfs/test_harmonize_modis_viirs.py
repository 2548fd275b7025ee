"""The UDF's text, run as a backend runs it."""

import numpy as np
import pytest
import xarray as xr
from openeo.metadata import Band, BandDimension, CubeMetadata, SpatialDimension, TemporalDimension
from openeo.udf import UdfData, XarrayDataCube
from openeo.udf.run_code import load_module_from_string, run_udf_code

from openeo_udf_fusion import udfs
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs

EXTENT = ["2022-03-01", "2022-04-18"]
CONTEXT = {"temporal_extent": EXTENT, "dates": "P4D"}


@pytest.fixture
def cube(make_cube):
    """As production gives it: float32, coordinates of x and y rounded to float32, no CRS."""
    cube = make_cube(flags=True)
    return cube.assign_coords(y=cube["y"].astype(np.float32), x=cube["x"].astype(np.float32))


def run(cube, context, requirement="openeo-udf-fusion==0.1.0"):
    code = udfs.with_requirement("harmonize_modis_viirs", requirement)
    data = UdfData(proj={"EPSG": 32632}, datacube_list=[XarrayDataCube(cube)], user_context=context)
    (result,) = run_udf_code(code, data).get_datacube_list()
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
    module = load_module_from_string(udfs.source("harmonize_modis_viirs"))
    return module["apply_metadata"](metadata, context)


@pytest.mark.parametrize("requirement", ["openeo-udf-fusion==0.1.0", None])
def test_the_udf_is_the_process(cube, requirement):
    xr.testing.assert_identical(run(cube, CONTEXT, requirement), harmonize_modis_viirs(cube, **CONTEXT))


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"target": "viirs"},
        {"uncertainty": "none"},
        {"target": "viirs", "uncertainty": "quantiles", "days_to_observation": True},
        {"days_to_observation": True, "smooth": True, "precision": "bfloat16"},
    ],
)
def test_the_bands_are_those_announced(cube, context):
    metadata = announced(cube, CONTEXT | context)
    assert run(cube, CONTEXT | context)["bands"].values.tolist() == metadata.band_names
    assert {dimension.name for dimension in metadata._dimensions} == {"x", "y", "t", "bands"}


def test_the_result_lies_as_production_reads_it(cube):
    result = run(cube.transpose("bands", "t", "x", "y"), CONTEXT)
    assert result.dims == ("t", "bands", "y", "x")
    assert result.dtype == np.float32
    xr.testing.assert_identical(result["x"], cube["x"])
    assert result.shape[2:] == (2, 3)


def test_a_tile_without_coordinates(cube):
    bare = run(cube.drop_vars(["y", "x"]), CONTEXT)
    np.testing.assert_array_equal(bare.values, run(cube, CONTEXT).values)


def test_neighbouring_tiles_have_the_same_dates(cube):
    early, late = cube.isel(t=slice(0, 30)), cube.isel(t=slice(9, None))
    xr.testing.assert_equal(run(early, CONTEXT)["t"], run(late, CONTEXT)["t"])


@pytest.mark.parametrize("key", ["tagret", "cube_size", "band"])
def test_an_unknown_key_is_an_error_that_names_it(cube, key):
    with pytest.raises(TypeError, match=key):
        run(cube, CONTEXT | {key: "modis"})


def test_a_wrong_value_is_an_error_when_it_is_announced_and_when_it_is_run(cube):
    for call in (announced, run):
        with pytest.raises(InvalidParameter, match="target must be one of"):
            call(cube, CONTEXT | {"target": "landsat"})
