import json

import numpy as np
import pytest
import rasterio

from openeo_udf_fusion.bench.scale_out import DATES, Sizes, _box, _first_px, write_scene
from openeo_udf_fusion.cli.bench import table
from openeo_udf_fusion.local.collections import get_collection


@pytest.fixture(scope="module")
def sizes():
    return Sizes(slice_px=256, tile_px=64, scene_px=2048)


@pytest.fixture(scope="module")
def scene(sizes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene") / "data"
    write_scene(folder, sizes)
    return folder


def test_the_scene_is_large_and_takes_little_disk(scene, sizes):
    collection = get_collection(scene, "scene")
    assert collection.grid().shape == (2048, 2048)
    assert len(collection.dates()) == DATES
    stored = sum(file.stat().st_size for file in (scene / "scene").iterdir())
    assert stored < 2.5 * sizes.slice_px**2 * DATES * 2 * 2


def test_values_are_where_the_slice_is(scene, sizes):
    cube = get_collection(scene, "scene").open(spatial_extent=_box(sizes, sizes.slice_px))
    assert cube.sizes == {"t": DATES, "bands": 2, "y": 256, "x": 256}
    valid = np.isfinite(cube.isel(t=0).values)
    assert 0.6 < valid.mean() < 0.8
    assert 0 < np.nanmedian(cube.isel(t=0).values) < 0.5
    with rasterio.open(next((scene / "scene").iterdir())) as file:
        everything = file.read(1)
        everything[_first_px(sizes) : _first_px(sizes) + 256, _first_px(sizes) : _first_px(sizes) + 256] = -1
        assert (everything == -1).all()


@pytest.mark.parametrize("slice_px", [256, 384, 512, 640, 768, 1024])
def test_the_middle_of_the_scene_is_in_the_slice(slice_px):
    """The dry run measures its speed there."""
    sizes = Sizes(slice_px=slice_px)
    middle = sizes.scene_px // sizes.tile_px // 2 * sizes.tile_px
    assert _first_px(sizes) <= middle <= _first_px(sizes) + slice_px - sizes.tile_px


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_benchmark_prints_what_was_promised(command):
    done = command("bench", "scale_out", "--json", "--slice", 256)
    assert done.status == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["tiles_per_s"]) == {"1", "2"}
    # Two cores that others use too may give little; two workers in one's time would be less than nothing.
    assert found["efficiency"] > 0.3
    # A plan that names too little kills workers, one that names too much wastes their nodes.
    for number, share in found["planned_to_peak_memory"].items():
        assert share == pytest.approx(found["planned_worker_rss_mib"] / found["worker_peak_rss_mib"][number])
        assert 0.7 < share < 1.8
    assert found["efficiency"] == pytest.approx(found["tiles_per_s"]["2"] / found["tiles_per_s"]["1"] / 2)
    assert found["plan"]["tiles"] == {"count": 86 * 86, "px": [128, 128]}
    for name in ("scheduler_peak_rss_mib", "client_peak_rss_mib"):
        assert 20 < found[name] < 1000
    assert all(100 < peak < 2000 for peak in found["worker_peak_rss_mib"].values())
    assert "of the largest of 2 worker(s)" in table(found)
