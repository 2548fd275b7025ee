"""Sen2Like's fusion: the fine detail of an extrapolated Sentinel-2 image on top of Landsat of the day.

Saunier et al. 2022, doi:10.3390/rs14163855: the two latest Sentinel-2 images before the day are extrapolated
to it linearly, pixel by pixel; what that image has beyond its own mean over a Landsat pixel is added to the
bilinear Landsat image.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines.daily import without_spread
from openeo_udf_fusion.baselines.image_pairs import (
    UPSCALING,
    alike_of_landsat,
    check_target,
    dated_images,
    finer,
)
from openeo_udf_fusion.baselines.stair import on_days
from openeo_udf_fusion.models.series import Observations, Prediction

Values = NDArray[np.float32]


def predict(
    observed: Mapping[str, Observations], query_days: NDArray[np.int32], target: str = "s2"
) -> Prediction:
    """Sentinel-2 (query, 10, y, x) at 10 m on days that Landsat saw; all else as `stair.predict`."""
    check_target(target, "s2")
    coarse, coarse_days = dated_images(observed, "l8")
    fine, fine_days = dated_images(observed, "s2")
    base = on_days(finer(alike_of_landsat(coarse), "bilinear"), coarse_days, query_days)
    mean = np.full_like(base, np.nan)
    for place, day in enumerate(query_days):
        if np.isfinite(base[place]).any():
            mean[place] = base[place] + detail(extrapolated(fine, fine_days, int(day)))
    return without_spread(mean)


def extrapolated(images: Values, days: NDArray[np.int64], day: int) -> Values:
    """The line through each pixel's two latest values before a day, at that day; one value stands alone."""
    shape = images.shape[1:]
    last: Values = np.full(shape, np.nan, np.float32)
    last_day: Values = np.zeros(shape, np.float32)
    previous, previous_day = last.copy(), last_day.copy()
    for image, when in zip(images[days < day], days[days < day], strict=True):
        seen = np.isfinite(image)
        previous, previous_day = np.where(seen, last, previous), np.where(seen, last_day, previous_day)
        last, last_day = np.where(seen, image, last), np.where(seen, np.float32(when), last_day)
    run = np.maximum(last_day - previous_day, 1)
    slope = np.where(np.isfinite(previous), (last - previous) / run, np.float32(0))
    result: Values = last + slope * (np.float32(day) - last_day)
    return result


def detail(image: Values) -> Values:
    """What an image (b, y, x) has beyond the mean of each Landsat pixel, which is made bilinear first."""
    bands, y, x = image.shape
    blocks = image.reshape(bands, y // UPSCALING, UPSCALING, x // UPSCALING, UPSCALING)
    mean = blocks.mean((2, 4))[None]
    result: Values = image - finer(mean, "bilinear")[0]
    return result
