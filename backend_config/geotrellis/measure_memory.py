"""Measure what memory a tile of harmonize_modis_viirs_cube takes with an archive, as a worker computes it.

    python measure_memory.py ARCHIVE.zip [--python EXE] [--threads N] [--limit MIB] [--pixels 64]

EXE is the worker's interpreter, with what the backend has installed but not this package. The tile is a year
of two daily sensors with their flags. `--limit` is that of the job option `python-memory`: RLIMIT_AS. Prints
one JSON object, and fails where the tile does. Linux only; this file needs nothing but the standard library.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FOLDER = "fusion_deps"
TILE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy
import xarray
from openeo.udf import UdfData, XarrayDataCube
from openeo.udf.run_code import run_udf_code

pixels, days = int(sys.argv[2]), 365
reflectance = ["modis_B%d" % n for n in range(1, 8)]
reflectance += ["viirs_" + band for band in ("I1", "I2", "M3", "M4", "M5", "M8", "M10", "M11")]
flags = ["modis_state_1km", "viirs_QF1", "viirs_QF2", "viirs_QF7"]
bands = reflectance + flags
values = numpy.zeros((days, len(bands), pixels, pixels), "float32")
random = numpy.random.default_rng(0)
for day in values:
    day[: len(reflectance)] = random.uniform(0.1, 0.4, (len(reflectance), 1, 1))
    day[: len(reflectance), random.uniform(size=(pixels, pixels)) < 0.5] = numpy.nan
coords = {
    "t": numpy.datetime64("2022-01-01", "ns") + numpy.arange(days) * numpy.timedelta64(1, "D"),
    "bands": bands,
    "y": 500.0 * numpy.arange(pixels)[::-1],
    "x": 500.0 * numpy.arange(pixels),
}
cube = xarray.DataArray(values, coords, ("t", "bands", "y", "x"))
context = {"target": "modis", "temporal_extent": ["2022-01-01", "2023-01-01"], "dates": "P8D"}
data = UdfData(datacube_list=[XarrayDataCube(cube)], user_context=context)
result = run_udf_code(sys.stdin.read(), data).get_datacube_list()[0].get_array()
if not bool(numpy.isfinite(result).any()):
    sys.exit("the result has no values")
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
from openeo_udf_fusion.models import weights
model = weights.load("satfusenet").network
print(json.dumps({
    "runtime": model.runtime.name,
    "threads": model.threads,
    "tile_mb": round(values.nbytes / 1e6, 1),
    "peak_virtual_mib": int(status["VmPeak"].split()[0]) // 1024,
    "peak_resident_mib": int(status["VmHWM"].split()[0]) // 1024,
}))
"""


def main() -> int:
    """Unpack the archive, compute the tile in an interpreter of its own, print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive", type=Path, metavar="ARCHIVE")
    parser.add_argument("--python", default=sys.executable, metavar="EXE", help="default: this interpreter")
    parser.add_argument("--threads", type=int, metavar="N", help="OMP_NUM_THREADS; default: not set")
    parser.add_argument("--limit", type=int, metavar="MIB", help="RLIMIT_AS; default: none")
    parser.add_argument("--pixels", type=int, default=64, metavar="N", help="side of the tile; default: 64")
    given = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if given.threads is not None:
        environment["OMP_NUM_THREADS"] = str(given.threads)

    def limit() -> None:
        if given.limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (given.limit * 2**20, given.limit * 2**20))

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / FOLDER
        with zipfile.ZipFile(given.archive) as archive:
            archive.extractall(folder)
        text = (folder / "openeo_udf_fusion/udfs/harmonize_modis_viirs.py").read_text(encoding="utf-8")
        done = subprocess.run(
            [given.python, "-I", "-c", TILE, str(folder), str(given.pixels)],
            input=text,
            text=True,
            env=environment,
            preexec_fn=limit,
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
