import os

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from openeo_udf_fusion.errors import InvalidParameter, UnknownCollection
from openeo_udf_fusion.local import cluster, executor, sources
from openeo_udf_fusion.local import plan as module
from openeo_udf_fusion.local.cluster import THREADS
from openeo_udf_fusion.local.plan import plan, summary
from tests.local.graphs import (
    code,
    load,
    make_cube,
    node,
    of,
    process,
    px,
    store,
    udf,
    workspace,
)

SCENE_PX, DATES = 10_980, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    store(make_cube(40, 50, dates=5), folder, "demo")
    return folder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A Sentinel-2 tile at twelve dates, whose blocks are all empty."""
    folder = tmp_path_factory.mktemp("scenes") / "data"
    (folder / "scene").mkdir(parents=True)
    profile = {
        "driver": "GTiff",
        "dtype": "int16",
        "count": 2,
        "width": SCENE_PX,
        "height": SCENE_PX,
        "crs": "EPSG:32631",
        "transform": from_origin(500_000, 5_650_000, 10, 10),
        "nodata": -1,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "SPARSE_OK": True,
    }
    for month in range(1, DATES + 1):
        with rasterio.open(folder / "scene" / f"scene_2022-{month:02d}-15.tif", "w", **profile) as file:
            file.descriptions = ("s2_B04", "s2_B08")
    return folder


@pytest.fixture
def no_pixels(monkeypatch):
    """Reading pixels of files is an error."""
    from openeo_udf_fusion.local.readers import datasets, rasters

    def refuse(*arguments):
        raise AssertionError("pixels were read")

    for reader in (datasets.VariableReader, rasters.BandReader):
        monkeypatch.setattr(reader, "__call__", refuse)


def doubled(**size):
    return node(
        "apply_neighborhood",
        data=of("a"),
        process=udf(code("return cube.isel(t=[0])[:, :1].assign_coords(bands=['one'])")),
        **size,
    )


def test_a_large_scene_is_planned_from_its_headers(scenes, no_pixels):
    ndvi = node("ndvi", data=of("a"), red="s2_B04", nir="s2_B08", target_band="NDVI")
    found = plan(process(a=load("scene"), n=ndvi), workspace(scenes), format="GTiff", pixels_per_s=1e5)
    assert found["result"]["shape"] == {"t": DATES, "bands": 3, "y": SCENE_PX, "x": SCENE_PX}
    assert found["tiles"] == {"count": 43 * 43, "px": [256, 256]}
    assert found["bytes_in_per_tile"] == 256 * 256 * DATES * 2 * 4
    assert found["bytes_to_read"] == pytest.approx(SCENE_PX**2 * DATES * 2 * 4, rel=0.1)
    assert found["result_bytes"] == SCENE_PX**2 * DATES * 3 * 4
    assert found["disk_bytes_while_running"] == 3 * found["result_bytes"]
    assert found["worker_hours"] == pytest.approx(SCENE_PX**2 / 1e5 / 3600)
    assert found["device"] == "given"


def test_what_a_udf_returns_is_found_without_data(folder, no_pixels):
    graph = process(a=load("demo"), b=doubled(size=px(16, 16), overlap=px(4, 4)))
    found = plan(graph, workspace(folder), tile_px=16, workers=3, pixels_per_s=10)
    assert found["result"]["shape"] == {"t": 1, "bands": 1, "y": 40, "x": 50}
    assert found["tiles"] == {"count": 3 * 4, "px": [16, 16]}
    assert found["bytes_out_per_tile"] == 16 * 16 * 4
    # A tile in the middle reads its margin, too.
    assert found["bytes_in_per_tile"] == 24 * 24 * 5 * 2 * 4
    assert found["hours"] == pytest.approx(found["worker_hours"] / 3)


def test_the_plan_is_what_the_run_does(folder, tmp_path):
    graph = process(a=load("demo"), b=doubled(size=px(16, 16)))
    found = plan(graph, workspace(folder), tile_px=16)
    done = executor.run(graph, workspace(folder), tmp_path / "r.nc", format="nc", tile_px=16).metadata
    assert found["tiles"] == {"count": done["tiles"]["total"], "px": done["tiles"]["px"]}
    assert found["result"]["shape"] == done["shape"]


def test_a_changed_resolution_is_planned(folder):
    twice = code("return cube.isel(y=np.repeat(range(cube.y.size), 2), x=np.repeat(range(cube.x.size), 2))")
    finer = node("apply_neighborhood", data=of("a"), process=udf(twice), size=px(16, 16))
    found = plan(process(a=load("demo"), b=finer), workspace(folder), pixels_per_s=10)
    assert found["result"]["shape"]["y"] == 80


def test_a_measured_speed_says_what_was_measured(folder):
    found = plan(process(a=load("demo")), workspace(folder))
    assert found["pixels_per_s"] > 0
    assert found["device"] == "cpu"
    assert "measured here on cpu" in found["assumptions"][1]
    # Five dates, ten days apart.
    assert found["pixel_years_per_s"] == pytest.approx(found["pixels_per_s"] * 41 / 365.25)


def test_a_udf_that_needs_data_is_asked_with_data(folder):
    strict = code("assert np.isfinite(cube.values).any()\nreturn cube[:1]")
    needs = node("apply_dimension", data=of("a"), dimension="t", process=udf(strict))
    graph = process(a=load("demo"), b=needs)
    assert plan(graph, workspace(folder))["result"]["shape"]["t"] == 1
    unknown = plan(graph, workspace(folder), pixels_per_s=10)
    assert unknown["result"]["shape"]["t"] is None
    assert unknown["result_bytes"] is None
    assert "could not be found out" in unknown["assumptions"][-1]
    assert "unknown" in summary(unknown)


def test_a_graph_that_is_not_local_is_planned_as_a_whole(folder, no_pixels):
    cubic = node("resample_spatial", data=of("a"), resolution=20, method="cubic")
    found = plan(process(a=load("demo"), b=cubic), workspace(folder))
    assert not found["tiled"]
    assert found["bytes_to_read"] == 40 * 50 * 5 * 2 * 4
    assert "'b' (resample_spatial)" in summary(found)


def test_the_summary_names_what_an_operator_asks_for(folder):
    text = summary(plan(process(a=load("demo")), workspace(folder), tile_px=16, pixels_per_s=500, workers=2))
    for words in ("12 of 16 x 16 px", "memory of a worker", "at most", "500 pixels/s", "2 worker(s)"):
        assert words in text


class TwoOfThree:
    """A scheduler with three workers, two of which offer what is asked for."""

    place = "tcp://somewhere:8786"

    def resources_for(self, graph):
        assert "a" in graph
        return {"GPU": 1}, "workers need GPU=1"

    def having(self, resources):
        return 2 if resources == {"GPU": 1} else 3


def test_with_a_scheduler_its_workers_are_counted(folder):
    found = plan(process(a=load("demo")), workspace(folder), cluster=TwoOfThree(), pixels_per_s=10)
    assert found["workers"] == 2
    assert found["hours"] == pytest.approx(found["worker_hours"] / 2)
    assert "workers need GPU=1; 2 of them do now" in found["assumptions"][0]


def test_a_plain_run_has_several_tiles_in_memory(folder, monkeypatch):
    monkeypatch.setattr(module, "TILES_AT_ONCE", 2)
    monkeypatch.setattr(module, "_memory", lambda: (1000, 0))
    graph = process(a=load("demo"))
    threads = plan(graph, workspace(folder), pixels_per_s=10)
    one = plan(graph, workspace(folder), pixels_per_s=10, workers=1)
    tile = one["peak_memory_bytes_per_worker"] - 1000
    assert tile == module.COPIES * (one["bytes_in_per_tile"] + one["bytes_out_per_tile"])
    assert threads["peak_memory_bytes_per_worker"] == 1000 + 2 * tile


def test_workers_of_this_machine_are_measured_with_their_share_of_its_cores(folder, monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cluster, "granted", lambda: 8)
    text = "import os\nprint('threads', os.environ.get('OMP_NUM_THREADS'))\nreturn cube"
    counted = node("apply_dimension", data=of("a"), dimension="t", process=udf(code(text)))
    found = plan(process(a=load("demo"), b=counted), workspace(folder), workers=4)
    assert "with 2 core(s)" in found["assumptions"][1]
    assert not set(THREADS) & set(os.environ)


def test_a_device_is_named_where_it_is_known(folder):
    torch = code("import torch\nreturn cube")
    own = node("apply_dimension", data=of("a"), dimension="t", process=udf(torch))
    assert plan(process(a=load("demo"), b=own), workspace(folder))["device"] == "unknown"
    given = summary(plan(process(a=load("demo")), workspace(folder), pixels_per_s=10))
    assert "of one worker of the given speed" in given


def test_errors_come_before_anything_is_computed(folder):
    with pytest.raises(UnknownCollection):
        plan(process(a=load("nothing")), workspace(folder))
    for wrong in ({"workers": 0}, {"pixels_per_s": 0.0}):
        with pytest.raises(InvalidParameter, match="positive"):
            plan(process(a=load("demo")), workspace(folder), **wrong)


def test_an_empty_chunk_is_not_read_for_its_absence(folder, no_pixels):
    """What stands for the files has their dates and bands, and no value."""
    execution = executor.prepare(process(a=load("demo")), workspace(folder))
    from openeo_udf_fusion.local.plan import _without_data

    (source,) = _without_data(execution).sources.values()
    assert isinstance(source, sources.Source)
    assert source.cube.sizes == execution.sources["a"].cube.sizes
    assert np.isnan(source.cube.isel(y=slice(0, 3), x=slice(0, 3)).values).all()
