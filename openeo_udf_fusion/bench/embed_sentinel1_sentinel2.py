"""Speed and memory of `embed_sentinel1_sentinel2`, beside the same network run patch by patch.

Patch by patch is how embeddings of pixels are usually computed: for each pixel the frames of the square that
its code depends on, of which the centre is kept; patches go through the network many at a time, and only the
centre takes part in the sums over time. The contestants take turns, and the medians count.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
import xarray as xr
from einops import rearrange
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from openeo_udf_fusion import cubes
from openeo_udf_fusion.bench import machine, s1s2_sample
from openeo_udf_fusion.bench.machine import matmul_gflops
from openeo_udf_fusion.bench.memory import peak_rss_mib
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.embedder import Embedder, standardise
from openeo_udf_fusion.models.s1s2_embedding import Features
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.periods import Days
from openeo_udf_fusion.processes import embed_sentinel1_sentinel2 as process

ID = "embed_sentinel1_sentinel2"
MEMORY_PERIOD = "P15D"
COUNTED_PX, COUNTED_DAYS = 48, 30
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """What is measured, and how often.

    Attributes
    ----------
    size_px
        Side of the cube whose speed is measured, every day of three months.
    threads
        Cores that may be used.
    repeats
        Turns of each contestant.
    patches
        Pixels of one date in a turn of the patch by patch way; they go through the network together.
    patch_dates
        Dates in such a turn.
    area_px
        Side of the area whose memory is measured, and that of 4 times as much; None leaves memory out.
    """

    size_px: int = 64
    threads: int = 2
    repeats: int = 3
    patches: int = 64
    patch_dates: int = 2
    area_px: int | None = 128


def measure(sizes: Sizes, say: Say) -> Json:
    """Measure speed in this process, memory in fresh ones.

    Returns
    -------
    dict
        `pixel_dates_per_s` of the process function from cube to cube; `patchwise_pixel_dates_per_s` of the
        same network patch by patch, from arrays to arrays; `times_patchwise`, their ratio; `gflops`, the
        convolutions and matrix products of the process function by the second, as torch counts them;
        `matmul_gflops`, square matrix products on the same threads between the turns; `peak_rss_mib` and
        `peak_rss_mib_4x_area` of the command line from files to a file. And the circumstances.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(sizes.threads)
    try:
        results = measure_speed(sizes, say)
    finally:
        torch.set_num_threads(before)
    if sizes.area_px is not None:
        for key, side in (("peak_rss_mib", sizes.area_px), ("peak_rss_mib_4x_area", 2 * sizes.area_px)):
            results[key] = measure_memory(side, sizes.threads, say)
    return {**results, "circumstances": circumstances(sizes)}


