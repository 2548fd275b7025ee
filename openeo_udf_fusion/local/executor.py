"""Runs process graphs on the files of a data folder as a production backend would.

`run` writes a result to files, `load` returns it, `check` finds what is wrong without running anything.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import xarray as xr

from openeo_udf_fusion.errors import Cancelled, InvalidCube
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local import vector_cubes
from openeo_udf_fusion.local.checks import argument_errors, check_process
from openeo_udf_fusion.local.execution import Execution, ResolutionFound, raster
from openeo_udf_fusion.local.formats import Template, get_format, writer
from openeo_udf_fusion.local.graph_limits import GraphLimits
from openeo_udf_fusion.local.inline import Definitions, Fetch, inline, needed_nodes, result_node
from openeo_udf_fusion.local.locality import NotLocal, Survey
from openeo_udf_fusion.local.regions import Box, tiles, whole
from openeo_udf_fusion.local.result_metadata import result_metadata
from openeo_udf_fusion.local.standard.zonal import is_vector_cube
from openeo_udf_fusion.local.tiles import ahead, tile_size
from openeo_udf_fusion.local.udf.code import LogEntry
from openeo_udf_fusion.local.udf.confinement import Confinement
from openeo_udf_fusion.local.udf.runner import UdfRunner
from openeo_udf_fusion.local.udf.worker import now

__all__ = ["LogEntry", "Progress", "RunResult", "Workspace", "check", "load", "run"]

DEFAULT_FORMAT = "netCDF"
# Two tiles at once are enough: one reads or writes while the other computes with all cores.
TILES_AT_ONCE = min(2, os.cpu_count() or 1)


@dataclass(frozen=True)
class Workspace:
    """What a graph may use.

    Attributes
    ----------
    data : Path
        The folder of collections; nothing outside it is read.
    definitions : callable
        (process id, namespace) -> process with `process_graph` and `parameters`, or None.
    fetch : callable or None
        Reads the JSON at a namespace that is a URL or file; None: not allowed.
    owner : str
        Whose run it is; what outlives a run (a process that has run a UDF, say) serves the same owner alone.
    limits : GraphLimits
        How large a graph may grow.
    udf : Confinement
        What the processes of UDFs that are not this package's may use; by default there are no limits.
    """

    data: Path
    definitions: Definitions
    fetch: Fetch | None = None
    owner: str = ""
    limits: GraphLimits = field(default_factory=GraphLimits)
    udf: Confinement = field(default_factory=Confinement)


@dataclass(frozen=True)
class Progress:
    """How far a run is: tiles done and in all, and pixels of the result per second."""

    done: int
    total: int
    pixels_per_s: float


@dataclass(frozen=True)
class RunResult:
    """What a run wrote.

    Attributes
    ----------
    files : list of Path
    metadata : dict
        `bbox` (EPSG:4326), `epsg`, `wkt2`, `dates`, `bands`, `band_attrs`, `shape`, `format`, `tiled`,
        `not_local` (why it did not run tile by tile).
    """

    files: list[Path]
    metadata: Json


def run(
    process: Json,
    workspace: Workspace,
    output: Path,
    *,
    format: str | None = None,
    options: Json | None = None,
    progress: Callable[[Progress], None] | None = None,
    log: Callable[[LogEntry], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Run a process and write its result.

    Where every process of the graph is local in space, it runs tile by tile, and memory does not grow with
    the area; otherwise it runs on lazy cubes, and the log says which process is not local.

    Parameters
    ----------
    process
        ``{"process_graph": {...}, "parameters": [...]}``.
    workspace
        collections and definitions of processes.
    output
        a folder, in which the result is called `result` with the format's suffix; with `format`, the file.
    format, options
        of the file; by default those of the graph's save_result, or netCDF.
    progress, log
        called after every tile, and with every line of the log.
    cancelled
        asked between tiles, and while a user's UDF runs.

    Raises
    ------
    FusionError
        Cancelled, UdfFailed, NoDataAvailable, ... No file is left behind.
    """
    execution = _prepare(process, workspace, log, cancelled)
    kind, chosen = _format(execution.graph, format, options)
    path = output / f"result{get_format(kind).suffix}" if format is None else output
    steps = _Steps(progress or (lambda _: None), cancelled)
    with closing(execution.runner):
        return _run(execution, path, kind, chosen, steps)


def _run(execution: Execution, path: Path, kind: str, chosen: Json, steps: "_Steps") -> RunResult:
    survey = _survey_or_reason(execution)
    if isinstance(survey, Survey):
        template, files = _run_tiled(execution, survey, path, kind, chosen, steps)
        reason = None
    else:
        reason = survey
        execution.runner.log(LogEntry("warning", f"runs on the whole area at once: {reason}", now()))
        steps.go_on()
        result = execution.whole()
        if is_vector_cube(result):
            described = vector_cubes.metadata(result, kind)
            files = vector_cubes.write(result, path, kind)
            return RunResult(files, {**described, "tiled": False, "not_local": reason})
        template, files = _run_whole(raster(result), path, kind, chosen, steps)
    metadata = result_metadata(template, get_format(kind).name)
    return RunResult(files, {**metadata, "tiled": reason is None, "not_local": reason})


def load(process: Json, workspace: Workspace) -> xr.DataArray:
    """Run a process and return its result, in memory as a whole; for small cubes.

    Returns
    -------
    DataArray
        float32, dims out of t, bands, y, x, with CRS.
    """
    execution = _prepare(process, workspace, None, lambda: False)
    with closing(execution.runner):
        survey = _survey_or_reason(execution)
        if isinstance(survey, Survey):
            survey, cube = _first_tile(execution, survey, lambda s: whole(s.grid))
            return _as_result(cube)
        return _as_result(raster(execution.whole())).compute()


