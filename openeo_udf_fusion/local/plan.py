"""What a run would take, before it is run: tiles, memory, disk and time.

Everything but the speed comes from the headers of the files and one empty chunk: whatever the size of the
scene, no pixels are read. The speed is measured on one chunk or a few from the middle of the area, or given.
"""

import copy
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array
import numpy as np
import psutil
import xarray as xr

from openeo_udf_fusion.errors import FusionError, InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.execution import Execution
from openeo_udf_fusion.local.executor import Workspace, format_and_options, prepare, survey_or_reason
from openeo_udf_fusion.local.layout import Layout
from openeo_udf_fusion.local.locality import Survey
from openeo_udf_fusion.local.regions import Box, tiles
from openeo_udf_fusion.local.sources import Source
from openeo_udf_fusion.local.tile_runs import TILES_AT_ONCE
from openeo_udf_fusion.local.tiles import tile_size
from openeo_udf_fusion.local.tiling import Tiling
from openeo_udf_fusion.local.udf.models_used import may_run_a_model
from openeo_udf_fusion.models import weights
from openeo_udf_fusion.models.cores import cores
from openeo_udf_fusion.udfs import is_shipped

if TYPE_CHECKING:
    from openeo_udf_fusion.local.cluster import Cluster

COPIES = 3
"""Of the input and the output of a tile that a worker holds at its peak: as read, as given to a UDF, as
returned. The benchmark `scale_out` compares the estimate with what workers took."""
SMALL_PX = 32
"""Side of the chunks that are tried, where UDFs do not ask for larger ones."""
LONG_ENOUGH_S = 2.0
DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Speed:
    """How fast a worker is, and how that is known.

    Attributes
    ----------
    pixels_per_s : float
        Pixels of the result, all dates and bands of it.
    source : str
        For a reader.
    device : str
        "cpu", "cuda", "given" (nothing was measured), or "unknown": what a user's UDF runs on is its choice.
    """

    pixels_per_s: float
    source: str
    device: str


@dataclass(frozen=True)
class Hands:
    """Who shares the work.

    Attributes
    ----------
    count : int
        How many workers.
    tiles : int
        How many tiles each has in memory at once.
    about : str
        For a reader.
    """

    count: int
    tiles: int
    about: str


def plan(
    process: Json,
    workspace: Workspace,
    *,
    format: str | None = None,
    options: Json | None = None,
    tile_px: int | None = None,
    workers: int | None = None,
    cluster: "Cluster | None" = None,
    pixels_per_s: float | None = None,
) -> Json:
    """What `executor.run` would take.

    Parameters
    ----------
    process, workspace, format, options, tile_px
        As for `executor.run`.
    workers
        How many processes of this machine share the work, and its cores; None: threads of one process.
    cluster
        Whose workers share the work: those that offer what the graph asks for. Each is taken to be as fast as
        this machine.
    pixels_per_s
        Of one worker; by default this machine computes a few chunks to find out.

    Returns
    -------
    dict
        `tiled`; if not, `not_local` says why. `result` (`shape`, `format`), `tiles` (`count`, `px`),
        `bytes_in_per_tile`, `bytes_out_per_tile` (float32 in memory), `bytes_to_read` (the same of all
        tiles, overlaps included), `peak_memory_bytes_per_worker` (estimated), `result_bytes` and
        `disk_bytes_while_running` (at most: what compression saves is not known before), `worker_hours`,
        `hours` (by `workers`), `device`, `pixels_per_s`, `pixel_years_per_s`, `assumptions` (for a reader).
        What only the first tile would tell is None.

    Raises
    ------
    FusionError
        What the run would raise before its first tile; InvalidParameter for a speed or a number of workers
        that is not positive.
    """
    if (workers is not None and workers < 1) or (pixels_per_s is not None and pixels_per_s <= 0):
        raise InvalidParameter(f"workers and pixels_per_s must be positive, got {workers}, {pixels_per_s}")
    execution = prepare(process, workspace)
    kind, _ = format_and_options(execution.graph, format, options)
    with closing(execution.runner):
        survey = survey_or_reason(execution)
        if not isinstance(survey, Survey):
            return _not_local(execution, survey, kind)
        probe = _probed(_without_data(execution), survey)
        if probe is None and pixels_per_s is None:
            probe = _probed(execution, survey)
        survey = survey if probe is None else execution.survey(probe.ratios)
        given = None if pixels_per_s is None else Speed(pixels_per_s, "as was given", "given")
        with _share_of_the_cores(workers):
            speed = given or _measured(execution, survey, tile_px)
        return _described(
            execution, survey, probe, kind, tile_px, _hands(execution.graph, workers, cluster), speed
        )


