"""Evaluates a parsed process graph, any number of times, without remembering results between the times.

openeo-pg-parser-networkx parses the graph. Its own callables keep the result of every node, callbacks
included, for good: called once per tile, or once per month by an aggregation, they return the first
answer again. Here a result lives until its last user has had it.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import dask.array
import numpy as np
from openeo_pg_parser_networkx import OpenEOProcessGraph
from openeo_pg_parser_networkx.pg_schema import ParameterReference, PGEdgeType

from openeo_udf_fusion.errors import FusionError, InvalidParameter, MissingParameter
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.value_limits import require_affordable

Value = Any
"""What flows between nodes: an xarray.DataArray, an array, a number, a string."""

Implementations = Mapping[str, Callable[..., Value]]


class RunNode(Protocol):
    """Runs one top-level node."""

    def __call__(self, name: str, process_id: str, arguments: Json, /) -> Value:
        """Return the value of node `name` for its resolved arguments."""


class TakeInput(Protocol):
    """Cuts out of a node's result what one of its users needs."""

    def __call__(self, user: str, used: str, result: Value, /) -> Value:
        """Return the part of the result of node `used` that node `user` takes."""


class ParsedGraph:
    """A flat graph of standard processes, parsed once, evaluated many times, from any thread."""

    def __init__(self, flat_graph: Json, implementations: Implementations) -> None:
        self.implementations = implementations
        constants = _Constants()
        self._graph = OpenEOProcessGraph({"process_graph": constants.hidden_in(flat_graph)})
        self._constants = constants.values
        self._nodes: dict[str, Json] = dict(self._graph.G.nodes(data=True))
        self._result = self._result_of(self._graph.result_node)
        uids = [self._beside(self._result, name) for name in flat_graph]
        used = {uid: self._used_in(uid, self._nodes[uid]["resolved_kwargs"]) for uid in uids}
        self._ordered = _depth_first(self._result, used)
        self._uses = Counter([self._result, *(uid for user in self._ordered for uid in used[user])])

    def evaluate(self, run_node: RunNode, take_input: TakeInput) -> Value:
        """Return the value of the result node."""
        results: dict[str, Value] = {}
        left = dict(self._uses)

        def take(user: str, used: str) -> Value:
            result = results[used]
            left[used] -= 1
            if not left[used]:
                del results[used]
            return take_input(self._nodes[user]["node_name"], self._nodes[used]["node_name"], result)

        for uid in self._ordered:
            node = self._nodes[uid]
            arguments = {
                name: self._resolve(uid, name, value, {}, partial(take, uid), node["process_id"])
                for name, value in node["resolved_kwargs"].items()
            }
            results[uid] = run_node(node["node_name"], node["process_id"], arguments)
        return results[self._result]

    def _used_in(self, uid: str, value: Value) -> list[str]:
        """The nodes that a value of a node's arguments refers to, as often as it does."""
        if isinstance(value, dict | list):
            items = value.values() if isinstance(value, dict) else value
            return [used for item in items for used in self._used_in(uid, item)]
        used = self._referred(uid, value)
        return [] if used is None else [used]

    def _referred(self, uid: str, value: Value) -> str | None:
        """The node whose result a value stands for, if any."""
        constant = self._constants[value] if isinstance(value, int) else None
        return self._beside(uid, constant.name) if isinstance(constant, _Result) else None

    def _result_of(self, everything: str) -> str:
        """The node with the result, by the one that refers to all nodes of its graph."""
        return self._used_in(everything, self._nodes[everything]["resolved_kwargs"])[0]

    def _beside(self, uid: str, name: str) -> str:
        """The node of a name in the graph of another one."""
        return f"{name}-{self._nodes[uid]['process_graph_uid']}"

    def _resolve(
        self,
        user: str,
        argument: str,
        value: Value,
        parameters: Mapping[str, Value],
        take: Callable[[str], Value],
        process_id: str,
    ) -> Value:
        if isinstance(value, ParameterReference):
            if value.from_parameter not in parameters:
                raise MissingParameter(
                    f"{process_id}: the callback refers to {value.from_parameter!r}; "
                    f"it is given {', '.join(sorted(parameters)) or 'nothing'}"
                )
            return parameters[value.from_parameter]
        if isinstance(value, list):
            return [self._resolve(user, argument, item, parameters, take, process_id) for item in value]
        if isinstance(value, dict):
            return {
                k: self._resolve(user, argument, v, parameters, take, process_id) for k, v in value.items()
            }
        used = self._referred(user, value)
        if used is not None:
            return take(used)
        callback = self._callback(user, argument)
        return self._constants[value] if callback is None else callback

    def _callback(self, user: str, argument: str) -> "Callback | None":
        for _, uid, data in self._graph.G.out_edges(user, data=True):
            if data["reference_type"] == PGEdgeType.Callback and data["arg_name"] == argument:
                return Callback(self, self._result_of(uid))
        return None


