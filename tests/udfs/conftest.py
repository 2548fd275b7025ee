"""A UDF's text run as a backend runs it."""

import numpy as np
import pytest
from openeo.metadata import Band, BandDimension, CubeMetadata, SpatialDimension, TemporalDimension
from openeo.udf import UdfData, XarrayDataCube
from openeo.udf.run_code import load_module_from_string, run_udf_code


@pytest.fixture
def cube(make_cube):
    """As production gives it: float32, coordinates of x and y rounded to float32, no CRS."""
    cube = make_cube(flags=True)
    return cube.assign_coords(y=cube["y"].astype(np.float32), x=cube["x"].astype(np.float32))


@pytest.fixture(scope="session")
def run_code():
    """Run a UDF's text on a cube."""

    def run(code, cube, context):
        data = UdfData(proj={"EPSG": 32632}, datacube_list=[XarrayDataCube(cube)], user_context=context)
        (result,) = run_udf_code(code, data).get_datacube_list()
        return result.get_array()

    return run


@pytest.fixture(scope="session")
def announce():
    """Ask a UDF's text for the metadata of its result."""

    def ask(code, cube, context):
        metadata = CubeMetadata(
            dimensions=[
                SpatialDimension("x", extent=[]),
                SpatialDimension("y", extent=[]),
                TemporalDimension("t", extent=[]),
                BandDimension("bands", bands=[Band(str(label)) for label in cube["bands"].values]),
            ]
        )
        return load_module_from_string(code)["apply_metadata"](metadata, context)

    return ask
