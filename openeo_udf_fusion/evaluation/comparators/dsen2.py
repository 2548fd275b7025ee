"""DSen2 with this project's weights: Sentinel-2's bands of 20 m at 10 m, on its own dates."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines.daily import without_spread
from openeo_udf_fusion.baselines.image_pairs import check_target, dated_images
from openeo_udf_fusion.baselines.stair import on_days
from openeo_udf_fusion.evaluation.comparators import stored
from openeo_udf_fusion.models.dsen2 import Config, DSen2, sharpened
from openeo_udf_fusion.models.series import Observations, Prediction

NAME = "dsen2"


def predict(
    observed: Mapping[str, Observations],
    query_days: NDArray[np.int32],
    target: str = "s2",
    *,
    folder: Path = stored.FOLDER,
) -> Prediction:
    """All bands of Sentinel-2 at 10 m on days that it saw.

    Parameters
    ----------
    observed
        "s2" alone is read, as `image_pairs` has it; bands of 20 m lie on the 10 m grid by interpolation.
    query_days
        (query,) days since 1970-01-01.
    target
        Only "s2".
    folder
        Of the card and weights.

    Returns
    -------
    Prediction
        (query, 10, y, x), NaN on other days and where `models.dsen2.sharpened` has NaN. Bands of 10 m come
        back as they were.

    Raises
    ------
    InvalidParameter, InvalidCube, CorruptWeights
        Sentinel-2 is missing, another target is asked for, arrays do not fit, or the weights are not
        those of the card.
    """
    check_target(target, "s2")
    images, days = dated_images(observed, "s2")
    mean = sharpened(load(folder), on_days(images, days, query_days))
    return without_spread(mean)


@lru_cache
def load(folder: Path = stored.FOLDER) -> DSen2:
    """The network, once per process."""
    return stored.network(NAME, folder, lambda shape: DSen2(Config(**shape)))
