import json

import numpy as np
import pytest

from openeo_udf_fusion.bench import embed_sentinel1_sentinel2 as bench
from openeo_udf_fusion.bench import machine, s1s2_sample
from openeo_udf_fusion.local.collections import get_collection
from openeo_udf_fusion.models import weights

SIZES = bench.Sizes(size_px=16, threads=1, repeats=1, patches=3, patch_dates=1, area_px=None)


@pytest.fixture(scope="module")
def cube():
    return s1s2_sample.merged(s1s2_sample.cubes_of(18))


def test_patch_by_patch_is_the_same_code(cube):
    model, observed = weights.load_embedding(), bench.observations(cube)
    days = bench.days_of(s1s2_sample.INNER)[[3, 40]]
    centres = np.array([[7, 7], [10, 8], [9, 10]])
    whole = model.embed(observed, days).code
    for number, day in enumerate(days):
        own = bench.embed_patches(model, observed, centres, int(day))
        np.testing.assert_allclose(own, whole[number][:, *centres.T].T, atol=1e-4)


def test_all_measures_of_speed_are_there_and_finite(monkeypatch):
    monkeypatch.setattr(machine, "MATMUL_SIZE", 200)
    monkeypatch.setattr(bench, "COUNTED_PX", 8)
    said = []
    results = bench.measure(SIZES, said.append)
    keys = ("pixel_dates_per_s", "patchwise_pixel_dates_per_s", "times_patchwise", "gflops", "matmul_gflops")
    assert all(np.isfinite(results[key]) and results[key] > 0 for key in keys)
    assert "peak_rss_mib" not in results
    assert said
    json.dumps(results)


def test_operations_are_those_of_the_network(monkeypatch):
    """Above all of them are the wide layers of fusion, once for every pixel and date."""
    monkeypatch.setattr(bench, "COUNTED_PX", 8)
    model = weights.load_embedding()
    fusion = sum(p.numel() for p in model.model.fusion.blocks.parameters() if p.ndim == 2)
    assert 2 * fusion < bench.flops_per_pixel_date(model) < 100 * fusion


def test_the_files_are_the_generated_scene(tmp_path):
    s1s2_sample.write(tmp_path, 10)
    for sensor, cube in s1s2_sample.cubes_of(10).items():
        read = get_collection(tmp_path, f"sentinel{sensor[1]}").open()
        assert sorted(read["bands"].values) == sorted(cube["bands"].values)
        np.testing.assert_allclose(read.sel(bands=cube["bands"]), cube, atol=1e-4)


@pytest.mark.slow
def test_memory_is_measured_from_files_to_a_file():
    said = []
    assert bench.measure_memory(10, 1, said.append) > 100
    assert "10 x 10 px" in said[-1]
