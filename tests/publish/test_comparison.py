"""A process is known again whatever a backend does to its JSON; what is not ours is not taken for ours."""

import copy
import json

import pytest

from openeo_udf_fusion import __version__, udps
from openeo_udf_fusion.publish import comparison
from openeo_udf_fusion.publish.comparison import Standing, fingerprint, marked, standing

KEPT_BY_GEOPYSPARK = ("id", "process_graph", "parameters", "returns", "summary", "description", "links")


def first_node(process):
    return next(iter(process["process_graph"].values()))


def test_nothing_there(process):
    assert standing(process, None) == Standing("absent")


@pytest.mark.parametrize("process_id", udps.definitions())
def test_what_was_published_is_the_same(process_id):
    process = udps.definitions()[process_id]
    assert standing(process, marked(process)) == Standing("same", __version__)
    assert standing(process, json.loads(json.dumps(marked(process)))) == Standing("same", __version__)


def test_the_mark_is_the_end_of_the_description_alone(process):
    after = marked(process)
    assert after["description"].startswith(process["description"].rstrip())
    assert {key for key in after if after[key] != process[key]} == {"description"}


def explicit(stored):
    for node in stored["process_graph"].values():
        node.setdefault("result", False)
        node["namespace"] = None
    for parameter in stored["parameters"]:
        parameter.setdefault("optional", False)
        parameter["deprecated"] = False


def as_floats(stored):
    for entry in next(n for n in stored["process_graph"].values() if n["process_id"] == "apply_neighborhood")[
        "arguments"
    ]["size"]:
        entry["value"] = float(entry["value"])


REWRITTEN = {
    "fewer fields": lambda s: [s.pop(key) for key in list(s) if key not in KEPT_BY_GEOPYSPARK],
    "graph, parameters and description alone": lambda s: [
        s.pop(key) for key in ("summary", "returns", "categories")
    ],
    "fields of its own": lambda s: s.update(public=False, links=[{"rel": "canonical", "href": "https://x"}]),
    "what may be left out": explicit,
    "whole numbers as floats": as_floats,
    "nodes in another order": lambda s: s.update(process_graph=dict(reversed(s["process_graph"].items()))),
    "no space at the end": lambda s: s.update(description=s["description"].strip()),
    "other line ends": lambda s: s.update(description=s["description"].replace("\n", "\r\n")),
    "no parameters' descriptions": lambda s: [p.pop("description") for p in s["parameters"]],
}


@pytest.mark.parametrize("rewrite", REWRITTEN.values(), ids=REWRITTEN)
def test_a_backend_may_write_it_otherwise(process, rewrite):
    stored = marked(copy.deepcopy(process))
    rewrite(stored)
    assert standing(process, stored) == Standing("same", __version__)


CHANGED = {
    "another collection": lambda s: s["parameters"][2].update(default="another"),
    "an argument": lambda s: first_node(s)["arguments"].update(bands=["a"]),
    "a node": lambda s: s["process_graph"].update(more={"process_id": "add", "arguments": {"x": 1, "y": 2}}),
    "a flag": lambda s: s["parameters"][-1].update(default=True),
    "the order of parameters": lambda s: s["parameters"].reverse(),
}


EDITED = {
    "the summary": lambda s: s.update(summary="For our group"),
    "the description": lambda s: s.update(description=f"Ask Ada first.\n\n{s['description']}"),
    "what it returns": lambda s: s["returns"].update(description="Our cube"),
    "a parameter's description": lambda s: s["parameters"][0].update(description="Our area"),
}


@pytest.mark.parametrize("change", (CHANGED | EDITED).values(), ids=CHANGED | EDITED)
def test_what_somebody_changed_is_theirs(process, change):
    stored = marked(copy.deepcopy(process))
    change(stored)
    found = standing(process, stored)
    assert found == Standing("changed", __version__)
    assert not found.replaceable


@pytest.mark.parametrize("rewrite", REWRITTEN.values(), ids=REWRITTEN)
@pytest.mark.parametrize("edit", list(EDITED.values())[:2], ids=list(EDITED)[:2])
def test_what_a_backend_drops_does_not_hide_an_edit(process, rewrite, edit):
    stored = marked(copy.deepcopy(process))
    rewrite(stored)
    edit(stored)
    assert standing(process, stored) == Standing("changed", __version__)


@pytest.mark.parametrize("rewrite", REWRITTEN.values(), ids=REWRITTEN)
def test_an_older_version_that_a_backend_wrote_otherwise_is_ours(process, rewrite):
    older = copy.deepcopy(process) | {"summary": "Older", "description": "Older words"}
    stored = marked(older)
    rewrite(stored)
    assert standing(process, stored) == Standing("ours", __version__)


def test_somebody_who_came_to_the_same_loses_nothing(process):
    """An edit that ends in just what would be published."""
    older = marked(copy.deepcopy(process) | {"summary": "Older"})
    assert standing(process, older | {"summary": process["summary"]}).state == "ours"


@pytest.mark.parametrize("edit", EDITED.values(), ids=EDITED)
def test_own_words_without_a_mark_are_somebody_elses(process, edit):
    stored = copy.deepcopy(process)
    edit(stored)
    assert standing(process, stored).state == "foreign"


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_another_version_is_ours(process, change, monkeypatch):
    older = copy.deepcopy(process)
    change(older)
    monkeypatch.setattr(comparison, "__version__", "0.0.9")
    stored = marked(older)
    monkeypatch.undo()
    found = standing(process, stored)
    assert found == Standing("ours", "0.0.9")
    assert found.replaceable


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(summary="Another summary"),
        lambda p: p.update(description="Another description"),
        lambda p: p["returns"].update(description="Another cube"),
        lambda p: p["parameters"][0].update(description="Another description"),
    ],
)
def test_other_words_are_another_version(process, change):
    older = copy.deepcopy(process)
    change(older)
    assert standing(process, marked(older)).state == "ours"


def test_what_carries_no_mark_is_somebody_elses(process):
    stored = copy.deepcopy(process)
    first_node(stored)["arguments"]["bands"] = ["a"]
    assert standing(process, stored) == Standing("foreign")
    assert not Standing("foreign").replaceable
    stored["description"] = "uses openeo-udf-fusion 0.1.0, fingerprint 0123456789abcdef, says its author"
    assert standing(process, stored) == Standing("foreign")
    del stored["description"]
    assert standing(process, stored) == Standing("foreign")


def test_the_same_without_a_mark_loses_nothing_when_it_is_replaced(process):
    assert standing(process, process) == Standing("ours")
    kept = {key: process[key] for key in ("id", "process_graph", "parameters")}
    assert standing(process, kept) == Standing("same")


def test_a_process_without_parameters():
    graph = {"add": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    process = {"id": "three", "description": "3", "summary": "3", "returns": {}, "parameters": []}
    stored = marked(process | {"process_graph": graph})
    del stored["parameters"]
    assert standing(process | {"process_graph": graph}, stored).state == "same"


def test_a_fingerprint_tells_processes_apart():
    prints = {fingerprint(process) for process in udps.definitions().values()}
    assert len(prints) == len(udps.definitions())
