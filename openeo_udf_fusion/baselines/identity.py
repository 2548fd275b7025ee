"""The other sensor's value of the same day, as it is: what a user does who does not harmonize.

Which band stands for which is what the card of SatFuseNet says: the nearest pass band.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import daily, same_day
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.series import Observations, Prediction


def predict(
    observed: Mapping[str, Observations],
    query_days: NDArray[np.int32],
    target: str,
    quantiles: Sequence[float] = (),
) -> Prediction:
    """Return the partner band's reflectance (query, bands, y, x) of the same day; NaN where there is none.

    Several observations of a day count as their mean. sigma, and with it every quantile, is NaN: nothing was
    compared that could tell.
    """
    mean = same_day.source_values(observed, query_days, target)[:, list(partners(target))]
    return daily.normal(mean, np.full_like(mean, np.nan), quantiles)


def partners(target: str) -> tuple[int, ...]:
    """Return for each band of the target the position of the other sensor's band that stands for it."""
    return tuple(cards.read("satfusenet").hyperparameters[f"{target}_partner"])
