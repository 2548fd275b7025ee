"""What `load_collection` and `load_stac` nodes load: lazily, from the data folder alone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.collections import Collection, get_collection
from openeo_udf_fusion.local.geometry import bounding_box, grid_of, mask_polygon, placed
from openeo_udf_fusion.local.grids import Grid
from openeo_udf_fusion.local.hdf5 import HDF5
from openeo_udf_fusion.local.readers.stac import local_path
from openeo_udf_fusion.local.regions import Box, cut

LOADERS = ("load_collection", "load_stac")

_CHUNK_CACHE_BYTES = 4 * 2**20
"""The netCDF library keeps 64 MiB of decompressed chunks for every variable that was read: with twenty bands,
more than the tiles take. Tiles are whole chunks or larger, so there is little to gain from a cache."""


@dataclass(frozen=True, eq=False)
class Source:
    """One loading node.

    Attributes
    ----------
    cube : DataArray
        Everything it selects, lazy, float32, dims (t, bands, y, x).
    grid : Grid
        Its pixels.
    polygons : dict or None
        GeoJSON whose outside is missing.
    """

    cube: xr.DataArray
    grid: Grid
    polygons: Json | None

    @property
    def bytes_per_pixel(self) -> int:
        """Memory that one pixel takes with all its dates and bands."""
        return int(np.prod([size for dim, size in self.cube.sizes.items() if dim not in ("y", "x")]) * 4)

    def lazy(self) -> xr.DataArray:
        """All of it."""
        return self._masked(placed(self.cube, self.grid))

    def load(self, box: Box) -> xr.DataArray:
        """The pixels of a box, in memory."""
        part = self.cube.isel(y=box.rows, x=box.columns).compute(scheduler="synchronous")
        return self._masked(placed(part, cut(self.grid, box)))

    def _masked(self, cube: xr.DataArray) -> xr.DataArray:
        return cube if self.polygons is None else mask_polygon(cube, self.polygons)


def open_source(node: Json, data: Path, warn: Callable[[str], None]) -> Source:
    """Open what a loading node asks for.

    Raises
    ------
    UnknownCollection, MissingBands, NoDataAvailable, InvalidParameter, ForbiddenPath
        as `Collection.open` does.
    """
    with HDF5:
        netCDF4.set_chunk_cache(_CHUNK_CACHE_BYTES)  # of files that are opened from now on
    arguments = node["arguments"]
    collection = find(node, data)
    if arguments.get("properties"):
        warn(f"{node['process_id']}: the files have no properties to filter by; 'properties' is ignored")
    extent = arguments.get("spatial_extent")
    polygons = extent if isinstance(extent, dict) and "west" not in extent and "type" in extent else None
    if polygons is not None:
        extent = bounding_box(polygons, collection.grid().crs)
    elif extent is not None and not isinstance(extent, dict):
        raise InvalidParameter(
            f"spatial_extent must be an object with west, south, east, north, got {extent!r}"
        )
    bands, interval = arguments.get("bands"), arguments.get("temporal_extent")
    if bands is not None and not (isinstance(bands, list) and all(isinstance(band, str) for band in bands)):
        raise InvalidParameter(f"bands must be a list of labels, got {bands!r}")
    if bands == []:
        raise InvalidParameter("bands must name at least one band, got []; leave bands out to load all")
    if interval is not None and not isinstance(interval, list):
        raise InvalidParameter(f"temporal_extent must be [start, end], got {interval!r}")
    cube = collection.open(
        bands=bands,
        temporal_extent=interval,
        spatial_extent=extent,
    )
    return Source(cube, _grid(cube, collection.grid()), polygons)


def find(node: Json, data: Path) -> Collection:
    """The collection that a loading node names."""
    arguments = node["arguments"]
    if node["process_id"] == "load_collection":
        name = arguments["id"]
        if not isinstance(name, str):
            raise InvalidParameter(f"load_collection: the id must be a string, got {name!r}")
        return get_collection(data, name)
    url = arguments["url"]
    if not isinstance(url, str):
        raise InvalidParameter(f"load_stac: the url must be a string, got {url!r}")
    path = local_path(url, data, data)
    if not path.exists():
        raise InvalidParameter(f"load_stac: there is no {url} in the data folder")
    return Collection(path.stem, path, data)


def _grid(cube: xr.DataArray, native: Grid) -> Grid:
    width, height = native.resolution
    found = grid_of(cube)
    return Grid(found.crs, found.x, found.y, (width, height))
