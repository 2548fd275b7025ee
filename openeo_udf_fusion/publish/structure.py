"""Rules about a process object itself: its shape, its id, its parameters, its graph."""

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache

import openeo.processes
from jsonschema import Draft7Validator
from jsonschema.exceptions import SchemaError
from referencing.exceptions import Unresolvable

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish.findings import Finding
from openeo_udf_fusion.publish.graphs import CALLBACK, Graph, callbacks, graphs, is_callback, referred
from openeo_udf_fusion.publish.process_schema import GRAPH_SCHEMA, PROCESS_SCHEMA

SHOWN = 5
"""Of many violations of the schema the first ones tell enough."""


@cache
def standard_processes() -> frozenset[str]:
    """Return the ids of the standard processes, those of openEO's proposals included."""
    public = vars(openeo.processes).items()
    return frozenset(
        name.rstrip("_")
        for name, value in public
        if inspect.isfunction(value) and value.__module__ == openeo.processes.__name__ and name[0] != "_"
    )


def shape_problems(process: Json) -> list[Finding]:
    """Check the object against openEO's schema; the other rules take it for granted."""
    process_id = str(process.get("id"))
    problems = _violations(process, PROCESS_SCHEMA, process_id, "")
    return problems or _callback_violations(process["process_graph"], process_id, "process_graph")


def _callback_violations(graph: Json, process_id: str, path: str) -> list[Finding]:
    problems = []
    for name, node in graph.items():
        for argument, nodes in callbacks(node["arguments"]):
            where = f"{path}.{name}.{argument}"
            broken = _violations(nodes, GRAPH_SCHEMA, process_id, where)
            problems += broken or _callback_violations(nodes, process_id, where)
    return problems


def _violations(value: Json, schema: Json, process_id: str, path: str) -> list[Finding]:
    found = sorted(Draft7Validator(schema).iter_errors(value), key=lambda error: error.json_path)
    return [
        Finding(
            "error",
            "schema",
            f"{path}{error.json_path[1:] or ' the object'}: {error.message:.200}",
            process_id,
        )
        for error in found[:SHOWN]
    ]


def id_problems(process: Json) -> Iterator[Finding]:
    """An id is a plain word that no standard process has."""
    process_id = process["id"]
    if not re.fullmatch(r"\w+", process_id, re.ASCII):
        yield Finding(
            "error", "id", "an id takes the letters A to Z, digits and underscores only", process_id
        )
    if process_id in standard_processes():
        yield Finding(
            "error",
            "id-taken",
            "openEO has a standard process of this id, and backends differ on which one runs: choose another",
            process_id,
        )


def parameter_problems(process: Json) -> Iterator[Finding]:
    """Names are unique, optional parameters have a default, and it is one that their schema allows."""
    process_id = process["id"]
    counts = Counter(parameter["name"] for parameter in process["parameters"])
    for name in (name for name, count in counts.items() if count > 1):
        yield Finding("error", "parameter-twice", f"there is more than one parameter {name!r}", process_id)
    for parameter in process["parameters"]:
        name, schema = parameter["name"], parameter["schema"]
        alternatives = {"anyOf": schema if isinstance(schema, list) else [schema]}
        try:
            Draft7Validator.check_schema(alternatives)
            allowed = Draft7Validator(alternatives).is_valid(parameter.get("default"))
        except (SchemaError, re.error, Unresolvable) as error:
            message = f"the schema of {name!r} is no JSON schema: {str(error).splitlines()[0]:.200}"
            yield Finding("error", "parameter-schema", message, process_id)
            continue
        if parameter.get("optional") and "default" not in parameter:
            message = f"the optional parameter {name!r} has no default; some backends refuse that"
            yield Finding("error", "default-missing", message, process_id)
        if "default" in parameter and not allowed:
            message = f"the default of {name!r}, {parameter['default']!r:.100}, is not what its schema allows"
            yield Finding("error", "default-invalid", message, process_id)


def graph_problems(process: Json) -> Iterator[Finding]:
    """Every graph has one result, and its references lead to nodes of its own without running in circles."""
    for graph in graphs(process["process_graph"]):
        for rule, message in _flaws(graph):
            yield Finding("error", rule, message, process["id"])


def _flaws(graph: Graph) -> Iterator[tuple[str, str]]:
    where = f"the callback {graph.path!r}" if graph.path else "the process graph"
    results = [name for name, node in graph.nodes.items() if node.get("result")]
    if len(results) != 1:
        yield "one-result", f"{where} needs one node with 'result': true, it has {len(results)}: {results}"
    for name, node in graph.nodes.items():
        for target in sorted(referred(node["arguments"], "from_node") - graph.nodes.keys()):
            yield "from-node", f"node {graph.where(name)} refers to node {target!r}, which does not exist"
        callback = CALLBACK.get(node["process_id"])
        if callback and not is_callback(node["arguments"].get(callback)):
            yield (
                "callback",
                f"{callback!r} of node {graph.where(name)} must be an object with a process_graph",
            )
        namespace = node.get("namespace")
        if namespace is not None and "://" not in namespace:
            message = f"node {graph.where(name)} has the namespace {namespace!r}, which others do not have"
            yield "namespace", f"{message}: leave it out, or give a URL"
    circle = _circle(graph.nodes)
    if circle:
        yield "circle", f"nodes of {where} refer to each other in a circle: {circle}"


def _circle(nodes: Json) -> list[str]:
    waiting = {name: referred(node["arguments"], "from_node") & nodes.keys() for name, node in nodes.items()}
    while ready := [name for name, needed in waiting.items() if not needed & waiting.keys()]:
        for name in ready:
            del waiting[name]
    return sorted(waiting)


def usage_problems(process: Json) -> Iterator[Finding]:
    """Every parameter is used somewhere, and every reference is to one."""
    names = {parameter["name"] for parameter in process["parameters"]}
    used: set[str] = set()
    for graph in graphs(process["process_graph"]):
        for node_name, node in graph.nodes.items():
            own = referred(node["arguments"], "from_parameter") - graph.given
            used |= own
            for name in sorted(own - names):
                message = (
                    f"node {graph.where(node_name)} refers to the parameter {name!r}, which nobody defines"
                )
                yield Finding("error", "parameter-undefined", message, process["id"])
    for name in sorted(names - used):
        message = f"the parameter {name!r} is not used in the process graph"
        yield Finding("error", "parameter-unused", message, process["id"])
