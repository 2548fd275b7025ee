"""The part of the openEO API's schema that is shipped agrees with the API's own document."""

import copy

import pytest
from jsonschema import Draft7Validator

from openeo_udf_fusion import udps
from openeo_udf_fusion.publish.process_schema import PROCESS_SCHEMA


def first_node(process):
    return next(iter(process["process_graph"].values()))


WRONG = {
    "no graph": lambda p: p.pop("process_graph"),
    "an id of two words": lambda p: p.update(id="fill gaps"),
    "a summary that is no text": lambda p: p.update(summary=3),
    "categories that are no list": lambda p: p.update(categories="cubes"),
    "a node without process_id": lambda p: first_node(p).pop("process_id"),
    "a node without arguments": lambda p: first_node(p).pop("arguments"),
    "a process_id of two words": lambda p: first_node(p).update(process_id="load collection"),
    "a namespace that is no text": lambda p: first_node(p).update(namespace=3),
    "a result that is no flag": lambda p: first_node(p).update(result="yes"),
    "a parameter without name": lambda p: p["parameters"][0].pop("name"),
    "a parameter without schema": lambda p: p["parameters"][0].pop("schema"),
    "a parameter without description": lambda p: p["parameters"][0].pop("description"),
    "optional that is no flag": lambda p: p["parameters"][0].update(optional="no"),
    "a type that is none": lambda p: p["parameters"][0].update(schema={"type": "cube"}),
    "an enum that is no list": lambda p: p["parameters"][0].update(schema={"enum": "a"}),
    "returns without schema": lambda p: p.update(returns={"description": "a cube"}),
    "a link without rel": lambda p: p.update(links=[{"href": "https://x.example"}]),
    "an example without arguments": lambda p: p.update(examples=[{"returns": 1}]),
}


@pytest.mark.parametrize("process_id", udps.definitions())
def test_both_take_what_is_published(process_of_the_api, process_id):
    process = udps.definitions()[process_id]
    assert process_of_the_api.is_valid(process)
    assert Draft7Validator(PROCESS_SCHEMA).is_valid(process)


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
def test_both_refuse(process_of_the_api, spoil, process):
    spoil(process)
    assert not process_of_the_api.is_valid(process)
    assert not Draft7Validator(PROCESS_SCHEMA).is_valid(process)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(
            deprecated=True, experimental=True, links=[{"href": "https://x.example", "rel": "about"}]
        ),
        lambda p: p["parameters"][0].update(schema=[{"type": ["null", "number"], "subtype": "year"}]),
        lambda p: p.update(something_else={"a": 1}, examples=[{"arguments": {"x": 1}, "returns": 2}]),
    ],
)
def test_both_take_what_the_api_allows(process_of_the_api, change, process):
    changed = copy.deepcopy(process)
    change(changed)
    assert process_of_the_api.is_valid(changed)
    assert Draft7Validator(PROCESS_SCHEMA).is_valid(changed)
