"""Directional effects: how a surface's reflectance changes with sun and view through an orbit's cycle.

The kernels of the MODIS BRDF product (RossThick, LiSparse reciprocal; Lucht et al. 2000,
doi:10.1109/36.841980) with the global mean coefficients of Roy et al. 2016 (doi:10.1016/j.rse.2016.01.023,
table 5), which every pixel varies. Angles are drawn, not measured: a cycle of 16 days across the swath, the
sun by latitude and season.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CYCLE_DAYS = 16
CENTRES_NM = np.array([470.0, 555.0, 645.0, 858.0, 1640.0, 2130.0])
VOLUMETRIC = np.array([0.0372, 0.0580, 0.0574, 0.1535, 0.1154, 0.0639]) / np.array(
    [0.0774, 0.1306, 0.1690, 0.3093, 0.3430, 0.2658]
)
"""Share of the isotropic coefficient, by wavelength."""
GEOMETRIC = np.array([0.0079, 0.0178, 0.0227, 0.0330, 0.0453, 0.0387]) / np.array(
    [0.0774, 0.1306, 0.1690, 0.3093, 0.3430, 0.2658]
)
CROWN_HEIGHT = 2.0
"""h/b of LiSparse; crowns are spheres (b/r = 1)."""


def ross_thick(sun: Floats, view: Floats, azimuth: Floats) -> Floats:
    """Volume scattering of a dense canopy; angles in radians, zero for sun and view at the zenith."""
    phase = phase_angle(sun, view, azimuth)
    scattered = (np.pi / 2 - phase) * np.cos(phase) + np.sin(phase)
    return np.asarray(scattered / (np.cos(sun) + np.cos(view)) - np.pi / 4)


def li_sparse(sun: Floats, view: Floats, azimuth: Floats) -> Floats:
    """Mutual shadowing of sparse spherical crowns, reciprocal form; zero for sun and view at the zenith."""
    tan_sun, tan_view = np.tan(sun), np.tan(view)
    distance_2 = tan_sun**2 + tan_view**2 - 2 * tan_sun * tan_view * np.cos(azimuth)
    secants = 1 / np.cos(sun) + 1 / np.cos(view)
    side = np.sqrt(np.maximum(distance_2 + (tan_sun * tan_view * np.sin(azimuth)) ** 2, 0))
    t = np.arccos(np.clip(CROWN_HEIGHT * side / secants, -1, 1))
    overlap = (t - np.sin(t) * np.cos(t)) * secants / np.pi
    lit = (1 + np.cos(phase_angle(sun, view, azimuth))) / (2 * np.cos(sun) * np.cos(view))
    return np.asarray(overlap - secants + lit)


def phase_angle(sun: Floats, view: Floats, azimuth: Floats) -> Floats:
    """Angle between the directions to the sun and to the sensor, radians."""
    cosine = np.cos(sun) * np.cos(view) + np.sin(sun) * np.sin(view) * np.cos(azimuth)
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))


def directional_factor(
    pixels: int, days: int, centres_nm: Floats, widest_view_deg: float, rng: np.random.Generator
) -> Floats:
    """Reflectance towards the sensor over that towards nadir: (pixels, days, bands), of order one.

    Parameters
    ----------
    pixels, days
        Size; day 0 is 1 January.
    centres_nm
        (bands,) centre wavelengths.
    widest_view_deg
        View zenith at the edge of the swath.
    rng
        Draws latitude, orbit phase, azimuth and the pixel's own coefficients.
    """
    day = np.arange(days)
    sun = noon_sun_zenith(np.deg2rad(rng.uniform(-60, 65, (pixels, 1))), day)
    place = (day * 7 + rng.integers(CYCLE_DAYS, size=(pixels, 1))) % CYCLE_DAYS / (CYCLE_DAYS - 1) * 2 - 1
    view = np.deg2rad(widest_view_deg) * np.abs(place)
    off_plane = np.deg2rad(rng.uniform(20, 70, (pixels, 1)))
    azimuth = np.where(place < 0, off_plane, np.pi - off_plane)
    still = np.zeros_like(view)
    volumetric = ross_thick(sun, view, azimuth), ross_thick(sun, still, still)
    geometric = li_sparse(sun, view, azimuth), li_sparse(sun, still, still)
    strength = np.exp(rng.normal(0, 0.4, (2, pixels, 1, 1)))
    share_v = strength[0] * np.interp(centres_nm, CENTRES_NM, VOLUMETRIC)
    share_g = strength[1] * np.interp(centres_nm, CENTRES_NM, GEOMETRIC)
    seen, nadir = (
        1 + share_v * volumetric[which][..., None] + share_g * geometric[which][..., None] for which in (0, 1)
    )
    # Far from the zenith the linear kernels leave the range of what surfaces do.
    return np.asarray(np.clip(np.clip(seen, 0.4, None) / np.clip(nadir, 0.4, None), 0.5, 2.0))


def noon_sun_zenith(latitude: Floats, day: NDArray[np.int64]) -> Floats:
    """Sun zenith near noon in radians, at most 75 degrees: beyond, products hold no retrieval."""
    declination = np.deg2rad(-23.44) * np.cos(2 * np.pi * (day + 10) / 365.2425)
    return np.asarray(np.clip(np.abs(latitude - declination), 0.0, np.deg2rad(75)))
