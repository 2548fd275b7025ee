"""The processes that fuse Landsat and Sentinel-2: sources, grids, tiles."""

import pytest

from openeo_udf_fusion import udps
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes import sharpen_landsat_thermal, sharpen_sentinel2
from openeo_udf_fusion.processes.landsat_sentinel2 import MODEL, MOST_DATES
from openeo_udf_fusion.sensors import canonical_label

NAMES = ("fuse_landsat_sentinel2", "sharpen_sentinel2", "sharpen_landsat_thermal")


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def area(definitions, name):
    return definitions[name]


def defaults(process):
    return {parameter["name"]: parameter.get("default") for parameter in process["parameters"]}


def calls(process, process_id):
    return [n["arguments"] for n in process["process_graph"].values() if n["process_id"] == process_id]


@pytest.mark.parametrize("form", ["", "_cube"])
def test_tiles_are_whole_cells_and_overlap_as_far_as_the_network_looks(definitions, name, form):
    (tiles,) = calls(definitions[f"{name}{form}"], "apply_neighborhood")
    (size,) = {entry["value"] for entry in tiles["size"]}
    (overlap,) = {entry["value"] for entry in tiles["overlap"]}
    assert size % 3 == overlap % 3 == 0
    needed = cards.read(MODEL).receptive_field_px
    compensating = {module.NAME: module for module in (sharpen_landsat_thermal, sharpen_sentinel2)}
    needed += compensating[name].COMPENSATION_PX if name in compensating else 0
    assert needed <= overlap < needed + 3
    assert overlap <= size  # a larger one shifts results on production backends


def test_every_band_is_loaded_under_its_label(area):
    graph, given = area["process_graph"], defaults(area)
    labels = []
    for rename in calls(area, "rename_labels"):
        target = rename["target"]
        target = given[target["from_parameter"]] if isinstance(target, dict) else target
        names = given[rename["source"]["from_parameter"]]
        assert [canonical_label(stored, target[0][:2]) for stored in names] == target
        assert rename["source"] == graph[rename["data"]["from_node"]]["arguments"]["bands"]
        labels += target
    bands = [f"{sensor}_{band}" for sensor, own in cards.read(MODEL).bands.items() for band in own]
    assert sorted(labels) == sorted([*bands, "s2_SCL", "l8_QA_PIXEL"])


def test_landsat_lands_on_cells_that_begin_at_sentinel2s_corner(area):
    graph = area["process_graph"]
    (cells,) = calls(area, "resample_spatial")
    assert (cells["resolution"], cells["align"]) == (30, "upper-left")
    optical = cells["data"]["from_node"]
    onto = {node: n["arguments"] for node, n in graph.items() if n["process_id"] == "resample_cube_spatial"}
    on_cells = {
        node: each for node, each in onto.items() if each["target"]["from_node"].startswith("resamplespatial")
    }
    assert sorted(each["method"] for each in on_cells.values()) == ["bilinear", "bilinear", "near"]
    others = [each for node, each in onto.items() if node not in on_cells]
    assert {each["method"] for each in others} == {"near"}
    assert {each["target"]["from_node"] for each in others} == {optical}
    assert {each["data"]["from_node"] for each in others} > set(on_cells)


def test_only_landsats_whose_bands_are_meant_are_loaded(area):
    """The catalogue's collection begins with Landsat 4; SR_B2 of Landsat 7 is green, of Landsat 8 blue."""
    assert defaults(area)["l8_platforms"] == ["landsat-8", "landsat-9"]
    for load in calls(area, "load_collection"):
        if not load["id"]["from_parameter"].startswith("l8"):
            assert "properties" not in load
            continue
        (condition,) = load["properties"]["platform"]["process_graph"].values()
        assert condition["process_id"] == "array_contains"
        assert condition["arguments"] == {
            "data": {"from_parameter": "l8_platforms"},
            "value": {"from_parameter": "value"},
        }


def test_flags_are_never_interpolated_nor_scaled(area):
    graph = area["process_graph"]
    (flags,) = (n for n, node in graph.items() if node["arguments"].get("target") == ["s2_SCL"])
    near = [each for each in calls(area, "resample_cube_spatial") if each["data"]["from_node"] == flags]
    assert [each["method"] for each in near] == ["near"]
    scaled = [graph[each["data"]["from_node"]]["arguments"]["target"] for each in calls(area, "apply")]
    assert ["l8_LST"] in scaled
    assert ["s2_SCL"] not in scaled
    assert {"from_parameter": "l8_flag_labels"} not in scaled


def test_products_are_scaled_as_their_guides_say(name):
    numbers = {
        "PUBLISHED": (1e-4, 0.0, 2.75e-5, -0.2, 0.00341802, 149.0),
        "EMBEDDED": (1.0, 0.0, 1.0, 0.0, 1.0, 0.0),
    }
    for deployment, expected in numbers.items():
        given = defaults(udps.definitions(getattr(udps, deployment))[name])
        found = [given[f"{s}_{what}"] for s in ("s2", "l8", "l8_lst") for what in ("scale", "offset")]
        assert tuple(found) == expected


def test_the_description_names_what_comes_in_and_cannot_be_claimed(area):
    text = area["description"]
    assert "What cannot be claimed" in text
    assert "one site" in text
    assert "10.1016/j.rse.2025.115159" in text


def test_the_fusion_names_all_bands_and_limits(definitions):
    text = definitions["fuse_landsat_sentinel2"]["description"]
    assert all(f"`s2_{band}`" in text for band in cards.read(MODEL).bands["s2"])
    assert all(
        label in text for label in ("`l8_B1` to `l8_B7`", "`l8_LST`", "`l8_QA_PIXEL`", "`l8_pixel_qa`")
    )
    assert f"at most {MOST_DATES}" in text
