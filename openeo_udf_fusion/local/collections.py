"""Collections: folders and files of a data folder, read lazily as cubes (t, bands, y, x).

Reads netCDF files, Zarr stores, GeoTIFFs and STAC on disk. A collection's id is the name of a folder, or the
stem of a single file.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import dask.array as da
import numpy as np
import rioxarray  # noqa: F401 - registers the accessor `rio`
import xarray as xr

from openeo_udf_fusion.errors import (
    ForbiddenPath,
    InvalidCollection,
    InvalidParameter,
    MissingBands,
    NoDataAvailable,
    UnknownCollection,
)
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.grids import Grid, Window
from openeo_udf_fusion.local.readers.bandnames import Context, Override
from openeo_udf_fusion.local.readers.collection_metadata import collection_metadata
from openeo_udf_fusion.local.readers.datasets import dataset_layers
from openeo_udf_fusion.local.readers.dates import as_dates, in_interval
from openeo_udf_fusion.local.readers.folders import (
    OVERRIDE,
    confined,
    confined_store,
    is_geotiff,
    is_inside,
    is_source,
    is_zarr,
    walk,
)
from openeo_udf_fusion.local.readers.index import Index, arrange
from openeo_udf_fusion.local.readers.layers import Layer
from openeo_udf_fusion.local.readers.rasters import raster_layers
from openeo_udf_fusion.local.readers.stac import described, stac_kind, stac_layers
from openeo_udf_fusion.sensors import band_of, canonical_label

# A dask chunk is one band, at most this many steps and pixels a side: 16 MiB of float32.
_CHUNK_STEPS = 64
_CHUNK_PX = 256


@dataclass(frozen=True)
class Collection:
    """One collection; files are looked at when they are needed, and again when they have changed.

    Attributes
    ----------
    id : str
    path : Path
        A folder, a file or a Zarr store.
    root : Path
        The data folder; nothing outside of it is read.
    """

    id: str
    path: Path
    root: Path

    def metadata(self) -> Json:
        """The collection as openEO and STAC describe it; reads headers, no pixels.

        Raises
        ------
        InvalidCollection
            A file cannot be read, or the files make no cube.
        ForbiddenPath
            A link or a STAC href leads out of the data folder.
        """
        override = _override(self.path)
        return collection_metadata(
            self.id, self._index(), override.title, override.description, override.license
        )

    def grid(self) -> Grid:
        """The native grid: CRS and pixel centres. Raises as `metadata` does."""
        return self._index().grid

    def dates(self) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
        """All dates, ascending, datetime64[ns]. Raises as `metadata` does."""
        return self._index().dates

    def bands(self) -> list[str]:
        """The labels of all bands. Raises as `metadata` does."""
        return list(self._index().bands)

    def files(self) -> list[Path]:
        """The files and Zarr stores that it is made of, sorted. Raises as `metadata` does."""
        listed = {Path(name) for name, _, _ in _stamp(self.path, self.root)}
        read = {placed.layer.file for group in self._index().bands.values() for placed in group}
        return sorted(listed | read)

    def open(
        self,
        *,
        bands: Sequence[str] | None = None,
        temporal_extent: Sequence[str | None] | None = None,
        spatial_extent: Json | None = None,
        window: Window | None = None,
    ) -> xr.DataArray:
        """The collection, or a part of it, as a lazy cube.

        Parameters
        ----------
        bands : sequence of str, optional
            In this order; labels, names as they are in the files, or common names (`red`). Default: all.
        temporal_extent : (start, end), optional
            ISO 8601; left-closed: the end is excluded; None leaves an end open.
        spatial_extent : dict, optional
            `west`, `south`, `east`, `north` and `crs` (default EPSG:4326): pixels whose centre is inside, see
            `Grid.window`.
        window : (slice, slice), optional
            Rows and columns on the native grid, as slices without a step. With `spatial_extent`: what lies in
            both.

        Returns
        -------
        xarray.DataArray
            float32, dims (t, bands, y, x), backed by dask; scale and offset applied, NaN where nodata.
            Coordinates: `t` (datetime64[ns], ascending), `bands` (str), `y`, `x` (float64, the file's order),
            `spatial_ref`. `attrs["band_attrs"]` has the CF attributes of each band.

        Raises
        ------
        MissingBands
            A band is not there; the message lists those that are.
        NoDataAvailable
            Place or time select nothing.
        InvalidParameter
            An extent is malformed.
        InvalidCollection, ForbiddenPath
            As `metadata`.
        """
        index = self._index()
        labels = list(index.bands) if bands is None else [_found(name, index, self.id) for name in bands]
        rows, columns = _selected(index.grid, spatial_extent, window)
        steps = _selected_steps(index, temporal_extent, self.id)
        cube = index.cube(labels)
        chunks = (_CHUNK_STEPS, 1, _CHUNK_PX, _CHUNK_PX)
        values = da.from_array(cube, chunks=chunks, name=False, asarray=False)  # type: ignore[no-untyped-call]
        array = xr.DataArray(
            values[steps, :, rows, columns],
            dims=("t", "bands", "y", "x"),
            coords={
                "t": index.dates[steps],
                "bands": np.array(labels, dtype=str),
                "y": index.grid.y[rows],
                "x": index.grid.x[columns],
            },
            name=self.id,
            attrs={"band_attrs": {label: index.bands[label][0].layer.attrs for label in labels}},
        )
        code = index.grid.crs.to_epsg()
        located: xr.DataArray = array.rio.write_crs(code or index.grid.crs.to_wkt())
        return located

    def _index(self) -> Index:
        return _index(self.path, self.root, _stamp(self.path, self.root))


def find_collections(folder: Path) -> dict[str, Collection]:
    """The collections of a data folder by id; a sub-folder without readable files is none.

    Links that lead out of the folder are not followed. Files are not opened.

    Raises
    ------
    InvalidParameter
        There is no such folder.
    """
    if not folder.is_dir():
        raise InvalidParameter(
            f"the data folder {folder.name} is no folder; create it, or name another (--data)"
        )
    found: dict[str, Collection] = {}
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    # Folders first: where `name` and `name.nc` are both there, the file goes by its full name.
    for entry in sorted(entries, key=lambda entry: not entry.is_dir() or is_zarr(entry)):
        if is_inside(entry, folder) and _is_collection(entry, folder):
            plain = entry.stem if is_source(entry) else entry.name
            id = entry.name if plain in found else plain
            found[id] = Collection(id, entry, folder)
    return dict(sorted(found.items()))


def get_collection(folder: Path, id: str) -> Collection:
    """The collection of that id.

    Raises
    ------
    UnknownCollection
        There is none; the message names those there are.
    ForbiddenPath
        The id is a path, or a link that leads out of the folder.
    """
    if id != Path(id).name or "\\" in id:
        raise ForbiddenPath(
            f"{id!r} is no collection id but a path; ids are names of folders and files in the data folder"
        )
    known = find_collections(folder)
    if id in known:
        return known[id]
    confined(folder / id, folder)
    close = get_close_matches(id, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise UnknownCollection(
        f"no collection {id!r} in the data folder; {hint}it has {sorted(known) or 'none'}"
    )


def _is_collection(entry: Path, root: Path) -> bool:
    if is_source(entry):
        return True
    if not entry.is_dir():
        return False
    try:
        return any(is_source(path) or stac_kind(path) for path in walk(entry, root))
    except ForbiddenPath:  # it is listed, and says so when it is opened
        return True


def _stamp(path: Path, root: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of change of all files, as a key that changes with them."""
    paths = list(walk(path, root)) if path.is_dir() and not is_zarr(path) else [path]
    stats = [(str(file), file.stat()) for file in paths]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


@lru_cache(maxsize=64)
def _index(path: Path, root: Path, stamp: tuple[tuple[str, int, int], ...]) -> Index:
    """The index of the files named in `stamp`."""
    confined(path, root)
    override = _override(path)
    date = None if override.date is None else as_dates([override.date], f"{path.name}/{OVERRIDE}: date")[0]
    context = Context(path, override, date=date)
    files = [Path(name) for name, _, _ in stamp]
    for store in filter(is_zarr, files):
        confined_store(store, root)
    documents = [file for file in files if file.is_file() and stac_kind(file)]
    layers = stac_layers(documents, context, root) if documents else []
    if not layers:
        layers = [layer for file in files if is_source(file) for layer in _file_layers(file, context)]
    return arrange(layers, context.notes, path.name)


def _file_layers(file: Path, context: Context) -> list[Layer]:
    return raster_layers(file, context) if is_geotiff(file) else dataset_layers(file, context)


def _override(path: Path) -> Override:
    file = path / OVERRIDE
    if not path.is_dir() or is_zarr(path) or not file.is_file():
        return Override()
    if stac_kind(file):
        return described(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidCollection(f"{path.name}/{file.name} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidCollection(
            f"{path.name}/{file.name} must hold a JSON object, not {type(content).__name__}"
        )
    return Override.from_json(content, file)


def _found(name: str, index: Index, id: str) -> str:
    """The label that a requested band means."""
    if name in index.bands:
        return name
    alias = canonical_label(name)
    by_name = {placed.layer.name: label for label, group in index.bands.items() for placed in group}
    common = [label for label in index.bands if (known := band_of(label)) and known[1].common_name == name]
    meant = [
        label for label in (by_name.get(name), alias, *common) if label is not None and label in index.bands
    ]
    if not meant or (len(common) > 1 and meant[0] in common):
        raise MissingBands(f"collection {id} has no band {name!r}; it has {list(index.bands)}")
    return meant[0]


def _selected(grid: Grid, spatial_extent: Json | None, window: Window | None) -> Window:
    rows, columns = (slice(0, size) for size in grid.shape)
    for part in (window, None if spatial_extent is None else grid.window(spatial_extent)):
        if part is not None:
            rows, columns = _both(rows, part[0], grid.shape[0]), _both(columns, part[1], grid.shape[1])
    return rows, columns


def _both(first: slice, second: slice, size: int) -> slice:
    start, stop, _ = second.indices(size)
    start, stop = max(first.start, start), min(first.stop, stop)
    if start >= stop:
        raise NoDataAvailable(f"rows or columns {second} select nothing of {first.start}..{first.stop}")
    return slice(start, stop)


def _selected_steps(index: Index, temporal_extent: Sequence[str | None] | None, id: str) -> slice:
    if temporal_extent is None:
        return slice(0, len(index.dates))
    inside = np.flatnonzero(in_interval(index.dates, temporal_extent))
    if not len(inside):
        raise NoDataAvailable(
            f"collection {id} has no date in {list(temporal_extent)}; "
            f"it goes from {index.dates[0]} to {index.dates[-1]}"
        )
    return slice(int(inside[0]), int(inside[-1]) + 1)
