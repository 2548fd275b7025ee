"""Speed of `fill_gaps` by each classical method, beside `whittaker-eilers` on the same series and run.

The machine may be busy with other things, so the contestants take turns and the medians count.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import xarray as xr

from openeo_udf_fusion import cubes
from openeo_udf_fusion.bench import machine
from openeo_udf_fusion.bench.harmonize_modis_viirs import extent, read, time_whittaker
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.processes import fill_gaps as process
from openeo_udf_fusion.sensors import FUSED_BANDS

SENSOR = "modis"
BANDS = FUSED_BANDS[SENSOR]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """What is measured, and how often.

    Attributes
    ----------
    threads
        Tiles that are filled side by side, as a backend's workers would; whittaker-eilers has one thread.
    repeats
        Turns of each contestant.
    whittaker_pixels
        Pixels per turn of whittaker-eilers, the first of the cube.
    """

    threads: int = 2
    repeats: int = 3
    whittaker_pixels: int = 512


@dataclass(frozen=True)
class Contestant:
    """What takes turns: its name in the results, a run that returns seconds, how many series that fills."""

    group: str
    method: str
    run: Callable[[], float]
    series: int


def measure(sample: Path, sizes: Sizes, say: Say) -> Json:
    """Measure every classical method on the MODIS bands of a sample in memory: a value a day, with sigma.

    Parameters
    ----------
    sample : Path
        A data folder with the collections `modis` and `viirs`, one netCDF file each, on one grid.
    sizes : Sizes
        What to measure.
    say : callable
        Takes lines of progress.

    Returns
    -------
    dict
        By method: `series_per_s` of the process function, with masks, sigma and provenance, a tile a thread;
        `series_per_s_one_thread` of the same; `method_series_per_s_one_thread` of the method alone, with
        sigma; `series_per_cpu_s` of the process per second of a core, which a busy machine changes less.
        `library_series_per_s` of whittaker-eilers, whose smoother is made anew for each series and
        gives no sigma. And the circumstances.
    """
    cube = read(sample)
    cube = cube.sel(bands=[label for label in cube["bands"].values if label.startswith(SENSOR)])
    contestants = _contestants(cube, sizes)
    turns: dict[tuple[str, str], list[float]] = {(one.group, one.method): [] for one in contestants}
    for repeat in range(sizes.repeats):
        for one in contestants:
            turns[one.group, one.method].append(one.series / one.run())
        shown = {"series_per_s", "library_series_per_s"}
        found = [f"{method} {each[-1]:.0f}" for (group, method), each in turns.items() if group in shown]
        say(f"{repeat + 1}/{sizes.repeats}: series/s {', '.join(found)}")
    results: Json = {}
    for (group, method), speeds in turns.items():
        results.setdefault(group, {})[method] = round(median(speeds), 1)
    [results["library_series_per_s"]] = results["library_series_per_s"].values()
    return {**results, "circumstances": circumstances(cube, sizes)}


def circumstances(cube: xr.DataArray, sizes: Sizes) -> Json:
    """Return what a reader needs to compare the numbers with others."""
    return {
        **machine.facts(),
        "numpy": np.__version__,
        "threads": sizes.threads,
        "repeats": sizes.repeats,
        "cube": dict(cube.sizes),
        "series": cube.sizes["y"] * cube.sizes["x"] * len(BANDS),
        "whittaker_pixels": _rival_pixels(cube, sizes),
    }


def _rival_pixels(cube: xr.DataArray, sizes: Sizes) -> int:
    return min(sizes.whittaker_pixels, cube.sizes["y"] * cube.sizes["x"])


def _contestants(cube: xr.DataArray, sizes: Sizes) -> list[Contestant]:
    """Return all that take turns, the library among them."""
    series, period = cube.sizes["y"] * cube.sizes["x"] * len(BANDS), extent(cube)
    tiles = _columns(cube, sizes.threads)
    arrays = cubes.band_arrays(cubes.canonical(cube), SENSOR, [f"{SENSOR}_{name}" for name in BANDS])
    observed, days = {SENSOR: Observations(*arrays)}, np.unique(arrays.days)
    found = []
    for method, predict in process.FILLERS.items():

        def fill(tile: xr.DataArray, method: str = method) -> None:
            process.fill_gaps(tile, method, period, "P1D")  # type: ignore[arg-type]

        def estimate(_: object, predict: Callable[..., object] = predict) -> None:
            predict(observed, days, SENSOR)

        runs = {
            "series_per_s": _timed(fill, tiles),
            "series_per_s_one_thread": _timed(fill, [cube]),
            "series_per_cpu_s": _timed(fill, [cube], time.process_time),
            "method_series_per_s_one_thread": _timed(estimate, [cube]),
        }
        found += [Contestant(group, method, run, series) for group, run in runs.items()]
    pixels = _rival_pixels(cube, sizes)
    library = Contestant(
        "library_series_per_s", "library", lambda: time_whittaker(cube, pixels), pixels * len(BANDS)
    )
    return [*found, library]


def _columns(cube: xr.DataArray, count: int) -> list[xr.DataArray]:
    """Cut a cube into so many tiles."""
    edges = np.linspace(0, cube.sizes["x"], min(count, cube.sizes["x"]) + 1).astype(int)
    return [cube.isel(x=slice(int(start), int(stop))) for start, stop in pairwise(edges)]


def _timed(
    run: Callable[[xr.DataArray], None],
    tiles: Sequence[xr.DataArray],
    now: Callable[[], float] = time.perf_counter,
) -> Callable[[], float]:
    """Return a function that does all tiles, each in a thread of its own, and returns the seconds it took."""

    def clock() -> float:
        start = now()
        with ThreadPoolExecutor(len(tiles)) as pool:
            list(pool.map(run, tiles))
        return now() - start

    return clock
