"""The UDF's text, run as a backend runs it."""

from functools import partial

import pytest
import xarray as xr

from openeo_udf_fusion import udfs
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.processes.fill_gaps import fill_gaps

CONTEXT = {"temporal_extent": ["2022-03-01", "2022-04-18"], "dates": "P4D"}


@pytest.fixture
def run(run_code):
    """Run the UDF on a cube."""
    return partial(run_code, udfs.source("fill_gaps"))


@pytest.fixture
def announced(announce):
    """What the UDF promises of its result."""
    return partial(announce, udfs.source("fill_gaps"))


@pytest.mark.parametrize("method", ["linear", "satfusenet"])
def test_the_udf_is_the_process(run, cube, method):
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
def test_the_bands_are_those_announced(run, announced, cube, labels, context):
    given = cube[:, : len(labels)].assign_coords(bands=labels)
    metadata = announced(given, CONTEXT | context)
    assert run(given, CONTEXT | context)["bands"].values.tolist() == metadata.band_names
    assert {dimension.name for dimension in metadata._dimensions} == {"x", "y", "t", "bands"}


def test_neighbouring_tiles_have_the_same_dates(run, cube):
    early, late = cube.isel(t=slice(0, 30)), cube.isel(t=slice(9, None))
    xr.testing.assert_equal(run(early, CONTEXT)["t"], run(late, CONTEXT)["t"])


@pytest.mark.parametrize("key", ["metod", "target"])
def test_an_unknown_key_is_an_error_that_names_it(run, cube, key):
    with pytest.raises(TypeError, match=key):
        run(cube, CONTEXT | {key: "linear"})


def test_a_wrong_value_is_an_error(run, announced, cube):
    with pytest.raises(InvalidParameter, match="method must be one of"):
        run(cube, CONTEXT | {"method": "kriging"})
    with pytest.raises(InvalidParameter, match="uncertainty must be one of"):
        announced(cube, CONTEXT | {"uncertainty": "all"})
