import json
from dataclasses import replace

import numpy as np
import pytest

from openeo_udf_fusion.bench import harmonize_modis_viirs as bench
from openeo_udf_fusion.demo.sample import write_sample
from openeo_udf_fusion.local.collections import get_collection

SIZES = bench.Sizes(threads=2, repeats=1, whittaker_pixels=5, area_px=None)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, size_px=16)
    return folder


def test_the_sample_is_a_year_of_both_sensors_with_gaps_and_flags(sample):
    cube = bench.read(sample)
    assert cube.dtype == np.float32
    assert cube.sizes["t"] == 365
    assert {"modis_B1", "modis_state_1km", "viirs_I1", "viirs_QF1"} <= set(cube["bands"].values)
    assert bench.extent(cube) == ["2023-01-01", "2024-01-01"]


def test_all_measures_of_speed_are_there_and_finite(sample):
    said = []
    results = bench.measure(sample, SIZES, said.append)
    speeds = ("pixel_years_per_s", "pixel_years_per_s_bf16", "whittaker_pixel_years_per_s")
    assert all(np.isfinite(results[key]) and results[key] > 0 for key in speeds)
    assert 0 < results["overhead_fraction"] < 1
    assert results["circumstances"]["whittaker_pixels"] == 5
    assert "onnx_to_torch" not in results
    assert said
    json.dumps(results)


def test_onnxruntime_takes_turns_where_it_is_asked_to(sample, monkeypatch):
    turns = []
    take_turn = bench.take_turn

    def counted(cube, *way):
        turns.append(way)
        return take_turn(cube, *way)

    monkeypatch.setattr(bench, "take_turn", counted)
    cube = bench.read(sample).isel(y=slice(0, 4))
    results = bench.measure_speed(cube, replace(SIZES, onnx=True), lambda line: None)
    assert set(turns) == set(bench.WAYS.values())
    assert results["pixel_years_per_s_onnx"] > 0
    assert results["onnx_to_torch"] > 0
    assert bench.weights.load.__kwdefaults__["runtime"] is None


def test_the_clock_counts_the_model_alone_and_leaves_it_as_it_was(sample):
    cube = bench.read(sample).isel(t=slice(0, 40))
    predictor = bench.weights.load(bench.process.MODEL)
    before = predictor.predict
    turn = bench.take_turn(cube, "float32")
    assert 0 < turn.model_wall_s < turn.wall_s
    assert predictor.predict == before


@pytest.mark.parametrize("side_px", [16, 20, 40])
def test_an_enlarged_collection_repeats_the_small_one(sample, tmp_path, side_px):
    bench.enlarge(sample / "modis", tmp_path / "modis", side_px)
    small, large = (get_collection(folder, "modis").open().compute() for folder in (sample, tmp_path))
    assert large.sizes["y"] == large.sizes["x"] == side_px
    assert large.rio.crs == small.rio.crs
    np.testing.assert_allclose(np.diff(large["x"]), np.diff(small["x"])[0])
    for row in range(side_px):
        np.testing.assert_array_equal(large[:, :, row, -1], small[:, :, row % 16, (side_px - 1) % 16])


def test_memory_is_measured_from_files_to_a_file(sample):
    said = []
    assert bench.measure_memory(sample, 5, 1, said.append) > 100
    assert "pixel-years/s" in said[-1]
