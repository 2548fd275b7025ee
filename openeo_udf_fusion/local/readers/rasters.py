"""Layers of GeoTIFFs, by way of rasterio."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.grids import Grid, parse_crs
from openeo_udf_fusion.local.readers.bandnames import (
    LABEL_ATTR,
    Context,
    Stated,
    cf_attrs,
    decoding_of,
    label_of,
    not_offered,
    sensor_of,
)
from openeo_udf_fusion.local.readers.dates import DATE_TAG, Dates, as_dates, date_in_path, without_date
from openeo_udf_fusion.local.readers.folders import reason_of
from openeo_udf_fusion.local.readers.layers import Indices, Layer

DRIVER = "GTiff"
"""No other one: GDAL goes by the content, and a VRT named .tif would read any file or URL."""


@dataclass(frozen=True)
class BandReader:
    """Reads windows of one band of a GeoTIFF; each opens the file, as a GDAL handle belongs to a thread."""

    path: Path
    index: int

    def __call__(self, steps: Indices, rows: slice, columns: slice) -> NDArray[np.generic]:
        """Raw values (t, y, x); the file has one step."""
        window = RasterWindow.from_slices(rows, columns)
        try:
            with rasterio.open(self.path, driver=DRIVER) as source:
                values: NDArray[np.generic] = source.read(self.index, window=window)
        except RasterioError as error:
            reason = reason_of(error, self.path)
            raise InvalidCollection(f"{self.path.name} cannot be read: {reason}; is it complete?") from error
        return np.broadcast_to(values, (len(steps), *values.shape))


def raster_layers(
    path: Path, context: Context, names: Sequence[str] = (), stated: Sequence[Json] = ()
) -> list[Layer]:
    """The layers of one GeoTIFF, from its header alone.

    A band's name is given by `names` (of a STAC asset), by its description, or by the file's name. `stated`
    are the asset's band objects (`nodata`, `raster:scale`, ...), for what the file leaves open.

    Raises
    ------
    InvalidCollection
        The file cannot be read, is rotated, or has no coordinate reference system.
    """
    try:
        with rasterio.open(path, driver=DRIVER) as source:
            return _layers(path, source, context, names, stated)
    except RasterioError as error:
        raise InvalidCollection(
            f"{path.name} cannot be read: {reason_of(error, path)}; repair it or take it out of the folder"
        ) from error


def _layers(
    path: Path, source: DatasetReader, context: Context, names: Sequence[str], asset_bands: Sequence[Json]
) -> list[Layer]:
    grid, dates = _grid(path, source, context), _dates(path, source, context)
    sensor = sensor_of((path.stem, context.hint, path.parent.name, context.folder.name))
    layers = []
    for index in source.indexes:
        name = _name(path, source, index, names)
        stated = _stated(source, index, asset_bands[index - 1] if index <= len(asset_bands) else {})
        label = label_of(name, stated, sensor, context.override)
        if reason := not_offered(name, label, stated):
            context.notes.append(reason)
            continue
        decoding = decoding_of(name, label, stated, context.override)
        reader = BandReader(path, index)
        layers.append(Layer(path, name, label, grid, dates, decoding, reader, _attrs(source, index, label)))
    return layers


def _name(path: Path, source: DatasetReader, index: int, names: Sequence[str]) -> str:
    if len(names) == source.count:
        return names[index - 1]
    if description := source.descriptions[index - 1]:
        return str(description)
    if source.count > 1:
        return f"band{index}"
    return without_date(path.stem) or "data"


def _stated(source: DatasetReader, index: int, asset_band: Json) -> Stated:
    dtype = np.dtype(source.dtypes[index - 1])
    scale, offset = source.scales[index - 1], source.offsets[index - 1]
    if scale == 1.0 and offset == 0.0:  # what GDAL reports where a file states nothing
        scale, offset = (asset_band.get(f"raster:{key}", asset_band.get(key)) for key in ("scale", "offset"))
    nodata = source.nodatavals[index - 1]
    if nodata is None:
        nodata = asset_band.get("nodata")
    return Stated(
        dtype,
        source.tags(index).get(LABEL_ATTR),
        None if scale is None else float(scale),
        None if offset is None else float(offset),
        None if nodata is None else (float(nodata),),
    )


def _attrs(source: DatasetReader, index: int, label: str) -> Json:
    tags = dict(source.tags(index))
    if unit := source.units[index - 1]:
        tags.setdefault("units", unit)
    return cf_attrs(label, tags)


def _dates(path: Path, source: DatasetReader, context: Context) -> Dates | None:
    if context.date is not None:
        return np.array([context.date], "datetime64[ns]")
    if stated := source.tags().get(DATE_TAG):
        return as_dates([stated], f"{path.name}: tag {DATE_TAG}")
    date = date_in_path(path, context.folder)
    return None if date is None else np.array([date], "datetime64[ns]")


def _grid(path: Path, source: DatasetReader, context: Context) -> Grid:
    transform = source.transform
    if transform.b != 0 or transform.d != 0 or transform.is_identity:
        raise InvalidCollection(f"{path.name} is rotated or not georeferenced; warp it to a north-up grid")
    text = context.override.crs or (source.crs.to_wkt() if source.crs else context.crs)
    crs = None if text is None else parse_crs(text)
    if crs is None:
        raise InvalidCollection(
            f"{path.name}: no coordinate reference system in the file; "
            'give one in collection.json, e.g. {"crs": "EPSG:32631"}'
        )
    x = transform.c + (np.arange(source.width) + 0.5) * transform.a
    y = transform.f + (np.arange(source.height) + 0.5) * transform.e
    return Grid(crs, x, y, (abs(transform.a), abs(transform.e)))
