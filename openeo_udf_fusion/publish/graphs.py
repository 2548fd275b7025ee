"""Walking through a process graph and the callbacks in it, without any backend."""

from collections.abc import Iterator
from dataclasses import dataclass

from openeo_udf_fusion.jsontypes import Json, JsonValue

_DATA, _ITEM = frozenset({"data", "context"}), frozenset({"x", "index", "label", "context"})
_GIVEN = {
    "apply": frozenset({"x", "context"}),
    "apply_dimension": _DATA,
    "apply_neighborhood": _DATA,
    "apply_polygon": _DATA,
    "reduce_dimension": _DATA,
    "reduce_spatial": _DATA,
    "aggregate_spatial": _DATA,
    "aggregate_spatial_window": _DATA,
    "aggregate_temporal": _DATA,
    "aggregate_temporal_period": _DATA,
    "merge_cubes": frozenset({"x", "y", "context"}),
    "array_apply": _ITEM,
    "array_filter": _ITEM,
    "count": frozenset({"x", "context"}),
    "filter_labels": frozenset({"value", "context"}),
    "fit_curve": frozenset({"x", "parameters"}),
    "predict_curve": frozenset({"x", "parameters"}),
    "load_collection": frozenset({"value"}),
    "load_stac": frozenset({"value"}),
}
"""The parameters that the standard processes give to their callbacks."""
CALLBACK = {
    "apply": "process",
    "apply_dimension": "process",
    "apply_neighborhood": "process",
    "apply_polygon": "process",
    "array_apply": "process",
    "reduce_dimension": "reducer",
    "reduce_spatial": "reducer",
    "aggregate_spatial": "reducer",
    "aggregate_spatial_window": "reducer",
    "aggregate_temporal": "reducer",
    "aggregate_temporal_period": "reducer",
}
"""The argument that must be a callback, of standard processes that cannot do without."""
_ANY = frozenset().union(*_GIVEN.values())


@dataclass(frozen=True)
class Graph:
    """A flat graph: that of the process itself, or of a callback in it.

    Attributes
    ----------
    nodes : dict
        Node ids to nodes.
    path : str
        Where it stands, such as `apply1.process`; empty for the process's own.
    given : frozenset of str
        Parameters that callbacks around it are given; they hide the process's own of that name.
    parent : dict, optional
        The node whose callback it is.
    """

    nodes: Json
    path: str = ""
    given: frozenset[str] = frozenset()
    parent: Json | None = None

    def where(self, node: str) -> str:
        """Return how a message names a node."""
        return repr(f"{self.path}.{node}" if self.path else node)


def graphs(process_graph: Json) -> list[Graph]:
    """Return a process graph, then those of its callbacks at any depth."""
    found = [Graph(process_graph)]
    for graph in found:  # grows as callbacks are found
        for name, node in graph.nodes.items():
            for path, nodes in callbacks(node["arguments"]):
                given = graph.given | _GIVEN.get(node["process_id"], _ANY)
                before = f"{graph.path}." if graph.path else ""
                found.append(Graph(nodes, f"{before}{name}.{path}", given, node))
    return found


def is_callback(value: JsonValue) -> bool:
    """Whether a value is a callback."""
    return isinstance(value, dict) and isinstance(value.get("process_graph"), dict)


def callbacks(arguments: Json) -> Iterator[tuple[str, Json]]:
    """Yield the graphs in a node's arguments, with the names that lead to them."""
    for name, value in arguments.items():
        if is_callback(value):
            yield name, value["process_graph"]
        elif isinstance(value, dict):
            yield from ((f"{name}.{path}", nodes) for path, nodes in callbacks(value))


def referred(value: JsonValue, kind: str) -> set[str]:
    """Return the names that `{kind: name}` refers to in a value, kind being from_node or from_parameter.

    Callbacks are left out: they are graphs of their own.
    """
    if isinstance(value, list):
        return {name for item in value for name in referred(item, kind)}
    if not isinstance(value, dict) or is_callback(value):
        return set()
    if kind in value:
        return {str(value[kind])}
    return {name for item in value.values() for name in referred(item, kind)}
