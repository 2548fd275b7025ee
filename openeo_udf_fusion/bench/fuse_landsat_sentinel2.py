"""Speed and memory of TAMRF's published network on one tile, beside the machine's own matrix product.

Weights are random: they change neither.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from openeo_udf_fusion.bench.machine import cpu_model, matmul_gflops
from openeo_udf_fusion.bench.memory import MIB, high_water
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import tamrf
from openeo_udf_fusion.models.series import Precision

MARGIN_PX = 18
"""Beyond it a tile is the same as the whole image to 2e-7 (measured on random weights). The graphs' tiles
overlap by more, by `Config.receptive_field_px`, so one of theirs costs more than one here."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes
    ----------
    size
        Side in pixels of the tile that is kept; the margin comes on top.
    s2, landsat, queries
        Numbers of dates.
    dtype
        "float32", or "bfloat16" for encoders and attention.
    threads
        Cores that torch may use.
    """

    size: int = 165
    s2: int = 40
    landsat: int = 25
    queries: int = 24
    dtype: Precision = "float32"
    threads: int = 2


def measure(sizes: Sizes, say: Say) -> Json:
    """Measure one prediction in a process of its own, since a process's peak of memory never falls.

    Returns
    -------
    dict
        `seconds`, `cpu_seconds` (of all cores together), `peak_rss_mib`, `gflops` (nominal work on the pixels
        that went in, by the second) and `matmul_gflops` (matrix products of the same precision on the same
        threads, before and after), their ratio `of_peak`, and the circumstances.
    """
    say(f"{sizes.s2} Sentinel-2 and {sizes.landsat} Landsat dates of {sizes.size} x {sizes.size} px ...")
    command = [sys.executable, "-m", __name__, json.dumps(asdict(sizes))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(sizes.threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: Json = json.loads(done.stdout)
    return {**found, "circumstances": {**asdict(sizes), "margin_px": MARGIN_PX, "cpu": cpu_model()}}


def measure_here(sizes: Sizes) -> Json:
    """The same in this process."""
    import psutil

    torch.set_num_threads(sizes.threads)
    torch.manual_seed(0)
    config = tamrf.Config()
    model = tamrf.Tamrf(config).eval()
    side = sizes.size + 2 * MARGIN_PX
    scene = generated(config, side, sizes)
    before = matmul_gflops(sizes.dtype)
    start, start_cpu = time.perf_counter(), time.process_time()
    tamrf.predict(model, **scene, precision=sizes.dtype)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    peak = (before + matmul_gflops(sizes.dtype)) / 2
    gflops = work(config, sizes.s2, sizes.landsat, sizes.queries) * side**2 / seconds / 1e9
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "peak_rss_mib": round(high_water(psutil.Process()) / MIB, 1),
        "gflops": round(gflops, 1),
        "matmul_gflops": round(peak, 1),
        "of_peak": round(gflops / peak, 3),
    }


def generated(config: tamrf.Config, side: int, sizes: Sizes) -> dict[str, torch.Tensor]:
    """Random reflectance over a year, as `tamrf.predict` takes it."""
    coarse = side // config.upscaling
    return {
        "hr": torch.rand(sizes.s2, len(config.hr), side, side),
        "hr_days": torch.linspace(0, 364, sizes.s2).long(),
        "lr": torch.rand(sizes.landsat, len(config.lr), coarse, coarse),
        "lr_days": torch.linspace(3, 360, sizes.landsat).long(),
        "query_days": torch.linspace(0, 364, sizes.queries).long(),
    }


def work(config: tamrf.Config, s2: int, landsat: int, queries: int) -> float:
    """Nominal floating-point operations per pixel of 10 m: two for each product that the network's plan has.

    What is folded or shared between pixels in fact counts in full.
    """
    width, dates = config.width, s2 + landsat
    layer = 2 * width * (4 * width + 2 * config.mlp)  # projections and the two wide layers, per token
    attention = 4 * dates * width  # per query, over all dates
    cross = dates * 2 * width * 2 * width + queries * (2 * width * (2 * width + 2 * config.mlp) + attention)
    decoder = queries * 2 * 9 * width * (width + len(config.lr + config.hr))
    temporal = config.layers * dates * (layer + attention)
    return encoder_work(config, "hr") * s2 + encoder_work(config, "lr") * landsat + temporal + cross + decoder


def encoder_work(config: tamrf.Config, sensor: tamrf.SensorId) -> float:
    """The same of one image's encoder."""
    sizes = {
        name: layer.weight.numel()
        for name, layer in tamrf.Tamrf(config).encoder[sensor].named_modules()
        if isinstance(layer, torch.nn.Conv2d)
    }
    finer = sizes.pop("finer", 0)
    return 2 * sum(sizes.values()) / config.scale(sensor) ** 2 + 2 * finer


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_here(Sizes(**json.loads(sys.argv[1])))))