check = check_process


def _prepare(
    process: Json, workspace: Workspace, log: Callable[[LogEntry], None] | None, cancelled: Callable[[], bool]
) -> Execution:
    say = log or (lambda _: None)
    graph = inline(process, workspace.definitions, workspace.fetch, limits=workspace.limits)
    for error in argument_errors(graph):
        raise error
    runner = UdfRunner(say, cancelled, workspace.udf, workspace.owner)
    return Execution(
        needed_nodes(graph), workspace.data, runner, lambda text: say(LogEntry("warning", text, now()))
    )


def _format(graph: Json, format: str | None, options: Json | None) -> tuple[str, Json]:
    node = graph[result_node(graph)]
    saved: Json = node["arguments"] if node["process_id"] == "save_result" else {}
    kind = format or saved.get("format") or DEFAULT_FORMAT
    chosen = options if options is not None else (saved.get("options") or {} if format is None else {})
    return get_format(kind).name, chosen


def _survey_or_reason(execution: Execution) -> Survey | str:
    try:
        return execution.survey({})
    except NotLocal as found:
        return str(found)


def _first_tile(
    execution: Execution, survey: Survey, box: Callable[[Survey], Box]
) -> tuple[Survey, xr.DataArray]:
    """The first tile, and the survey with the resolutions that UDFs turned out to return."""
    ratios: dict[str, Fraction] = {}
    while True:
        try:
            return survey, raster(execution.tile(survey, box(survey)))
        except ResolutionFound as found:
            if found.call.node in ratios:
                raise found.refusal() from None
            ratios[found.call.node] = found.ratio
            survey = execution.survey(ratios)


class _Steps:
    """Counts tiles, reports progress, and stops a run that was cancelled."""

    def __init__(self, report: Callable[[Progress], None], cancelled: Callable[[], bool]) -> None:
        self.report = report
        self.cancelled = cancelled
        self.start = time.monotonic()
        self.pixels = 0

    def go_on(self) -> None:
        if self.cancelled():
            raise Cancelled("the run was cancelled; its result was removed")

    def done(self, count: int, total: int, pixels: int) -> None:
        self.pixels += pixels
        elapsed = max(time.monotonic() - self.start, 1e-6)
        self.report(Progress(count, total, self.pixels / elapsed))


def _run_tiled(
    execution: Execution, survey: Survey, path: Path, kind: str, options: Json, steps: _Steps
) -> tuple[Template, list[Path]]:
    def boxes(of: Survey) -> list[Box]:
        per_pixel = sum(source.bytes_per_pixel for source in execution.sources.values())
        return tiles(of.grid.shape, tile_size(of, per_pixel))

    steps.go_on()
    survey, first = _first_tile(execution, survey, lambda s: boxes(s)[0])
    first = _as_result(first)
    template = replace(Template.of(first), y=survey.grid.y, x=survey.grid.x)
    all_boxes = boxes(survey)

    def compute(box: Box) -> xr.DataArray:
        steps.go_on()
        try:
            return _as_result(raster(execution.tile(survey, box)))
        except ResolutionFound as found:
            raise found.refusal() from None

    with writer(path, kind, template, options) as opened, _pool(execution.runner) as pool:
        opened.write(first, all_boxes[0].rows, all_boxes[0].columns)
        steps.done(1, len(all_boxes), first.sizes["y"] * first.sizes["x"])
        del first
        for count, (box, cube) in enumerate(ahead(pool, compute, all_boxes[1:], TILES_AT_ONCE + 1), start=2):
            _require_labels(cube, template)
            opened.write(cube, box.rows, box.columns)
            steps.done(count, len(all_boxes), box.shape[0] * box.shape[1])
            steps.go_on()
    return template, opened.files


@contextmanager
def _pool(runner: UdfRunner) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(TILES_AT_ONCE, thread_name_prefix="tile")
    try:
        yield pool
    except BaseException:
        runner.stop()  # the other tiles are of no use any more
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_whole(
    result: xr.DataArray, path: Path, kind: str, options: Json, steps: _Steps
) -> tuple[Template, list[Path]]:
    cube = _as_result(result)
    template = Template.of(cube)
    boxes = tiles(template.shape, (512, 512))
    with writer(path, kind, template, options) as opened:
        for count, box in enumerate(boxes, start=1):
            steps.go_on()
            opened.write(cube.isel(y=box.rows, x=box.columns), box.rows, box.columns)
            steps.done(count, len(boxes), box.shape[0] * box.shape[1])
    return template, opened.files


def _as_result(cube: xr.DataArray) -> xr.DataArray:
    """float32, dims in the order t, bands, y, x."""
    order = [dim for dim in ("t", "bands", "y", "x") if dim in cube.dims]
    return cube.transpose(*order, ...).astype(np.float32)


def _require_labels(cube: xr.DataArray, template: Template) -> None:
    dates = cube["t"].values.astype("datetime64[ns]") if "t" in cube.dims else None
    bands = tuple(str(label) for label in cube["bands"].values) if "bands" in cube.dims else None
    if bands != template.bands or not np.array_equal(_or_empty(dates), _or_empty(template.t)):
        raise InvalidCube(
            f"tiles differ: one has {len(_or_empty(template.t))} dates and bands {template.bands}, another "
            f"{len(_or_empty(dates))} dates and bands {bands}; a UDF must return the same for every tile: "
            "choose regular dates (such as 'P8D' within temporal_extent)"
        )


def _or_empty(dates: np.ndarray | None) -> np.ndarray:
    return np.empty(0, "datetime64[ns]") if dates is None else dates
