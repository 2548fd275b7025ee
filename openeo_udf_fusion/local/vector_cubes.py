"""Files of vector cubes, the results of `aggregate_spatial`: a table with a row per date and geometry."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr

from openeo_udf_fusion.errors import UnsupportedFormat
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.readers.dates import iso
from openeo_udf_fusion.local.standard.zonal import GEOMETRY
from openeo_udf_fusion.local.writers.netcdf import write_dataset
from openeo_udf_fusion.local.writers.storage import discard, publish, storing, temporary_beside
from openeo_udf_fusion.local.writers.template import SINGLE_BAND

FORMATS = ("Parquet", "netCDF")
NUMBER = "feature_index"
"""The column of the geometries' numbers, named as other backends name it."""


def write(cube: xr.DataArray, path: Path, format: str) -> list[Path]:
    """Write a vector cube as Parquet (t, feature_index, longitude, latitude, bands) or netCDF.

    Raises
    ------
    UnsupportedFormat
        The format holds no vector cubes.
    StorageFailed
        The file cannot be written; nothing is left of it.
    """
    if format not in FORMATS:
        raise UnsupportedFormat(
            f"{format} holds no vector cubes, which aggregate_spatial makes; use one of {', '.join(FORMATS)}"
        )
    dataset = _dataset(cube.astype(np.float32).compute())
    temporary = temporary_beside(path)
    try:
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if format == "Parquet":
                pq.write_table(table_of(dataset), temporary, compression="zstd")
            else:
                write_dataset(dataset, temporary)
            publish({temporary: path})
    finally:
        discard(temporary)
    return [path]


def metadata(cube: xr.DataArray, format: str) -> Json:
    """What `result_metadata` says of a raster cube, as far as it applies."""
    west, east = float(cube["longitude"].min()), float(cube["longitude"].max())
    south, north = float(cube["latitude"].min()), float(cube["latitude"].max())
    bands = [str(label) for label in cube["bands"].values] if "bands" in cube.dims else []
    return {
        "bbox": [west, south, east, north],
        "epsg": 4326,
        "wkt2": None,
        "dates": [iso(np.datetime64(date)) for date in cube["t"].values] if "t" in cube.dims else [],
        "bands": bands,
        "band_attrs": {},
        "shape": {str(dim): int(size) for dim, size in cube.sizes.items()},
        "format": format,
    }


def table_of(dataset: xr.Dataset) -> pa.Table:
    """Rows of the variables; missing values are null."""
    dims = [dim for dim in ("t", NUMBER) if dim in dataset.dims]
    whole = dataset[next(iter(dataset.data_vars))]
    columns = {
        str(name): dataset[name].broadcast_like(whole).transpose(*dims).values.ravel()
        for name in (*dims, "longitude", "latitude", *dataset.data_vars)
    }
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


def _dataset(cube: xr.DataArray) -> xr.Dataset:
    """A variable per band."""
    numbered = cube.rename({GEOMETRY: NUMBER})
    numbered.attrs = {}
    if "bands" in numbered.dims:
        return numbered.to_dataset("bands")
    return numbered.to_dataset(name=str(cube.name or SINGLE_BAND))
