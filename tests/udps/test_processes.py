"""Laws that every process keeps in both of its published forms; each process adds its own in its own file."""

import inspect
from importlib import import_module

import pytest

from openeo_udf_fusion.udps.definition import in_json

PROCESSES = {
    "harmonize_modis_viirs": {"target", "uncertainty", "precision"},
    "fill_gaps": {"method", "uncertainty"},
    "embed_sentinel1_sentinel2": {"s1_unit", "encoding"},
    "fuse_landsat_sentinel2": {"precision"},
    "sharpen_sentinel2": {"precision"},
    "sharpen_landsat_thermal": set(),
}
"""Each process and those of its parameters that are a choice."""


@pytest.fixture(params=PROCESSES)
def process(request) -> str:
    """The name of a process."""
    return request.param


@pytest.fixture
def signature(process):
    """The function's parameters after the cube."""
    function = getattr(import_module(f"openeo_udf_fusion.processes.{process}"), process)
    own = list(inspect.signature(function).parameters.items())[1:]
    return {name: parameter.replace(default=in_json(parameter.default)) for name, parameter in own}


def defaults(definition):
    return {parameter["name"]: parameter.get("default") for parameter in definition["parameters"]}


def test_the_parameters_for_a_cube_are_those_of_the_function(definitions, process, signature):
    own = {name: d for name, d in defaults(definitions[f"{process}_cube"]).items() if name != "data"}
    expected = {name: parameter.default for name, parameter in signature.items()}
    assert own == expected
    assert list(own) == list(expected)


def test_the_parameters_for_an_area_include_those_of_the_function(definitions, process, signature):
    given = defaults(definitions[process])
    assert {n: given[n] for n in signature if n != "temporal_extent"} == {
        name: parameter.default for name, parameter in signature.items() if name != "temporal_extent"
    }


def test_choices_are_those_that_the_function_takes(definitions, process, signature):
    choices = {
        parameter["name"]: parameter["schema"]["enum"]
        for parameter in definitions[f"{process}_cube"]["parameters"]
        if isinstance(parameter["schema"], dict) and "enum" in parameter["schema"]
    }
    assert choices == {name: list(signature[name].annotation.__args__) for name in choices}
    assert set(choices) == PROCESSES[process]


@pytest.mark.parametrize("form", ["", "_cube"])
def test_all_of_them_reach_the_udf(definitions, process, signature, form):
    graph = definitions[f"{process}{form}"]["process_graph"]
    (node,) = (n for n in graph.values() if n["process_id"] == "apply_neighborhood")
    assert node["arguments"]["context"] == {name: {"from_parameter": name} for name in signature}
