"""Reads from a process graph how a UDF is to be called: what its parent promises it, and its context."""

from dataclasses import dataclass
from typing import Literal

from openeo_udf_fusion.errors import InvalidGraph, InvalidParameter
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.inline import is_callback, result_node
from openeo_udf_fusion.local.udf.parents import MINIMAL_SIZE_PX, PARENTS


@dataclass(frozen=True)
class UdfCall:
    """One use of a UDF.

    Attributes
    ----------
    node : str
        Name of the parent's node.
    parent : str
        Process id of the parent.
    code : str
    context : dict
        What the UDF gets, parameters substituted.
    dates : "all" or "each"
        Whether a chunk has all dates, dims (t, bands, y, x), or one, dims (bands, y, x).
    size_px, overlap_px : (int, int) or None
        Rows and columns of a chunk's core and of its margin; None: chunks are the executor's choice.
    reduced : str or None
        The dimension that is gone from the result.
    """

    node: str
    parent: str
    code: str
    context: Json
    dates: Literal["all", "each"]
    size_px: tuple[int, int] | None = None
    overlap_px: tuple[int, int] = (0, 0)
    reduced: str | None = None


def udf_calls(graph: Json) -> dict[str, UdfCall]:
    """Every use of a UDF in a flat, inlined graph, by the name of its parent's node.

    Raises
    ------
    InvalidGraph
        `run_udf` stands where no production backend takes it: at top level, under another parent, beside
        other processes, or with code that is no literal string.
    InvalidParameter
        Sizes that no production backend takes.
    """
    calls = {}
    for name, node in graph.items():
        if node["process_id"] == "run_udf":
            raise InvalidGraph(
                f"node {name!r}: run_udf on a whole data cube is not supported by backends; put it into the "
                "callback of apply_neighborhood, apply_dimension, reduce_dimension or apply"
            )
        for argument, value in node.get("arguments", {}).items():
            if is_callback(value) and (_runs_udf(value) or node["process_id"] == "apply_neighborhood"):
                calls[name] = _udf_call(name, node, argument, value["process_graph"])
    return calls


def _runs_udf(callback: Json) -> bool:
    nodes = callback["process_graph"].values()
    inner = [value for node in nodes for value in node.get("arguments", {}).values() if is_callback(value)]
    return any(node["process_id"] == "run_udf" for node in nodes) or any(map(_runs_udf, inner))


def _udf_call(name: str, node: Json, argument: str, callback: Json) -> UdfCall:
    parent = node["process_id"]
    where = f"node {name!r} ({parent})"
    if PARENTS.get(parent) != argument:
        raise InvalidGraph(f"{where}: run_udf may stand in the callback of {', '.join(PARENTS)} alone")
    run_udf = callback[result_node(callback)]
    if len(callback) != 1 or run_udf["process_id"] != "run_udf":
        raise InvalidGraph(f"{where}: the callback must be a run_udf and nothing else")
    arguments = node["arguments"]
    code = _code(where, run_udf["arguments"])
    context = _context(where, run_udf["arguments"].get("context"), arguments.get("context"))
    if parent == "apply_neighborhood":
        size, overlap, dates = _neighborhood(where, arguments)
        return UdfCall(name, parent, code, context, dates, size, overlap)
    dimension = arguments.get("dimension")
    if parent != "apply" and dimension not in ("t", "bands"):
        raise InvalidParameter(f"{where}: a UDF runs along 't' or 'bands', not along {dimension!r}")
    reduced = dimension if parent == "reduce_dimension" else None
    return UdfCall(name, parent, code, context, "all" if dimension == "t" else "each", reduced=reduced)


def _code(where: str, arguments: Json) -> str:
    code, runtime = arguments.get("udf"), arguments.get("runtime")
    if not isinstance(code, str):
        raise InvalidGraph(
            f"{where}: 'udf' must be the code itself, a literal string (no parameter), got {code!r}"
        )
    if str(runtime).lower() != "python":
        raise InvalidParameter(f"{where}: the runtime must be 'Python', got {runtime!r}")
    return code


def _context(where: str, context: JsonValue, parents: JsonValue) -> Json:
    """The context of run_udf; the parent's reaches it by ``{"from_parameter": "context"}`` alone."""
    resolved = _with_parents_context(context, parents)
    if resolved is None:
        return {}
    if not isinstance(resolved, dict):
        raise InvalidParameter(f"{where}: the context of a UDF must be an object, got {resolved!r}")
    return resolved


def _with_parents_context(value: JsonValue, parents: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [_with_parents_context(item, parents) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("from_parameter") == "context":
        return parents
    return {key: _with_parents_context(item, parents) for key, item in value.items()}


def _neighborhood(
    where: str, arguments: Json
) -> tuple[tuple[int, int], tuple[int, int], Literal["all", "each"]]:
    sizes = _by_dimension(where, "size", arguments.get("size"))
    overlaps = _by_dimension(where, "overlap", arguments.get("overlap") or [])
    size = tuple(_pixels(where, "size", sizes.get(axis), axis) for axis in "yx")
    overlap = tuple(
        _pixels(where, "overlap", overlaps[axis], axis) if axis in overlaps else 0 for axis in "yx"
    )
    for axis, pixels, margin in zip("yx", size, overlap, strict=True):
        if pixels < MINIMAL_SIZE_PX:
            raise InvalidParameter(
                f"{where}: the size along {axis} must be at least {MINIMAL_SIZE_PX} px, got {pixels}"
            )
        if not 0 <= margin <= pixels:
            raise InvalidParameter(
                f"{where}: the overlap along {axis} must be between 0 and the size ({pixels} px), got "
                f"{margin}; production backends shift the result silently when it is larger"
            )
    if overlaps.get("t", {}).get("value") not in (None, 0):
        raise InvalidParameter(f"{where}: an overlap in time is not supported by backends: {overlaps['t']}")
    return (size[0], size[1]), (overlap[0], overlap[1]), _dates(where, sizes.get("t", {}).get("value"))


def _dates(where: str, value: JsonValue) -> Literal["all", "each"]:
    if value is None:
        return "all"
    if value == "P1D":
        return "each"
    raise InvalidParameter(
        f"{where}: the size along t must be left out (all dates in one chunk) or 'P1D' (each date alone), "
        f"got {value!r}"
    )


def _by_dimension(where: str, argument: str, given: JsonValue) -> dict[str, Json]:
    if not isinstance(given, list) or not all(
        isinstance(item, dict) and "dimension" in item for item in given
    ):
        raise InvalidParameter(
            f"{where}: {argument!r} must be a list of objects with a 'dimension', got {given!r}"
        )
    unknown = [item["dimension"] for item in given if item["dimension"] not in ("x", "y", "t")]
    if unknown:
        raise InvalidParameter(f"{where}: {argument!r} may name the dimensions x, y and t, got {unknown}")
    return {item["dimension"]: item for item in given}


def _pixels(where: str, argument: str, item: Json | None, axis: str) -> int:
    if item is None or item.get("unit") != "px" or not isinstance(item.get("value"), int):
        raise InvalidParameter(
            f"{where}: {argument!r} along {axis} must be a whole number of pixels, "
            f'{{"dimension": "{axis}", "value": 128, "unit": "px"}}; got {item}'
        )
    return int(item["value"])