class Callback:
    """A process graph given to a process; every call computes afresh.

    It is called as openeo-processes-dask calls callbacks: values by position with names in
    `positional_parameters`, others in `named_parameters`, and special arguments (`axis`, `keepdims`, ...)
    that go to every process of the callback which knows them.
    """

    def __init__(self, graph: ParsedGraph, result: str) -> None:
        self._graph = graph
        self._result = result
        self.__name__ = graph._nodes[result]["process_id"]

    def __call__(
        self,
        *values: Value,
        positional_parameters: Mapping[str, int] | None = None,
        named_parameters: Mapping[str, Value] | None = None,
        **special: Value,
    ) -> Value:
        """Return the value of the callback's result node."""
        parameters = dict(named_parameters or {})
        if special.get("context") is not None or "context" not in parameters:
            parameters["context"] = special.get("context")
        parameters |= {name: values[index] for name, index in (positional_parameters or {}).items()}
        return self._evaluate(self._result, parameters, special, {})

    def _evaluate(self, uid: str, parameters: Json, special: Json, results: dict[str, Value]) -> Value:
        if uid in results:
            return results[uid]
        node = self._graph._nodes[uid]

        def take(used: str) -> Value:
            return self._evaluate(used, parameters, special, results)

        raw, process_id = node["resolved_kwargs"], node["process_id"]
        arguments = {
            name: self._graph._resolve(uid, name, value, parameters, take, process_id)
            for name, value in raw.items()
        }
        if isinstance(arguments.get("data"), list) or self._is_created_array(uid, raw.get("data")):
            arguments["data"] = _stacked(arguments["data"])
            special = {**special, "axis": 0}
        results[uid] = call(self._graph.implementations, process_id, arguments, special)
        return results[uid]

    def _is_created_array(self, uid: str, value: Value) -> bool:
        """Whether an array was made inside the callback: its elements lie along its first axis."""
        used = self._graph._referred(uid, value)
        return used is not None and str(self._graph._nodes[used]["process_id"]).startswith("array_create")


def call(
    implementations: Implementations, process_id: str, arguments: Json, special: Json | None = None
) -> Value:
    """Run one standard process; what goes wrong inside names the process."""
    try:
        require_affordable(process_id, arguments)
        with np.errstate(divide="ignore", invalid="ignore"):  # missing values are the rule
            return implementations[process_id](**{**(special or {}), **arguments})
    except (FusionError, MemoryError):
        raise
    except Exception as error:
        raise InvalidParameter(f"{process_id}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class _Result:
    """The result of another node of the same graph."""

    name: str


class _Constants:
    """Numbers for what the parser must not see: it takes texts for dates, dicts for boxes, or fails."""

    def __init__(self) -> None:
        self.values: list[JsonValue | _Result] = []

    def hidden(self, value: JsonValue) -> JsonValue:
        """The value with an index in place of everything but parameters and callbacks."""
        if isinstance(value, dict) and "from_parameter" in value:
            return value
        if isinstance(value, dict) and "from_node" in value:
            return self._number(_Result(value["from_node"]))
        if isinstance(value, dict) and "process_graph" in value:
            return {"process_graph": self.hidden_in(value["process_graph"])}
        if isinstance(value, dict) and _refers(value):
            return {key: self.hidden(item) for key, item in value.items()}
        if isinstance(value, list) and _refers(value):
            return [self.hidden(item) for item in value]
        return self._number(value)

    def hidden_in(self, graph: Json) -> Json:
        """The graph with its constants hidden, and a result node that refers to every other node."""
        hidden = {
            name: {
                "process_id": node["process_id"],
                "arguments": {key: self.hidden(value) for key, value in node["arguments"].items()},
            }
            for name, node in graph.items()
        }
        result = next(name for name, node in graph.items() if node.get("result"))
        arguments = {
            "result": self._number(_Result(result)),
            "walked": [{"from_node": name} for name in graph],
        }
        # No other node has a longer name.
        name = "_".join(["everything", *graph])
        return {**hidden, name: {"process_id": "everything", "arguments": arguments, "result": True}}

    def _number(self, value: "JsonValue | _Result") -> int:
        self.values.append(value)
        return len(self.values) - 1


def _refers(value: JsonValue) -> bool:
    """Whether there is a reference or a callback anywhere in a value."""
    if isinstance(value, dict):
        names = {"from_node", "from_parameter", "process_graph"}
        return not names.isdisjoint(value) or any(map(_refers, value.values()))
    return isinstance(value, list) and any(map(_refers, value))


def _depth_first(result: str, used: Mapping[str, list[str]]) -> list[str]:
    """What the result needs, each after what it uses, as late as that allows: few results wait."""
    ordered: dict[str, None] = {}
    waiting = [result]
    while waiting:
        needed = [uid for uid in used[waiting[-1]] if uid not in ordered]
        if needed:
            waiting.append(needed[0])
        else:
            ordered[waiting.pop()] = None
    return list(ordered)


def _stacked(value: Value) -> Value:
    if not isinstance(value, list):
        return value
    arrays = [item for item in value if np.ndim(item)]
    if not arrays:
        return np.asarray(value)
    stack = dask.array.stack if any(isinstance(item, dask.array.Array) for item in arrays) else np.stack
    return stack([np.broadcast_to(item, arrays[0].shape) if np.isscalar(item) else item for item in value])
