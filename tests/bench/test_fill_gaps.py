import json

import numpy as np
import pytest

from openeo_udf_fusion.bench import fill_gaps as bench
from openeo_udf_fusion.demo.sample import write_sample
from openeo_udf_fusion.processes.fill_gaps import FILLERS

GROUPS = ("series_per_s", "series_per_s_one_thread", "series_per_cpu_s", "method_series_per_s_one_thread")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, size_px=8)
    said = []
    found = bench.measure(folder, bench.Sizes(threads=2, repeats=2, whittaker_pixels=3), said.append)
    assert len(said) == 2
    return found


def test_every_method_has_its_speed_beside_the_library(results):
    for group in GROUPS:
        assert list(results[group]) == list(FILLERS)
        assert all(np.isfinite(speed) and speed > 0 for speed in results[group].values())
    assert results["library_series_per_s"] > 0
    json.dumps(results)


def test_the_circumstances_say_what_was_measured(results):
    about = results["circumstances"]
    assert about["series"] == 8 * 8 * 7
    assert about["whittaker_pixels"] == 3
    assert {"cpu", "threads", "load_average", "numpy", "cube"} <= set(about)


def test_tiles_cover_the_cube_once(make_cube):
    cube = make_cube(days=3, x=5)
    for count in (1, 2, 3, 9):
        tiles = bench._columns(cube, count)
        assert len(tiles) == min(count, 5)
        np.testing.assert_array_equal(np.concatenate([tile["x"] for tile in tiles]), cube["x"])
