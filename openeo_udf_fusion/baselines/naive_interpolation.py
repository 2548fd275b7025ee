"""Each sensor by itself: linear in time between the nearest clear dates, constant beyond; bicubic to 10 m.

The simplest reference of Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import linear
from openeo_udf_fusion.baselines.image_pairs import finer
from openeo_udf_fusion.models.series import Observations, Prediction


def predict(observed: Mapping[str, Observations], query_days: NDArray[np.int32], target: str) -> Prediction:
    """Interpolate one sensor's images.

    Parameters
    ----------
    observed
        Of `target` alone something is read: "s2" at 10 m or "l8" at 30 m.
    query_days
        (query,) days since 1970-01-01.
    target
        "s2" or "l8".

    Returns
    -------
    Prediction
        (query, bands, y, x) at 10 m; NaN where a pixel was never seen. The standard deviation is that of
        `linear`, of Landsat at its own 30 m.

    Raises
    ------
    InvalidParameter, InvalidCube
        As `daily.fill`.
    """
    found = linear.predict(observed, query_days, target)
    if target == "s2":
        return found
    sigma = np.repeat(np.repeat(found.sigma, 3, axis=-2), 3, axis=-1)
    return Prediction(finer(found.mean, "bicubic"), sigma, sigma[None, :0])
