"""A generated scene: a year of daily MODIS and VIIRS over a made-up landscape, with clouds and QA flags.

Nothing here was measured. Fields green up and are harvested, snow falls on high ground, clouds drift by;
each sensor sees that ground through its own wavelengths, with its own clouds and noise.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS

from openeo_udf_fusion.sensors import FUSED_BANDS, SENSORS

LABEL = "generated sample: no satellite measured these values"
YEAR = 2023
PIXEL_M = 463.31271653
CRS_MODIS = CRS.from_proj4("+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs")
_CORNER_M = (820_000.0, 5_360_000.0)
_FILL = -28672
_WAVELENGTHS_NM = (400, 450, 550, 670, 720, 800, 900, 1240, 1450, 1650, 1950, 2200, 2500)
_SPECTRA = {
    "green leaves": (0.03, 0.04, 0.09, 0.04, 0.22, 0.46, 0.48, 0.44, 0.16, 0.27, 0.06, 0.13, 0.07),
    "soil": (0.06, 0.08, 0.13, 0.19, 0.21, 0.24, 0.27, 0.34, 0.33, 0.38, 0.30, 0.35, 0.29),
    "snow": (0.93, 0.94, 0.93, 0.91, 0.90, 0.88, 0.83, 0.50, 0.12, 0.14, 0.02, 0.06, 0.04),
    "cloud": (0.62, 0.63, 0.64, 0.64, 0.65, 0.65, 0.65, 0.60, 0.45, 0.50, 0.35, 0.42, 0.38),
}
Cube = NDArray[np.float32]


def write_sample(folder: Path, *, size_px: int = 64, seed: int = 7) -> None:
    """Write the collections `modis` and `viirs`, a netCDF file each, into a data folder.

    Parameters
    ----------
    folder : Path
        The data folder; made when it does not exist.
    size_px : int
        Pixels along either side.
    seed : int
        Of everything random.
    """
    rng = np.random.default_rng(seed)
    days = np.arange(np.datetime64(f"{YEAR}-01-01"), np.datetime64(f"{YEAR + 1}-01-01"))
    fractions = ground(len(days), size_px, rng)
    weather = smooth_noise((len(days), size_px, size_px), rng, scale_px=10.0)
    for sensor in ("modis", "viirs"):
        own = smooth_noise(weather.shape, rng, scale_px=10.0)
        cloudy = clouds(0.75 * weather + 0.66 * own, rng)
        dataset = observe(sensor, fractions, cloudy, days, rng)
        target = folder / sensor
        target.mkdir(parents=True, exist_ok=True)
        encoding = {name: {"zlib": True, "complevel": 1} for name in dataset.data_vars if name != "crs"}
        temporary = target / f".{sensor}.tmp"
        dataset.to_netcdf(temporary, encoding=encoding, engine="netcdf4")
        temporary.replace(target / f"{sensor}_{YEAR}.nc")


def ground(days: int, size_px: int, rng: np.random.Generator) -> dict[str, Cube]:
    """Return the share of each surface (t, y, x) through the year."""
    shape = (1, size_px, size_px)
    crops = smooth_noise(shape, rng, scale_px=3.0)
    height = smooth_noise(shape, rng, scale_px=14.0)
    day = np.arange(days)[:, None, None]
    start, harvest = 105 + 18 * crops, 225 + 30 * smooth_noise(shape, rng, scale_px=3.0)
    summer = _logistic((day - start) / 12) * _logistic((harvest - day) / 6)
    forest = np.clip(height, 0, 1.2) / 1.2
    leaves = 0.12 + 0.45 * forest + (0.78 - 0.5 * forest) * summer
    snow = np.zeros((days, size_px, size_px))
    for first, length, line in ((18, 16, -0.4), (52, 9, 0.5), (330, 14, 0.0)):
        depth = np.clip((length - (day - first)) / length, 0, 1) * (day >= first)
        snow = np.maximum(snow, depth * _logistic((height - line) * 4))
    snow = np.clip(snow, 0, 0.95)
    leaves = leaves * (1 - snow)
    shares = {"green leaves": leaves, "soil": 1 - leaves - snow, "snow": snow}
    return {name: share.astype(np.float32) for name, share in shares.items()}


def clouds(field: Cube, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return where it is cloudy: more in winter, in spells of a few days."""
    days = len(field)
    season = 0.55 + 0.2 * np.cos(2 * np.pi * np.arange(days) / 365)
    spell = np.convolve(rng.normal(size=days + 4), np.ones(5) / 5, mode="valid")
    share = np.clip(season + 0.6 * spell, 0.02, 0.98)
    limits = np.array([np.quantile(day, 1 - part) for day, part in zip(field, share, strict=True)])
    return np.asarray(field > limits[:, None, None])


