"""netCDF and HDF5 are called by one thread at a time, or a process ends: deterministically, and by force."""

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from xarray.backends.locks import HDF5_LOCK
from xarray.backends.netCDF4_ import NetCDF4DataStore

from openeo_udf_fusion.local.collections import get_collection
from openeo_udf_fusion.local.hdf5 import HDF5
from openeo_udf_fusion.local.writers.netcdf import write_dataset
from tests.local.collection_files import dataset

THREADS, ROUNDS, FILES = 8, 4, 4
ASK_AT_ONCE = """
import sys, threading
from pathlib import Path
from openeo_udf_fusion.local.collections import get_collection
from openeo_udf_fusion.local.readers import datasets
from openeo_udf_fusion.local.writers.netcdf import write_dataset
from tests.local.collection_files import dataset

data, threads, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def ask(number, barrier):
    barrier.wait()
    collection = get_collection(data, f"c{number % 2}")
    collection.metadata()
    collection.open().compute()
    write_dataset(dataset(), data.parent / f"{number}.nc")

for _ in range(rounds):
    datasets._open.cache_clear()
    barrier = threading.Barrier(threads)
    started = [threading.Thread(target=ask, args=(number, barrier)) for number in range(threads)]
    for thread in started: thread.start()
    for thread in started: thread.join()
print("alive")
"""


def is_free() -> bool:
    """Whether another thread could take the lock now."""
    answers = []

    def ask() -> None:
        answers.append(HDF5.acquire(blocking=False))
        if answers[0]:
            HDF5.release()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return answers[0]


@pytest.mark.parametrize(
    "called", ["open_store_variable", "get_attrs", "prepare_variable", "set_dimensions", "close"]
)
def test_what_xarray_does_unlocked_is_locked(data: Path, monkeypatch, called):
    original, free = getattr(NetCDF4DataStore, called), []

    def spied(self, *args, **kwargs):
        free.append(is_free())
        return original(self, *args, **kwargs)

    monkeypatch.setattr(NetCDF4DataStore, called, spied)
    write_dataset(dataset(), data / "c.nc")
    get_collection(data, "c").metadata()
    assert free
    assert not any(free)


def test_values_are_read_under_the_same_lock(data: Path, monkeypatch):
    dataset().to_netcdf(data / "c.nc")
    cube, free = get_collection(data, "c").open(), []
    original = xr.backends.netCDF4_.NetCDF4ArrayWrapper._getitem

    def spied(self, key):
        values = original(self, key)
        free.append(self.datastore.lock is HDF5)
        return values

    monkeypatch.setattr(xr.backends.netCDF4_.NetCDF4ArrayWrapper, "_getitem", spied)
    cube.compute()
    assert free
    assert all(free)


def test_it_is_reentrant_and_excludes_xarray_itself():
    with HDF5, HDF5:
        assert HDF5_LOCK.locked()
        assert not is_free()
    assert not HDF5_LOCK.locked()
    assert is_free()


def test_while_xarray_reads_it_cannot_be_had():
    with HDF5_LOCK:
        assert not HDF5.acquire(blocking=False)
    assert is_free()


def test_a_pickle_is_the_lock_of_the_process():
    assert pickle.loads(pickle.dumps(HDF5)) is HDF5


def test_a_process_survives_first_requests_at_once(data: Path):
    for number in range(2):
        (data / f"c{number}").mkdir()
        for file in range(FILES):
            crowded(data / f"c{number}" / f"{file}.nc", f"2022-01-0{file + 1}")
    command = [sys.executable, "-c", ASK_AT_ONCE, str(data), str(THREADS), str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr[-2000:]
    assert "Traceback" not in done.stderr


def crowded(file: Path, date: str) -> None:
    """A file whose header takes a while to read."""
    dates = np.array([date], "datetime64[ns]")
    dataset(("B1", "B2"), dates=dates).to_netcdf(file)
    with netCDF4.Dataset(file, "a") as opened:
        for number in range(60):
            variable = opened.createVariable(f"extra_{number}", "f4", ("t",), compression="zlib")
            variable.setncatts({f"note_{note}": "text " * 10 for note in range(12)})
