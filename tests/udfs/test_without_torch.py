"""The UDFs on a worker that has onnxruntime and no torch: the same values as with torch."""

import json
import subprocess
import sys

import numpy as np
import pytest

from openeo_udf_fusion import udfs

PERIOD = {"temporal_extent": ["2022-03-01", "2022-04-18"], "dates": "P4D"}
CONTEXTS = {
    "harmonize_modis_viirs": PERIOD | {"uncertainty": "quantiles", "days_to_observation": True},
    "fill_gaps": PERIOD | {"method": "satfusenet"},
}

WORKER = """
import json, logging, sys
for hidden in ("torch", "einops", "safetensors"):
    sys.modules[hidden] = None
import numpy as np
import xarray as xr
from openeo.udf import UdfData, XarrayDataCube
from openeo.udf.run_code import run_udf_code

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
cube = xr.open_dataarray(sys.argv[1])
for name, (code, context) in json.load(open(sys.argv[2])).items():
    for half in (cube.isel(y=slice(0, 1)), cube.isel(y=slice(1, None))):
        data = UdfData(datacube_list=[XarrayDataCube(half)], user_context=context)
        (result,) = run_udf_code(code, data).get_datacube_list()
        np.save(f"{sys.argv[3]}/{name}_{half.sizes['y']}.npy", result.get_array().values)
"""


@pytest.fixture(scope="module")
def worker(make_cube, tmp_path_factory):
    """What a worker without torch gives for two tiles of each process, and its log."""
    folder = tmp_path_factory.mktemp("worker")
    cube = make_cube(y=3, x=3, flags=True)
    cube.to_netcdf(folder / "cube.nc")
    calls = {name: (udfs.source(name), context) for name, context in CONTEXTS.items()}
    (folder / "calls.json").write_text(json.dumps(calls))
    files = [str(folder / name) for name in ("cube.nc", "calls.json", "")]
    done = subprocess.run([sys.executable, "-c", WORKER, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return cube, folder, done.stdout.splitlines()


@pytest.mark.parametrize("name", CONTEXTS)
def test_the_values_are_those_of_torch(worker, run_code, name):
    cube, folder, _ = worker
    expected = run_code(udfs.source(name), cube, CONTEXTS[name])
    found = np.concatenate([np.load(folder / f"{name}_{rows}.npy") for rows in (1, 2)], axis=2)
    assert np.isfinite(found).mean() > 0.9
    np.testing.assert_allclose(found, expected.values, rtol=0, atol=1e-4)


def test_the_log_says_for_every_tile_what_the_network_runs_on(worker):
    _, _, log = worker
    lines = [line for line in log if line.startswith("satfusenet runs on")]
    assert len(lines) == 2 * len(CONTEXTS)
    assert all("onnx" in line and line.endswith("cpu, float32") for line in lines)
