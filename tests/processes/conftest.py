"""What the tests of the processes on cubes share: a cube of MODIS alone, and when two results are alike."""

from itertools import pairwise

import numpy as np
import pytest

from openeo_udf_fusion.processes.fill_gaps import FILLERS
from openeo_udf_fusion.processes.harmonize_modis_viirs import harmonize_modis_viirs

EXTENT = ["2022-03-01", "2022-04-18"]
CLOSE = {"rtol": 0, "atol": 2e-5}
ANY = pytest.mark.parametrize("method", FILLERS)
TARGETS = pytest.mark.parametrize("target", ["modis", "viirs"])


@pytest.fixture(scope="module")
def modis(make_cube):
    """MODIS alone; not to be changed."""
    return make_cube(sensors=("modis",))


def relabelled(cube, *labels):
    """The first bands of a cube under other labels."""
    return cube[:, : len(labels)].assign_coords(bands=list(labels))


def harmonized(cube, target="modis", temporal_extent=EXTENT, dates="P4D", **options):
    return harmonize_modis_viirs(cube, target, temporal_extent, dates, **options)


def split(cube, cuts, dim):
    """The parts of a cube between places along a dimension."""
    edges = [0, *sorted(cuts), cube.sizes[dim]]
    return [cube.isel({dim: slice(*pair)}) for pair in pairwise(edges)]


def assert_alike(found, expected):
    """The same but for rounding, and of the very same provenance."""
    assert found.dims == expected.dims
    assert found["bands"].values.tolist() == expected["bands"].values.tolist()
    np.testing.assert_array_equal(found["t"], expected["t"])
    np.testing.assert_array_equal(found.sel(bands="provenance"), expected.sel(bands="provenance"))
    np.testing.assert_allclose(found.values, expected.values, **CLOSE)
