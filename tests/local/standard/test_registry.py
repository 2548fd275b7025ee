"""Importing this package changes nothing for the program that does so."""

import subprocess
import sys

IMPORTED = """
import logging, warnings
import netCDF4, xarray, rioxarray
cache, filters = netCDF4.get_chunk_cache(), list(warnings.filters)
import openeo_udf_fusion.local.executor
level = logging.getLogger("openeo_processes_dask.process_implementations").level
ours = [each for each in warnings.filters if each not in filters and "openeo_processes_dask" in str(each)]
assert (netCDF4.get_chunk_cache(), level, ours) == (cache, logging.NOTSET, []), (level, ours)
"""


def test_an_import_has_no_side_effects():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
