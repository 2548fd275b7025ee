"""Finds what is wrong with a process before it runs."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from openeo_udf_fusion.errors import FusionError
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.formats import check_options, get_format
from openeo_udf_fusion.local.inline import inline, is_callback
from openeo_udf_fusion.local.sources import LOADERS, open_source
from openeo_udf_fusion.local.standard.specifications import check_arguments, specifications
from openeo_udf_fusion.local.udf.calls import udf_calls
from openeo_udf_fusion.local.udf.requirements import check_requirements

if TYPE_CHECKING:
    from openeo_udf_fusion.local.executor import Workspace


def check_process(process: Json, workspace: "Workspace") -> list[FusionError]:
    """Everything that is wrong with a process; parameters without a value are no error.

    Structure, processes and arguments (also in callbacks and inside user-defined processes), collections,
    their bands and extents, file formats, the way UDFs are called and what they require. Nothing is run, no
    pixel is read.
    """
    try:
        graph = inline(
            process,
            workspace.definitions,
            workspace.fetch,
            allow_unresolved=True,
            limits=workspace.limits,
        )
    except FusionError as error:
        return [error]
    errors = argument_errors(graph)
    for node in graph.values():
        if errors or _has_parameter(node["arguments"]):
            continue
        if node["process_id"] in LOADERS:
            errors += _raised(partial(open_source, node, workspace.data, lambda _: None))
        elif node["process_id"] == "save_result":
            errors += _raised(partial(_check_format, node["arguments"]))
    errors += _raised(partial(_check_udfs, graph))
    return errors


def argument_errors(graph: Json) -> list[FusionError]:
    """Unknown and missing arguments of every node, callbacks included."""
    errors: list[FusionError] = []
    for node in graph.values():
        declared = specifications()[node["process_id"]].get("parameters", [])
        errors += check_arguments(node["process_id"], node["arguments"], declared)
        for value in node["arguments"].values():
            if is_callback(value):
                errors += argument_errors(value["process_graph"])
    return errors


def _check_format(arguments: Json) -> None:
    check_options(get_format(arguments["format"]), arguments.get("options"))


def _check_udfs(graph: Json) -> None:
    for call in udf_calls(graph).values():
        check_requirements(call.code)


def _has_parameter(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return "from_parameter" in value or any(map(_has_parameter, value.values()))
    return isinstance(value, list) and any(map(_has_parameter, value))


def _raised(step: Callable[[], object]) -> list[FusionError]:
    try:
        step()
    except FusionError as error:
        return [error]
    return []
