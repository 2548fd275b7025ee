"""Tiles per second with one worker and with two, and the memory of all who take part.

The scene is a Sentinel-2 tile (10,980 x 10,980 pixels, two bands) at twelve dates. Its files are sparse:
blocks outside the slice that is computed are not stored, so that it takes little disk. The whole of it is
planned, the slice in its middle is run for real: a scheduler, workers with one thread and a client, each a
fresh process.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.windows import Window

from openeo_udf_fusion import __version__
from openeo_udf_fusion.bench.dask_cluster import dask_cluster, environment, wait_for
from openeo_udf_fusion.bench.machine import cpu_model
from openeo_udf_fusion.bench.memory import MIB, POLL_S, CommandFailed, high_water
from openeo_udf_fusion.jsontypes import Json

SCENE_PX = 10_980
DATES = 12
BANDS = ("s2_B04", "s2_B08")
CELL_M = 10
WEST, NORTH = 600_000, 5_400_000
COLLECTION = "scene"
PROCESS = "fill_gaps_cube"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes
    ----------
    slice_px
        Side of the area that is computed.
    tile_px
        Side of its tiles.
    method
        Of `fill_gaps`.
    scene_px
        Side of the scene.
    """

    slice_px: int = 640
    tile_px: int = 128
    method: str = "whittaker"
    scene_px: int = SCENE_PX


@dataclass
class Peaks:
    """The most memory that each process has held, in MiB, by who it is."""

    processes: Mapping[str, psutil.Process]
    mib: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        """Note the high-water marks as they are now."""
        for name, process in self.processes.items():
            try:
                self.mib[name] = max(self.mib.get(name, 0.0), high_water(process) / MIB)
            except psutil.NoSuchProcess:
                continue


def measure(folder: Path, sizes: Sizes, say: Say) -> Json:
    """Measure how tiles scale from one worker to two.

    Parameters
    ----------
    folder : Path
        An empty folder, for the scene and the results.
    sizes : Sizes
        What to measure.
    say : callable
        Takes lines of progress.

    Returns
    -------
    dict
        `plan` of the whole scene (see `local.plan`); by number of workers `tiles_per_s` (from the second tile
        on: the first runs alone), `worker_peak_rss_mib` (the largest) and `planned_to_peak_memory`, that is
        what the plan says over it; `efficiency`, that is the rate of two workers over twice the rate
        of one; `scheduler_peak_rss_mib` and `client_peak_rss_mib` with two workers;
        `planned_worker_rss_mib`; and the circumstances.

    Raises
    ------
    CommandFailed
        A process did not end well.
    """
    say(f"writing a scene of {sizes.scene_px} x {sizes.scene_px} pixels at {DATES} dates ...")
    write_scene(folder / "data", sizes)
    say("planning it ...")
    plan = _command(
        _run_command(folder, sizes, whole=True, more=["--dry-run", "--workers", "1"]), environment()
    )
    rates, peaks, planned = {}, {}, None
    for count in (1, 2):
        say(f"running {sizes.slice_px} x {sizes.slice_px} pixels of it on {count} worker(s) ...")
        done, peaks[count] = _run_on_workers(folder, sizes, count)
        rates[str(count)] = _tiles_per_s(done["tiles"])
        planned = done["tiles"]["total"]
    workers = {str(n): max(v for k, v in p.items() if k.startswith("worker")) for n, p in peaks.items()}
    planned_mib = plan["peak_memory_bytes_per_worker"] / MIB
    return {
        "plan": plan,
        "tiles_per_s": rates,
        "efficiency": rates["2"] / (2 * rates["1"]),
        "worker_peak_rss_mib": workers,
        "scheduler_peak_rss_mib": peaks[2]["scheduler"],
        "client_peak_rss_mib": peaks[2]["client"],
        "planned_worker_rss_mib": planned_mib,
        "planned_to_peak_memory": {number: planned_mib / peak for number, peak in workers.items()},
        "circumstances": {
            "version": __version__,
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 2),
            "process": f"{PROCESS}, {sizes.method}",
            "slice": f"{sizes.slice_px} x {sizes.slice_px} px, {DATES} dates, {len(BANDS)} bands",
            "tiles": f"{planned} of {sizes.tile_px} px",
            "threads": "one a worker",
        },
    }


