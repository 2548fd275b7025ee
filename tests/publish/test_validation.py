"""Each rule finds the violation that is planted, and nothing is wrong with what is published."""

import copy
import json
import random

import pytest

from openeo_udf_fusion import udps
from openeo_udf_fusion.errors import InvalidGraph
from openeo_udf_fusion.publish.findings import errors
from openeo_udf_fusion.publish.validation import read_processes, validate, validate_all

NOTE = "udf-changes-labels"


def rules(process):
    return {finding.rule for finding in errors(validate(process))}


def tiles(process):
    (node,) = (n for n in process["process_graph"].values() if n["process_id"] == "apply_neighborhood")
    return node["arguments"]


def runs(process):
    (node,) = tiles(process)["process"]["process_graph"].values()
    return node["arguments"]


def parameter(process, name):
    (found,) = (p for p in process["parameters"] if p["name"] == name)
    return found


def loader(process):
    return next(n for n in process["process_graph"].values() if n["process_id"] == "load_collection")


@pytest.mark.parametrize("requirement", ["openeo-udf-fusion>=9", None])
@pytest.mark.parametrize("deployment", ["PUBLISHED", "EMBEDDED"])
def test_nothing_is_wrong_with_what_is_published(deployment, requirement):
    from dataclasses import replace

    processes = udps.definitions(replace(getattr(udps, deployment), requirement=requirement))
    assert errors(validate_all(processes)) == []


def test_changed_labels_are_a_note(process):
    (finding,) = validate(process)
    assert (finding.level, finding.rule, finding.process) == ("note", NOTE, process["id"])
    assert "does not promise" in finding.message


# --- the object


@pytest.mark.parametrize("key", ["id", "summary", "description", "parameters", "returns", "process_graph"])
def test_an_object_without(process, key):
    del process[key]
    assert rules(process) == {"schema"}


SHAPES = {
    "a summary that is no text": lambda p: p.update(summary=3),
    "no nodes": lambda p: p.update(process_graph={}),
    "a node without process_id": lambda p: loader(p).pop("process_id"),
    "a node without arguments": lambda p: loader(p).pop("arguments"),
    "a result that is no flag": lambda p: loader(p).update(result="yes"),
    "a parameter without schema": lambda p: p["parameters"][0].pop("schema"),
    "a parameter without description": lambda p: p["parameters"][0].pop("description"),
    "a parameter of no known type": lambda p: p["parameters"][0].update(schema={"type": "cube"}),
    "a parameter whose name is two words": lambda p: p["parameters"][0].update(name="spatial extent"),
    "a link without href": lambda p: p.update(links=[{"rel": "about"}]),
    "a broken node in a callback": lambda p: tiles(p)["process"]["process_graph"].update(x={}),
}


@pytest.mark.parametrize("spoil", SHAPES.values(), ids=SHAPES)
def test_a_wrong_shape_is_all_that_is_said(process, spoil):
    spoil(process)
    assert rules(process) == {"schema"}


# --- ids and parameters


@pytest.mark.parametrize("name", ["mask", "ndvi", "load_collection", "if"])
def test_an_id_of_a_standard_process(process, name):
    process["id"] = name
    assert rules(process) == {"id-taken"}


def test_an_id_that_is_no_ascii_word(process):
    process["id"] = "größe"
    assert rules(process) == {"id"}
    process["id"] = "fill gaps"
    assert rules(process) == {"schema"}


def test_a_file_that_is_not_named_for_its_process(process):
    (error,) = errors(validate_all({"other": process}))
    assert (error.rule, error.process) == ("id-file", "other")


def test_an_optional_parameter_without_default(process):
    del parameter(process, "dates")["default"]
    assert rules(process) == {"default-missing"}


@pytest.mark.parametrize(
    ("name", "default"), [("target", "landsat"), ("smooth", "yes"), ("modis_scale", None)]
)
def test_a_default_that_its_schema_forbids(process, name, default):
    parameter(process, name)["default"] = default
    assert rules(process) == {"default-invalid"}


def test_a_schema_that_is_none(process):
    parameter(process, "target")["schema"] = {"type": "string", "enum": "modis"}
    assert rules(process) == {"schema"}
    parameter(process, "target")["schema"] = {"type": "string", "minLength": "many"}
    assert rules(process) == {"parameter-schema"}


def test_a_parameter_that_is_there_twice(process):
    process["parameters"].append(copy.deepcopy(parameter(process, "target")))
    assert rules(process) == {"parameter-twice"}


def test_a_parameter_that_is_not_used(process):
    process["parameters"].append({"name": "spare", "description": "Unused.", "schema": {"type": "number"}})
    assert rules(process) == {"parameter-unused"}


def test_a_reference_to_no_parameter(process):
    loader(process)["arguments"]["bands"] = [{"from_parameter": "bandes"}]
    assert rules(process) == {"parameter-undefined"}


