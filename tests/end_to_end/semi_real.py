"""A semi-real VIIRS beside a measured MODIS: nobody has measured these values.

Real pairs are not to be had. Spectra that look to MODIS as the measured series does are looked up in a
library of measured and simulated ones, and seen again through the response functions of VIIRS. The series has
the days, the gaps and the weather of MODIS.
"""

from pathlib import Path

import numpy as np
import xarray as xr

from openeo_udf_fusion.models.satfusenet import Config
from openeo_udf_fusion.quality_flags import clear
from openeo_udf_fusion.sensors import FUSED_BANDS, VALID_REFLECTANCE
from openeo_udf_fusion.training.pairs import alike, fill_bands, see
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
    measured = usable.values.reshape(series.shape)
    library = band_library(responses, mixtures=4000)
    likeness = alike(fill_bands(np.nan_to_num(series), measured), library)
    viirs = see(likeness, library, "NOAA-20", np.random.default_rng(0))
    known = measured.all(-1, keepdims=True) & measured[..., list(Config().viirs_partner)]
    values = np.where(known, np.clip(viirs, 0, 1.5), np.nan)
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
