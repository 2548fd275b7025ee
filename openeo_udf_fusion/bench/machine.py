"""What machine this is, and how fast it multiplies matrices."""

import os
import platform
import time
from pathlib import Path
from statistics import median

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.series import Precision

MATMUL_SIZE, MATMUL_TURNS = 2048, 5


def facts() -> Json:
    """Return the processor, its cores, and how busy it is."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def cpu_model() -> str:
    """Return the processor's name as far as the system tells."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def matmul_gflops(precision: Precision = "float32") -> float:
    """Return the median speed of square matrix products on torch's threads."""
    import torch  # not every benchmark has it

    factor = torch.rand(MATMUL_SIZE, MATMUL_SIZE).to(getattr(torch, precision))
    factor @ factor  # threads and kernels get ready
    speeds = []
    for _ in range(MATMUL_TURNS):
        start = time.perf_counter()
        factor @ factor
        speeds.append(2 * MATMUL_SIZE**3 / (time.perf_counter() - start) / 1e9)
    return median(speeds)
