"""What every published process must be, so that any backend takes it."""

import json
import re

import pytest
from jsonschema import Draft7Validator

from openeo_udf_fusion import udfs, udps


def nodes_of(graph):
    """Every node of a graph and of the callbacks in it."""
    for node in graph.values():
        yield node
        for argument in node["arguments"].values():
            if isinstance(argument, dict) and "process_graph" in argument:
                yield from nodes_of(argument["process_graph"])


CALLBACK_PARAMETERS = {"apply": {"x", "context"}, "apply_neighborhood": {"data", "context"}}


def from_nodes(value):
    """Every node that a value refers to, callbacks left out."""
    if isinstance(value, list):
        return {name for item in value for name in from_nodes(item)}
    if not isinstance(value, dict) or "process_graph" in value:
        return set()
    if set(value) == {"from_node"}:
        return {value["from_node"]}
    return {name for item in value.values() for name in from_nodes(item)}


def from_parameters(value):
    """Every parameter that a value refers to; those that a process gives to its callback are not meant."""
    if isinstance(value, list):
        return {name for item in value for name in from_parameters(item)}
    if not isinstance(value, dict):
        return set()
    if set(value) == {"from_parameter"}:
        return {value["from_parameter"]}
    found = {name for key, item in value.items() if key != "process" for name in from_parameters(item)}
    if "process_id" in value and "process" in value["arguments"]:
        found |= from_parameters(value["arguments"]["process"]) - CALLBACK_PARAMETERS[value["process_id"]]
    return found


def graphs_of(graph):
    """A graph, and the graphs of its callbacks."""
    yield graph
    for node in graph.values():
        for argument in node["arguments"].values():
            if isinstance(argument, dict) and "process_graph" in argument:
                yield from graphs_of(argument["process_graph"])


# --- ids and parameters


def test_ids_are_words_that_name_their_process(definitions):
    for process_id, process in definitions.items():
        assert process["id"] == process_id
        assert re.fullmatch(r"\w+", process_id)
        assert process_id.removesuffix("_cube") in udfs.names()


def test_each_udf_has_a_process_for_an_area_and_one_for_a_cube(definitions):
    both = {name + end for name in udfs.names() for end in ("", "_cube")}
    # The self-test looks at no data, so there is nothing that it could load.
    assert set(definitions) == both - {"self_test"}


def test_area_and_period_come_first(definitions):
    for process_id, process in definitions.items():
        names = [parameter["name"] for parameter in process["parameters"]]
        assert names[:2] == ["spatial_extent", "temporal_extent"] or process_id.endswith("_cube")
        assert names[0] == "data" or not process_id.endswith("_cube")
        assert len(set(names)) == len(names)


def test_optional_parameters_have_defaults_and_the_others_come_before_them(definitions):
    for process in definitions.values():
        optional = [parameter.get("optional", False) for parameter in process["parameters"]]
        assert optional == sorted(optional)
        for parameter in process["parameters"]:
            assert parameter["description"]
            assert ("default" in parameter) == parameter.get("optional", False), parameter["name"]


def test_defaults_are_valid_by_their_own_schema(definitions):
    for process in definitions.values():
        for parameter in process["parameters"]:
            schemas = parameter["schema"] if isinstance(parameter["schema"], list) else [parameter["schema"]]
            if "default" in parameter:
                assert Draft7Validator({"anyOf": schemas}).is_valid(parameter["default"]), parameter["name"]


def test_every_parameter_is_used_and_every_reference_is_to_one(definitions):
    for process in definitions.values():
        names = {parameter["name"] for parameter in process["parameters"]}
        used = from_parameters(process["process_graph"])
        assert used == names


# --- graphs


def test_every_graph_is_closed_and_has_one_result(definitions):
    for process in definitions.values():
        for graph in graphs_of(process["process_graph"]):
            assert sum(node.get("result", False) for node in graph.values()) == 1
            for node in graph.values():
                assert from_nodes(node["arguments"]) <= set(graph)


def test_no_process_is_looked_up_elsewhere(definitions):
    for process in definitions.values():
        assert all(node.get("namespace") is None for node in nodes_of(process["process_graph"]))


def test_every_udf_is_the_literal_shipped_text(definitions):
    for process in definitions.values():
        runs = [node for node in nodes_of(process["process_graph"]) if node["process_id"] == "run_udf"]
        assert len(runs) == 1
        arguments = runs[0]["arguments"]
        assert udfs.is_shipped(arguments["udf"])
        assert arguments["runtime"] == "Python"
        assert arguments["context"] == {"from_parameter": "context"}


def test_udfs_run_on_tiles_that_hold_all_dates(definitions):
    for process in definitions.values():
        (tiles,) = (n for n in process["process_graph"].values() if n["process_id"] == "apply_neighborhood")
        size = {entry["dimension"]: entry for entry in tiles["arguments"]["size"]}
        overlap = {entry["dimension"]: entry for entry in tiles["arguments"]["overlap"]}
        assert set(size) == set(overlap) == {"x", "y"}
        for dim in ("x", "y"):
            assert size[dim]["unit"] == overlap[dim]["unit"] == "px"
            assert size[dim]["value"] >= 4
            assert 0 <= overlap[dim]["value"] <= size[dim]["value"]


def test_definitions_are_plain_json(definitions):
    assert json.loads(json.dumps(definitions, allow_nan=False)) == definitions


def test_building_twice_gives_the_same():
    assert udps.definitions() == udps.definitions()


# --- the API's own schema


@pytest.fixture
def problems(process_of_the_api):
    return lambda process: [error.message[:300] for error in process_of_the_api.iter_errors(process)]


def test_processes_are_as_the_api_says(definitions, problems):
    for process in definitions.values():
        assert problems(process) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda process: process.pop("process_graph"),
        lambda process: process.update(id="harmonize modis"),
        lambda process: process["parameters"][0].pop("schema"),
        lambda process: process["process_graph"].update(node={"arguments": {}}),
    ],
)
def test_the_schema_finds_what_is_wrong(problems, spoil):
    process = json.loads(json.dumps(udps.definitions()["harmonize_modis_viirs"]))
    spoil(process)
    assert problems(process)
