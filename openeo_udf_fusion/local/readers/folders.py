"""What lies in a data folder, and the promise that nothing outside of it is read."""

import os
from collections.abc import Iterator
from pathlib import Path

from openeo_udf_fusion.errors import ForbiddenPath

NETCDF_SUFFIXES = frozenset({".nc", ".nc4", ".cdf", ".netcdf"})
GEOTIFF_SUFFIXES = frozenset({".tif", ".tiff"})
OVERRIDE = "collection.json"


def confined(path: Path, root: Path) -> Path:
    """`path` with its links resolved.

    Raises
    ------
    ForbiddenPath
        It leads out of `root`, or no file can have such a name.
    """
    try:
        resolved = path.resolve()
        resolved.exists()
    except (ValueError, OSError) as error:  # NUL, half a surrogate pair, a name that is too long
        reason = error.strerror if isinstance(error, OSError) else error
        raise ForbiddenPath(f"{path.name[:80]!r} is no name of a file: {reason}") from None
    if not resolved.is_relative_to(root.resolve()):
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        raise ForbiddenPath(f"{name} leads out of the data folder; copy the file into the folder")
    return resolved


def confined_store(store: Path, root: Path) -> None:
    """Raise ForbiddenPath where a link in a Zarr store leads out of `root`: its library opens any file."""
    for folder, folders, files in os.walk(store):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(folder, name)):
                confined(Path(folder, name), root)


def is_inside(path: Path, root: Path) -> bool:
    """Whether `path`, with its links resolved, lies in `root`."""
    return path.resolve().is_relative_to(root.resolve())


def reason_of(error: Exception, path: Path) -> str:
    """What a library says of a file, without the folders above it: users need not know them."""
    return str(error).replace(str(path), path.name)


def is_netcdf(path: Path) -> bool:
    """Whether the name says netCDF."""
    return path.suffix.lower() in NETCDF_SUFFIXES


def is_geotiff(path: Path) -> bool:
    """Whether the name says GeoTIFF."""
    return path.suffix.lower() in GEOTIFF_SUFFIXES


def is_zarr(path: Path) -> bool:
    """Whether `path` is a Zarr store (of format 2 or 3) in a folder."""
    return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata"))


def is_source(path: Path) -> bool:
    """Whether `path` is a file or store that collections can read."""
    return is_zarr(path) or (path.is_file() and (is_netcdf(path) or is_geotiff(path)))


def walk(folder: Path, root: Path) -> Iterator[Path]:
    """Files and Zarr stores below `folder`, sorted by name, without hidden ones (unfinished results).

    Raises
    ------
    ForbiddenPath
        A link leads out of `root`.
    """
    yield from _walk(folder, root, frozenset())


def _walk(folder: Path, root: Path, above: frozenset[Path]) -> Iterator[Path]:
    here = confined(folder, root)
    if here in above:  # a link to a folder above: read once
        return
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():  # anything else lies where its folder lies
            confined(entry, root)
        if entry.is_dir() and not is_zarr(entry):
            yield from _walk(entry, root, above | {here})
        else:
            yield entry
