"""Speed and memory of `harmonize_modis_viirs`, beside `whittaker-eilers` on the same series in the same run.

The machine may be busy with other things, so the contestants take turns and the medians count.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import netCDF4
import numpy as np
import torch
import whittaker_eilers
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion import cubes
from openeo_udf_fusion.bench import machine
from openeo_udf_fusion.bench.memory import peak_rss_mib
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.collections import get_collection
from openeo_udf_fusion.local.regions import tiles
from openeo_udf_fusion.models import weights
from openeo_udf_fusion.models.series import Precision, RuntimeName
from openeo_udf_fusion.processes import harmonize_modis_viirs as process
from openeo_udf_fusion.sensors import FUSED_BANDS

PROCESS = "harmonize_modis_viirs"
SENSORS = ("modis", "viirs")
LMBDA, ORDER = 100.0, 2
"""A usual strength and order of smoothing for daily reflectance; they do not change the time it takes."""

Say = Callable[[str], None]
WAYS: Mapping[str, tuple[Precision, RuntimeName]] = {
    "float32": ("float32", "torch"),
    "bfloat16": ("bfloat16", "torch"),
    "onnx": ("float32", "onnx"),
}
"""The contestants of this package."""


@dataclass(frozen=True)
class Sizes:
    """What is measured, and how often.

    Attributes
    ----------
    threads
        Cores that torch, or onnxruntime, may use; whittaker-eilers has one.
    repeats
        Turns of each contestant.
    whittaker_pixels
        Pixels per turn of whittaker-eilers, the first of the cube.
    area_px
        Side of the smaller area whose memory is measured, twice that of the larger; None: neither.
    onnx
        Whether onnxruntime takes part too.
    """

    threads: int = 2
    repeats: int = 3
    whittaker_pixels: int = 512
    area_px: int | None = 128
    onnx: bool = False


def measure(sample: Path, sizes: Sizes, say: Say) -> Json:
    """Measure speed in memory and, if asked for, memory from file to file.

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
        `pixel_years_per_s` and `pixel_years_per_s_bf16` of the process function on the sample in memory, a
        value a day with its sigma; `whittaker_pixel_years_per_s`; `overhead_fraction`, the share of time
        spent outside the model, and `overhead_cpu_fraction`; `peak_rss_mib` and `peak_rss_mib_4x_area` of a
        run from files to a file in a process of its own; with onnxruntime `pixel_years_per_s_onnx` and its
        ratio to torch's, `onnx_to_torch`; and the circumstances.
    """
    torch.set_num_threads(sizes.threads)
    cube = read(sample)
    with mock.patch.dict(os.environ, OMP_NUM_THREADS=str(sizes.threads)):  # as onnxruntime's threads know it
        results = measure_speed(cube, sizes, say)
    if sizes.area_px is not None:
        results["peak_rss_mib"] = measure_memory(sample, sizes.area_px, sizes.threads, say)
        results["peak_rss_mib_4x_area"] = measure_memory(sample, 2 * sizes.area_px, sizes.threads, say)
    return {**results, "circumstances": circumstances(cube, sizes)}


def read(sample: Path) -> xr.DataArray:
    """Return both collections of the sample as one float32 cube in memory."""
    parts = [get_collection(sample, sensor).open() for sensor in SENSORS]
    return xr.concat(parts, "bands", coords="minimal", compat="override").compute()


def circumstances(cube: xr.DataArray, sizes: Sizes) -> Json:
    """Return what a reader needs to compare the numbers with others."""
    return {
        **machine.facts(),
        "torch": torch.__version__,
        "threads": sizes.threads,
        "repeats": sizes.repeats,
        "cube": dict(cube.sizes),
        "whittaker_pixels": whittaker_pixels(cube, sizes),
        "areas_px": None if sizes.area_px is None else [sizes.area_px, 2 * sizes.area_px],
        "precision": {"pixel_years_per_s": "float32", "pixel_years_per_s_bf16": "bfloat16"},
    }


# --- speed


@dataclass(frozen=True)
class Turn:
    """One run of the process: seconds by the clock and of all cores together, and of them in the model."""

    wall_s: float
    cpu_s: float
    model_wall_s: float
    model_cpu_s: float


def measure_speed(cube: xr.DataArray, sizes: Sizes, say: Say) -> Json:
    """Let the process in both precisions and whittaker-eilers take turns; medians over the repeats."""
    pixels, rival_pixels = cube.sizes["y"] * cube.sizes["x"], whittaker_pixels(cube, sizes)
    ways = {name: way for name, way in WAYS.items() if name != "onnx" or sizes.onnx}
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    rival_s: list[float] = []
    for way in ways.values():
        take_turn(cube.isel(y=slice(0, 8)), *way)  # weights, threads and kernels get ready
    for repeat in range(sizes.repeats):
        for name, own in turns.items():
            own.append(take_turn(cube, *ways[name]))
            rival_s.append(time_whittaker(cube, rival_pixels))
        speeds = [f"{name} {pixels / own[-1].wall_s:.0f}" for name, own in turns.items()]
        speeds.append(f"whittaker {rival_pixels / rival_s[-1]:.0f}")
        say(f"{repeat + 1}/{sizes.repeats}: pixel-years/s {', '.join(speeds)}")
    full, half = turns["float32"], turns["bfloat16"]
    return {
        **(_beside_torch(pixels, turns["onnx"], full) if sizes.onnx else {}),
        "pixel_years_per_s": round(pixels / median(turn.wall_s for turn in full), 1),
        "pixel_years_per_s_bf16": round(pixels / median(turn.wall_s for turn in half), 1),
        "whittaker_pixel_years_per_s": round(rival_pixels / median(rival_s), 1),
        "pixel_years_per_cpu_s": round(pixels / median(turn.cpu_s for turn in full), 1),
        "pixel_years_per_cpu_s_bf16": round(pixels / median(turn.cpu_s for turn in half), 1),
        "overhead_fraction": round(median(1 - turn.model_wall_s / turn.wall_s for turn in full), 4),
        "overhead_cpu_fraction": round(median(1 - turn.model_cpu_s / turn.cpu_s for turn in full), 4),
    }


def _beside_torch(pixels: int, own: list[Turn], torchs: list[Turn]) -> Json:
    """Return what is said of onnxruntime: its speed, and the ratio of neighbouring turns."""
    ratio = median(other.wall_s / turn.wall_s for turn, other in zip(own, torchs, strict=True))
    return {
        "pixel_years_per_s_onnx": round(pixels / median(turn.wall_s for turn in own), 1),
        "pixel_years_per_cpu_s_onnx": round(pixels / median(turn.cpu_s for turn in own), 1),
        "onnx_to_torch": round(ratio, 3),
    }


def take_turn(cube: xr.DataArray, precision: Precision, runtime: RuntimeName | None = None) -> Turn:
    """Run the public function on a cube in memory: a value a day, with sigma."""
    # A process takes the runtime that is there; which one is no parameter of it.
    chosen = mock.patch.dict(weights.load.__kwdefaults__, runtime=runtime)
    with chosen, model_clock(precision) as in_model:
        start_wall, start_cpu = time.perf_counter(), time.process_time()
        process.harmonize_modis_viirs(
            cube, temporal_extent=extent(cube), dates="P1D", uncertainty="sigma", precision=precision
        )
        wall_s, cpu_s = time.perf_counter() - start_wall, time.process_time() - start_cpu
    return Turn(wall_s, cpu_s, *in_model)


@contextmanager
def model_clock(precision: Precision) -> Iterator[list[float]]:
    """Sum up what is spent in the loaded model: seconds by the clock, and of all cores together."""
    predictor = weights.load(process.MODEL, precision=precision)
    predict, spent = predictor.predict, [0.0, 0.0]

    def timed(*arguments: object) -> object:
        start_wall, start_cpu = time.perf_counter(), time.process_time()
        result = predict(*arguments)  # type: ignore[arg-type]
        spent[0] += time.perf_counter() - start_wall
        spent[1] += time.process_time() - start_cpu
        return result

    with mock.patch.object(predictor, "predict", timed):
        yield spent


def time_whittaker(cube: xr.DataArray, pixels: int) -> float:
    """Return the seconds for a new smoother for each series of MODIS, masks at hand; one thread."""
    observed = cubes.sensor_arrays(cubes.canonical(cube), "modis", FUSED_BANDS["modis"])
    valid = np.moveaxis(observed.valid, 0, -1).reshape(len(FUSED_BANDS["modis"]), -1, len(observed.days))
    values = np.moveaxis(observed.values, 0, -1).reshape(valid.shape)
    wanted = np.where(valid, values, 0)[:, :pixels].reshape(-1, valid.shape[-1]).astype(np.float64)
    trusted = valid[:, :pixels].reshape(wanted.shape).astype(np.float64)
    start = time.perf_counter()
    for series, trust in zip(wanted, trusted, strict=True):
        smoother = whittaker_eilers.WhittakerSmoother(
            lmbda=LMBDA, order=ORDER, data_length=len(series), weights=trust.tolist()
        )
        smoother.smooth(series.tolist())
    return time.perf_counter() - start


def whittaker_pixels(cube: xr.DataArray, sizes: Sizes) -> int:
    """Return how many pixels whittaker-eilers gets."""
    return min(sizes.whittaker_pixels, cube.sizes["y"] * cube.sizes["x"])


def extent(cube: xr.DataArray) -> list[str]:
    """Return the cube's days as a left-closed extent."""
    days = cubes.days_of(cube)
    return [str(days.min()), str(days.max() + 1)]


