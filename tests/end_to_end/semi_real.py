"""A semi-real VIIRS beside a measured MODIS: nobody has measured these values.

Real pairs are not to be had. Spectra that look to MODIS as the measured series does are looked up in a
library of measured and simulated ones, and seen again through the response functions of VIIRS. The series has
the days, the gaps and the weather of MODIS.
"""

from pathlib import Path

import numpy as np
import xarray as xr

from openeo_udf_fusion.sensors import FUSED_BANDS, VALID_REFLECTANCE, clear
from openeo_udf_fusion.training.pairs import make_pairs
from openeo_udf_fusion.training.spectra import band_library

TITLE = "Semi-real: VIIRS simulated from measured MOD09A1 reflectance"


def crop(source: Path, target: Path, window: dict[str, slice]) -> None:
    """Copy a part of a netCDF file, its stored numbers untouched."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with xr.open_dataset(source, mask_and_scale=False) as whole:
        part = whole.isel(window).load()
    for variable in part.variables.values():
        variable.encoding = {}
    part.to_netcdf(target)


def simulate_viirs(modis_file: Path, responses: Path, target: Path) -> None:
    """Write what NOAA-20's VIIRS might have seen where and when MODIS saw the ground."""
    with xr.open_dataset(modis_file) as opened:
        modis = opened.load()
    reflectance = modis["refl"].transpose("y", "x", "time", "band")
    seen = clear("modis", {"state_1km": modis["state_500m"].values.astype(np.float32)})
    usable = (reflectance > VALID_REFLECTANCE[0]) & (reflectance < 1) & seen.transpose(1, 2, 0)[..., None]
    series = reflectance.values.reshape(-1, *reflectance.shape[2:]).astype(np.float32)
    pairs = make_pairs(
        np.nan_to_num(series),
        usable.values.reshape(series.shape),
        band_library(responses, mixtures=4000),
        ["NOAA-20"],
        variants=1,
        seed=0,
    )
    values = np.where(pairs.viirs_valid, pairs.viirs[0], np.nan)
    values = values.reshape(*reflectance.shape[:3], -1).transpose(3, 2, 0, 1)
    dims = ("time", "y", "x")
    variables = {
        f"viirs_{name}": (dims, band.astype(np.float32))
        for name, band in zip(FUSED_BANDS["viirs"], values, strict=True)
    }
    variables["viirs_day_of_year"] = (dims, modis["day_of_year"].values)
    coords = {name: modis[name] for name in dims}
    target.parent.mkdir(parents=True, exist_ok=True)
    xr.Dataset(variables, coords, attrs={"title": TITLE, "crs": modis.attrs["crs"]}).to_netcdf(target)


def withhold(modis_file: Path, target: Path, every: int) -> None:
    """Copy a MODIS file without the reflectance of every so many composites."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with xr.open_dataset(modis_file) as opened:
        thinned = opened.load()
    thinned["refl"][::every] = np.nan
    for variable in thinned.variables.values():
        variable.encoding = {}
    thinned.to_netcdf(target)
