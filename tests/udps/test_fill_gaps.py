import inspect

import pytest

from openeo_udf_fusion import udps
from openeo_udf_fusion.processes.fill_gaps import FILLERS, fill_gaps
from openeo_udf_fusion.sensors import FUSED_BANDS, band_of, canonical_label

SIGNATURE = {name: p.default for name, p in list(inspect.signature(fill_gaps).parameters.items())[1:]}


@pytest.fixture(scope="module")
def area(definitions):
    return definitions["fill_gaps"]


@pytest.fixture(scope="module")
def from_cube(definitions):
    return definitions["fill_gaps_cube"]


def defaults(process):
    return {parameter["name"]: parameter.get("default") for parameter in process["parameters"]}


def tiles(process):
    (node,) = (n for n in process["process_graph"].values() if n["process_id"] == "apply_neighborhood")
    return node["arguments"]


def test_the_parameters_for_a_cube_are_those_of_the_function(from_cube):
    own = {name: default for name, default in defaults(from_cube).items() if name != "data"}
    assert own == SIGNATURE
    assert list(own) == list(SIGNATURE)


def test_the_parameters_for_an_area_include_those_of_the_function(area):
    given = defaults(area)
    del given["temporal_extent"]
    assert given.items() >= {name: d for name, d in SIGNATURE.items() if name != "temporal_extent"}.items()


def test_choices_are_those_that_the_function_takes(from_cube):
    choices = {
        parameter["name"]: parameter["schema"]["enum"]
        for parameter in from_cube["parameters"]
        if isinstance(parameter["schema"], dict) and "enum" in parameter["schema"]
    }
    annotations = inspect.signature(fill_gaps).parameters
    assert choices == {name: list(annotations[name].annotation.__args__) for name in choices}
    assert set(choices) == {"method", "uncertainty"}


def test_all_of_them_reach_the_udf(area, from_cube):
    for process in (area, from_cube):
        assert tiles(process)["context"] == {name: {"from_parameter": name} for name in SIGNATURE}
        assert {entry["value"] for entry in tiles(process)["overlap"]} == {0}


def test_bands_are_scaled_and_flags_are_not(area):
    graph = area["process_graph"]
    (scaled,) = (node["arguments"] for node in graph.values() if node["process_id"] == "apply")
    (near,) = (n["arguments"] for n in graph.values() if n["process_id"] == "resample_cube_spatial")
    assert near["method"] == "near"
    targets = [
        graph[node["data"]["from_node"]]["arguments"]["target"]["from_parameter"] for node in (scaled, near)
    ]
    assert targets == ["labels", "flag_labels"]


def test_the_defaults_are_one_sensors_bands_and_flags(area):
    given = defaults(area)
    assert given["labels"] == [f"modis_{name}" for name in FUSED_BANDS["modis"]]
    assert [canonical_label(name) for name in given["bands"]] == given["labels"]
    assert all(band_of(label)[1].kind == "qa" for label in given["flag_labels"])
    factor = {udps.PUBLISHED.sources["modis"].collection: 1e-4, "modis": 1.0}[given["collection"]]
    assert given["scale"] == factor


def test_the_description_names_every_method(area, from_cube):
    for process in (area, from_cube):
        for method in (*FILLERS, "satfusenet"):
            assert f"| {method} |" in process["description"]