def summary(plan: Json) -> str:
    """A plan for a reader, a line each."""
    if not plan["tiled"]:
        size = _bytes(plan["bytes_to_read"])
        return f"does not run tile by tile: {plan['not_local']}\ninput, all in memory: {size}"
    shape = " x ".join(f"{size} {dim}" for dim, size in plan["result"]["shape"].items())
    rows, columns = plan["tiles"]["px"]
    one = {"given": "one worker of the given speed", "unknown": "one worker"}.get(
        plan["device"], f"one worker on {plan['device']}"
    )
    hours = f"{plan['hours']:.2f} h with {plan['workers']} worker(s), {plan['worker_hours']:.2f} h of {one}"
    lines = [
        ("result", f"{shape}, {plan['result']['format']}"),
        ("tiles", f"{plan['tiles']['count']} of {rows} x {columns} px"),
        ("input", f"{_bytes(plan['bytes_in_per_tile'])} a tile, {_bytes(plan['bytes_to_read'])} in all"),
        ("output", f"{_bytes(plan['bytes_out_per_tile'])} a tile, {_bytes(plan['result_bytes'])} in all"),
        ("disk while running", f"at most {_bytes(plan['disk_bytes_while_running'])}"),
        ("memory of a worker", f"about {_bytes(plan['peak_memory_bytes_per_worker'])}"),
        ("time", hours),
        ("speed", f"{plan['pixels_per_s']:,.0f} pixels/s, {plan['pixel_years_per_s']:,.0f} pixel-years/s"),
    ]
    return "\n".join([*(f"{name + ':':<20}{text}" for name, text in lines), "", *plan["assumptions"]])


def _not_local(execution: Execution, reason: str, kind: str) -> Json:
    size = sum(_bytes_of(source) for source in execution.sources.values())
    return {"tiled": False, "not_local": reason, "result": {"format": kind}, "bytes_to_read": size}


def _described(
    execution: Execution,
    survey: Survey,
    probe: Layout | None,
    kind: str,
    tile_px: int | None,
    hands: Hands,
    speed: Speed,
) -> Json:
    shape, tile = survey.grid.shape, _tile(execution, survey, tile_px)
    boxes = tiles(shape, tile)
    bytes_in = [_bytes_needed(execution, survey, box) for box in _samples(boxes)]
    depth = None if probe is None else _values_per_pixel(probe)
    bytes_out = None if depth is None else 4 * depth * min(tile[0], shape[0]) * min(tile[1], shape[1])
    result = None if depth is None else 4 * depth * shape[0] * shape[1]
    hours = shape[0] * shape[1] / speed.pixels_per_s / 3600
    base, most = _memory()
    estimate = max(most, base + hands.tiles * COPIES * (max(bytes_in) + (bytes_out or 0)))
    return {
        "tiled": True,
        "not_local": None,
        "result": {"shape": _shape(probe, shape), "format": kind},
        "tiles": {"count": len(boxes), "px": list(tile)},
        "bytes_in_per_tile": max(bytes_in),
        "bytes_out_per_tile": bytes_out,
        "bytes_to_read": int(np.mean(bytes_in) * len(boxes)),
        "peak_memory_bytes_per_worker": estimate,
        "result_bytes": result,
        # Finished tiles, the result, and what a COG is made from.
        "disk_bytes_while_running": None if result is None else (3 if kind == "GTiff" else 2) * result,
        "workers": hands.count,
        "tiles_at_once_per_worker": hands.tiles,
        "worker_hours": hours,
        "hours": hours / hands.count,
        "device": speed.device,
        "pixels_per_s": speed.pixels_per_s,
        "pixel_years_per_s": speed.pixels_per_s * _years(execution.sources),
        "assumptions": [
            hands.about,
            f"A worker computes {speed.pixels_per_s:,.0f} pixels/s ({speed.source}), and reads as fast.",
            f"A worker holds {_bytes(base)} before its first tile, as this process does, and for each of the "
            f"{hands.tiles} tile(s) that it has at once {COPIES} times input and output; or {_bytes(most)}, "
            "the most that this process took.",
            *(["What UDFs return could not be found out without data."] if probe is None else []),
        ],
    }


def _memory() -> tuple[int, int]:
    """What this process holds and the most that it has held (where the system tells), as a worker would."""
    from openeo_udf_fusion.local import cluster  # noqa: F401 - a worker has loaded it

    now = int(psutil.Process().memory_info().rss)
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    return now, max([now, *peaks])


def _probed(execution: Execution, survey: Survey) -> Layout | None:
    """What the result looks like, by its first chunk; None where a UDF fails on it."""
    tiling = Tiling(execution, survey, SMALL_PX)
    try:
        tiling.first()
    except FusionError:
        return None
    return tiling.layout


def _without_data(execution: Execution) -> Execution:
    empty = copy.copy(execution)
    empty.sources = {name: _empty(source) for name, source in execution.sources.items()}
    return empty


