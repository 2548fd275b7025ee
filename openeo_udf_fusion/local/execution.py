"""Evaluates an inlined graph: all of it at once and lazily, or one tile of its result."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import xarray as xr

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local import resample
from openeo_udf_fusion.local.evaluation import ParsedGraph, call
from openeo_udf_fusion.local.geometry import grid_of, placed
from openeo_udf_fusion.local.inline import is_callback
from openeo_udf_fusion.local.locality import Needs, Survey
from openeo_udf_fusion.local.regions import Box, cut, refined, whole
from openeo_udf_fusion.local.sources import LOADERS, Source, open_source
from openeo_udf_fusion.local.standard.registry import PACKED, implementations
from openeo_udf_fusion.local.udf.calls import UdfCall, udf_calls
from openeo_udf_fusion.local.udf.contract import Region, apply_udf
from openeo_udf_fusion.local.udf.runner import UdfRunner


class ResolutionFound(Exception):
    """A UDF returns another number of pixels than was taken for granted."""

    def __init__(self, call: UdfCall, ratio: Fraction, expected: Fraction) -> None:
        super().__init__(call.node, ratio, expected)
        self.call = call
        self.ratio = ratio
        self.expected = expected

    def refusal(self) -> InvalidCube:
        """What to tell the user where another chunk has settled the number of pixels already."""
        given = [
            size + 2 * margin
            for size, margin in zip(self.call.size_px or (1, 1), self.call.overlap_px, strict=True)
        ]
        first, other = (
            " x ".join(str(size * ratio) for size in given) for ratio in (self.expected, self.ratio)
        )
        return InvalidCube(
            f"the UDF of node {self.call.node!r} ({self.call.parent}) returned {first} pixels for one chunk "
            f"of {given[0]} x {given[1]} and {other} for another; it must return as many for every chunk"
        )


class Execution:
    """An inlined graph, its sources opened.

    Parameters
    ----------
    graph
        flat, of standard processes.
    data
        the folder of collections.
    runner
        where UDFs run.
    warn
        takes what the user should know.
    """

    def __init__(self, graph: Json, data: Path, runner: UdfRunner, warn: Callable[[str], None]) -> None:
        self.graph = graph
        self.runner = runner
        self.calls = udf_calls(graph)
        self.sources: dict[str, Source] = {
            name: open_source(node, data, warn)
            for name, node in graph.items()
            if node["process_id"] in LOADERS
        }
        self._parsed = ParsedGraph(_for_the_parser(graph, {*self.calls, *self.sources}), implementations())

    def survey(self, ratios: Mapping[str, Fraction]) -> Survey:
        """Where all results lie; raises NotLocal."""
        return Survey(
            self.graph, {name: source.grid for name, source in self.sources.items()}, self.calls, ratios
        )

    def whole(self) -> Any:  # noqa: ANN401 - the value of any graph
        """The result of everything, lazily (but for the first chunk of every UDF)."""

        def run_node(name: str, process_id: str, arguments: Json) -> Any:  # noqa: ANN401
            if name in self.sources:
                return self.sources[name].lazy()
            if name in self.calls:
                return self._udf_on_all(name, arguments["data"])
            return call(implementations(), process_id, arguments)

        return self._parsed.evaluate(run_node, lambda user, used, result: result)

    def tile(self, survey: Survey, box: Box) -> xr.DataArray:
        """The pixels of one box of the result, in memory.

        Raises
        ------
        ResolutionFound
            A UDF does not return the number of pixels that the survey took for granted.
        """
        needs = survey.needs(box)

        def run_node(name: str, process_id: str, arguments: Json) -> Any:  # noqa: ANN401
            if name in self.sources:
                return self.sources[name].load(needs.results[name])
            if name in self.calls:
                return self._udf_on_tile(name, arguments["data"], survey, needs)
            if process_id == "resample_spatial":
                target = cut(survey.grids[name], needs.results[name])
                return resample.onto(arguments["data"], target, arguments.get("method", "near"))
            return call(implementations(), process_id, arguments)

        def take_input(user: str, used: str, result: Any) -> Any:  # noqa: ANN401
            if used not in survey.grids:
                return result
            part = needs.inputs[user, used].relative_to(needs.results[used])
            return result.isel(y=part.rows, x=part.columns)

        result: xr.DataArray = self._parsed.evaluate(run_node, take_input)
        return result

    def _udf_on_tile(self, name: str, cube: xr.DataArray, survey: Survey, needs: Needs) -> xr.DataArray:
        used = survey.rasters(name)[0]
        there, wanted = needs.results[name], survey.base(name, needs.results[name])
        region = Region(
            needs.inputs[name, used], wanted.clipped(whole(survey.grids[used])), whole(survey.grids[used])
        )
        values, ratio = apply_udf(cube, self.calls[name], region, self.runner)
        expected = survey.ratios.get(name, Fraction(1))
        if ratio != expected:
            raise ResolutionFound(self.calls[name], ratio, expected)
        part = there.relative_to(region.wanted.scaled(ratio))
        values = values.isel(y=part.rows, x=part.columns)
        return _described(placed(values, cut(survey.grids[name], there)), cube)

    def _udf_on_all(self, name: str, cube: xr.DataArray) -> xr.DataArray:
        grid = grid_of(cube)
        everything = whole(grid)
        values, ratio = apply_udf(
            cube, self.calls[name], Region(everything, everything, everything), self.runner
        )
        return _described(placed(values, refined(grid, ratio)), cube)


def raster(result: object) -> xr.DataArray:
    """The result of a graph, which must be a raster cube."""
    if not isinstance(result, xr.DataArray) or not {"y", "x"} <= set(result.dims):
        found = f"dims {result.dims}" if isinstance(result, xr.DataArray) else type(result).__name__
        raise InvalidCube(f"the result of the graph must be a raster cube with dims y and x, it has {found}")
    return result


def _described(result: xr.DataArray, cube: xr.DataArray) -> xr.DataArray:
    """A UDF's result with its own attributes, and the input's for bands that are still there.

    How numbers are packed holds for the input's numbers alone; a UDF that packs says so itself.
    """
    own = result.attrs.get("band_attrs", {})
    labels = result["bands"].values.tolist() if "bands" in result.coords else []
    kept = {
        band: {key: value for key, value in about.items() if key not in PACKED}
        for band, about in cube.attrs.get("band_attrs", {}).items()
        if band in labels
    }
    inherited = {key: value for key, value in cube.attrs.items() if key != "band_attrs"}
    result.attrs = {**inherited, **result.attrs}
    if kept or own:
        result.attrs["band_attrs"] = {**kept, **own}
    return result


def _for_the_parser(graph: Json, executed: set[str]) -> Json:
    """The graph without the arguments of loading and of UDFs: the parser would take dates to pieces."""
    return {
        name: {**node, "arguments": _references_only(node["arguments"])} if name in executed else node
        for name, node in graph.items()
    }


def _references_only(arguments: Json) -> Json:
    return {
        key: value
        for key, value in arguments.items()
        if isinstance(value, dict) and "from_node" in value and not is_callback(value)
    }
