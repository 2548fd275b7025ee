"""A generated scene of Sentinel-1 and Sentinel-2: fields through a season, as a cube and as files."""

from pathlib import Path

import numpy as np
import xarray as xr

from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes.embed_sentinel1_sentinel2 import MODEL, OPTICAL, RADAR

FIRST = np.datetime64("2023-01-01")
DAYS = 270
REVISIT_DAYS = {RADAR: 6, OPTICAL: 5}
CLOUDY = 0.4
CLEAR_SCL, CLOUD_SCL = 4, 9
FIELD_PX, PIXEL_M = 8, 10
CHUNK_PX = 64
INNER = ("2023-04-01", "2023-06-30")
"""90 days with both sensors' whole reach around them."""


def cubes_of(size_px: int, seed: int = 0) -> dict[str, xr.DataArray]:
    """Each sensor (t, bands, y, x) on a square of 10 m pixels: power `s1_*`; reflectance `s2_*`, and SCL."""
    rng = np.random.default_rng(seed)
    fields = -(-size_px // FIELD_PX)
    peak = np.kron(rng.uniform(0.3, 1.0, (fields, fields)), np.ones((FIELD_PX, FIELD_PX)))
    peak = peak[:size_px, :size_px]
    return {sensor: _of_sensor(sensor, peak, rng) for sensor in REVISIT_DAYS}


def merged(cubes: dict[str, xr.DataArray]) -> xr.DataArray:
    """Both sensors on all their dates."""
    dates = np.union1d(*(cube["t"].values for cube in cubes.values()))
    return xr.concat([cube.reindex(t=dates) for cube in cubes.values()], "bands")


def write(folder: Path, size_px: int) -> None:
    """The collections `sentinel1` and `sentinel2`, a netCDF file each."""
    for sensor, cube in cubes_of(size_px).items():
        stored = xr.Dataset({str(label): cube.sel(bands=label, drop=True) for label in cube["bands"].values})
        side = min(CHUNK_PX, size_px)
        common = {"zlib": True, "complevel": 1, "chunksizes": (cube.sizes["t"], side, side)}
        packed = {"dtype": "int16", "scale_factor": 1e-4, "_FillValue": -32768, **common}
        flags = {"dtype": "uint8", "_FillValue": 0, **common}
        encoding = {str(name): flags if name == "s2_SCL" else packed for name in stored.data_vars}
        stored.attrs["crs"] = "EPSG:32632"
        stored.to_netcdf(folder / f"sentinel{sensor[1]}.nc", encoding=encoding)


def _of_sensor(sensor: str, peak: np.ndarray, rng: np.random.Generator) -> xr.DataArray:
    days = np.arange(0, DAYS, REVISIT_DAYS[sensor])
    green = peak * (0.4 + 0.6 * np.exp(-(((days[:, None, None] - 150) / 45.0) ** 2)))
    bands = cards.read(MODEL).bands[sensor]
    slope = np.linspace(-0.08, 0.35, len(bands))[:, None, None]
    if sensor == RADAR:
        speckle = rng.gamma(4, 1 / 4, (len(days), len(bands), *peak.shape))
        values = 10 ** ((-14 + 5 * green[:, None] - 60 * (slope + 0.08) / 4) / 10) * speckle
        labels = [f"{sensor}_{band}" for band in bands]
    else:
        values = 0.1 + slope * green[:, None] + rng.normal(0, 0.005, (len(days), len(bands), *peak.shape))
        cloudy = rng.random((len(days), 1, 1, 1)) < CLOUDY
        cloudy = cloudy | (rng.random((len(days), 1, *peak.shape)) < 0.05)
        values = np.concatenate([np.where(cloudy, 0.6, values), np.where(cloudy, CLOUD_SCL, CLEAR_SCL)], 1)
        labels = [f"{sensor}_{band}" for band in (*bands, "SCL")]
    size = len(peak)
    coords = {
        "t": (FIRST + days).astype("datetime64[ns]"),
        "bands": labels,
        "y": 5_400_000.0 - PIXEL_M * (np.arange(size) + 0.5),
        "x": 600_000.0 + PIXEL_M * (np.arange(size) + 0.5),
    }
    return xr.DataArray(values.astype(np.float32), coords, ("t", "bands", "y", "x"))
