"""The rules of the catalogues for records, benchmark scenarios, STAC catalogues, items and models."""

import json
from functools import cache
from pathlib import Path
from typing import Literal

from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.publish.findings import Finding

Rule = Literal["record", "scenario", "catalog", "item", "model"]
_FOLDER = Path(__file__).parent / "catalogue_schemas"
_FILES = {"record": "apex-record", "scenario": "apex-benchmark_scenario", "model": "stac-mlm"}
_SHOWN = 5

_NUMBERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
_NUMBERS += ["float16", "float32", "float64", "cint16", "cint32", "cfloat32", "cfloat64", "other"]
_EXTENSIONS: dict[str, Json] = {
    "raster/v1.1.0": {
        "definitions": {"bands": {"items": {"properties": {"data_type": {"enum": _NUMBERS}}}}},
    },
    "classification/v1.1.0": {
        "definitions": {
            "fields": {"properties": {"classification:classes": {"type": "array", "minItems": 1}}}
        },
    },
    "processing/v1.1.0": {
        "definitions": {
            "fields": {
                "properties": {
                    "processing:expression": {"type": "object", "required": ["format", "expression"]}
                }
            }
        },
    },
}
"""What the MLM schema takes from other extensions' schemas, restated: they are not fetched."""


def violations(document: JsonValue, rule: Rule, name: str) -> list[Finding]:
    """Check a document, named `name` in what is found, by the schema of a catalogue."""
    found = sorted(_validator(rule).iter_errors(document), key=lambda error: error.json_path)
    deepest = [best_match([error]) for error in found[:_SHOWN]]
    return [
        Finding("error", rule, f"{error.json_path[2:] or 'the document'}: {error.message:.200}", name)
        for error in deepest
    ]


@cache
def _validator(rule: Rule) -> Validator:
    stac = get_local_schema_cache()
    if rule in _FILES:
        schema = json.loads((_FOLDER / f"{_FILES[rule]}.json").read_text(encoding="utf-8"))
    else:
        (schema,) = (found for uri, found in stac.items() if uri.endswith(f"/{rule}.json"))
    others = {
        f"https://stac-extensions.github.io/{name}/schema.json": found for name, found in _EXTENSIONS.items()
    }
    resources = [
        (uri, Resource.from_contents(found, default_specification=DRAFT7))
        for uri, found in (stac | others).items()
    ]
    made: Validator = validator_for(schema)(schema, registry=Registry().with_resources(resources))
    return made
