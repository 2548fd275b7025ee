"""Graphs of standard processes are what numpy makes of them, in memory that does not grow with the area."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from openeo_udf_fusion.errors import (
    InvalidCube,
    MissingBands,
    MissingParameter,
    NoDataAvailable,
    UnknownCollection,
    UnsupportedFormat,
)
from openeo_udf_fusion.local import executor
from tests.local.graphs import (
    CLOUDY,
    MEAN,
    callback,
    given,
    load,
    make_cube,
    node,
    of,
    process,
    read,
    store,
    workspace,
)


def linear(x, low, high):
    return node("linear_scale_range", x=given(x), inputMin=low, inputMax=high, outputMin=0, outputMax=1)


CHAIN = {
    "a": load("demo"),
    "q": load("coarse"),
    "bad": node("reduce_dimension", data=of("q"), dimension="bands", reducer=CLOUDY),
    "good": node("mask", data=of("a"), mask=of("bad")),
    "n": node("ndvi", data=of("good"), nir="nir", red="red", target_band="NDVI"),
    "month": node("aggregate_temporal_period", data=of("n"), period="month", reducer=MEAN),
    "some": node("filter_bands", data=of("month"), bands=["NDVI", "nir"]),
    "scaled": node("apply", data=of("some"), process=callback(s=linear("x", -1, 1))),
}


def expected_chain(cube, coarse):
    rows = np.floor((coarse.y.values[0] - cube.y.values) / 20 + 0.5).astype(int)
    columns = np.floor((cube.x.values - coarse.x.values[0]) / 20 + 0.5).astype(int)
    bad = coarse.values[:, 0][:, rows][:, :, columns] > 0.5
    good = np.where(bad[:, None], np.nan, cube.values)
    red, nir = good[:, 0], good[:, 1]
    both = np.stack([(nir - red) / (nir + red), nir], axis=1)
    months = pd.DatetimeIndex(cube.t.values).to_period("M")
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)
        monthly = np.stack([np.nanmean(both[months == m], axis=0) for m in months.unique()])
    return (monthly + 1) / 2


def test_a_chain_of_processes_is_what_numpy_makes_of_it(cube, coarse, folder, tmp_path, small_tiles):
    result = executor.run(process(**CHAIN), workspace(folder), tmp_path)
    assert result.metadata["tiled"]
    found = read(result)
    np.testing.assert_allclose(found, expected_chain(cube, coarse), rtol=1e-5, equal_nan=True)
    assert found.t.values.tolist() == pd.date_range("2020-01-01", periods=3, freq="MS").tolist() or [
        str(date)[:10] for date in found.t.values
    ] == ["2020-01-01", "2020-02-01", "2020-03-01"]
    assert result.metadata["bands"] == ["NDVI", "nir"]


def test_every_period_has_its_own_result(cube, folder):
    """A reducer of several processes, too."""
    reducer = callback(m=node("mean", data=given("data")), d=node("multiply", x=of("m"), y=2))
    nodes = {
        "a": load("demo"),
        "b": node("aggregate_temporal_period", data=of("a"), period="month", reducer=reducer),
    }
    found = executor.load(process(**nodes), workspace(folder))
    expected = 2 * cube.groupby("t.month").mean("t")
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)


def test_parameters_at_top_level(cube, folder):
    pg = process(a=load(given("collection")), b=node("filter_bands", data=of("a"), bands=given("bands")))
    pg["parameters"] = [
        {"name": "collection", "schema": {}, "default": "demo"},
        {"name": "bands", "schema": {}, "default": ["nir"]},
    ]
    np.testing.assert_array_equal(executor.load(pg, workspace(folder)), cube.sel(bands=["nir"]))
    pg["parameters"][0].pop("default")
    with pytest.raises(MissingParameter, match="'collection'"):
        executor.load(pg, workspace(folder))
    assert executor.check(pg, workspace(folder)) == []


def test_merged_sensors_have_the_dates_of_both(cube, folder):
    other = store(
        make_cube(dates=4, bands=("other",), start="2020-01-15", step="20D", seed=5), folder, "other"
    )
    nodes = {"a": load("demo"), "b": load("other"), "c": node("merge_cubes", cube1=of("a"), cube2=of("b"))}
    found = executor.load(process(**nodes), workspace(folder))
    assert found.bands.values.tolist() == ["red", "nir", "other"]
    np.testing.assert_array_equal(found.t, np.union1d(cube.t, other.t))
    np.testing.assert_array_equal(found.sel(bands=["red", "nir"], t=cube.t), cube)
    np.testing.assert_array_equal(found.sel(bands=["other"], t=other.t), other)
    assert np.isnan(found.sel(bands="other", t=cube.t.values[0])).all()


def test_cubes_of_different_places_are_not_merged(cube, folder):
    store(make_cube(dates=2, bands=("other",), shift=100_000.0), folder, "elsewhere")
    nodes = {
        "a": load("demo"),
        "b": load("elsewhere"),
        "c": node("merge_cubes", cube1=of("a"), cube2=of("b")),
    }
    with pytest.raises(InvalidCube, match=r"node 'c' \(merge_cubes\): the cubes do not overlap"):
        executor.load(process(**nodes), workspace(folder))


def test_overlapping_cubes_go_through_the_resolver(cube, folder):
    resolver = callback(m=node("max", data=[given("x"), given("y")]))
    nodes = {
        "a": load("demo", temporal_extent=["2020-01-01", "2020-02-10"]),
        "b": load("demo", temporal_extent=["2020-01-20", None]),
        "twice": node("apply", data=of("b"), process=callback(m=node("multiply", x=given("x"), y=2))),
        "c": node("merge_cubes", cube1=of("a"), cube2=of("twice"), overlap_resolver=resolver),
    }
    found = executor.load(process(**nodes), workspace(folder))
    expected = np.concatenate([cube.values[:2], 2 * cube.values[2:]])
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)
    del nodes["c"]["arguments"]["overlap_resolver"]
    with pytest.raises(Exception, match="overlap_resolver"):
        executor.load(process(**nodes), workspace(folder))


def test_band_math_of_the_client(cube, folder):
    openeo = pytest.importorskip("openeo")
    from openeo.internal.graph_building import PGNode

    start = openeo.DataCube(
        PGNode("load_collection", **load("demo")["arguments"]), connection=None, metadata=None
    )
    red, nir = (
        start.reduce_dimension("bands", reducer=lambda data, i=i: data.array_element(i)) for i in (0, 1)
    )
    evi = 2.5 * (nir - red) / (nir + 2.4 * red + 1)
    found = executor.load({"process_graph": evi.flat_graph()}, workspace(folder))
    r, n = cube.values[:, 0], cube.values[:, 1]
    np.testing.assert_allclose(found.values, 2.5 * (n - r) / (n + 2.4 * r + 1), rtol=1e-5, equal_nan=True)


@pytest.mark.parametrize("tiled", [True, False])
def test_attributes_labels_and_crs_survive_the_chain(coarse, folder, tmp_path, small_tiles, tiled):
    nodes = {**CHAIN, **({} if tiled else {"k": node("apply_kernel", data=of("scaled"), kernel=[[1]])})}
    result = executor.run(process(**nodes), workspace(folder), tmp_path, format=None)
    assert result.metadata["epsg"] == 32631
    assert result.metadata["bands"] == ["NDVI", "nir"]
    assert [date[:10] for date in result.metadata["dates"]] == ["2020-01-01", "2020-02-01", "2020-03-01"]
    assert result.metadata["shape"] == {"t": 3, "bands": 2, "y": 13, "x": 17}
    assert result.metadata["tiled"] is tiled
    west, south, east, north = result.metadata["bbox"]
    assert 2.9 < west < east < 3.1
    assert 50 < south < north < 52


def test_what_is_not_local_runs_whole_and_says_so(cube, folder, tmp_path):
    log = []
    nodes = {
        "a": load("demo"),
        "k": node("apply_kernel", data=of("a"), kernel=[[0, 0, 0], [0, 2, 0], [0, 0, 0]]),
    }
    result = executor.run(process(**nodes), workspace(folder), tmp_path, log=log.append)
    assert "'k' (apply_kernel)" in result.metadata["not_local"]
    assert "'k' (apply_kernel)" in log[0].message
    np.testing.assert_allclose(read(result).values, 2 * np.nan_to_num(cube.values), rtol=1e-6)


def test_nodes_that_the_result_does_not_need_are_left_out(cube, folder):
    graph = process(unused=load("nothing"), a=load("demo"))
    np.testing.assert_array_equal(executor.load(graph, workspace(folder)), cube)


@pytest.mark.parametrize(
    ("nodes", "error", "message"),
    [
        ({"a": load("nothing")}, UnknownCollection, "nothing"),
        ({"a": load("demo", ["1999-01-01", "1999-02-01"])}, NoDataAvailable, "1999"),
        ({"a": load("demo", None, {"west": 0, "south": 0, "east": 1, "north": 1})}, NoDataAvailable, "west"),
        ({"a": load("demo", bands=["green"])}, MissingBands, "red.*nir"),
        (
            {"a": load("demo"), "b": node("filter_bands", data=of("a"), bands=["green"])},
            MissingBands,
            "red.*nir",
        ),
        (
            {"a": load("demo"), "b": node("save_result", data=of("a"), format="DOC")},
            UnsupportedFormat,
            "netCDF",
        ),
        (
            {"a": load("demo"), "b": node("dimension_labels", data=of("a"), dimension="t")},
            InvalidCube,
            "raster cube",
        ),
    ],
)
def test_errors_name_what_there_is(cube, folder, tmp_path, nodes, error, message):
    with pytest.raises(error, match=message):
        executor.run(process(**nodes), workspace(folder), tmp_path)
    assert list(tmp_path.iterdir()) == []


PEAK = """
import re, sys
from pathlib import Path
from openeo_udf_fusion.local import executor
import json
folder, nodes = Path(sys.argv[1]), json.loads(sys.argv[2])
workspace = executor.Workspace(folder, lambda process_id, namespace: None)
executor.run({"process_graph": nodes}, workspace, folder / "out")
# Not ru_maxrss: it starts with what the parent had at the time of the fork.
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("chain", ["ndvi", "mask"])
def test_memory_does_not_grow_with_the_area(tmp_path, chain):
    """Each area in a fresh process: peak memory never falls."""
    bad = node("reduce_dimension", data=of("a"), dimension="bands", reducer=CLOUDY)
    nodes = {
        "ndvi": {"n": node("ndvi", data=of("a"), nir="nir", red="red", target_band="NDVI")},
        "mask": {"bad": bad, "n": node("mask", data=of("a"), mask=of("bad"))},
    }[chain]
    month = node("aggregate_temporal_period", data=of("n"), period="month", reducer=MEAN)
    graph = json.dumps(process(a=load("demo"), **nodes, month=month)["process_graph"])
    peaks = []
    for side in (1024, 2048):
        (tmp_path / str(side)).mkdir()
        store(make_cube(side, side, dates=6), tmp_path / str(side), "demo")
        command = [sys.executable, "-c", PEAK, str(tmp_path / str(side)), graph]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1024)
    assert peaks[1] < peaks[0] + 40, f"MiB for 1024 and 2048 pixels a side: {peaks}"
