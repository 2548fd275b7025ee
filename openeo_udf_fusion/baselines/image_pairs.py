"""What fusion methods share that compare an image of Sentinel-2 with one of Landsat.

`observed` holds "s2" at 10 m and "l8" at 30 m (`models.series.Observations`; reflectance 0-1, LST in
kelvin), the latter three times as coarse and of the same corner; bands in the order of `BANDS`.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models import tamrf_config
from openeo_udf_fusion.models.series import Observations

Values = NDArray[np.float32]
UPSCALING = 3
BANDS = MappingProxyType({"l8": tamrf_config.Config.lr, "s2": tamrf_config.Config.hr})
ALIKE = MappingProxyType({s2: l8 for l8, s2 in tamrf_config.ALIKE})
"""Sentinel-2's bands that have a like among Landsat's; the red edge and the wide B08 have none."""
NOT_SEEN = np.float32(np.nan)


def dated_images(observed: Mapping[str, Observations], sensor: str) -> tuple[Values, NDArray[np.int64]]:
    """A sensor's images (t, b, y, x), NaN where not valid, and their days, in order; those of a day averaged.

    Raises
    ------
    InvalidParameter, InvalidCube
        The sensor is missing, or its arrays do not fit.
    """
    if sensor not in observed:
        raise InvalidParameter(f"observations of {sensor} are needed, got {sorted(observed)}")
    values, valid, days = observed[sensor]
    if values.shape != valid.shape or values.ndim != 4 or days.shape != values.shape[:1]:
        raise InvalidCube(
            f"{sensor} needs values and valid (t, bands, y, x) and days (t,); got values {values.shape}, "
            f"valid {valid.shape}, days {days.shape}"
        )
    unique, place = np.unique(days, return_inverse=True)
    total = np.zeros((len(unique), *values.shape[1:]), np.float32)
    count = np.zeros(total.shape, np.int32)
    np.add.at(total, place, np.where(valid, values, np.float32(0)))
    np.add.at(count, place, valid)
    images = np.divide(total, count, out=np.full_like(total, NOT_SEEN), where=count > 0)
    return images, unique.astype(np.int64)


def check_target(target: str, answered: str) -> None:
    """InvalidParameter unless what is asked for is the one sensor that a method answers."""
    if target != answered:
        raise InvalidParameter(f"this method answers {answered!r} alone, {target!r} was asked for")


def alike_of_landsat(images: Values) -> Values:
    """Landsat's bands (t, 8, y, x) in the order of Sentinel-2's (t, 10, y, x); NaN where none is alike."""
    order = [ALIKE.get(band) for band in BANDS["s2"]]
    like = np.full((len(images), len(order), *images.shape[2:]), NOT_SEEN)
    for place, name in enumerate(order):
        if name is not None:
            like[:, place] = images[:, BANDS["l8"].index(name)]
    return like


def finer(images: Values, mode: str) -> Values:
    """Images (t, b, y, x) at a third of the pixel size, "bilinear" or "bicubic"; NaN spreads."""
    if not images.size:
        return np.empty((*images.shape[:2], *(UPSCALING * size for size in images.shape[2:])), np.float32)
    made = F.interpolate(torch.from_numpy(images), scale_factor=UPSCALING, mode=mode, align_corners=False)
    result: Values = made.numpy()
    return result
