"""Results appear under their name whole or not at all, and a failure leaves nothing behind."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.errors import StorageFailed
from openeo_udf_fusion.local import formats
from openeo_udf_fusion.local.formats import FORMATS, Template, write, writer
from openeo_udf_fusion.local.writers.storage import storing
from tests.local.results import ALL, cube, read_back


def write_half(whole: xr.DataArray, path: Path, format: str) -> None:
    with writer(path, format, Template.of(whole)) as opened:
        opened.write(whole.isel(y=slice(0, 4)), slice(0, 4), slice(0, 30))
        raise ZeroDivisionError


@pytest.mark.parametrize(("format", "name"), ALL)
def test_an_error_in_the_middle_leaves_what_was_there(tmp_path: Path, format: str, name: str):
    before = cube(dates=("2021-01-01",), seed=1)
    write(before, tmp_path / name, format)
    listing = sorted(tmp_path.iterdir())
    whole = cube(dates=("2021-01-01",), seed=2)
    with pytest.raises(ZeroDivisionError):
        write_half(whole, tmp_path / name, format)
    assert sorted(tmp_path.iterdir()) == listing
    if format != "Parquet":
        np.testing.assert_array_equal(read_back(tmp_path, name).values, before.values)


@pytest.mark.parametrize(("format", "name"), ALL)
def test_a_new_result_takes_the_place_of_the_old(tmp_path: Path, format: str, name: str):
    for seed in (1, 2):
        whole = cube(dates=("2021-01-01",), seed=seed)
        assert write(whole, tmp_path / name, format) == [tmp_path / name]
    assert list(tmp_path.iterdir()) == [tmp_path / name]
    if format != "Parquet":
        np.testing.assert_array_equal(read_back(tmp_path, name).values, whole.values)


class FullDisk:
    """A sink whose disk is full from the first, or only from the last byte."""

    def __init__(self, path: Path, at: str, error: Exception) -> None:
        self._at, self._error = at, error
        path.write_bytes(b"half a file")

    def store(self, values: np.ndarray, y: slice, x: slice) -> None:
        if self._at == "store":
            raise self._error

    def close(self) -> None:
        if self._at == "close":
            raise self._error

    def abandon(self) -> None:
        raise self._error


@pytest.mark.parametrize("at", ["store", "close"])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("NetCDF: HDF error")],
    ids=["OSError", "RuntimeError"],
)
def test_a_full_disk_says_what_to_do_and_leaves_nothing(tmp_path: Path, at: str, error: Exception):
    full = formats.Format(
        "full", "", ".full", "", (), {}, lambda path, template, options: FullDisk(path, at, error)
    )
    FORMATS["full"] = full
    try:
        with pytest.raises(StorageFailed, match="free some space") as raised:
            write(cube(), tmp_path / "r.full", "full")
    finally:
        del FORMATS["full"]
    assert str(error) in str(raised.value)
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np, xarray as xr
from openeo_udf_fusion.errors import StorageFailed
from openeo_udf_fusion.local.formats import write

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
values = np.random.default_rng(0).random((2, 2, 200, 200), dtype=np.float32)
coords = {"t": np.array(["2022-01-01", "2022-01-02"], "datetime64[ns]"), "bands": ["a", "b"],
          "y": -np.arange(200.0), "x": np.arange(200.0)}
cube = xr.DataArray(values, coords, ("t", "bands", "y", "x")).rio.write_crs(32631)
for name, format in [("r.nc", "netCDF"), ("r.zarr", "Zarr"), ("r.tif", "GTiff"), ("r.parquet", "Parquet")]:
    for limit in (500, 20_000, 200_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            write(cube, Path(sys.argv[1]) / name, format)
        except StorageFailed:
            continue
        sys.exit(f"{format} was written within {limit} bytes a file")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write(cube, Path(sys.argv[1]) / "at_last.nc", "netCDF")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_files_that_the_system_cuts_short_leave_nothing(tmp_path: Path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in tmp_path.iterdir()] == ["at_last.nc"]


@pytest.mark.parametrize(("format", "name"), ALL)
def test_a_folder_with_other_content_is_never_replaced(tmp_path: Path, format: str, name: str):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("keep")
    with pytest.raises(StorageFailed, match="choose another name"):
        write(cube(dates=("2022-01-01",)), tmp_path / name, format)
    assert (tmp_path / name / "mine.txt").read_text() == "keep"


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_a_name_that_cannot_be_given_leaves_all_earlier_files(tmp_path: Path, monkeypatch):
    """The last of three dates cannot be renamed: the earlier results are back, nothing else is there."""
    path = tmp_path / "r.tif"
    write(cube(seed=1), path, "GTiff")
    before, replace = content(tmp_path), os.replace

    def refuse_the_last(source: Path, target: Path) -> None:
        if Path(source).suffix == ".tif" and Path(target).name == "r_2022-03-05.tif":
            raise OSError(errno.EROFS, "Read-only file system")
        replace(source, target)

    refused = cube(seed=2)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refuse_the_last)
        with pytest.raises(StorageFailed, match="Read-only"):
            write(refused.isel(t=[0, 2]), path, "GTiff")
    assert content(tmp_path) == before
    write(refused, path, "GTiff")
    after = content(tmp_path)
    assert after.keys() == before.keys()
    assert not any(after[name] == before[name] for name in after)


@pytest.mark.parametrize("inside", ["mine.txt", "sub/mine.txt"])
def test_a_folder_with_the_name_of_a_date_is_never_replaced(tmp_path: Path, inside: str):
    mine = tmp_path / "r_2022-01-09.tif" / inside
    mine.parent.mkdir(parents=True)
    mine.write_text("keep")
    with pytest.raises(StorageFailed, match=r"r_2022-01-09\.tif is a folder"):
        write(cube(), tmp_path / "r.tif", "GTiff")
    assert mine.read_text() == "keep"
    assert [path.name for path in tmp_path.iterdir()] == ["r_2022-01-09.tif"]


def test_the_target_of_a_link_is_left_alone(tmp_path: Path):
    for name in ("r_2022-01-01.tif", "r_2022-01-09.tif"):
        (tmp_path / f"kept_{name}").write_text("keep")
        (tmp_path / name).symlink_to(tmp_path / f"kept_{name}")
    write(cube(dates=("2022-01-01", "2022-01-09")), tmp_path / "r.tif", "GTiff")
    assert {file.read_text() for file in tmp_path.glob("kept_*")} == {"keep"}
    assert not any(file.name.startswith(".") for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    "raises",
    [
        lambda folder: OSError(errno.EROFS, "Read-only file system", f"{folder}/.r.nc.tmp"),
        lambda folder: RuntimeError(f"{folder}/.r.nc.tmp: HDF error"),
    ],
    ids=["OSError", "RuntimeError"],
)
def test_messages_name_the_file_and_not_its_folder(tmp_path: Path, raises: Callable[[Path], Exception]):
    """A server's client reads them."""
    with (
        pytest.raises(StorageFailed, match=r"^r\.nc could not be written") as raised,
        storing(tmp_path / "r.nc"),
    ):
        raise raises(tmp_path)
    assert str(tmp_path) not in str(raised.value)


def test_a_folder_that_cannot_be_made_is_a_storage_failure(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed, match="choose another folder"):
        write(cube(), tmp_path / "file" / "r.nc", "netCDF")