def circumstances(sizes: Sizes) -> Json:
    """Return what a reader needs to compare the numbers with others."""
    return {
        **machine.facts(),
        "torch": torch.__version__,
        "threads": sizes.threads,
        "repeats": sizes.repeats,
        "size_px": sizes.size_px,
        "frames": {s: -(-s1s2_sample.DAYS // days) for s, days in s1s2_sample.REVISIT_DAYS.items()},
        "patches_at_a_time": sizes.patches,
        "memory": f"run {ID}_cube, dates {MEMORY_PERIOD}, {sizes.area_px} px a side",
    }


# --- speed


def measure_speed(sizes: Sizes, say: Say) -> Json:
    """Let the contestants and the matrix product take turns."""
    cube = s1s2_sample.merged(s1s2_sample.cubes_of(sizes.size_px))
    model = weights.load_embedding(process.MODEL)
    whole: list[float] = []
    patchwise: list[float] = []
    products: list[float] = []
    for turn in range(sizes.repeats):
        products.append(matmul_gflops())
        whole.append(time_process(cube))
        patchwise.append(time_patchwise(model, cube, sizes, turn))
        say(f"{turn + 1}/{sizes.repeats}: pixel-dates/s {whole[-1]:.0f}, patch by patch {patchwise[-1]:.1f}")
    products.append(matmul_gflops())
    speed, rival = median(whole), median(patchwise)
    return {
        "pixel_dates_per_s": round(speed, 1),
        "patchwise_pixel_dates_per_s": round(rival, 2),
        "times_patchwise": round(speed / rival, 1),
        "gflops": round(speed * flops_per_pixel_date(model) / 1e9, 2),
        "matmul_gflops": round(median(products), 1),
    }


def time_process(cube: xr.DataArray) -> float:
    """Return the pixel-dates per second of the process function, every day."""
    start = time.perf_counter()
    result = process.embed_sentinel1_sentinel2(cube, list(s1s2_sample.INNER))
    seconds = time.perf_counter() - start
    return result.sizes["t"] * result.sizes["y"] * result.sizes["x"] / seconds


def time_patchwise(model: Embedder, cube: xr.DataArray, sizes: Sizes, turn: int) -> float:
    """Return the pixel-dates per second patch by patch, on pixels and dates of this turn."""
    rng = np.random.default_rng(turn)
    observed, margin = observations(cube), model.config.margin_px
    inner = days_of(s1s2_sample.INNER)
    start = time.perf_counter()
    for day in rng.choice(inner, sizes.patch_dates):
        centres = rng.integers(margin, cube.sizes["y"] - margin, (sizes.patches, 2))
        embed_patches(model, observed, centres, int(day))
    return sizes.patches * sizes.patch_dates / (time.perf_counter() - start)


def observations(cube: xr.DataArray) -> dict[str, Observations]:
    """Return both sensors of a generated cube as the model takes them."""
    given = cubes.canonical(cube)
    return {
        sensor: process.observations(given, sensor, bands, "linear")
        for sensor, bands in cards.read(process.MODEL).bands.items()
    }


def days_of(extent: tuple[str, str]) -> NDArray[np.int32]:
    """Return all days of a left-closed extent since 1970-01-01."""
    days: Days = np.arange(*np.array(extent, "datetime64[D]"))
    return days.astype(np.int32)


def embed_patches(
    model: Embedder, observed: Mapping[str, Observations], centres: NDArray[np.int64], day: int
) -> NDArray[np.float32]:
    """Embed pixels (p, 2), each by the square around it alone, on one day; returns codes (p, n).

    No square may reach over the edge.
    """
    known = {}
    with torch.inference_mode():
        for sensor, series in observed.items():
            near = np.abs(series.days - day) <= model.config.support_days(sensor)
            values, valid = (squares(a[near], centres, model.config.margin_px) for a in series[:2])
            days = torch.from_numpy((series.days[near] - day).astype(np.float32))
            known[sensor] = centre_features(model, sensor, values, valid, days)
        query = torch.zeros(1)
        told = {sensor: model.model.encoder(sensor)(features, query) for sensor, features in known.items()}
        return model.model.fuse(known, told, query)[0].numpy()


def squares(frames: NDArray[np.generic], centres: NDArray[np.int64], margin: int) -> torch.Tensor:
    """Cut (p t, b, rows, columns) out of frames (t, b, y, x)."""
    cut = [frames[..., y - margin : y + margin + 1, x - margin : x + margin + 1] for y, x in centres.tolist()]
    return torch.from_numpy(np.concatenate(cut))


def centre_features(
    model: Embedder, sensor: str, values: torch.Tensor, valid: torch.Tensor, days: torch.Tensor
) -> Features:
    """Convolve squares (p t, b, rows, columns) and keep their centres."""
    ready = standardise(values, valid, model.config.sensor(sensor))
    encoder, middle = model.model.encoder(sensor), model.config.margin_px
    near = (days.abs() <= encoder.reach_days).repeat(len(ready) // len(days))
    encoded = [ready.new_zeros(len(ready), model.config.width), ready.new_zeros(len(ready))]
    for whole, part in zip(encoded, encoder.frame(ready[near], valid[near]), strict=True):
        whole[near] = part[..., middle, middle]
    raw, around = (part[..., middle, middle] for part in (ready, encoder.around(ready, valid)))
    raw, features, share, around = (
        rearrange(part, "(p t) ... -> t p ...", t=len(days)) for part in (raw, *encoded, around)
    )
    return Features(raw, features, share, around, days)


def flops_per_pixel_date(model: Embedder) -> float:
    """Return what torch counts in the process function, on a tile and a month, by pixel and date."""
    cube = s1s2_sample.merged(s1s2_sample.cubes_of(COUNTED_PX))
    first = np.datetime64(s1s2_sample.INNER[0])
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the counter does not see other threads
    try:
        with FlopCounterMode(display=False) as counter:
            model.embed(observations(cube), (first + np.arange(COUNTED_DAYS)).astype(np.int32))
    finally:
        torch.set_num_threads(before)
    return float(counter.get_total_flops()) / (COUNTED_PX**2 * COUNTED_DAYS)


# --- memory


def measure_memory(side_px: int, threads: int, say: Say) -> float:
    """Return the MiB that the command line takes to embed an area, from files to a file."""
    with TemporaryDirectory(prefix="openeo_udf_fusion_memory_") as folder:
        s1s2_sample.write(Path(folder), side_px)
        choices = {"temporal_extent": list(s1s2_sample.INNER), "dates": MEMORY_PERIOD}
        given = {"data": ["sentinel2", "sentinel1"], **choices}
        pairs = [part for name, value in given.items() for part in ("-p", f"{name}={json.dumps(value)}")]
        command = [sys.executable, "-m", "openeo_udf_fusion.cli.main", "run", f"{ID}_cube", "--data", folder]
        start = time.perf_counter()
        peak = peak_rss_mib(
            [*command, *pairs, "-o", str(Path(folder, "out.nc"))],
            {**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        say(f"{side_px} x {side_px} px: {peak:.0f} MiB, {time.perf_counter() - start:.0f} s")
        return round(peak, 1)
