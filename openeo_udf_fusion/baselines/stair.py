"""STAIR: what Sentinel-2 has beyond Landsat, interpolated in time and added to Landsat of the day.

Luo, Guan and Peng 2018, doi:10.1016/j.rse.2018.04.042: on dates of both sensors the fine image less the
coarse one is known; it is taken to change linearly between such dates. Without the paper's gap filling of its
input: where Landsat did not see a pixel on the day, there is no answer.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import linear
from openeo_udf_fusion.baselines.daily import without_spread
from openeo_udf_fusion.baselines.image_pairs import alike_of_landsat, check_target, dated_images, finer
from openeo_udf_fusion.models.series import Observations, Prediction


def predict(
    observed: Mapping[str, Observations], query_days: NDArray[np.int32], target: str = "s2"
) -> Prediction:
    """Sentinel-2 (query, 10, y, x) at 10 m on days that Landsat saw; NaN elsewhere and in bands of no like.

    Parameters
    ----------
    observed
        Both sensors, as `image_pairs` has them.
    query_days
        (query,) days since 1970-01-01.
    target
        Only "s2".

    Raises
    ------
    InvalidParameter, InvalidCube
        A sensor is missing, another target is asked for, or arrays do not fit.
    """
    check_target(target, "s2")
    coarse, coarse_days = dated_images(observed, "l8")
    fine, fine_days = dated_images(observed, "s2")
    upsampled = finer(alike_of_landsat(coarse), "bilinear")
    common, of_fine, of_coarse = np.intersect1d(fine_days, coarse_days, return_indices=True)
    beyond = fine[of_fine] - upsampled[of_coarse]
    known = Observations(beyond, np.isfinite(beyond), common.astype(np.int32))
    detail = linear.predict({"s2": known}, query_days, "s2").mean
    mean = detail + on_days(upsampled, coarse_days, query_days)
    return without_spread(mean)


def on_days(
    images: NDArray[np.float32], days: NDArray[np.int64], query_days: NDArray[np.int32]
) -> NDArray[np.float32]:
    """The image of each queried day; NaN where there is none."""
    found = np.full((len(query_days), *images.shape[1:]), np.float32(np.nan))
    for place, day in enumerate(query_days):
        same = np.flatnonzero(days == day)
        if same.size:
            found[place] = images[same[0]]
    return found