def test_a_callback_hides_the_parameters_of_its_parent_only(process):
    scale = next(n for n in process["process_graph"].values() if n["process_id"] == "apply")
    inner = next(iter(scale["arguments"]["process"]["process_graph"].values()))
    inner["arguments"]["x"] = {"from_parameter": "data"}  # apply gives x and context to its callback, no data
    assert rules(process) == {"parameter-undefined"}


# --- graphs


def test_two_results(process):
    loader(process)["result"] = True
    assert rules(process) == {"one-result"}


def test_no_result_in_a_callback(process):
    next(iter(tiles(process)["process"]["process_graph"].values())).pop("result")
    assert rules(process) == {"one-result"}


def test_a_reference_to_no_node(process):
    tiles(process)["data"] = {"from_node": "nowhere"}
    assert rules(process) == {"from-node"}


@pytest.mark.parametrize("callback", [None, {"from_parameter": "target"}, {}])
def test_no_callback_where_one_is_needed(process, callback):
    tiles(process)["process"] = callback
    assert rules(process) == {"callback"}


def test_nodes_in_a_circle(process):
    merge = next(n for n in process["process_graph"].values() if n["process_id"] == "merge_cubes")
    (end,) = (name for name, node in process["process_graph"].items() if node.get("result"))
    merge["arguments"]["cube1"] = {"from_node": end}
    assert rules(process) == {"circle"}


@pytest.mark.parametrize(
    ("namespace", "found"), [("user", {"namespace"}), ("https://x.example/p.json", set())]
)
def test_namespaces_that_others_do_not_have(process, namespace, found):
    loader(process)["namespace"] = namespace
    assert rules(process) == found


# --- the way a UDF is called


def test_a_udf_on_a_whole_cube(process):
    process["process_graph"]["more"] = {"process_id": "run_udf", "arguments": runs(process)}
    assert "udf-parent" in rules(process)


def test_a_udf_in_another_callback(process):
    scale = next(n for n in process["process_graph"].values() if n["process_id"] == "apply")
    scale["process_id"] = "aggregate_temporal_period"
    scale["arguments"] |= {"process": tiles(process)["process"], "context": {}}
    assert "udf-parent" in rules(process)


def test_a_udf_beside_other_nodes(process):
    tiles(process)["process"]["process_graph"]["more"] = {"process_id": "add", "arguments": {"x": 1, "y": 2}}
    assert rules(process) == {"udf-alone"}


CALLS = {
    "a runtime that is not Python": (lambda p: runs(p).update(runtime="R"), "udf-runtime"),
    "code from a parameter": (lambda p: runs(p).update(udf={"from_parameter": "target"}), "udf-literal"),
    "no context inside": (lambda p: runs(p).pop("context"), "udf-context"),
    "another context inside": (lambda p: runs(p).update(context={"target": "modis"}), "udf-context"),
    "tiles of 3 px": (lambda p: tiles(p)["size"][0].update(value=3), "tile-size"),
    "tiles in metres": (lambda p: tiles(p)["size"][1].update(unit="m"), "tile-size"),
    "tiles of half pixels": (lambda p: tiles(p)["size"][0].update(value=64.5), "tile-size"),
    "no size along y": (lambda p: tiles(p)["size"].pop(), "tile-size"),
    "no sizes": (lambda p: tiles(p).pop("size"), "tile-size"),
    "a size along bands": (lambda p: tiles(p)["size"].append({"dimension": "bands"}), "tile-size"),
    "a size in time": (lambda p: tiles(p)["size"].append({"dimension": "t", "value": "P1D"}), "tile-size-t"),
    "an overlap in time": (lambda p: tiles(p)["overlap"].append({"dimension": "t"}), "tile-overlap-t"),
    "an overlap over the size": (lambda p: tiles(p)["overlap"][0].update(value=65), "tile-overlap"),
    "an overlap below zero": (lambda p: tiles(p)["overlap"][0].update(value=-1), "tile-overlap"),
}


@pytest.mark.parametrize(("spoil", "rule"), CALLS.values(), ids=CALLS)
def test_a_udf_called_with(process, spoil, rule):
    spoil(process)
    assert rules(process) == {rule}


def test_no_context_around_a_udf(process):
    context = tiles(process).pop("context")
    tiles(process)["data"] = [tiles(process)["data"], context]  # so that its parameters stay used
    assert rules(process) == {"udf-context"}


def test_an_overlap_of_the_size_is_allowed(process):
    tiles(process)["overlap"][0]["value"] = 64
    assert rules(process) == set()


# --- its text

