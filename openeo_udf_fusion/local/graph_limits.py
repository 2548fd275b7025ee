"""How large a process graph may grow while the processes that it uses are put into it."""

from dataclasses import dataclass

from openeo_udf_fusion.errors import InvalidGraph
from openeo_udf_fusion.jsontypes import Json, JsonValue


@dataclass(frozen=True)
class GraphLimits:
    """What one process may cost before it runs; ours need a hundredth of it.

    Attributes
    ----------
    nodes : int
        Nodes with all processes expanded: two processes that call each other's helper twice double them.
    values : int
        JSON values with all parameters substituted: a parameter that is used twice doubles its value.
    depth : int
        Nesting of arrays, objects and callbacks. Whoever walks through a graph recursively is safe below 200.
    nesting : int
        Processes that call processes.
    name_characters : int
        Length of a node's name; a called process puts its caller's before its own.
    udf_characters : int
        Length of one UDF's text.
    locations : int
        Different URLs or files that are read as namespaces.
    """

    nodes: int = 10_000
    values: int = 1_000_000
    depth: int = 200
    nesting: int = 32
    name_characters: int = 2000
    udf_characters: int = 2**20
    locations: int = 20


class Budget:
    """Counts what one expansion has used of its limits, and raises InvalidGraph beyond."""

    def __init__(self, limits: GraphLimits) -> None:
        self.limits = limits
        self.nodes = 0
        self.values = 0

    def take_nodes(self, graph: Json, trail: tuple[str, ...]) -> None:
        """A graph that is about to be expanded, called by the processes of `trail`."""
        self.nodes += len(graph)
        if self.nodes > self.limits.nodes:
            raise InvalidGraph(
                f"the graph has more than {self.limits.nodes} nodes with all processes that it uses"
                f"{_within(trail)}; refer to the node of a result instead of calling a process for it again"
            )
        if len(trail) > self.limits.nesting:
            raise InvalidGraph(
                f"processes call each other more than {self.limits.nesting} levels deep{_within(trail)}; "
                "put the innermost ones into one"
            )
        longest = max(graph, key=len)
        if len(longest) > self.limits.name_characters:
            raise InvalidGraph(
                f"a node's name has {len(longest)} characters, those of the nodes that call its process "
                f"included; at most {self.limits.name_characters} are taken: {longest[:40]}..."
            )

    def take_value(self, depth: int) -> None:
        """One value at a depth."""
        self.values += 1
        if self.values > self.limits.values:
            raise InvalidGraph(
                f"the graph has more than {self.limits.values} values with all parameters substituted; "
                "use a parameter that is a long list or a large object fewer times, or make it smaller"
            )
        self.require_depth(depth)

    def take_copy(self, value: JsonValue, depth: int) -> None:
        """All of a value that is about to be copied to a depth."""
        level = [value]
        while level:
            for _ in level:
                self.take_value(depth)
            level = [child for parent in level for child in children(parent)]
            depth += 1

    def require_depth(self, depth: int) -> None:
        """Raise InvalidGraph when `depth` is more than the limit."""
        if depth > self.limits.depth:
            raise InvalidGraph(
                f"the graph is nested deeper than {self.limits.depth} levels with all processes that it uses"
            )

    def require_shallow(self, value: JsonValue, location: str) -> None:
        """Raise InvalidGraph when what was read at a location is nested too deeply."""
        if depth_exceeds(value, self.limits.depth):
            raise InvalidGraph(f"{location[:200]} is nested deeper than {self.limits.depth} levels")

    def require_locations(self, count: int) -> None:
        """Raise InvalidGraph when a graph names too many locations."""
        if count > self.limits.locations:
            raise InvalidGraph(
                f"the graph names more than {self.limits.locations} different URLs as namespaces; "
                "put the processes into one file with a list 'processes'"
            )

    def require_udf(self, code: JsonValue) -> None:
        """Raise InvalidGraph when the text of a UDF is too long."""
        if isinstance(code, str) and len(code) > self.limits.udf_characters:
            raise InvalidGraph(
                f"a UDF has {len(code)} characters, at most {self.limits.udf_characters} are taken; "
                "put weights and tables into a package that the UDF imports"
            )


def children(value: JsonValue) -> list[JsonValue]:
    """The values directly inside a value."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def depth_exceeds(value: JsonValue, most: int) -> bool:
    """Whether a value is nested deeper than `most` levels; a plain value is one level."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > most:
            return True
        level = [child for parent in level for child in children(parent)]
    return False


def _within(trail: tuple[str, ...]) -> str:
    return f" (in {' -> '.join(trail[-5:])})" if trail else ""
