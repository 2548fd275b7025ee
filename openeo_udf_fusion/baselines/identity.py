"""The other sensor's value of the same day, as it is: what a user does who does not harmonize."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.models.satfusenet import OTHER, Config
from openeo_udf_fusion.models.series import Observations


def predict(
    observed: Mapping[str, Observations], query_days: NDArray[np.int32], target: str
) -> NDArray[np.float32]:
    """Reflectance (query, bands, y, x) of the target's bands: the partner band's, the same day; else NaN.

    Where several observations share a day, the last one given stands. `days` must be (t,).
    """
    other = observed[OTHER[target]]
    partner = list(Config().partner(target))
    values = np.where(other.valid, other.values, np.float32(np.nan))[:, partner]
    result = np.full((len(query_days), *values.shape[1:]), np.nan, dtype=np.float32)
    position = {int(day): index for index, day in enumerate(other.days)}
    for row, day in enumerate(query_days):
        if int(day) in position:
            result[row] = values[position[int(day)]]
    return result
