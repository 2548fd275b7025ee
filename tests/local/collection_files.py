"""Files of collections with random numbers, for the tests of what is read."""

from pathlib import Path

import numpy as np
import rasterio
import rioxarray  # noqa: F401 - registers the accessor `rio`
import xarray as xr
from rasterio.transform import from_origin

DATES = np.array(["2022-01-01", "2022-01-09", "2022-01-17T10:30:15.5"], "datetime64[ns]")
UTM = "EPSG:32631"


def dataset(
    names: tuple[str, ...] = ("B1", "B2"),
    dates: np.ndarray = DATES,
    size: int = 12,
    pixel: float = 10.0,
    time: str = "t",
    seed: int = 0,
) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    values = {
        name: ((time, "y", "x"), rng.random((len(dates), size, size), dtype=np.float32)) for name in names
    }
    x = 500_000 + pixel * (np.arange(size) + 0.5)
    y = 5_600_000 - pixel * (np.arange(size) + 0.5)
    return xr.Dataset(values, {time: dates, "y": y, "x": x}).rio.write_crs(UTM)


def geotiff(path: Path, values: np.ndarray, pixel: float = 10.0, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = values if values.ndim == 3 else values[None]
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": len(bands),
        "height": bands.shape[1],
        "width": bands.shape[2],
        "crs": UTM,
        "transform": from_origin(500_000, 5_600_000, pixel, pixel),
    }
    with rasterio.open(path, "w", **profile | options) as file:
        file.write(bands)