def write_scene(folder: Path, sizes: Sizes) -> None:
    """Write the collection `scene`: a file a date, with values in the slice in its middle alone."""
    (folder / COLLECTION).mkdir(parents=True)
    rng = np.random.default_rng(0)
    first, side = _first_px(sizes), sizes.slice_px
    level = rng.integers(300, 3000, (len(BANDS), side, side), dtype=np.int16)
    for month in range(1, DATES + 1):
        path = folder / COLLECTION / f"scene_2022-{month:02d}-15.tif"
        values = (level + rng.integers(-100, 100, level.shape, dtype=np.int16)).astype(np.int16)
        values[:, rng.random((side, side)) < 0.3] = -1  # clouds
        with rasterio.open(path, "w", **_profile(sizes.scene_px)) as file:
            file.descriptions = BANDS
            file.scales = (1e-4,) * len(BANDS)
            file.write(values, window=Window(first, first, side, side))


def _profile(size_px: int) -> Json:
    return {
        "driver": "GTiff",
        "dtype": "int16",
        "count": len(BANDS),
        "width": size_px,
        "height": size_px,
        "crs": CRS.from_epsg(32632),
        "transform": from_origin(WEST, NORTH, CELL_M, CELL_M),
        "nodata": -1,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "zlevel": 1,
        "SPARSE_OK": True,
    }


def _first_px(sizes: Sizes) -> int:
    """The first row and column of the slice: a whole number of blocks, about the middle."""
    return ((sizes.scene_px - sizes.slice_px) // 2 + 128) // 256 * 256


def _box(sizes: Sizes, side_px: int) -> Json:
    west, north = WEST + CELL_M * _first_px(sizes), NORTH - CELL_M * _first_px(sizes)
    side = CELL_M * side_px
    return {"west": west, "north": north, "east": west + side, "south": north - side, "crs": 32632}


def _run_command(
    folder: Path, sizes: Sizes, *, whole: bool = False, side_px: int = 0, more: Sequence[str] = ()
) -> list[str]:
    area = None if whole else _box(sizes, side_px or sizes.slice_px)
    process = folder / f"process_{'whole' if whole else side_px or sizes.slice_px}.json"
    process.write_text(json.dumps(_process(sizes, area)), encoding="utf-8")
    command = [sys.executable, "-m", "openeo_udf_fusion.cli.main", "run", str(process)]
    command += ["--data", str(folder / "data"), "-o", str(folder / "result.zarr"), "--json"]
    return [*command, "--tile-px", str(sizes.tile_px), *more]


def _process(sizes: Sizes, area: Json | None) -> Json:
    extent = ["2022-01-01", "2023-01-01"]
    load: Json = {"id": COLLECTION, "spatial_extent": area, "temporal_extent": extent}
    fill: Json = {
        "data": {"from_node": "load"},
        "method": sizes.method,
        "temporal_extent": extent,
        "dates": "P1M",
    }
    return {
        "process_graph": {
            "load": {"process_id": "load_collection", "arguments": load},
            "fill": {"process_id": PROCESS, "arguments": fill, "result": True},
        },
        "parameters": [],
    }


def _run_on_workers(folder: Path, sizes: Sizes, count: int) -> tuple[Json, dict[str, float]]:
    own = folder / f"dask{count}"
    own.mkdir()
    with dask_cluster(own, [[]] * count) as (address, started):
        wait_for(lambda: _workers(address) == count)
        where = ["--scheduler", address]
        # The first tiles of a worker pay for its imports.
        warm_up = min(sizes.slice_px, 2 * sizes.tile_px)
        _command(_run_command(folder, sizes, side_px=warm_up, more=where), environment())
        names = ["scheduler", *(f"worker {number}" for number in range(1, count + 1))]
        peaks = Peaks({name: psutil.Process(one.pid) for name, one in zip(names, started, strict=True)})
        done = _command(_run_command(folder, sizes, more=where), environment(), peaks)
        return done, peaks.mib


def _tiles_per_s(tiles: Json) -> float:
    """From the second tile on: the first runs alone, however many workers there are."""
    return float((tiles["computed"] - 1) / (tiles["seconds"] - tiles["seconds_first"]))


def _workers(address: str) -> int:
    from openeo_udf_fusion.local.cluster import connected

    with connected(address) as cluster:
        return len(cluster.workers())


def _command(command: Sequence[str], environment: Mapping[str, str], peaks: Peaks | None = None) -> Json:
    """Run a command that prints one JSON object; with `peaks`, watch it and the others meanwhile."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        if peaks is not None:
            peaks.processes = {**peaks.processes, "client": psutil.Process(running.pid)}
            while running.poll() is None:
                peaks.look()
                time.sleep(POLL_S)
        printed, _ = running.communicate()
    if running.returncode:
        raise CommandFailed(
            f"{' '.join(command)} ended with status {running.returncode}; its stderr says why"
        )
    found: Json = json.loads(printed)
    return found
