"""Which processes are local in space, on which pixels their results lie, and which pixels they need.

A graph all of whose processes are local runs tile by tile: the pixels that a tile needs are found from the
result backwards, process by process, down to the files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from openeo_udf_fusion.errors import InvalidCube, InvalidGraph, InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local import resample
from openeo_udf_fusion.local.geometry import polygon_box
from openeo_udf_fusion.local.grids import Grid
from openeo_udf_fusion.local.inline import in_order, references, result_node
from openeo_udf_fusion.local.regions import Box, cut, refined, whole
from openeo_udf_fusion.local.udf.calls import UdfCall

PIXELWISE = frozenset(
    {
        "add_dimension", "aggregate_temporal", "aggregate_temporal_period", "apply", "apply_dimension",
        "drop_dimension", "filter_bands", "filter_labels", "filter_temporal", "mask", "mask_polygon",
        "merge_cubes", "ndvi", "reduce_dimension", "rename_dimension", "rename_labels",
        "resample_cube_temporal", "save_result",
    }
)  # fmt: skip
SPATIAL = ("x", "y")
CUBES = {"mask": ("data",), "merge_cubes": ("cube1",), "resample_cube_spatial": ("data", "target")}
"""Arguments of processes with several cubes; the first of mask and merge_cubes gives the pixels."""


class NotLocal(Exception):
    """A node that needs all pixels at once."""

    def __init__(self, name: str, process_id: str, reason: str) -> None:
        super().__init__(f"node {name!r} ({process_id}) is not local in space: {reason}")


@dataclass(frozen=True)
class Needs:
    """The pixels that one tile is made of.

    Attributes
    ----------
    results : dict
        By node: the pixels it has to yield, on its own grid.
    inputs : dict
        By (user, used): the pixels of `used` that `user` takes.
    """

    results: Mapping[str, Box]
    inputs: Mapping[tuple[str, str], Box]


class Survey:
    """Where the results of all nodes lie.

    Parameters
    ----------
    graph
        flat and inlined.
    sources
        grids of the loading nodes, by name.
    calls
        uses of UDFs, by name of the parent's node.
    ratios
        by node: pixels of a UDF's result per pixel of its input, where known and not 1.

    Raises
    ------
    NotLocal
    """

    def __init__(
        self,
        graph: Json,
        sources: Mapping[str, Grid],
        calls: Mapping[str, UdfCall],
        ratios: Mapping[str, Fraction],
    ) -> None:
        self.graph = graph
        self.calls = calls
        self.ratios = ratios
        self.grids: dict[str, Grid] = dict(sources)
        self.order = in_order(graph)
        for name in self.order:
            if name not in self.grids:
                grid = self._grid(name)
                if grid is not None:
                    self.grids[name] = grid
        if result_node(graph) not in self.grids:
            raise InvalidCube("the result of the graph is no raster cube")

    @property
    def grid(self) -> Grid:
        """The grid of the result."""
        return self.grids[result_node(self.graph)]

    def rasters(self, name: str) -> list[str]:
        """The cubes that a node takes, in the order of its arguments, each once."""
        found = references(self.graph[name]["arguments"])
        return [used for used in dict.fromkeys(found) if used in self.grids]

    def needs(self, tile: Box) -> Needs:
        """The pixels of every node that a tile of the result is made of."""
        results = {result_node(self.graph): tile}
        inputs: dict[tuple[str, str], Box] = {}
        for name in reversed(self.order):
            if name not in results:
                continue
            for used, box in self._inputs(name, results[name]):
                key = (name, used)
                inputs[key] = inputs[key].union(box) if key in inputs else box
                results[used] = results[used].union(box) if used in results else box
        return Needs(results, inputs)

    def base(self, name: str, box: Box) -> Box:
        """Pixels of the input of a UDF under pixels of its result."""
        return box.scaled(1 / self.ratios.get(name, Fraction(1)))

    # --- where a result lies

    def _grid(self, name: str) -> Grid | None:
        node, inputs = self.graph[name], self.rasters(name)
        if not inputs and name not in self.calls:
            return None
        self._require_cubes(name)
        process_id, arguments, first = node["process_id"], node["arguments"], self.grids[inputs[0]]
        if name in self.calls:
            return refined(first, self.ratios.get(name, Fraction(1)))
        if process_id in ("filter_bbox", "filter_spatial"):
            return cut(first, self._filtered(name, first))
        if process_id in ("resample_cube_spatial", "resample_spatial"):
            if arguments.get("method", "near") not in resample.EXACT:
                raise NotLocal(name, process_id, f"method {arguments['method']!r} runs on the whole cube")
            if process_id == "resample_cube_spatial":
                return self.grids[arguments["target"]["from_node"]]
            wanted = (arguments.get(key) for key in ("resolution", "projection"))
            return resample.resampled_grid(first, *_defaults(*wanted), arguments.get("align", "upper-left"))
        named = [arguments.get(key) for key in ("dimension", "source", "name")]  # or a list of labels
        touched = [dim for dim in SPATIAL if dim in named]
        if process_id not in PIXELWISE or touched:
            reason = f"it works along {sorted(touched)}" if touched else "it may need any pixel for any other"
            raise NotLocal(name, process_id, reason)
        if process_id in ("mask", "merge_cubes"):
            one = self.grids[arguments[CUBES[process_id][0]]["from_node"]]
            for other in inputs:
                _require_common_ground(f"node {name!r} ({process_id})", one, self.grids[other])
            return one
        return first

    def _require_cubes(self, name: str) -> None:
        """The arguments that tell the grid must refer to cubes."""
        process_id, arguments = self.graph[name]["process_id"], self.graph[name]["arguments"]
        for key in CUBES.get(process_id, ("data",) if name in self.calls else ()):
            if not isinstance(arguments.get(key), dict) or arguments[key].get("from_node") not in self.grids:
                raise InvalidGraph(
                    f"node {name!r} ({process_id}): {key!r} must be the raster cube of another node"
                )

    def _filtered(self, name: str, grid: Grid) -> Box:
        arguments = self.graph[name]["arguments"]
        if self.graph[name]["process_id"] == "filter_spatial":
            return polygon_box(grid, arguments["geometries"])
        if not isinstance(arguments["extent"], dict):
            raise InvalidParameter(f"filter_bbox: 'extent' must be an object, got {arguments['extent']!r}")
        rows, columns = grid.window(arguments["extent"])
        return Box(rows.start, rows.stop, columns.start, columns.stop)

    # --- which pixels it needs

    def _inputs(self, name: str, box: Box) -> list[tuple[str, Box]]:
        inputs = self.rasters(name)
        if not inputs:
            return []
        process_id, arguments = self.graph[name]["process_id"], self.graph[name]["arguments"]
        if name in self.calls:
            return [(inputs[0], self._udf_input(name, box, whole(self.grids[inputs[0]])))]
        if process_id in ("filter_bbox", "filter_spatial"):
            corner = self._filtered(name, self.grids[inputs[0]])
            return [(inputs[0], box.shifted(corner.y0, corner.x0))]
        if process_id == "resample_spatial":
            return [(inputs[0], self._under(name, box, inputs[0]))]
        if process_id == "resample_cube_spatial":
            data, target = (arguments[key]["from_node"] for key in ("data", "target"))
            return [(data, self._under(name, box, data)), (target, box)]
        return [
            (used, box if self._on_grid_of(used, name) else self._under(name, box, used)) for used in inputs
        ]

    def _udf_input(self, name: str, box: Box, there: Box) -> Box:
        call, base = self.calls[name], self.base(name, box)
        if call.size_px is None:
            return base.clipped(there)
        return base.aligned(*call.size_px).grown(*call.overlap_px).clipped(there)

    def _under(self, name: str, box: Box, used: str) -> Box:
        return resample.needed(self.grids[used], cut(self.grids[name], box))

    def _on_grid_of(self, used: str, name: str) -> bool:
        ours, theirs = self.grids[name], self.grids[used]
        return ours is theirs or ours.matches(theirs)


def _require_common_ground(where: str, one: Grid, other: Grid) -> None:
    """Two cubes that share not a single place are a mistake, not a cube of missing values."""
    boxes = [one.bounds(), other.bounds()] if one.crs == other.crs else [one.bbox(), other.bbox()]
    (west, south, east, north), (left, bottom, right, top) = boxes
    if left >= east or right <= west or bottom >= north or top <= south:
        extents = [", ".join(f"{limit:.3f}" for limit in grid.bbox()) for grid in (one, other)]
        raise InvalidCube(
            f"{where}: the cubes do not overlap; west, south, east, north: {extents[0]} and {extents[1]}"
        )


def _defaults(resolution: object, projection: object) -> tuple[object, object]:
    return (0 if resolution is None else resolution), projection