TEXTS = {
    "CR at line ends": (lambda text: text.replace("\n", "\r\n"), {"udf-lf", "udf-block"}),
    "a syntax error": (lambda text: text + "def\n", {"udf-syntax"}),
    "no apply_metadata": (
        lambda text: text.replace("def apply_metadata", "def announce"),
        {"udf-apply-metadata"},
    ),
    "apply_metadata further in": (
        lambda text: text.replace("def apply_metadata", "if True:\n  def apply_metadata"),
        {"udf-apply-metadata"},
    ),
    "annotations of the future": (
        lambda text: text.replace("import xarray\n", "from __future__ import annotations\n\nimport xarray\n"),
        {"udf-future"},
    ),
    "a quoted annotation": (
        lambda text: text.replace("cube: xarray.DataArray", 'cube: "xarray.DataArray"'),
        {"udf-annotations"},
    ),
    "no return annotation": (lambda text: text.replace("-> xarray.DataArray", ""), {"udf-annotations"}),
    "another annotation": (
        lambda text: text.replace("-> xarray.DataArray", "-> xarray.Dataset"),
        {"udf-annotations"},
    ),
    "another argument": (lambda text: text.replace("cube: xarray", "array: xarray"), {"udf-annotations"}),
    "no apply_datacube": (lambda text: text.replace("def apply_datacube", "def run"), {"udf-function"}),
    "two of them": (lambda text: text + "\n\n" + text[text.index("def apply_datacube") :], {"udf-function"}),
    "a helper on UdfData": (
        lambda text: text + "\n\ndef first(data: UdfData):\n    return data\n",
        {"udf-function"},
    ),
    "a relative import": (
        lambda text: text.replace("import xarray\n", "from . import x\nimport xarray\n"),
        {"udf-import"},
    ),
    "its own path": (lambda text: text + "\nHERE = __file__\n", {"udf-file"}),
    "two blocks": (lambda text: text[: text.index('"""')] + "\n" + text, {"udf-one-block"}),
    "an indented block": (lambda text: text.replace("# /// script", " # /// script"), {"udf-block"}),
    "a block written otherwise": (lambda text: text.replace("# /// script", "#/// script"), {"udf-block"}),
    "a block that is not closed": (lambda text: text.replace("# ///\n", ""), {"udf-block"}),
    "a block that is no TOML": (lambda text: text.replace('["openeo', "[openeo"), {"udf-block"}),
    "a requirement that is none": (lambda text: text.replace("fusion==", "fusion == =="), {"udf-block"}),
}


@pytest.mark.parametrize(("spoil", "expected"), TEXTS.values(), ids=TEXTS)
def test_a_text_with(process, spoil, expected):
    before = runs(process)["udf"]
    runs(process)["udf"] = spoil(before)
    assert runs(process)["udf"] != before
    assert rules(process) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("import xarray\n", "import xarray as xr\n").replace(
            "xarray.Data", "xr.Data"
        ),
        lambda text: text.replace("import xarray\n", "from xarray import DataArray\n").replace(
            "xarray.Data", "Data"
        ),
        lambda text: text + "\n\ndef helper(data: dict) -> dict:\n    return data\n",
    ],
)
def test_a_text_that_backends_take_is_not_blamed(process, change):
    runs(process)["udf"] = change(runs(process)["udf"])
    assert rules(process) == set()


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda text: text[text.index('"""') :], "udf-no-requirement"),
        (lambda text: text.replace('"openeo-udf-fusion==0.1.0"', '"torch>=2"'), "udf-heavy-requirement"),
        (lambda text: text.replace("openeo-udf-fusion==0.1.0", "https://x.example/a.whl"), None),
    ],
)
def test_what_a_text_requires_is_noted(process, change, note):
    before = runs(process)["udf"]
    runs(process)["udf"] = change(before)
    assert runs(process)["udf"] != before
    assert {finding.rule for finding in validate(process)} == {NOTE} | ({note} if note else set())
    assert rules(process) == set()


def test_without_apply_neighborhood_there_is_nothing_to_note(process):
    (node,) = (n for n in process["process_graph"].values() if n["process_id"] == "apply_neighborhood")
    node["process_id"] = "apply_dimension"
    node["arguments"] |= {"dimension": "t"}
    assert validate(process) == []


@pytest.mark.parametrize("schema", [{"type": "string", "pattern": "("}, {"$ref": "#/nowhere"}])
def test_a_schema_that_cannot_be_applied(process, schema):
    parameter(process, "target")["schema"] = schema
    assert rules(process) == {"parameter-schema"}


def places(value, path=()):
    """Every place in a JSON value, as keys that lead there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def test_anything_anywhere_is_answered_by_findings():
    """Whatever stands in a file, validation says what is wrong with it and never fails itself."""
    whole = udps.definitions()["fill_gaps"]
    everywhere = [
        (place, odd) for place in places(whole) for odd in (None, 3, "odd", [], {}, [{}], {"odd": None})
    ]
    answered = 0
    for place, odd in random.Random(0).sample(everywhere, 120):
        process = copy.deepcopy(whole)
        around = process
        for key in place[:-1]:
            around = around[key]
        around[place[-1]] = odd
        answered += bool(errors(validate(process)))
    assert answered > 70


# --- files


def test_files_are_read_by_their_names(process, tmp_path):
    (tmp_path / "harmonize_modis_viirs.json").write_text(json.dumps(process))
    assert read_processes(tmp_path) == {"harmonize_modis_viirs": process}


@pytest.mark.parametrize(("content", "said"), [("{", "JSON"), ("[]", "object"), (None, "no process")])
def test_a_folder_without_processes_is_an_error(tmp_path, content, said):
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(InvalidGraph, match=said):
        read_processes(tmp_path)
