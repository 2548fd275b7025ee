"""What every process has in common: its function's parameters, and its two forms."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode
from openeo.rest.udp import build_process_dict

from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.udps import graph
from openeo_udf_fusion.udps.deployments import Deployment
from openeo_udf_fusion.udps.graph import Described, given, optional


def in_json(default: object) -> JsonValue:
    """Return a default as JSON has it, which knows no tuples."""
    return list(default) if isinstance(default, tuple) else default


@dataclass(frozen=True)
class Definition:
    """A process as both its forms state it: the one for an area of interest, and `_cube`.

    Attributes
    ----------
    id
        Of the process, its UDF, and the `.md` file beside this one that describes it.
    summary
        In a line.
    returns
        What comes out.
    categories
        As openEO's process browsers show them.
    function
        The process's function: its parameters but the first, with their defaults, are the process's own.
    described
        Description and schema of each of them.
    """

    id: str
    summary: str
    returns: str
    categories: Sequence[str]
    function: Callable[..., object] | None = None
    described: Mapping[str, Described] = field(default_factory=dict)

    def own_parameters(self) -> list[Parameter]:
        """Return the parameters of the process's function, with its defaults."""
        if self.function is None:
            return []
        own = list(inspect.signature(self.function).parameters.values())[1:]
        return [optional(each.name, *self.described[each.name], in_json(each.default)) for each in own]

    def of_cube(self, deployment: Deployment, overlap_px: int = 0, tile_px: int | None = None) -> Json:
        """Build the form that works on a cube which the caller loaded; parameters are those of `of_area`."""
        own = self.own_parameters()
        summary = f"{self.summary} (from a cube)" if own else self.summary
        run = self._run(given("data"), own, deployment, overlap_px, tile_px)
        return self._process(f"{self.id}_cube", summary, [graph.DATA, *own], run)

    def of_area(
        self,
        data: PGNode,
        deployment: Deployment,
        overlap_px: int = 0,
        tile_px: int | None = None,
        *,
        before: Sequence[Parameter] = (),
        after: Sequence[Parameter] = (),
    ) -> Json:
        """Build the form that loads for an area and a period of interest.

        Parameters
        ----------
        data
            What is loaded and merged.
        deployment
            How a worker comes by this package.
        overlap_px, tile_px
            Of the tiles; by default they have the size that all processes share.
        before, after
            Where to load from: parameters before and after the process's own.
        """
        own = [parameter for parameter in self.own_parameters() if parameter.name != "temporal_extent"]
        run = self._run(data, [graph.TEMPORAL_EXTENT, *own], deployment, overlap_px, tile_px)
        parameters = [graph.SPATIAL_EXTENT, graph.TEMPORAL_EXTENT, *before, *own, *after]
        return self._process(self.id, self.summary, parameters, run)

    def _run(
        self,
        data: PGNode | Json,
        own: Sequence[Parameter],
        deployment: Deployment,
        overlap_px: int,
        tile_px: int | None,
    ) -> PGNode:
        names = [parameter.name for parameter in own]
        return graph.run_udf_on_tiles(data, self.id, names, deployment, overlap_px, tile_px)

    def _process(self, process_id: str, summary: str, parameters: list[Parameter], result: PGNode) -> Json:
        described = resources.files("openeo_udf_fusion.udps") / f"{self.id}.md"
        built: Json = build_process_dict(
            process_graph=result.flat_graph(),
            process_id=process_id,
            summary=summary,
            description=described.read_text(encoding="utf-8"),
            parameters=list(parameters),
            returns={
                "description": self.returns,
                "schema": {
                    "type": "object",
                    "subtype": "datacube",
                    "dimensions": [{"type": "spatial"}, {"type": "temporal"}],
                },
            },
            categories=list(self.categories),
        )
        return built