# --- memory


def measure_memory(sample: Path, side_px: int, threads: int, say: Say) -> float:
    """Return the MiB that the command line takes to harmonise an area, from files to a file."""
    say(f"memory for {side_px} x {side_px} pixels ...")
    with TemporaryDirectory(prefix="openeo_udf_fusion_bench_") as scratch:
        data = Path(scratch, "data")
        for sensor in SENSORS:
            enlarge(sample / sensor, data / sensor, side_px)
        start = time.perf_counter()
        peak = peak_rss_mib(
            run_command(data, Path(scratch, "out.nc"), extent(get_collection(data, "modis").open())),
            {**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        say(f"... {peak:.0f} MiB, {side_px**2 / (time.perf_counter() - start):.0f} pixel-years/s")
    return round(peak, 1)


def run_command(data: Path, output: Path, temporal_extent: list[str]) -> list[str]:
    """Return the command that harmonises both collections of a folder, at the process's own defaults."""
    parameters = {"data": list(SENSORS), "temporal_extent": temporal_extent}
    given = [part for name, value in parameters.items() for part in ("-p", f"{name}={json.dumps(value)}")]
    program = [sys.executable, "-m", "openeo_udf_fusion.cli.main", "run", f"{PROCESS}_cube"]
    return [*program, "--data", str(data), *given, "-o", str(output)]


def enlarge(source: Path, target: Path, side_px: int) -> None:
    """Write a collection that repeats a small one over a larger area, block by block."""
    target.mkdir(parents=True)
    [file] = source.glob("*.nc")
    with netCDF4.Dataset(file) as small, netCDF4.Dataset(target / file.name, "w") as large:
        small.set_auto_maskandscale(False)
        large.setncatts({name: small.getncattr(name) for name in small.ncattrs()})
        for name, dimension in small.dimensions.items():
            large.createDimension(name, side_px if name in ("y", "x") else len(dimension))
        for variable in small.variables.values():
            _enlarge_variable(variable, large)


def _enlarge_variable(variable: "netCDF4.Variable[Any]", large: netCDF4.Dataset) -> None:
    attributes = {name: variable.getncattr(name) for name in variable.ncattrs()}
    raster = variable.dimensions[-2:] == ("y", "x")
    lengths = [len(large.dimensions[name]) for name in variable.dimensions]
    copy = large.createVariable(
        variable.name,
        variable.dtype,
        variable.dimensions,
        fill_value=attributes.pop("_FillValue", None),
        zlib=raster,
        complevel=1,
        chunksizes=list(map(min, variable.shape, lengths)) if raster else None,
    )
    copy.setncatts(attributes)
    copy.set_auto_maskandscale(False)
    block = variable[...]
    if raster:
        _repeat(block, copy)
    elif variable.dimensions in (("y",), ("x",)):
        copy[:] = block[0] + (block[1] - block[0]) * np.arange(copy.shape[0])
    else:
        copy[...] = block


def _repeat(block: NDArray[np.generic], over: "netCDF4.Variable[Any]") -> None:
    for box in tiles((over.shape[-2], over.shape[-1]), (block.shape[-2], block.shape[-1])):
        over[..., box.rows, box.columns] = block[..., : box.shape[0], : box.shape[1]]
