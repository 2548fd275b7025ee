import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pystac
import pytest
import xarray as xr
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from openeo_udf_fusion.errors import (
    Cancelled,
    ForbiddenPath,
    FusionError,
    InvalidCube,
    InvalidGraph,
    InvalidParameter,
    MissingBands,
    MissingParameter,
    NoDataAvailable,
    UnknownCollection,
    UnknownParameter,
    UnknownProcess,
    UnsupportedFormat,
)
from openeo_udf_fusion.local import executor, tiles
from tests.local.graphs import (
    callback,
    code,
    given,
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

BLUR = code(
    "padded = np.nan_to_num(cube.values)\n"
    "moved = sum(np.roll(padded, (dy, dx), (2, 3)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))\n"
    "return cube.copy(data=moved)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def cube(folder):
    return store(make_cube(dates=7), folder, "demo")


@pytest.fixture(scope="module")
def coarse(folder):
    return store(make_cube(8, 10, dates=7, bands=("qa",), size=20.0, seed=1, shift=12.0), folder, "coarse")


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "TILE_PX", 6)
    monkeypatch.setattr(tiles, "MINIMAL_TILE_PX", 4)


def read(result):
    """The result of a run, as a cube."""
    data = xr.open_dataset(result.files[0], decode_coords="all").load()
    data.close()
    names = list(result.metadata["bands"]) or list(data.data_vars)
    joined = xr.concat([data[name] for name in names], dim=pd.Index(names, name="bands"))
    return joined.transpose(..., "bands", "y", "x")


def window(cube, y, x, size):
    """The sum over a neighbourhood, missing counted as 0, as BLUR makes it."""
    padded = np.pad(np.nan_to_num(cube.values), ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, columns = cube.shape[2:]
    return sum(
        padded[:, :, dy : dy + rows, dx : dx + columns] for dy, dx in itertools.product(range(3), range(3))
    )


def blur(data, size=5, overlap=1):
    return node(
        "apply_neighborhood",
        data=of(data),
        process=udf(BLUR),
        size=px(size, size),
        overlap=px(overlap, overlap),
    )


def linear(x, low, high):
    return node("linear_scale_range", x=given(x), inputMin=low, inputMax=high, outputMin=0, outputMax=1)


MEAN = callback(m=node("mean", data=given("data")))
CLOUDY = callback(e=node("array_element", data=given("data"), index=0), g=node("gt", x=of("e"), y=0.5))

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


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@drawn(
    tile=st.integers(4, 20),
    rows=st.integers(4, 19),
    columns=st.integers(4, 19),
    size=st.integers(4, 9),
    twice=st.booleans(),
)
def test_tiled_equals_whole(tmp_path_factory, tile, rows, columns, size, twice):
    folder = tmp_path_factory.mktemp("ragged")
    cube = store(make_cube(rows, columns, dates=2), folder, "demo")
    nodes = {"a": load("demo"), "b": blur("a", size)} | ({"c": blur("b", 4)} if twice else {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TILE_PX", tile)
        patch.setattr(tiles, "MINIMAL_TILE_PX", 1)
        tiled = executor.run(process(**nodes), workspace(folder), folder / "out")
    once = cube.copy(data=window(cube, 1, 1, 3))
    expected = once.copy(data=window(once, 1, 1, 3)) if twice else once
    np.testing.assert_allclose(read(tiled).values, expected.values, rtol=1e-5)
    np.testing.assert_array_equal(
        executor.load(process(**nodes), workspace(folder)).values, read(tiled).values
    )


def test_every_tile_has_its_own_result(cube, folder, tmp_path, small_tiles):
    """The parser's callables remember the first result of a callback for good."""
    doubled = {
        "a": load("demo"),
        "b": node("apply", data=of("a"), process=callback(m=node("add", x=given("x"), y=1))),
    }
    result = read(executor.run(process(**doubled), workspace(folder), tmp_path))
    np.testing.assert_allclose(result.values, cube.values + 1, rtol=1e-6)


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


@pytest.mark.parametrize("method", ["near", "bilinear", "average"])
def test_pixels_of_uneven_size_are_not_resampled(cube, tmp_path, method):
    store(cube, tmp_path, "demo")
    doubling = 500_000 + 2.0 ** np.arange(cube.sizes["x"])
    store(cube.assign_coords(x=doubling, bands=["a", "b"]), tmp_path, "uneven")
    resampled = node("resample_cube_spatial", data=of("u"), target=of("a"), method=method)
    with pytest.raises(InvalidCube, match="evenly spaced x"):
        executor.load(process(a=load("demo"), u=load("uneven"), r=resampled), workspace(tmp_path))
    merged = node("merge_cubes", cube1=of("a"), cube2=of("u"))
    with pytest.raises(InvalidCube, match="evenly spaced x"):
        executor.load(process(a=load("demo"), u=load("uneven"), m=merged), workspace(tmp_path))
    assert executor.load(process(u=load("uneven")), workspace(tmp_path)).shape == cube.shape


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


def test_a_udf_on_the_lazy_whole_equals_the_tiled_one(cube, folder, tmp_path, small_tiles):
    same = {"a": load("demo"), "b": blur("a")}
    lazily = {**same, "k": node("apply_kernel", data=of("b"), kernel=[[1]])}
    tiled = executor.run(process(**same), workspace(folder), tmp_path / "1")
    whole = executor.run(process(**lazily), workspace(folder), tmp_path / "2")
    assert (tiled.metadata["tiled"], whole.metadata["tiled"]) == (True, False)
    np.testing.assert_allclose(read(tiled).values, read(whole).values, rtol=1e-6)


@pytest.mark.parametrize("method", ["near", "bilinear"])
def test_resampling_is_the_same_in_tiles(coarse, cube, folder, tmp_path, small_tiles, method):
    resampled = node("resample_cube_spatial", data=of("q"), target=of("a"), method=method)
    nodes = {"a": load("demo"), "q": load("coarse"), "r": resampled}
    tiled = read(executor.run(process(**nodes), workspace(folder), tmp_path))
    whole = executor.load(process(**nodes), workspace(folder))
    np.testing.assert_allclose(tiled.values, whole.values, rtol=0 if method == "near" else 1e-6)
    np.testing.assert_array_equal(whole.x, cube.x)
    if method == "bilinear":
        row = (coarse.y.values[0] - cube.y.values[4]) / 20
        column = (cube.x.values[7] - coarse.x.values[0]) / 20
        corners = coarse.values[0, 0, int(row) :, int(column) :][:2, :2]
        weights = np.outer([1 - row % 1, row % 1], [1 - column % 1, column % 1])
        expected = np.nansum(corners * weights) / weights[~np.isnan(corners)].sum()
        np.testing.assert_allclose(whole.values[0, 0, 4, 7], expected, rtol=1e-5)


@pytest.mark.parametrize(("projection", "resolution"), [(None, 25.0), (32630, 12.0), (4326, 0.0002)])
def test_resample_spatial_is_the_same_in_tiles(cube, folder, tmp_path, small_tiles, projection, resolution):
    resampled = node("resample_spatial", data=of("a"), resolution=resolution, projection=projection)
    nodes = {"a": load("demo"), "r": resampled, "b": blur("r", 4)}
    result = executor.run(process(**nodes), workspace(folder), tmp_path)
    assert result.metadata["epsg"] == (projection or 32631)
    np.testing.assert_allclose(read(result).values, executor.load(process(**nodes), workspace(folder)).values)


def test_extents_select_pixel_centres_and_left_closed_intervals(cube, folder):
    box = {"west": 500_020, "east": 500_070, "south": 5_649_900, "north": 5_649_960, "crs": "EPSG:32631"}
    dates = [str(cube.t.values[1])[:10], str(cube.t.values[3])[:10]]
    loaded = executor.load(process(a=load("demo", dates, box)), workspace(folder))
    inside = cube.isel(t=slice(1, 3)).sel(x=slice(500_020, 500_070), y=slice(5_649_960, 5_649_900))
    np.testing.assert_array_equal(loaded.values, inside.values)
    filtered = process(
        a=load("demo"),
        b=node("filter_bbox", data=of("a"), extent=box),
        c=node("filter_temporal", data=of("b"), extent=dates),
    )
    np.testing.assert_array_equal(executor.load(filtered, workspace(folder)).values, inside.values)


def test_stac_is_loaded_from_the_data_folder_alone(tmp_path):
    cube = make_cube(dates=1)
    folder = tmp_path / "data"
    (folder / "stac").mkdir(parents=True)
    store(cube, folder / "stac", "pixels")
    item = pystac.Item("item", None, None, pd.Timestamp("2020-01-05").to_pydatetime(), {})
    item.add_asset("data", pystac.Asset("./pixels.nc", media_type="application/x-netcdf", roles=["data"]))
    item.save_object(dest_href=str(folder / "stac" / "item.json"), include_self_link=False)
    loaded = executor.load(
        process(a=node("load_stac", url="stac/item.json", bands=["nir"])), workspace(folder)
    )
    np.testing.assert_array_equal(loaded, cube.sel(bands=["nir"]))
    for url in ("https://example.org/item.json", "../../etc/passwd"):
        with pytest.raises(ForbiddenPath):
            executor.load(process(a=node("load_stac", url=url)), workspace(folder))


def test_nodes_that_the_result_does_not_need_are_left_out(cube, folder):
    graph = process(unused=load("nothing"), a=load("demo"))
    np.testing.assert_array_equal(executor.load(graph, workspace(folder)), cube)


def test_polygons_select_the_pixels_inside(cube, folder, tmp_path, small_tiles):
    corners = [[500_000, 5_650_000], [500_175, 5_650_000], [500_000, 5_649_825], [500_000, 5_650_000]]
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    polygon = {
        "type": "Feature",
        "properties": {},
        "crs": crs,
        "geometry": {"type": "Polygon", "coordinates": [corners]},
    }
    loaded = read(executor.run(process(a=load("demo", None, polygon)), workspace(folder), tmp_path))
    y, x = np.meshgrid(cube.y, cube.x, indexing="ij")
    below = (x - 500_000) + (5_650_000 - y) < 175
    expected = np.where(below, cube.values, np.nan)
    np.testing.assert_array_equal(loaded.values, expected)
    masked = process(a=load("demo"), b=node("mask_polygon", data=of("a"), mask=polygon))
    np.testing.assert_array_equal(executor.load(masked, workspace(folder)).values, expected)


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


@pytest.mark.parametrize(
    ("nodes", "errors"),
    [
        ({"a": load("demo")}, []),
        ({"a": load("nothing")}, [UnknownCollection]),
        ({"a": load("demo", bands=["green"])}, [MissingBands]),
        ({"a": load("demo"), "b": node("ndwi", data=of("a"))}, [UnknownProcess]),
        ({"a": load("demo"), "b": node("ndvi", data=of("a"), blue="b")}, [UnknownParameter]),
        ({"a": load("demo"), "b": node("ndvi")}, [MissingParameter]),
        (
            {
                "a": load("demo"),
                "b": node("apply", data=of("a"), process=callback(m=node("add", x=given("x"), z=1))),
            },
            [UnknownParameter, MissingParameter],
        ),
        ({"a": load("demo"), "b": node("ndvi", data=of("c"))}, [InvalidGraph]),
    ],
)
def test_check_finds_errors_without_running(cube, folder, nodes, errors):
    assert [type(error) for error in executor.check(process(**nodes), workspace(folder))] == errors


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": {"cube1": 3, "cube2": of("a")}},
        {"arguments": {"cube1": of("a"), "cube2": None}},
        {"arguments": {"cube1": {"from_node": {}}, "cube2": of("a")}},
        {"arguments": {"cube1": {"from_parameter": []}, "cube2": of("a")}},
        {"namespace": 3},
        {"process_id": None},
        {
            "process_id": "apply_neighborhood",
            "arguments": {"data": 1, "process": udf(BLUR), "size": px(8, 8)},
        },
        {"process_id": "resample_cube_spatial", "arguments": {"data": of("a"), "target": {"x": 1}}},
        {"process_id": "filter_bbox", "arguments": {"data": of("a"), "extent": 3}},
        {"process_id": "filter_bands", "arguments": {"data": of("a"), "bands": 3}},
        {
            "process_id": "aggregate_temporal",
            "arguments": {"data": of("a"), "intervals": [3], "reducer": MEAN},
        },
        {"process_id": "load_collection", "arguments": load([])["arguments"]},
        {"process_id": "load_collection", "arguments": load("demo", 3)["arguments"]},
        {"process_id": "load_collection", "arguments": load("demo", None, 3)["arguments"]},
        {"process_id": "load_collection", "arguments": load("demo", bands=3)["arguments"]},
        {"process_id": "load_collection", "arguments": load("demo", None, {"type": "Point"})["arguments"]},
    ],
)
def test_nonsense_is_a_deliberate_error(cube, folder, tmp_path, change):
    pg = process(a=load("demo"), b={**node("merge_cubes", cube1=of("a"), cube2=of("a")), **change})
    assert all(isinstance(error, FusionError) for error in executor.check(pg, workspace(folder)))
    with pytest.raises(FusionError):
        executor.run(pg, workspace(folder), tmp_path)


@pytest.mark.parametrize("parameters", [3, [3], [{"default": 1}], {"name": "a"}])
def test_nonsense_for_parameters_is_one_too(cube, folder, parameters):
    (error,) = executor.check({**process(a=load("demo")), "parameters": parameters}, workspace(folder))
    assert isinstance(error, InvalidGraph)


def test_a_run_with_wrong_arguments_does_not_start(cube, folder, tmp_path):
    with pytest.raises(UnknownParameter, match=r"'blue'.*nir"):
        executor.run(
            process(a=load("demo"), b=node("ndvi", data=of("a"), blue="b")), workspace(folder), tmp_path
        )


def test_an_empty_list_of_bands_is_refused(folder, cube):
    pg = process(a={**load("demo"), "arguments": {**load("demo")["arguments"], "bands": []}})
    with pytest.raises(InvalidParameter, match="at least one band"):
        executor.load(pg, workspace(folder))
    assert [type(error) for error in executor.check(pg, workspace(folder))] == [InvalidParameter]


def test_a_cancelled_run_leaves_no_file(cube, folder, tmp_path, small_tiles):
    steps = []
    with pytest.raises(Cancelled):
        executor.run(
            process(a=load("demo"), b=blur("a")),
            workspace(folder),
            tmp_path,
            progress=steps.append,
            cancelled=lambda: len(steps) >= 2,
        )
    assert 2 <= len(steps) < steps[0].total
    assert list(tmp_path.iterdir()) == []


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")")[-1].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_a_udf_started_ends_with_it(cube, folder, tmp_path):
    started = tmp_path / "pid"
    hangs = code(
        "import subprocess, time\n"
        "pid = subprocess.Popen(['sleep', '600']).pid\n"
        f"open('{started}.new', 'w').write(str(pid))\n"
        f"__import__('os').rename('{started}.new', '{started}')\n"
        "time.sleep(600)\nreturn cube"
    )
    nodes = {"a": load("demo"), "b": node("apply", data=of("a"), process=udf(hangs, data="x"))}
    with pytest.raises(Cancelled):
        executor.run(process(**nodes), workspace(folder), tmp_path / "out", cancelled=started.exists)
    pid = int(started.read_text())
    for _ in range(50):
        if not is_running(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the process that the UDF started is still there")


def test_a_udf_that_hangs_is_killed_when_the_run_is_cancelled(cube, folder, tmp_path):
    asked = itertools.count()
    hangs = code("import time\ntime.sleep(600)\nreturn cube")
    nodes = {"a": load("demo"), "b": node("apply", data=of("a"), process=udf(hangs, data="x"))}
    with pytest.raises(Cancelled):
        executor.run(process(**nodes), workspace(folder), tmp_path, cancelled=lambda: next(asked) > 5)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_tiles(cube, folder, tmp_path, small_tiles):
    steps = []
    executor.run(
        process(a=load("demo")),
        workspace(folder),
        tmp_path / "exact.nc",
        format="netCDF",
        progress=steps.append,
    )
    assert [step.done for step in steps] == list(range(1, steps[0].total + 1))
    assert steps[0].total == 9
    assert all(step.pixels_per_s > 0 for step in steps)
    assert (tmp_path / "exact.nc").is_file()


def test_tiles_with_other_dates_are_refused_with_advice(cube, folder, tmp_path, small_tiles):
    irregular = code("return cube[: 2 + int(cube.x[0] > 500_050)]")
    nodes = {
        "a": load("demo"),
        "b": node("apply_dimension", data=of("a"), dimension="t", process=udf(irregular)),
    }
    with pytest.raises(InvalidCube, match="regular dates"):
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
