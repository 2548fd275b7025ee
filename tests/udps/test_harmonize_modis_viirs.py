import pytest

from openeo_udf_fusion import udps
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes.harmonize_modis_viirs import MODEL
from openeo_udf_fusion.sensors import FUSED_BANDS, band_of, canonical_label


@pytest.fixture(scope="module")
def area(definitions):
    return definitions["harmonize_modis_viirs"]


@pytest.fixture(scope="module")
def from_cube(definitions):
    return definitions["harmonize_modis_viirs_cube"]


def defaults(process):
    return {parameter["name"]: parameter.get("default") for parameter in process["parameters"]}


def tiles(process):
    (node,) = (n for n in process["process_graph"].values() if n["process_id"] == "apply_neighborhood")
    return node["arguments"]


def test_the_overlap_is_the_receptive_field_of_the_model(area, from_cube):
    for process in (area, from_cube):
        overlap = {entry["value"] for entry in tiles(process)["overlap"]}
        assert overlap == {cards.read(MODEL).receptive_field_px}


def test_every_load_names_its_bands_by_labels_of_the_alias_table(area):
    graph, given = area["process_graph"], defaults(area)
    renames = [node["arguments"] for node in graph.values() if node["process_id"] == "rename_labels"]
    assert len(renames) == 4
    targets = [
        given[t["from_parameter"]] if isinstance(t, dict) else t for t in (r["target"] for r in renames)
    ]
    labels = [label for target in targets for label in target]
    assert len(set(labels)) == len(labels)
    assert {f"{s}_{name}" for s, names in FUSED_BANDS.items() for name in names} <= set(labels)
    for rename, target in zip(renames, targets, strict=True):
        assert rename["source"] == graph[rename["data"]["from_node"]]["arguments"]["bands"]
        source = given[rename["source"]["from_parameter"]]
        sensor = target[0].partition("_")[0]
        assert [canonical_label(name, sensor) for name in source] == target


def test_flags_keep_their_bits_and_stay_with_their_pixels(area):
    graph, given = area["process_graph"], defaults(area)

    def labels_below(reference):
        node = graph[reference["from_node"]]
        if node["process_id"] == "rename_labels":
            target = node["arguments"]["target"]
            return given[target["from_parameter"]] if isinstance(target, dict) else target
        return labels_below(node["arguments"]["data"])

    resampled = [
        node["arguments"] for node in graph.values() if node["process_id"] == "resample_cube_spatial"
    ]
    assert len(resampled) == 3
    assert {arguments["method"] for arguments in resampled} == {"near"}
    scaled = [node["arguments"] for node in graph.values() if node["process_id"] == "apply"]
    assert len(scaled) == 2
    assert all(band_of(label)[1].kind == "reflectance" for s in scaled for label in labels_below(s["data"]))


def test_products_are_scaled_as_their_guides_say():
    for definition, factor in ((udps.PUBLISHED, 1e-4), (udps.EMBEDDED, 1.0)):
        given = defaults(udps.definitions(definition)["harmonize_modis_viirs"])
        assert {given["modis_scale"], given["viirs_scale"]} == {factor}
        assert {given["modis_offset"], given["viirs_offset"]} == {0.0}


def test_the_description_names_every_band_and_what_cannot_be_claimed(area, from_cube):
    for process in (area, from_cube):
        for name in FUSED_BANDS["viirs"]:
            assert f"viirs_{name}" in process["description"]
        assert "What cannot be claimed" in process["description"]
