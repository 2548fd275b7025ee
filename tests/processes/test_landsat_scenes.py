"""On the real site of both sensors a process looks at just what the training looked at."""

import numpy as np
import pytest

from openeo_udf_fusion.local.collections import find_collections
from openeo_udf_fusion.local.standard.combine import merge_cubes
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes.image_series import labelled
from openeo_udf_fusion.processes.landsat_scenes import scene_of
from openeo_udf_fusion.training.tamrf_sites import BELGIUM, read_belgium

FILES = ("S2_L2A_10m", "S2_L2A_20m", "L8_SR_10m", "L8_L2-ST_10m")
CORNER = (2, 1)
"""Where the first whole cell of its Landsat begins."""


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / BELGIUM


def test_the_belgian_files_give_what_the_training_saw(folder):
    collections = find_collections(folder)
    period = ["2018-04-01", "2018-09-01"]
    cubes = [collections[name].open(temporal_extent=period) for name in FILES]
    merged = cubes[0]
    for cube in cubes[1:]:
        merged = merge_cubes(merged, cube)
    scene = scene_of(labelled(merged), cards.read("tamrf"), CORNER)
    site = read_belgium(folder)
    for sensor, cell in (("l8", 3), ("s2", 1)):
        images, known = scene.images[sensor], site.observed[sensor]
        days, mine, theirs = np.intersect1d(images.days, known.days, return_indices=True)
        assert len(days) >= 8
        y, x = known.values.shape[2:]
        corner = 3 // cell  # the site begins at the first whole cell, the window one before
        place = (..., slice(corner, corner + y), slice(corner, corner + x))
        found, expected = images.values[place][mine][:, :7], known.values[theirs][:, :7]
        both = images.valid[place][mine][:, :7] & known.valid[theirs][:, :7]
        assert np.quantile(np.abs(found - expected)[both], 0.99) < 1e-6
        assert (images.clear[place][mine] == site.clear[sensor][theirs]).mean() > 0.99
