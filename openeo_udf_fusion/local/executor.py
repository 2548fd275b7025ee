"""Runs process graphs on the files of a data folder as a production backend would.

`run` writes a result to files, `load` returns it, `check` finds what is wrong without running anything.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import xarray as xr

from openeo_udf_fusion.errors import ClusterUnavailable
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local import vector_cubes
from openeo_udf_fusion.local.checks import argument_errors, check_process
from openeo_udf_fusion.local.execution import Execution, raster
from openeo_udf_fusion.local.fingerprints import run_key
from openeo_udf_fusion.local.formats import get_format
from openeo_udf_fusion.local.graph_limits import GraphLimits
from openeo_udf_fusion.local.inline import Definitions, Fetch, inline, needed_nodes, result_node
from openeo_udf_fusion.local.locality import NotLocal, Survey
from openeo_udf_fusion.local.regions import whole
from openeo_udf_fusion.local.result_metadata import result_metadata
from openeo_udf_fusion.local.standard.zonal import is_vector_cube
from openeo_udf_fusion.local.tile_folder import TileFolder
from openeo_udf_fusion.local.tile_runs import (
    Progress,
    Steps,
    Target,
    Workers,
    Written,
    run_kept,
    run_straight,
    run_whole,
    threads_crew,
)
from openeo_udf_fusion.local.tile_worker import spec
from openeo_udf_fusion.local.tiling import Tiling, as_result, first_tile
from openeo_udf_fusion.local.udf.code import LogEntry
from openeo_udf_fusion.local.udf.confinement import Confinement
from openeo_udf_fusion.local.udf.runner import UdfRunner
from openeo_udf_fusion.local.udf.worker import now

if TYPE_CHECKING:
    from openeo_udf_fusion.local.cluster import Cluster

__all__ = ["LogEntry", "Progress", "RunResult", "Workspace", "check", "load", "run"]

DEFAULT_FORMAT = "netCDF"


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
class RunResult:
    """What a run wrote.

    Attributes
    ----------
    files : list of Path
    metadata : dict
        `bbox` (EPSG:4326), `epsg`, `wkt2`, `dates`, `bands`, `band_attrs`, `shape`, `format`, `tiled`,
        `not_local` (why it did not run tile by tile), `tiles` (how many, see `tile_runs.Written`).
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
    tiles: Path | None = None,
    tile_px: int | None = None,
    cluster: "Cluster | None" = None,
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
    tiles
        a folder that keeps finished tiles, so that the same run goes on where an earlier one was ended; what
        is in it of another run is removed. The folder stays, also when the result is complete. By default
        nothing is kept.
    tile_px
        the largest side of a tile; chunks of UDFs are not cut for it.
    cluster
        whose workers compute the tiles; data, output and `tiles` must lie where they see them, too. A graph
        that is not local in space runs here all the same. Default: threads of this process.

    Raises
    ------
    FusionError
        Cancelled, UdfFailed, NoDataAvailable, ... No file is left behind, but for `tiles`.
    """
    execution = prepare(process, workspace, log, cancelled)
    kind, chosen = format_and_options(execution.graph, format, options)
    path = output / f"result{get_format(kind).suffix}" if format is None else output
    steps = Steps(progress or (lambda _: None), cancelled)
    with closing(execution.runner):
        survey = survey_or_reason(execution)
        target = Target(path, kind, chosen)
        if not isinstance(survey, Survey):
            return _run_not_local(execution, survey, target, steps, cluster)
        tiling = Tiling(execution, survey, tile_px)
        if cluster is None and tiles is None:
            written = run_straight(tiling, execution.runner, target, steps)
        else:
            written = _run_kept(execution, tiling, target, steps, workspace, tiles, cluster)
        return _described(written, target, None)


def _run_kept(
    execution: Execution,
    tiling: Tiling,
    target: Target,
    steps: Steps,
    workspace: Workspace,
    tiles: Path | None,
    cluster: "Cluster | None",
) -> Written:
    say, graph = execution.runner.log, execution.graph
    with ExitStack() as stack:
        folder = TileFolder(tiles or target.path.with_name(f".{target.path.name}.{token_hex(4)}.tiles"))
        stack.callback(folder.close if tiles else folder.remove)
        # A folder that goes with the run is never found again, so nobody need know which run it was.
        ledger = folder.open(_key(graph, workspace, target, tiling, steps) if tiles else token_hex(32))
        note = spec(graph, workspace.data, tiling.side_px, workspace.owner, workspace.udf)
        token = ledger.begin_attempt(note)
        stack.callback(ledger.end_attempt, token)
        if cluster is None:
            threads = stack.enter_context(threads_crew(execution, tiling, ledger, token, steps))
            return run_kept(threads, ledger, target, steps, say)
        workers = Workers(cluster, graph, ledger, token, steps, say)
        try:
            return run_kept(workers, ledger, target, steps, say)
        except ClusterUnavailable as error:
            error.began = workers.has_begun()
            raise


def _key(graph: Json, workspace: Workspace, target: Target, tiling: Tiling, steps: Steps) -> str:
    return run_key(graph, workspace.data, target.kind, target.options, tiling.side_px, steps.cancelled)


def _run_not_local(
    execution: Execution, reason: str, target: Target, steps: Steps, cluster: "Cluster | None"
) -> RunResult:
    where = "" if cluster is None else " in this process, not on the workers"
    execution.runner.log(LogEntry("warning", f"runs on the whole area at once{where}: {reason}", now()))
    steps.go_on()
    result = execution.whole()
    if is_vector_cube(result):
        described = vector_cubes.metadata(result, target.kind)
        files = vector_cubes.write(result, target.path, target.kind)
        return RunResult(files, {**described, "tiled": False, "not_local": reason})
    return _described(run_whole(raster(result), target, steps), target, reason)


def _described(written: Written, target: Target, reason: str | None) -> RunResult:
    metadata = result_metadata(written.template, get_format(target.kind).name)
    how = {"tiled": reason is None, "not_local": reason, "tiles": written.tiles}
    return RunResult(written.files, {**metadata, **how})


def load(process: Json, workspace: Workspace) -> xr.DataArray:
    """Run a process and return its result, in memory as a whole; for small cubes.

    Returns
    -------
    DataArray
        float32, dims out of t, bands, y, x, with CRS.
    """
    execution = prepare(process, workspace)
    with closing(execution.runner):
        survey = survey_or_reason(execution)
        if isinstance(survey, Survey):
            _, (_, cube) = first_tile(execution, survey, lambda s: whole(s.grid))
            return as_result(cube)
        return as_result(raster(execution.whole())).compute()


check = check_process


def prepare(
    process: Json,
    workspace: Workspace,
    log: Callable[[LogEntry], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Execution:
    """Inline a process, check it, and open its sources; the caller closes the runner. Raises as `run`."""
    say = log or (lambda _: None)
    graph = inline(process, workspace.definitions, workspace.fetch, limits=workspace.limits)
    for error in argument_errors(graph):
        raise error
    runner = UdfRunner(say, cancelled, workspace.udf, workspace.owner)
    return Execution(
        needed_nodes(graph), workspace.data, runner, lambda text: say(LogEntry("warning", text, now()))
    )


def format_and_options(graph: Json, format: str | None, options: Json | None) -> tuple[str, Json]:
    """Name and options of the format that was asked for, or else of the one that the graph saves in."""
    node = graph[result_node(graph)]
    saved: Json = node["arguments"] if node["process_id"] == "save_result" else {}
    kind = format or saved.get("format") or DEFAULT_FORMAT
    chosen = options if options is not None else (saved.get("options") or {} if format is None else {})
    return get_format(kind).name, chosen


def survey_or_reason(execution: Execution) -> Survey | str:
    """Where the results lie, or why the graph cannot run tile by tile."""
    try:
        return execution.survey({})
    except NotLocal as found:
        return str(found)
