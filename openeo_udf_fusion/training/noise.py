"""How products differ from the surface and from one another: footprint, calibration, angles, haze, clouds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from openeo_udf_fusion.training.directional import directional_factor
from openeo_udf_fusion.training.masks import block_gaps

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
CENTRES_NM = {
    "modis": np.array([645.0, 858, 469, 555, 1240, 1640, 2130]),
    "viirs": np.array([640.0, 865, 488, 555, 672, 1240, 1610, 2250]),
}


@dataclass(frozen=True)
class Noise:
    """How VIIRS differs from MODIS beyond its response functions; standard deviations, relative unless named.

    Attributes
    ----------
    footprint, footprint_band
        Of a pixel's whole series, common to all bands and per band.
    drift
        Largest calibration error of a band, at the series' ends: half of it constant, half growing.
    slow, slow_days
        Angles and footprint drifting with a memory of `slow_days`.
    daily, daily_band, absolute
        Day to day: common, per band, and in reflectance.
    response_nm
        Shift of a band's centre: in I1 and M4 platforms differ as much from one another as from MODIS.
    """

    footprint: float = 0.012
    footprint_band: float = 0.006
    drift: float = 0.02
    slow: float = 0.012
    slow_days: float = 8.0
    daily: float = 0.015
    daily_band: float = 0.005
    absolute: float = 0.001
    response_nm: float = 5.0


@dataclass(frozen=True)
class Sky:
    """What a directional product has and NBAR has not; ranges are drawn from once a pixel.

    Attributes
    ----------
    widest_view_deg
        View zenith at the edge of what the product takes: composites prefer small ones.
    haze
        Mean reflectance in the blue that the atmospheric correction leaves, falling with the wavelength.
    relative
        Day-to-day standard deviation common to all bands.
    missed_clouds
        Share of days with a cloud or shadow that no mask found.
    """

    widest_view_deg: tuple[float, float] = (10.0, 60.0)
    haze: tuple[float, float] = (0.0, 0.012)
    relative: tuple[float, float] = (0.005, 0.04)
    missed_clouds: tuple[float, float] = (0.0, 0.02)


def disturb_viirs(viirs: Floats, noise: Noise, rng: np.random.Generator) -> Floats:
    """VIIRS (p, t, b) as a real instrument might have seen it from its own orbit."""
    pixels, days, bands = viirs.shape
    order = np.argsort(CENTRES_NM["viirs"])
    slope = np.empty_like(viirs)
    slope[..., order] = np.gradient(viirs[..., order], CENTRES_NM["viirs"][order], axis=-1)
    shifted = viirs + slope * rng.normal(0, noise.response_nm, (pixels, 1, bands))
    decay = np.exp(-1 / noise.slow_days)
    innovations = rng.normal(0, noise.slow * np.sqrt(1 - decay**2), (pixels, days + 40, 1))
    slow = lfilter([1.0], [1.0, -decay], innovations, axis=1)[:, 40:]
    ageing = np.linspace(-1, 1, days)[:, None] * rng.uniform(-0.5, 0.5, (pixels, 1, bands))
    factor = (
        1
        + rng.normal(0, noise.footprint, (pixels, 1, 1))
        + rng.normal(0, noise.footprint_band, (pixels, 1, bands))
        + noise.drift * (rng.uniform(-0.5, 0.5, (pixels, 1, bands)) + ageing)
        + slow
        + rng.normal(0, noise.daily, (pixels, days, 1))
        + rng.normal(0, noise.daily_band, (pixels, days, bands))
    )
    seen = shifted * factor + rng.normal(0, noise.absolute, viirs.shape)
    return np.asarray(np.clip(seen, 0, 1.5), dtype=np.float32)


def under_the_sky(nbar: Floats, sensor: str, sky: Sky, rng: np.random.Generator) -> Floats:
    """NBAR (p, t, b) of a sensor as a directional product shows it: angles, haze, clouds left in."""
    pixels, days, _ = nbar.shape
    angles = directional_factor(pixels, days, CENTRES_NM[sensor], rng.uniform(*sky.widest_view_deg), rng)
    daily = 1 + rng.uniform(*sky.relative, (pixels, 1, 1)) * rng.normal(size=(pixels, days, 1))
    blue = rng.uniform(*sky.haze, (pixels, 1, 1)) * (rng.exponential(1, (pixels, days, 1)) - 1)
    haze = blue * (CENTRES_NM[sensor] / 470) ** -1.3
    cloudy = rng.uniform(size=(pixels, days, 1)) < rng.uniform(*sky.missed_clouds, (pixels, 1, 1))
    cloud = cloudy * rng.exponential(0.08, (pixels, days, 1))
    shadowed = cloudy & (rng.uniform(size=cloudy.shape) < 0.3)
    seen = nbar * angles * daily * np.where(shadowed, 0.7, 1) + haze + np.where(shadowed, 0, cloud)
    return np.clip(seen, 0, 1.5).astype(np.float32)


def overcast(valid: Bools, rng: np.random.Generator) -> Bools:
    """What a sensor's own gaps leave of the days (p, t, b) that are known."""
    open_days = [
        ~block_gaps(rng, valid.shape[1], rng.uniform(0, 0.3)) & (rng.uniform(size=valid.shape[1]) > 0.1)
        for _ in range(len(valid))
    ]
    return valid & np.stack(open_days)[..., None]
