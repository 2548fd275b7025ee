"""Turns a process with parameters and user-defined processes into one flat graph of standard processes.

Everything happens in the JSON, before any parser sees it: the parser knows no defaults, drops
`namespace`, and fails where a collection id is still a parameter.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from graphlib import CycleError, TopologicalSorter

from openeo_udf_fusion.errors import ForbiddenPath, InvalidGraph, MissingParameter
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.graph_limits import Budget, GraphLimits
from openeo_udf_fusion.local.standard.specifications import (
    callback_parameters,
    check_arguments,
    is_optional,
    is_standard,
    specifications,
    unknown_process,
)

Definitions = Callable[[str, str | None], Json | None]
Fetch = Callable[[str], Json]


@dataclass(frozen=True)
class _Scope:
    """What a reference to a parameter means at one place of the graph."""

    values: Mapping[str, JsonValue]
    shadowed: frozenset[str] = frozenset()  # names that belong to a callback: they stay references
    lenient: bool = False  # names without a value stay references, too

    def within_callback(self, names: frozenset[str]) -> "_Scope":
        return replace(self, shadowed=self.shadowed | names)


def inline(
    process: Json,
    definitions: Definitions,
    fetch: Fetch | None = None,
    *,
    arguments: Json | None = None,
    allow_unresolved: bool = False,
    limits: GraphLimits | None = None,
) -> Json:
    """Expand every user-defined process and substitute every parameter.

    Parameters
    ----------
    process
        ``{"process_graph": {...}, "parameters": [...]}``; `parameters` declare names and defaults.
    definitions
        ``(process id, namespace) -> process`` or None. It is asked before the standard processes, so a
        user's process hides a standard one of the same id.
    fetch
        reads the process, or the list of processes, at a `namespace` that is a URL or a file.
    arguments
        values for `process`'s own parameters.
    allow_unresolved
        leave references to parameters without value in place, instead of raising.
    limits
        how large the result may grow.

    Returns
    -------
    dict
        a flat process graph: ids to nodes whose processes are all standard. The nodes of a
        user-defined process called in node ``n`` are named ``n_<their id>``, its result node ``n``.

    Raises
    ------
    InvalidGraph
        broken structure, processes that use themselves, or more of anything than `limits` grant.
    UnknownProcess, UnknownParameter, MissingParameter
        with the names that are known.
    """
    graph = graph_of(process)
    values = _bind("the process", parameters_of(process), arguments or {}, allow_unresolved)
    scope = _Scope(values, lenient=allow_unresolved)
    inliner = _Inliner(definitions, fetch, Budget(limits or GraphLimits()))
    return inliner.expand(graph, scope, (), used=set(graph), depth=1)


def graph_of(process: Json) -> Json:
    """The flat graph of a process, checked for shape: nodes, one result, references that lead somewhere."""
    graph = process.get("process_graph")
    if not isinstance(graph, dict) or not graph:
        raise InvalidGraph("a process needs a non-empty object 'process_graph'")
    check_structure(graph)
    return graph


def parameters_of(process: Json) -> list[Json]:
    """The parameters that a process declares; InvalidGraph unless each is an object with a name."""
    declared = process.get("parameters") or []
    if not isinstance(declared, list) or not all(
        isinstance(each, dict) and isinstance(each.get("name"), str) for each in declared
    ):
        raise InvalidGraph("the 'parameters' of a process must be a list of objects with a 'name'")
    return declared


def check_structure(graph: Json) -> None:
    """Raise InvalidGraph unless `graph` is a flat process graph with one result node and no cycle."""
    for name, node in graph.items():
        if not isinstance(node, dict) or not isinstance(node.get("process_id"), str):
            raise InvalidGraph(f"node {name!r} needs a 'process_id'")
        if not isinstance(node.get("arguments", {}), dict):
            raise InvalidGraph(f"the 'arguments' of node {name!r} must be an object")
        _check_kinds(name, node.get("arguments", {}))
        if not isinstance(node.get("namespace", ""), str | None):
            raise InvalidGraph(f"the 'namespace' of node {name!r} must be a string or null")
        for reference in references(node.get("arguments", {})):
            if not isinstance(reference, str) or reference not in graph:
                raise InvalidGraph(f"node {name!r} refers to node {reference!r}, which does not exist")
    results = [name for name, node in graph.items() if node.get("result")]
    if len(results) != 1:
        found = " and ".join(map(repr, results)) or "none"
        raise InvalidGraph(f"a process graph needs exactly one node with 'result': true, found {found}")
    in_order(graph)


def _check_kinds(node: str, value: JsonValue) -> None:
    """Raise InvalidGraph where a reference is no name, or a callback no object; deeper callbacks aside."""
    if isinstance(value, dict):
        for key, kind in (("from_node", str), ("from_parameter", str), ("process_graph", dict)):
            if key in value and not isinstance(value[key], kind):
                wanted = "a name" if kind is str else "an object of nodes"
                raise InvalidGraph(f"node {node!r}: {key!r} must be {wanted}, got {value[key]!r:.100}")
        value = [] if is_callback(value) else list(value.values())
    for item in value if isinstance(value, list) else []:
        _check_kinds(node, item)


def result_node(graph: Json) -> str:
    """Name of the node that `result` marks."""
    return next(name for name, node in graph.items() if node.get("result"))


def references(value: JsonValue) -> list[str]:
    """Every node that a value refers to, callbacks apart (they have nodes of their own)."""
    if isinstance(value, dict):
        if "from_node" in value:
            return [value["from_node"]]
        if is_callback(value):
            return []
        value = list(value.values())
    if isinstance(value, list):
        return [name for item in value for name in references(item)]
    return []


def in_order(graph: Json) -> list[str]:
    """Names of the nodes, each after the nodes it refers to; InvalidGraph where they form a cycle."""
    needed = {name: references(node.get("arguments", {})) for name, node in graph.items()}
    try:
        return list(TopologicalSorter(needed).static_order())
    except CycleError as error:
        raise InvalidGraph(f"nodes refer to each other in a cycle: {', '.join(error.args[1])}") from None


def needed_nodes(graph: Json) -> Json:
    """The graph without nodes that its result does not need."""
    needed: set[str] = set()
    waiting = [result_node(graph)]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += references(graph[name].get("arguments", {}))
    return {name: node for name, node in graph.items() if name in needed}


def is_callback(value: JsonValue) -> bool:
    """Whether a value is a process graph given as an argument."""
    return isinstance(value, dict) and isinstance(value.get("process_graph"), dict)


def _bind(name: str, declared: list[Json], arguments: Json, allow_unresolved: bool) -> Json:
    errors = check_arguments(name, arguments, declared)
    if errors and not (allow_unresolved and all(isinstance(error, MissingParameter) for error in errors)):
        raise errors[0]
    defaults = {p["name"]: p.get("default") for p in declared if is_optional(p)}
    return {**defaults, **arguments}


class _Inliner:
    def __init__(self, definitions: Definitions, fetch: Fetch | None, budget: Budget) -> None:
        # A process that is used a thousand times is looked up, and checked, once.
        self.define = cache(definitions)
        self.fetch = fetch
        self.budget = budget
        self.fetched: dict[str, Json] = {}

    def expand(self, graph: Json, scope: _Scope, trail: tuple[str, ...], used: set[str], depth: int) -> Json:
        """Return `graph` with values for parameters and nodes for user-defined processes.

        `used` holds the node names of this level, `depth` is how deep in the whole it lies; callbacks have a
        level of their own.
        """
        self.budget.take_nodes(graph, trail)
        expanded: Json = {}
        for name, node in graph.items():
            definition = self._definition(node, trail)
            declared = _declared_parameters(node, definition)
            arguments = {
                key: self._substitute(value, scope, trail, callback_parameters(declared, key), depth + 3)
                for key, value in node.get("arguments", {}).items()
            }
            if definition is None:
                self.budget.require_udf(arguments.get("udf") if node["process_id"] == "run_udf" else None)
                kept = {key: value for key, value in node.items() if key != "namespace"}
                expanded[name] = {**kept, "arguments": arguments}
                continue
            values = _bind(node["process_id"], declared, arguments, allow_unresolved=False)
            inner = _renamed(graph_of(definition), name, used, is_result=bool(node.get("result")))
            expanded |= self.expand(inner, _Scope(values), (*trail, _call(node)), used, depth)
        return expanded

    def _definition(self, node: Json, trail: tuple[str, ...]) -> Json | None:
        """The user-defined process a node calls, or None where it calls a standard one."""
        process_id, namespace = node["process_id"], node.get("namespace")
        if namespace and _is_location(namespace):
            definition: Json | None = self._fetched(process_id, namespace)
        else:
            definition = self.define(process_id, namespace)
        if definition is None:
            if is_standard(process_id) and namespace in (None, "", "backend"):
                return None
            raise unknown_process(process_id, namespace)
        if _call(node) in trail:
            raise InvalidGraph(f"process {process_id!r} uses itself: {' -> '.join((*trail, _call(node)))}")
        return definition

    def _fetched(self, process_id: str, location: str) -> Json:
        if self.fetch is None:
            raise ForbiddenPath(
                f"namespace {location!r} of process {process_id!r}: this backend fetches nothing"
            )
        if location not in self.fetched:
            self.budget.require_locations(len(self.fetched) + 1)
            self.fetched[location] = self.fetch(location)
            self.budget.require_shallow(self.fetched[location], location)
        found = self.fetched[location]
        offered: list[Json] = found.get("processes", []) if "process_graph" not in found else [found]
        for definition in offered:
            if definition.get("id", process_id) == process_id and definition.get("process_graph"):
                return definition
        raise unknown_process(process_id, location, known=[str(each.get("id")) for each in offered])

    def _substitute(
        self,
        value: JsonValue,
        scope: _Scope,
        trail: tuple[str, ...],
        callback_names: frozenset[str],
        depth: int,
    ) -> JsonValue:
        self.budget.take_value(depth)
        if isinstance(value, list):
            return [self._substitute(item, scope, trail, callback_names, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        if "from_parameter" in value:
            meant = _meant(value, scope)
            self.budget.take_copy(meant, depth)
            return copy.deepcopy(meant)
        if is_callback(value):
            graph, within = graph_of(value), scope.within_callback(callback_names)
            return {"process_graph": self.expand(graph, within, trail, set(graph), depth + 1)}
        return {
            key: self._substitute(item, scope, trail, callback_names, depth + 1)
            for key, item in value.items()
        }


def _declared_parameters(node: Json, definition: Json | None) -> list[Json]:
    return parameters_of(specifications()[node["process_id"]] if definition is None else definition)


def _meant(reference: Json, scope: _Scope) -> JsonValue:
    """The value of a reference to a parameter, or the reference where it stays one."""
    name = reference["from_parameter"]
    if not isinstance(name, str):
        raise InvalidGraph(f"'from_parameter' must be the name of a parameter, got {name!r}")
    if name in scope.shadowed:
        return reference
    if name in scope.values:
        return scope.values[name]
    if scope.lenient:
        return reference
    known = ", ".join(sorted(scope.values)) or "none"
    raise MissingParameter(
        f"the graph refers to a parameter {name!r} that has no value; those with one: {known}"
    )


def _renamed(graph: Json, name: str, used: set[str], *, is_result: bool) -> Json:
    """Give the nodes of a called process names that are free in its caller; its result is named as the call.

    This comes before its parameters get their values: those refer to nodes of the caller.
    """
    names = {
        inner: name if node.get("result") else _free_name(f"{name}_{inner}", used)
        for inner, node in graph.items()
    }
    renamed: Json = {}
    for inner, node in graph.items():
        kept = {key: value for key, value in node.items() if key not in ("arguments", "result")}
        if node.get("result") and is_result:
            kept["result"] = True
        renamed[names[inner]] = {**kept, "arguments": _with_references(node.get("arguments", {}), names)}
    return renamed


def _free_name(wanted: str, used: set[str]) -> str:
    name, number = wanted, 2
    while name in used:
        name, number = f"{wanted}_{number}", number + 1
    used.add(name)
    return name


def _with_references(value: JsonValue, names: Mapping[str, str]) -> JsonValue:
    if isinstance(value, list):
        return [_with_references(item, names) for item in value]
    if not isinstance(value, dict) or is_callback(value):
        return value
    if "from_node" in value:
        return {**value, "from_node": names[value["from_node"]]}
    return {key: _with_references(item, names) for key, item in value.items()}


def _is_location(namespace: str) -> bool:
    """Whether a namespace is a URL or a file rather than a name such as `user` or `@sam`."""
    return "/" in namespace or namespace.endswith(".json")


def _call(node: Json) -> str:
    return f"{node['namespace']}:{node['process_id']}" if node.get("namespace") else str(node["process_id"])
