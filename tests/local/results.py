"""Results to write, and what was written read back, for the tests of formats."""

from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401 - registers the accessor `rio`
import xarray as xr
from pyproj import CRS

from openeo_udf_fusion.local.collections import get_collection
from openeo_udf_fusion.local.grids import MODIS_SINUSOIDAL

ALL = [
    ("netCDF", "result.nc"),
    ("Zarr", "result.zarr"),
    ("GTiff", "result.tif"),
    ("Parquet", "result.parquet"),
]
READABLE = ALL[:3]


def cube(
    dates: tuple[str, ...] = ("2022-01-01", "2022-01-09", "2022-03-05"),
    bands: tuple[str, ...] = ("B1", "B1_sigma", "provenance"),
    size: tuple[int, int] = (20, 30),
    crs: CRS = MODIS_SINUSOIDAL,
    seed: int = 0,
) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    values = rng.random((len(dates), len(bands), *size), dtype=np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    array = xr.DataArray(
        values,
        dims=("t", "bands", "y", "x"),
        coords={
            "t": np.array(dates, "datetime64[ns]"),
            "bands": list(bands),
            "y": 5_377_439.04437943 - 463.312716528 * np.arange(size[0]),
            "x": 833_731.23339199 + 463.312716528 * np.arange(size[1]),
        },
    )
    return array.rio.write_crs(crs.to_wkt())


def read_back(folder: Path, name: str) -> xr.DataArray:
    """The written result, as the collection it is."""
    only = list(folder.iterdir())
    id = Path(name).stem if len(only) == 1 else folder.name
    root = folder if len(only) == 1 else folder.parent
    return get_collection(root, id).open()
