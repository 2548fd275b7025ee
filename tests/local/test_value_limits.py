"""Graphs of a few nodes that would take the machine's memory: each is refused before it is taken."""

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local import executor, resample, value_limits
from openeo_udf_fusion.local.evaluation import call
from openeo_udf_fusion.local.geometry import grid_of
from openeo_udf_fusion.local.standard.registry import implementations

from .graphs import load, make_cube, node, of, process, store, workspace

HUGE = 100_000_000


@pytest.fixture
def cube(tmp_path):
    """A small cube in a collection `demo`."""
    made = store(make_cube(), tmp_path, "demo")
    return made.assign_attrs(folder=tmp_path)


@pytest.fixture(autouse=True)
def nothing_large_is_repeated(monkeypatch):
    """The array that takes the memory is not made, whatever memory the machine has."""
    tile = np.tile

    def guarded(data, reps):
        assert np.size(data) * np.prod(np.asarray(reps, float)) < HUGE
        return tile(data, reps)

    monkeypatch.setattr(np, "tile", guarded)


def callback(*nodes: tuple[str, dict]) -> dict:
    graph = {name: dict(each) for name, each in nodes}
    graph[nodes[-1][0]]["result"] = True
    return {"process_graph": graph}


def refused(cube, pg: dict, reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        executor.load(pg, workspace(cube.attrs["folder"]))


@pytest.mark.parametrize("repeat", [HUGE, 10**30])
def test_repetitions(cube, repeat):
    made = node("array_create", data=[1.0], repeat=repeat)
    inside = callback(("c", made), ("m", node("max", data=of("c"))))
    pg = process(a=load("demo"), n=node("apply", data=of("a"), process=inside))
    refused(cube, pg, f"array_create .* at most {value_limits.MOST_VALUES}")


@pytest.mark.parametrize("resolution", [1e-9, [1e-9, 1000], [1000, 1e-9], 1e-320])
@pytest.mark.parametrize("method", ["near", "cubic"])
def test_resolutions(cube, resolution, method):
    pg = process(
        a=load("demo"), n=node("resample_spatial", data=of("a"), resolution=resolution, method=method)
    )
    refused(cube, pg, f"at most {value_limits.MOST_PIXELS} are made, and {value_limits.MOST_PIXELS_A_SIDE}")


def test_a_resolution_that_only_tiles_can_take(cube, monkeypatch):
    """What may be large tile by tile may not be where everything runs at once."""
    monkeypatch.setattr(value_limits, "MOST_PIXELS_AT_ONCE", 100)
    target = resample.resampled_grid(grid_of(cube), 1.0, None)
    with pytest.raises(InvalidParameter, match="at most 100 are made"):
        resample.onto(cube, target, "near")


@pytest.mark.parametrize("size", ["1", None, -1, [1], [1, "2"]])
def test_a_resolution_that_is_none(cube, size):
    with pytest.raises(InvalidParameter, match="the resolution is one size or two"):
        resample.resampled_grid(grid_of(cube), size, None)


def test_periods(cube):
    dates = np.array(["1900-01-01", "2100-01-01"], "datetime64[ns]")
    long = cube.isel(t=slice(0, 2)).assign_coords(t=dates)
    with pytest.raises(InvalidParameter, match=f"at most {value_limits.MOST_PERIODS}"):
        call(
            implementations(), "aggregate_temporal_period", {"data": long, "period": "hour", "reducer": None}
        )


def test_intervals_of_many_pixels(cube, monkeypatch):
    monkeypatch.setattr(value_limits, "MOST_VALUES", 10)
    arguments = {"data": cube, "intervals": [["1999-01-01", "1999-02-01"]] * 50, "reducer": None}
    with pytest.raises(InvalidParameter, match="aggregating time would make"):
        call(implementations(), "aggregate_temporal", arguments)


@pytest.mark.parametrize(
    ("process_id", "arguments"),
    [
        ("multiply", {"x": "a", "y": 10**12}),
        ("multiply", {"x": [1], "y": 10**12}),
        ("mod", {"x": "%999999999d", "y": 1}),
        ("add", {"x": np.array(["a"]), "y": np.array(["b"])}),
        ("add", {"x": np.zeros((20_000, 1)), "y": np.zeros(20_000)}),
        (
            "multiply",
            {"x": xr.DataArray(np.zeros(20_000), dims="t"), "y": xr.DataArray(np.zeros(20_000), dims="y")},
        ),
        ("array_concat", {"array1": np.broadcast_to(0.0, HUGE), "array2": [1.0]}),
        ("array_append", {"data": np.broadcast_to(0.0, HUGE), "value": 1.0}),
        ("quantiles", {"data": np.zeros(1000), "probabilities": 10**9}),
        ("text_concat", {"data": ["a" * 2**19] * 3, "separator": ""}),
        ("text_concat", {"data": ["a"] * 1000, "separator": "s" * 2000}),
    ],
)
def test_what_grows_by_itself(process_id, arguments):
    with pytest.raises(InvalidParameter, match=r"would make|takes numbers"):
        call(implementations(), process_id, arguments)


def test_what_is_as_large_as_its_arguments_is_computed(monkeypatch):
    monkeypatch.setattr(value_limits, "MOST_VALUES", 10)
    large = np.ones((3, 4, 5))
    assert call(implementations(), "add", {"x": large, "y": np.ones((4, 5))}).shape == large.shape
    assert call(implementations(), "add", {"x": large, "y": 1}).shape == large.shape
    cubes = xr.DataArray(large, dims=("t", "y", "x")), xr.DataArray(np.ones((4, 5)), dims=("y", "x"))
    assert call(implementations(), "add", {"x": cubes[0], "y": cubes[1]}).shape == large.shape
