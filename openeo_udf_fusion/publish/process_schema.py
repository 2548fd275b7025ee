"""What the openEO API asks of a process object that is stored at PUT /process_graphs/{id}, as JSON Schema.

Restates, without its descriptions, the part that concerns processes of the OpenAPI document of the openEO
API 1.2.0 (https://github.com/Open-EO/openeo-api, Apache-2.0, schema `process_graph_with_metadata`). A process
that is published needs more than one that is only run, so `id`, `summary`, `description`, `parameters` and
`returns` are required here.
"""

from openeo_udf_fusion.jsontypes import Json

_WORD = {"type": "string", "pattern": r"^\w+$"}
_TEXT = {"type": "string", "minLength": 1}
_TYPES = ["array", "boolean", "integer", "null", "number", "object", "string"]
_DATA_TYPE: Json = {
    "type": "object",
    "properties": {
        "type": {"anyOf": [{"enum": _TYPES}, {"type": "array", "items": {"enum": _TYPES}, "minItems": 1}]},
        "subtype": {"type": "string"},
        "pattern": {"type": "string"},
        "format": {"type": "string"},
        "enum": {"type": "array"},
        "minimum": {"type": "number"},
        "maximum": {"type": "number"},
        "minItems": {"type": "integer", "minimum": 0},
        "maxItems": {"type": "integer", "minimum": 0},
        "items": {"type": ["object", "array"]},
        "deprecated": {"type": "boolean"},
    },
}
_ONE_OR_MORE_TYPES = {"anyOf": [_DATA_TYPE, {"type": "array", "items": _DATA_TYPE, "minItems": 1}]}
_PARAMETER = {
    "type": "object",
    "required": ["name", "description", "schema"],
    "properties": {
        "name": _WORD,
        "description": _TEXT,
        "schema": _ONE_OR_MORE_TYPES,
        "optional": {"type": "boolean"},
        "deprecated": {"type": "boolean"},
        "experimental": {"type": "boolean"},
    },
}
_NODE = {
    "type": "object",
    "required": ["process_id", "arguments"],
    "properties": {
        "process_id": _WORD,
        "namespace": {"type": ["string", "null"]},
        "result": {"type": "boolean"},
        "description": {"type": ["string", "null"]},
        "arguments": {"type": "object"},
    },
}
_LINK = {
    "type": "object",
    "required": ["href", "rel"],
    "properties": {name: {"type": "string"} for name in ("href", "rel", "type", "title")},
}
GRAPH_SCHEMA: Json = {"type": "object", "minProperties": 1, "additionalProperties": _NODE}
"""A process graph; the callbacks in its arguments are graphs of the same kind."""
PROCESS_SCHEMA: Json = {
    "type": "object",
    "required": ["id", "summary", "description", "parameters", "returns", "process_graph"],
    "properties": {
        "id": _WORD,
        "summary": _TEXT,
        "description": _TEXT,
        "categories": {"type": "array", "items": {"type": "string"}},
        "parameters": {"type": "array", "items": _PARAMETER},
        "returns": {
            "type": "object",
            "required": ["schema"],
            "properties": {"description": {"type": "string"}, "schema": _ONE_OR_MORE_TYPES},
        },
        "deprecated": {"type": "boolean"},
        "experimental": {"type": "boolean"},
        "examples": {"type": "array", "items": {"type": "object", "required": ["arguments"]}},
        "links": {"type": "array", "items": _LINK},
        "process_graph": GRAPH_SCHEMA,
    },
}