def observe(
    sensor: str,
    fractions: Mapping[str, Cube],
    cloudy: NDArray[np.bool_],
    days: NDArray[np.datetime64],
    rng: np.random.Generator,
) -> xr.Dataset:
    """Return what one sensor's product would hold: scaled integers, fill, flags, CF coordinates."""
    shape = cloudy.shape
    angle = 1 + 0.03 * rng.normal(size=(shape[0], 1, 1))
    opacity = np.where(cloudy, rng.uniform(0.35, 1.0, size=(shape[0], 1, 1)), 0)
    variables: dict[str, tuple[Sequence[str], NDArray[np.generic], dict[str, object]]] = {}
    outside = rng.random((shape[0], 1, 1)) < 0.03
    for name in FUSED_BANDS[sensor]:
        band = SENSORS[sensor].band(name)
        wavelength = band.center_wavelength_nm if band else None
        clear = sum(share * _reflectance(surface, wavelength) for surface, share in fractions.items())
        seen = (1 - opacity) * clear * angle + opacity * _reflectance("cloud", wavelength)
        noisy = seen + rng.normal(scale=0.003, size=shape) + 0.01 * seen * rng.normal(size=shape)
        stored = np.where(outside, _FILL, np.round(np.clip(noisy, -0.01, 1.6) * 1e4)).astype(np.int16)
        scaling = {"scale_factor": 1e-4, "_FillValue": np.int16(_FILL), "units": "1", "grid_mapping": "crs"}
        variables[f"{sensor}_{name}"] = (("time", "y", "x"), stored, scaling)
    for name, flags in _flags(sensor, cloudy).items():
        variables[f"{sensor}_{name}"] = (("time", "y", "x"), flags, {"grid_mapping": "crs"})
    left, bottom = _CORNER_M
    y = bottom + PIXEL_M * (np.arange(shape[1])[::-1] + 0.5)
    x = left + PIXEL_M * (np.arange(shape[2]) + 0.5)
    coords = {"time": days.astype("datetime64[ns]"), "y": y, "x": x, "crs": ((), 0, CRS_MODIS.to_cf())}
    return xr.Dataset(variables, coords=coords, attrs={"title": f"{SENSORS[sensor].title}: {LABEL}"})


def smooth_noise(shape: tuple[int, ...], rng: np.random.Generator, *, scale_px: float) -> Cube:
    """Return normal noise (t, y, x), smooth in y and x, of mean 0 and standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(shape[1])[:, None], np.fft.rfftfreq(shape[2])[None])
    low_pass = np.exp(-0.5 * (2 * np.pi * frequency * scale_px / 2) ** 2)
    spectrum = np.fft.rfft2(rng.normal(size=shape)) * low_pass
    field = np.fft.irfft2(spectrum, s=shape[1:])
    field -= field.mean((1, 2), keepdims=True)
    smooth: Cube = (field / field.std((1, 2), keepdims=True)).astype(np.float32)
    return smooth


def _flags(sensor: str, cloudy: NDArray[np.bool_]) -> dict[str, NDArray[np.generic]]:
    """Return QA as the products code it (MOD09 user guide, table 13; VNP09 user guide, tables 8, 9, 14)."""
    if sensor == "modis":
        return {"state_1km": np.where(cloudy, 1 + (1 << 10), 1 << 3).astype(np.uint16)}
    clear = np.zeros(cloudy.shape, np.uint8)
    return {
        "QF1": np.where(cloudy, 3 + (3 << 2), 3).astype(np.uint8),
        "QF2": clear + np.uint8(1),
        "QF7": clear,
    }


def _reflectance(surface: str, wavelength_nm: float | None) -> float:
    return float(np.interp(wavelength_nm or 0.0, _WAVELENGTHS_NM, _SPECTRA[surface]))


def _logistic(value: NDArray[np.float64] | Cube) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.asarray(value, np.float64)))
