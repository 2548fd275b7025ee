"""The processes this backend has: their specifications, names and callback parameters.

Specifications and implementations come from openeo-processes-dask; what is missing there, or loses
labels, is this package's own (`local/replacements.py`).
"""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import openeo_processes_dask.specs

from openeo_udf_fusion.errors import FusionError, MissingParameter, UnknownParameter, UnknownProcess
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.standard.argument_types import type_errors
from openeo_udf_fusion.local.standard.registry import implementations

EXECUTED_BY_NAME = frozenset(
    {"apply_neighborhood", "load_collection", "load_stac", "run_udf", "save_result", "filter_spatial"}
)
"""Processes that the executor itself runs: they need the data folder, or a place to run a UDF."""

NOT_OFFERED = frozenset(
    # These read from the network, or are experiments of one project.
    {
        "apply_neighborhood_intertwin",
        "ddmc",
        "export_workspace",
        "load_geojson",
        "load_url",
        "rqadeforestation",
    }
)

_ALIGN: Json = {
    "name": "align",
    "description": "The corner of the cube's outline that the new pixels are laid out from.",
    "schema": {"type": "string", "enum": ["lower-left", "upper-left", "lower-right", "upper-right"]},
    "default": "upper-left",
    "optional": True,
}
"""A parameter of `resample_spatial` in the openEO specification, which the collected one lacks."""

# What a callback of a process without a specification may refer to.
USUAL_CALLBACK_PARAMETERS = frozenset(
    {"data", "x", "y", "context", "index", "label", "value", "min", "max", "parameters"}
)


@cache
def specifications() -> dict[str, Json]:
    """Specification of every process that this backend executes, by id (openEO `GET /processes`)."""
    folder = Path(openeo_processes_dask.specs.__file__).parent / "openeo-processes"
    files = [*folder.glob("*.json"), folder / "missing-processes" / "apply_neighborhood.json"]
    found = {spec["id"]: spec for spec in (json.loads(file.read_text()) for file in files)}
    found["resample_spatial"]["parameters"].append(_ALIGN)
    offered = (EXECUTED_BY_NAME | implementations().keys()) - NOT_OFFERED
    return {id: found[id] for id in sorted(offered) if id in found}


def is_standard(process_id: str) -> bool:
    """Whether the backend itself executes this process."""
    return process_id in specifications()


def unknown_process(process_id: str, namespace: str | None, known: Iterable[str] = ()) -> UnknownProcess:
    """Describe a process that nobody defines, with the names that come near."""
    near = get_close_matches(process_id, [*known, *specifications()], n=3)
    where = f" in namespace {namespace!r}" if namespace else ""
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    if namespace and process_id in near:
        hint = "; there is one without a namespace"
    return UnknownProcess(f"there is no process {process_id!r}{where}{hint}")


def check_arguments(process_id: str, arguments: Json, parameters: list[Json]) -> list[FusionError]:
    """Compare the arguments of one node with the parameters its process declares.

    Returns
    -------
    list of MissingParameter, UnknownParameter and InvalidParameter
        empty when the call is right.
    """
    known = [str(parameter["name"]) for parameter in parameters]
    errors: list[FusionError] = [
        UnknownParameter(
            f"{process_id} has no parameter {name!r}; it has {', '.join(known) if known else 'none at all'}"
        )
        for name in arguments
        if name not in known
    ]
    errors += [
        MissingParameter(f"{process_id} needs the argument {parameter['name']!r}")
        for parameter in parameters
        if parameter["name"] not in arguments and not is_optional(parameter)
    ]
    return [*errors, *type_errors(process_id, arguments, parameters)]


def is_optional(parameter: Json) -> bool:
    """Whether an argument may be left out: declared so, or with a default."""
    return bool(parameter.get("optional")) or "default" in parameter


def callback_parameters(parameters: list[Json] | None, argument: str) -> frozenset[str]:
    """Names that a process gives to the callback in `argument`; they shadow every outer parameter."""
    for parameter in parameters or []:
        if parameter["name"] == argument:
            names = {
                str(inner["name"]) for schema in _schemas(parameter) for inner in schema.get("parameters", [])
            }
            return frozenset(names) or USUAL_CALLBACK_PARAMETERS
    return USUAL_CALLBACK_PARAMETERS


def _schemas(parameter: Json) -> list[Json]:
    schema: JsonValue = parameter.get("schema", {})
    return list(schema) if isinstance(schema, list) else [schema]
