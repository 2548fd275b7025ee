"""What is wrong with a process is found before it runs, and is a deliberate error."""

import pytest

from openeo_udf_fusion.errors import (
    FusionError,
    InvalidGraph,
    InvalidParameter,
    MissingBands,
    MissingParameter,
    UnknownCollection,
    UnknownParameter,
    UnknownProcess,
)
from openeo_udf_fusion.local import executor
from tests.local.graphs import BLUR, MEAN, callback, given, load, node, of, process, px, udf, workspace


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
