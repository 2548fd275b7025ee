"""The UDF's text, run as a backend runs it."""

from functools import partial

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion import udfs
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs

EXTENT = ["2022-03-01", "2022-04-18"]
CONTEXT = {"temporal_extent": EXTENT, "dates": "P4D"}


@pytest.fixture
def run(run_code):
    """Run the UDF on a cube."""

    def run_it(cube, context, requirement="openeo-udf-fusion==0.1.0"):
        return run_code(udfs.with_requirement("harmonize_modis_viirs", requirement), cube, context)

    return run_it


@pytest.fixture
def announced(announce):
    """What the UDF promises of its result."""
    return partial(announce, udfs.source("harmonize_modis_viirs"))


@pytest.mark.parametrize("requirement", ["openeo-udf-fusion==0.1.0", None])
def test_the_udf_is_the_process(run, cube, requirement):
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
def test_the_bands_are_those_announced(run, announced, cube, context):
    metadata = announced(cube, CONTEXT | context)
    assert run(cube, CONTEXT | context)["bands"].values.tolist() == metadata.band_names
    assert {dimension.name for dimension in metadata._dimensions} == {"x", "y", "t", "bands"}


def test_the_result_lies_as_production_reads_it(run, cube):
    result = run(cube.transpose("bands", "t", "x", "y"), CONTEXT)
    assert result.dims == ("t", "bands", "y", "x")
    assert result.dtype == np.float32
    xr.testing.assert_identical(result["x"], cube["x"])
    assert result.shape[2:] == (2, 3)


def test_a_tile_without_coordinates(run, cube):
    bare = run(cube.drop_vars(["y", "x"]), CONTEXT)
    np.testing.assert_array_equal(bare.values, run(cube, CONTEXT).values)


def test_neighbouring_tiles_have_the_same_dates(run, cube):
    early, late = cube.isel(t=slice(0, 30)), cube.isel(t=slice(9, None))
    xr.testing.assert_equal(run(early, CONTEXT)["t"], run(late, CONTEXT)["t"])


@pytest.mark.parametrize("key", ["tagret", "cube_size", "band"])
def test_an_unknown_key_is_an_error_that_names_it(run, cube, key):
    with pytest.raises(TypeError, match=key):
        run(cube, CONTEXT | {key: "modis"})


def test_a_wrong_value_is_an_error_when_it_is_announced_and_when_it_is_run(run, announced, cube):
    for call in (announced, run):
        with pytest.raises(InvalidParameter, match="target must be one of"):
            call(cube, CONTEXT | {"target": "landsat"})
