"""What a netCDF file may not do: have its values, or its groups, in another file.

HDF5, which netCDF-4 is written in, lets a file name others: by external links, by virtual datasets and by raw
storage outside. The library follows them wherever they lead, and so whoever may put a file into the data
folder could read what the server can.
"""

from pathlib import Path

import h5py

from openeo_udf_fusion.errors import ForbiddenPath
from openeo_udf_fusion.local.hdf5 import HDF5

_INSIDE = (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT)


def require_self_contained(path: Path) -> None:
    """Look through the headers of a netCDF file for references to other files; classic netCDF has none.

    Raises
    ------
    ForbiddenPath
        The file has values or groups elsewhere.
    OSError, RuntimeError, ValueError, KeyError
        The file cannot be read.
    """
    # h5py may share the HDF5 library with netCDF4, and then its own lock does not do.
    with HDF5:
        if not h5py.is_hdf5(path):
            return
        # The file itself is not locked: it is only read, perhaps on a file system that knows no locks.
        with h5py.File(path, "r", locking=False) as file:
            found = _linked(file) or _stored_elsewhere(file)
    if found:
        raise ForbiddenPath(
            f"{path.name} has {found} in another file, and files of the data folder must have everything in "
            "themselves; copy the values into it (h5repack or nccopy do)"
        )


def _linked(file: h5py.File) -> str | None:
    def look(name: bytes, link: h5py.h5l.LinkInfo) -> str | None:
        return None if link.type in _INSIDE else _told(name)

    found: str | None = file.id.links.visit(look, info=True)
    return found


def _stored_elsewhere(file: h5py.File) -> str | None:
    def look(name: bytes, about: h5py.h5o.ObjInfo) -> str | None:
        if about.type != h5py.h5o.TYPE_DATASET:
            return None
        layout = h5py.h5d.open(file.id, name).get_create_plist()
        outside = layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count() > 0
        return _told(name) if outside else None

    found: str | None = h5py.h5o.visit(file.id, look, info=True)
    return found


def _told(name: bytes) -> str:
    return repr(name.decode(errors="replace")[:80])
