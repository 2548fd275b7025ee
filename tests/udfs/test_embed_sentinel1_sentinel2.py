"""The UDF's text, run as a backend runs it."""

import pytest
import xarray as xr

from openeo_udf_fusion import udfs
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.processes.embed_sentinel1_sentinel2 import embed_sentinel1_sentinel2

from ..s1s2_cube import cube_of
from ..training.s1s2 import made_up

NAME = "embed_sentinel1_sentinel2"
CONTEXT = {"dates": ["2017-10-01"], "s1_unit": "dB"}


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    cube = cube_of(made_up(y=4, x=5))
    return cube.assign_coords(y=cube["y"].astype("float32"), x=cube["x"].astype("float32"))


def test_the_udf_is_the_process(run_code, cube):
    found = run_code(udfs.source(NAME), cube, CONTEXT)
    xr.testing.assert_identical(found, embed_sentinel1_sentinel2(cube, **CONTEXT))


@pytest.mark.parametrize(
    "context",
    [{}, {"reconstruct": True}, {"reconstruct": True, "days_to_observation": True, "encoding": "int8"}],
)
def test_the_bands_are_those_announced(run_code, announce, cube, context):
    metadata = announce(udfs.source(NAME), cube, CONTEXT | context)
    found = run_code(udfs.source(NAME), cube, CONTEXT | context)
    assert found["bands"].values.tolist() == metadata.band_names


def test_wrong_keys_and_values_are_errors_that_name_them(run_code, announce, cube):
    with pytest.raises(TypeError, match="s1_units"):
        run_code(udfs.source(NAME), cube, CONTEXT | {"s1_units": "dB"})
    with pytest.raises(InvalidParameter, match="reconstruct must be true or false"):
        announce(udfs.source(NAME), cube, CONTEXT | {"reconstruct": 1})
