"""Frequency restoration: how much of the fine detail of a reference an image has, in decibels.

The logarithm of power over spatial frequency, each image's relative to its own lowest frequencies, compared
with a reference's; as Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159.
"""

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidCube

Doubles = NDArray[np.float64]
PADDING = 2
"""An image fills one of so many parts of a side of the field of zeros that is transformed."""


def frequency_restoration(image: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    """Mean over frequencies of an image's relative power less the reference's, in dB.

    0 for the same image or one that differs by a factor and a constant; negative where detail is lost,
    positive where there is more than the reference has: noise counts as detail.

    Parameters
    ----------
    image, reference
        (y, x), of one shape, in any unit.

    Returns
    -------
    float
        NaN where a value is missing, or one of both is constant.

    Raises
    ------
    InvalidCube
        The shapes differ, or are smaller than 8 x 8.
    """
    if image.shape != reference.shape or image.ndim != 2 or min(image.shape) < 8:
        raise InvalidCube(
            f"frequency_restoration needs two images (y, x) of one shape, 8 x 8 or more; got {image.shape} "
            f"and {reference.shape}"
        )
    if not (np.isfinite(image).all() and np.isfinite(reference).all()):
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = relative_power_db(image) - relative_power_db(reference)
    return float(difference[1:].mean()) if np.isfinite(difference).all() else float("nan")


def relative_power_db(image: NDArray[np.floating]) -> Doubles:
    """Power per annulus of spatial frequency in dB, less that of the first; up to half a cycle per pixel.

    The mean is taken off first, for else the step from image to padding would drown all detail.
    """
    values = np.asarray(image, np.float64)
    size = PADDING * max(values.shape)
    power = np.abs(np.fft.fft2(values - values.mean(), (size, size))) ** 2
    frequency = np.fft.fftfreq(size)
    annuli = max(image.shape) // 2
    annulus = (np.hypot(frequency[:, None], frequency) * 2 * annuli).astype(np.int64)
    inside = annulus < annuli
    count = np.bincount(annulus[inside], minlength=annuli)
    level = 10 * np.log10(np.bincount(annulus[inside], power[inside], minlength=annuli) / count)
    return np.asarray(level - level[0], np.float64)
