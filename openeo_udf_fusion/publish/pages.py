"""The page of a process: what its users read."""

import json

from openeo_udf_fusion.jsontypes import Json, JsonValue


def page(process: Json) -> str:
    """Return a process's page: its description and a table of its parameters."""
    rows = [
        f"| `{parameter['name']}` | {_default(parameter)} | {parameter['description']} |"
        for parameter in process["parameters"]
    ]
    table = "\n".join(["| parameter | default | meaning |", "|---|---|---|", *rows])
    return f"# {process['id']}\n\n{process['summary']}.\n\n{process['description'].strip()}\n\n{table}\n"


def _default(parameter: Json) -> str:
    default: JsonValue = parameter.get("default")
    return f"`{json.dumps(default)}`" if parameter.get("optional") else "required"
