"""Standard processes as users write them with the Python client, against xarray and numpy."""

import numpy as np
import openeo
import openeo.processes as oe
import pandas as pd
import pytest
from openeo.internal.graph_building import PGNode
from openeo.metadata import BandDimension, CollectionMetadata, SpatialDimension, TemporalDimension

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.local import executor
from tests.local.graphs import callback, given, load, make_cube, node, of, process, store, workspace


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return store(make_cube(5, 6, dates=8), folder, "demo").assign_attrs(folder=folder)


@pytest.fixture(scope="module")
def client_cube():
    """The collection as the client sees it."""
    dims = [SpatialDimension(axis, extent=[]) for axis in "xy"] + [TemporalDimension("t", extent=[])]
    metadata = CollectionMetadata(
        {}, [*dims, BandDimension("bands", [openeo.metadata.Band(b) for b in ("red", "nir")])]
    )
    start = PGNode("load_collection", **load("demo")["arguments"])
    return openeo.DataCube(start, connection=None, metadata=metadata)


def run(cube, graph):
    if isinstance(graph, openeo.DataCube):
        graph = {"process_graph": graph.flat_graph()}
    return executor.load(graph, workspace(cube.attrs["folder"]))


MATHS = {
    "linear scaling": (lambda c: c.linear_scale_range(0, 1, 0, 250), lambda v: v * 250),
    "apply": (lambda c: c.apply(lambda x: x.clip(0.2, 0.8) * 2), lambda v: np.clip(v, 0.2, 0.8) * 2),
    "condition": (
        lambda c: c.apply(lambda x: oe.if_(x > 0.5, 1, 0)),
        lambda v: np.where(np.isnan(v), 0, v > 0.5),
    ),
    "missing": (lambda c: c.apply(lambda x: oe.is_nodata(x)), lambda v: np.isnan(v)),
    "normalized": (
        lambda c: (c.band("nir") - c.band("red")) / (c.band("nir") + c.band("red")),
        lambda v: (v[:, 1] - v[:, 0]) / (v[:, 1] + v[:, 0]),
    ),
    "array of both": (
        lambda c: c.reduce_dimension("bands", lambda d: oe.mean(oe.array_create([d[0], d[1]]))),
        lambda v: np.nanmean(v, 1),
    ),
    "max": (lambda c: c.max_time(), lambda v: np.nanmax(v, 0)),
    "mean": (lambda c: c.mean_time(), lambda v: np.nanmean(v, 0)),
    "median": (lambda c: c.median_time(), lambda v: np.nanmedian(v, 0)),
    "count": (lambda c: c.count_time(), lambda v: (~np.isnan(v)).sum(0)),
    "by label": (
        lambda c: c.reduce_dimension("bands", lambda d: d.array_element(label="nir")),
        lambda v: v[:, 1],
    ),
    "first": (
        lambda c: c.reduce_dimension("t", lambda d: d.first()),
        lambda v: np.take_along_axis(v, np.isnan(v).argmin(0)[None], 0)[0],
    ),
    "deviation": (lambda c: c.reduce_dimension("t", lambda d: d.sd()), lambda v: np.nanstd(v, 0, ddof=1)),
    "ndvi": (lambda c: c.ndvi(nir="nir", red="red"), lambda v: (v[:, 1] - v[:, 0]) / (v[:, 1] + v[:, 0])),
    "masked": (
        lambda c: c.mask(c.band("red") > 0.5),
        lambda v: np.where((v[:, :1] > 0.5), np.nan, v),
    ),
    "difference of cubes": (lambda c: c.apply(lambda x: x * 3) - c, lambda v: v * 2),
    "cumulative": (
        lambda c: c.apply_dimension(dimension="t", process=lambda d: d.cumsum()),
        lambda v: np.where(np.isnan(v), np.nan, np.nancumsum(v, 0)),
    ),
    "filter": (lambda c: c.filter_bands(["nir"]), lambda v: v[:, 1:]),
    "text dates": (lambda c: c.filter_temporal("2020-01-15", "2020-02-14"), lambda v: v[1:4]),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", MATHS)
@pytest.mark.parametrize("lazily", [False, True], ids=["in memory", "on dask"])
def test_what_the_client_writes_is_what_numpy_computes(cube, client_cube, name, lazily):
    build, expected = MATHS[name]
    graph = build(client_cube)
    if lazily:
        graph = graph.apply_kernel(np.ones((1, 1)), replace_invalid=-9)
    result = run(cube, graph)
    wanted = expected(cube.values)
    if lazily:
        wanted = np.where(np.isnan(wanted), -9, wanted)
    np.testing.assert_allclose(result.values, wanted, rtol=1e-4, atol=1e-6)
    assert result.rio.crs.to_epsg() == 32631
    np.testing.assert_array_equal(result.x, cube.x)
    if "t" in result.dims and result.sizes["t"] == 8:
        np.testing.assert_array_equal(result.t, cube.t)


@pytest.mark.parametrize(
    ("period", "labels"),
    [
        ("day", pd.date_range("2020-01-05", "2020-03-15", freq="D")),
        ("week", pd.date_range("2019-12-30", "2020-03-09", freq="7D")),
        ("month", ["2020-01-01", "2020-02-01", "2020-03-01"]),
        ("season", ["2019-12-01", "2020-03-01"]),
        ("dekad", [f"2020-0{month}-{day}" for month in (1, 2, 3) for day in ("01", "11", "21")][:8]),
        ("tropical-season", ["2019-11-01"]),
        ("year", ["2020-01-01"]),
        ("decade", ["2020-01-01"]),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_periods_are_labelled_by_their_first_day(cube, client_cube, period, labels):
    result = run(cube, client_cube.aggregate_temporal_period(period, reducer="mean"))
    starts = pd.DatetimeIndex(labels)
    assert result.t.values.tolist() == starts.values.astype("datetime64[ns]").tolist()
    ends = [*starts[1:], pd.Timestamp("2030-01-01")]
    dates = pd.DatetimeIndex(cube.t.values)
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        inside = cube.values[(dates >= start) & (dates < end)]
        expected = np.nanmean(inside, 0) if len(inside) else np.full(cube.shape[1:], np.nan)
        np.testing.assert_allclose(result.values[index], expected, rtol=1e-5)


def test_intervals_are_left_closed_and_each_has_its_own_result(cube, client_cube):
    intervals = [["2020-01-05", "2020-01-25"], ["2020-01-25", "2020-01-26"]]
    result = run(cube, client_cube.aggregate_temporal(intervals, reducer="sum"))
    np.testing.assert_allclose(result.values[0], np.nansum(cube.values[:2], 0), rtol=1e-5)
    np.testing.assert_allclose(result.values[1], np.nan_to_num(cube.values[2]), rtol=1e-5)
    assert [str(label)[:10] for label in result.t.values] == ["2020-01-05", "2020-01-25"]


def test_labels_of_bands_are_renamed_some_or_all(cube, client_cube):
    assert run(cube, client_cube.rename_labels("bands", ["a", "b"])).bands.values.tolist() == ["a", "b"]
    assert run(cube, client_cube.rename_labels("bands", ["n"], ["nir"])).bands.values.tolist() == ["red", "n"]
    swapped = process(
        a=load("demo"), b=node("rename_labels", data=of("a"), dimension="bands", target=["nir", "red"])
    )
    np.testing.assert_array_equal(run(cube, swapped).sel(bands="red"), cube.sel(bands="nir"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": ["a", "b"], "source": ["red", "green"]}, "green.*red"),
        ({"target": ["a"], "source": ["red", "nir"]}, "1 new names for 2"),
        ({"target": ["nir"], "source": ["red"]}, "twice"),
    ],
)
def test_wrong_names_are_refused(cube, arguments, message):
    nodes = {"a": load("demo"), "b": node("rename_labels", data=of("a"), dimension="bands", **arguments)}
    with pytest.raises(InvalidParameter, match=message):
        run(cube, process(**nodes))


def test_attributes_of_bands_follow_their_labels(cube):
    """As far as the result: here the client's names for long_name are those of the file."""
    nodes = {
        "a": load("demo"),
        "b": node("rename_labels", data=of("a"), dimension="bands", target=["r"], source=["red"]),
    }
    assert set(run(cube, process(**nodes)).attrs["band_attrs"]) == {"r", "nir"}


def test_labels_are_filtered_by_a_condition(cube):
    condition = callback(c=node("neq", x=given("value"), y="red"))
    nodes = {
        "a": load("demo"),
        "b": node("filter_labels", data=of("a"), dimension="bands", condition=condition),
    }
    assert run(cube, process(**nodes)).bands.values.tolist() == ["nir"]


def test_dimensions_come_and_go(cube):
    nodes = {
        "a": load("demo", bands=["red"]),
        "b": node("drop_dimension", data=of("a"), name="bands"),
        "c": node("add_dimension", data=of("b"), name="bands", label="again", type="bands"),
        "d": node("merge_cubes", cube1=of("c"), cube2=of("a")),
    }
    result = run(cube, process(**nodes))
    np.testing.assert_array_equal(result.sel(bands="again"), cube.sel(bands="red"))
    assert result.bands.values.tolist() == ["again", "red"]


def test_a_mask_with_other_dates_says_how_they_differ(cube):
    nodes = {
        "a": load("demo"),
        "m": load("demo", ["2020-02-01", None]),
        "b": node("mask", data=of("a"), mask=of("m")),
    }
    with pytest.raises(InvalidCube, match=r"along 't'.*2020-01-05.*2020-02-04"):
        run(cube, process(**nodes))


def test_a_result_that_is_no_single_value_is_no_reducer(cube, client_cube):
    with pytest.raises(InvalidCube, match="must make one value"):
        run(cube, client_cube.reduce_dimension("t", lambda d: d.cumsum()))
