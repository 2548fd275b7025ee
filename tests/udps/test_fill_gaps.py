import pytest

from openeo_udf_fusion import udps
from openeo_udf_fusion.processes.fill_gaps import FILLERS
from openeo_udf_fusion.sensors import FUSED_BANDS, band_of, canonical_label


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