def _empty(source: Source) -> Source:
    nothing = dask.array.full(source.cube.shape, np.nan, np.float32, chunks=(-1, 1, 256, 256))  # type: ignore[no-untyped-call]
    return replace(source, cube=source.cube.copy(data=nothing))


def _measured(execution: Execution, survey: Survey, tile_px: int | None) -> Speed:
    """The speed of this machine on ever larger chunks from the middle, up to a tile."""
    largest, side = _tile(execution, survey, tile_px), SMALL_PX
    while True:
        tile = _tile(execution, survey, side)
        box = _middle(survey.grid.shape, tile)
        begin = time.monotonic()
        values = execution.tile(survey, box)
        seconds = max(time.monotonic() - begin, 1e-6)
        if seconds > LONG_ENOUGH_S or tile[0] * tile[1] >= largest[0] * largest[1]:
            break
        side *= 2
    valid = float(np.isfinite(values).mean()) if isinstance(values, xr.DataArray) else 0.0
    rows, columns = box.shape
    device = _device(execution)
    text = (
        f"measured here on {device} with {cores()} core(s), {rows} x {columns} px from the middle, "
        f"{valid:.0%} of the result valid"
    )
    return Speed(rows * columns / seconds, text, device)


def _middle(shape: tuple[int, int], tile: tuple[int, int]) -> Box:
    y, x = (size // pixels // 2 * pixels for size, pixels in zip(shape, tile, strict=True))
    return Box(y, y + tile[0], x, x + tile[1]).clipped(Box(0, shape[0], 0, shape[1]))


def _device(execution: Execution) -> str:
    """What the models of the graph have run on."""
    models = [call for call in execution.calls.values() if may_run_a_model(call)]
    if not all(is_shipped(call.code) for call in models):
        return "unknown"
    return weights.loaded()[-1][1].device if models and weights.loaded() else "cpu"


def _hands(graph: Json, workers: int | None, cluster: "Cluster | None") -> Hands:
    if cluster is not None:
        resources, why = cluster.resources_for(graph)
        count = cluster.having(resources)
        now = f"{count} of them do now" if count else "none does now, and hours are those of one"
        return Hands(max(1, count), 1, f"Tiles run on {cluster.place}; {why}; {now}.")
    if workers is not None:
        return Hands(workers, 1, f"{workers} worker(s) of this machine share its cores.")
    return Hands(1, TILES_AT_ONCE, f"One process, {TILES_AT_ONCE} tiles at a time on its threads.")


@contextmanager
def _share_of_the_cores(workers: int | None) -> Iterator[None]:
    """Let this process compute with as many threads as each of some workers here; None: as it likes."""
    from openeo_udf_fusion.local.cluster import THREADS, threads_of_one

    unset = [] if workers is None else [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, str(threads_of_one(workers or 1))))
    torch = sys.modules.get("torch")  # otherwise it is still to read the environment
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(min(before, cores()))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]
        if torch:
            torch.set_num_threads(before)


def _tile(execution: Execution, survey: Survey, side_px: int | None) -> tuple[int, int]:
    per_pixel = sum(source.bytes_per_pixel for source in execution.sources.values())
    return tile_size(survey, per_pixel, side_px)


def _samples(boxes: list[Box]) -> list[Box]:
    """A hundred tiles at most, evenly spread: what each needs is found by going through the graph."""
    return boxes[:: max(1, len(boxes) // 100)]


def _bytes_needed(execution: Execution, survey: Survey, box: Box) -> int:
    needs = survey.needs(box).results
    return sum(
        needs[name].shape[0] * needs[name].shape[1] * source.bytes_per_pixel
        for name, source in execution.sources.items()
        if name in needs
    )


def _bytes_of(source: Source) -> int:
    return source.bytes_per_pixel * source.grid.shape[0] * source.grid.shape[1]


def _values_per_pixel(layout: Layout) -> int:
    template = layout.template
    return (1 if template.t is None else len(template.t)) * len(template.variables)


def _shape(probe: Layout | None, shape: tuple[int, int]) -> Json:
    rows, columns = shape
    if probe is None:
        return {"t": None, "bands": None, "y": rows, "x": columns}
    template = probe.template
    dates = {} if template.t is None else {"t": len(template.t)}
    bands = {} if template.bands is None else {"bands": len(template.bands)}
    return {**dates, **bands, "y": rows, "x": columns}


def _years(sources: Mapping[str, Source]) -> float:
    """The time that the input spans; a day at least."""
    dates = np.concatenate([source.cube["t"].values for source in sources.values()])
    days = float((dates.max() - dates.min()) / np.timedelta64(1, "D")) + 1
    return days / DAYS_A_YEAR


def _bytes(size: int | None) -> str:
    if size is None:
        return "unknown"
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size:,} bytes"
