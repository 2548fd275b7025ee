import pytest

from openeo_udf_fusion import udps
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes.embed_sentinel1_sentinel2 import MODEL, MOST_DATES
from openeo_udf_fusion.sensors import canonical_label

NAME = "embed_sentinel1_sentinel2"


@pytest.fixture(scope="module")
def area(definitions):
    return definitions[NAME]


def defaults(process):
    return {parameter["name"]: parameter.get("default") for parameter in process["parameters"]}


def test_the_overlap_is_the_receptive_field_of_the_model(definitions):
    for form in ("", "_cube"):
        nodes = definitions[f"{NAME}{form}"]["process_graph"].values()
        (tiles,) = (node["arguments"] for node in nodes if node["process_id"] == "apply_neighborhood")
        assert {entry["value"] for entry in tiles["overlap"]} == {cards.read(MODEL).receptive_field_px} == {7}


def test_every_band_is_loaded_under_its_label(area):
    graph, given = area["process_graph"], defaults(area)
    renames = [node["arguments"] for node in graph.values() if node["process_id"] == "rename_labels"]
    labels = [label for rename in renames for label in rename["target"]]
    assert sorted(labels) == sorted(
        [f"{sensor}_{band}" for sensor, bands in cards.read(MODEL).bands.items() for band in bands]
        + ["s2_SCL"]
    )
    for rename in renames:
        names = given[rename["source"]["from_parameter"]]
        assert [canonical_label(name, rename["target"][0][:2]) for name in names] == rename["target"]


def test_everything_lands_on_the_grid_of_sentinel2(area):
    graph = area["process_graph"]
    resampled = [
        node["arguments"] for node in graph.values() if node["process_id"] == "resample_cube_spatial"
    ]
    assert len(resampled) == 2
    assert {arguments["method"] for arguments in resampled} == {"near"}
    (target,) = {arguments["target"]["from_node"] for arguments in resampled}
    bands = graph[graph[target]["arguments"]["data"]["from_node"]]["arguments"]["target"]
    assert "s2_B02" in bands


def test_collections_are_scaled_as_backends_store_them():
    for deployment, scales in ((udps.PUBLISHED, (1.0, 1e-4)), (udps.EMBEDDED, (1.0, 1.0))):
        given = defaults(udps.definitions(deployment)[NAME])
        assert (given["s1_scale"], given["s2_scale"]) == scales
        assert (given["s1_offset"], given["s2_offset"]) == (0.0, 0.0)


def test_the_description_names_bands_limits_and_what_cannot_be_claimed(area):
    text = area["description"]
    assert all(f"s2_{band}" in text for band in cards.read(MODEL).bands["s2"])
    assert f"{MOST_DATES} dates" in text
    assert "What cannot be claimed" in text
    assert f"{cards.read(MODEL).receptive_field_px} pixels" in text


def test_sentinel1_alone_is_filtered_by_the_direction_of_its_orbits(area):
    loads = [n["arguments"] for n in area["process_graph"].values() if n["process_id"] == "load_collection"]
    (radar,) = (load for load in loads if load["id"] == {"from_parameter": "s1_collection"})
    (condition,) = radar["properties"]["sat:orbit_state"]["process_graph"].values()
    assert condition["process_id"] == "eq"
    assert condition["arguments"] == {"x": {"from_parameter": "value"}, "y": {"from_parameter": "s1_orbit"}}
    assert defaults(area)["s1_orbit"] == "ASCENDING"
    assert not any("properties" in load for load in loads if load is not radar)
