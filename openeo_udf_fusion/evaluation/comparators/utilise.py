"""U-TILISE with this project's weights: Sentinel-2 on its dates and between them, from its clear pixels."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines.daily import without_spread
from openeo_udf_fusion.baselines.image_pairs import check_target, dated_images
from openeo_udf_fusion.evaluation.comparators import stored
from openeo_udf_fusion.models.series import Observations, Prediction
from openeo_udf_fusion.models.utilise import Config, Utilise, filled

NAME = "utilise"


def predict(
    observed: Mapping[str, Observations],
    query_days: NDArray[np.int32],
    target: str = "s2",
    *,
    folder: Path = stored.FOLDER,
) -> Prediction:
    """Sentinel-2 on days from its first to its last date; parameters and errors are those of `dsen2.predict`.

    What is cloudy must not be valid.

    Returns
    -------
    Prediction
        (query, 10, y, x), NaN before the first and after the last date, and where a band was not seen near
        the pixel. What was seen on a queried day is made anew too: it does not come back as it was.
    """
    check_target(target, "s2")
    images, days = dated_images(observed, "s2")
    mean = filled(load(folder), images, days, np.asarray(query_days, np.int64))
    return without_spread(mean)


@lru_cache
def load(folder: Path = stored.FOLDER) -> Utilise:
    """The network, once per process."""
    return stored.network(NAME, folder, lambda shape: Utilise(Config(**shape)))
