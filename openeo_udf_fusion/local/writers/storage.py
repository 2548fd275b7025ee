"""Files that appear under their name whole, or not at all."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from openeo_udf_fusion.errors import FusionError, StorageFailed
from openeo_udf_fusion.local.readers.folders import is_zarr


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
        raise StorageFailed(
            f"{path.name} could not be written: {_reason(error, path)}; {_free(path)}"
        ) from error


def replace_file(path: Path, parts: Iterable[bytes], *, before: Callable[[], None] = lambda: None) -> int:
    """Write a file of its owner alone (mode 0600) in one step, on the disk before it has its name.

    Parameters
    ----------
    path
        Its folder must be there.
    parts
        What goes into it.
    before
        Called right before the file gets its name; what it raises leaves everything as it was.

    Returns
    -------
    int
        Its bytes.
    """
    temporary = path.with_name(f".new-{token_hex(4)}-{path.name}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            for part in parts:
                file.write(part)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        before()
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return size


def require_replaceable(path: Path) -> None:
    """Raises StorageFailed where a name is that of a folder, Zarr stores aside: results replace results."""
    if path.is_dir() and not is_zarr(path):
        raise StorageFailed(f"{path.name} is a folder with other content; choose another name")


def publish(finished: Mapping[Path, Path]) -> None:
    """Gives finished files and stores (by temporary name) their names: all of them, or none.

    What had the names before is gone only when all is done, and is back under its name otherwise.
    """
    for path in finished.values():
        require_replaceable(path)
    aside: dict[Path, Path] = {}
    published: list[Path] = []
    try:
        for temporary, path in finished.items():
            if path.is_dir() or (len(finished) > 1 and os.path.lexists(path)):
                old = temporary_beside(path)
                os.replace(path, old)
                aside[path] = old
            os.replace(temporary, path)
            published.append(path)
    except BaseException:
        for path in published:
            _remove(path)
        for path, old in aside.items():
            os.replace(old, path)
        raise
    for old in aside.values():
        _remove(old)


def discard(path: Path) -> None:
    """Removes a file or folder that was begun, if it is there."""
    if path.is_file():
        # Emptied first: HDF5 keeps a file open that it could not complete, and with it the space on the disk.
        os.truncate(path, 0)
    _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        path.unlink()


def _reason(error: Exception, path: Path) -> str:
    """What a library says, without folders: clients of a server read it, too."""
    if isinstance(error, OSError) and error.strerror:
        return f"[Errno {error.errno}] {error.strerror}"
    return str(error).replace(f"{path.parent}{os.sep}", "")


def _free(path: Path) -> str:
    folder = next((parent for parent in path.parents if parent.is_dir()), Path("/"))
    megabytes = shutil.disk_usage(folder).free / 1e6
    return f"{megabytes:.0f} MB are free in its folder: free some space, or choose another folder"
