"""Files that appear under their name whole, or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from openeo_udf_fusion.errors import FusionError, StorageFailed


def temporary_beside(path: Path) -> Path:
    """A hidden name in the same folder, so that the rename stays on one file system."""
    return path.with_name(f".{path.name}.{token_hex(4)}.tmp")


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns what a storage library raises into StorageFailed.

    A full disk reaches Python as OSError, from netCDF and HDF5 as RuntimeError, from GDAL as RasterioError or
    as one of the errors of `rasterio._err`, which share no public base class.
    """
    try:
        yield
    except FusionError:
        raise
    except (OSError, RuntimeError, RasterioError, CPLE_BaseError) as error:
        raise StorageFailed(f"{path} could not be written: {error}; {_free(path)}") from error


def publish(temporary: Path, path: Path) -> None:
    """Gives a finished file or folder its name; what had the name before is gone only afterwards."""
    if not path.is_dir():
        os.replace(temporary, path)
        return
    old = temporary_beside(path)
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old)


def discard(path: Path) -> None:
    """Removes a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        # Emptied first: HDF5 keeps a file open that it could not complete, and with it the space on the disk.
        os.truncate(path, 0)
        path.unlink()


def _free(path: Path) -> str:
    folder = next((parent for parent in path.parents if parent.is_dir()), Path("/"))
    megabytes = shutil.disk_usage(folder).free / 1e6
    return f"{megabytes:.0f} MB are free in {folder}: free some space, or choose another folder (-o)"
