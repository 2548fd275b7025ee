"""U-TILISE with this project's weights: Sentinel-2 on its dates and between them, from its clear pixels."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines.daily import normal
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
    """Sentinel-2 on days from its first to its last date.

    Parameters
    ----------
    observed
        "s2" alone is read, as `image_pairs` has it; what is cloudy must not be valid.
    query_days
        (query,) days since 1970-01-01.
    target
        Only "s2".
    folder
        Of the card and weights.

    Returns
    -------
    Prediction
        (query, 10, y, x), NaN before the first and after the last date, and where a band was not seen near
        the pixel. What was seen on a queried day is made anew too: it does not come back as it was.

    Raises
    ------
    InvalidParameter, InvalidCube, CorruptWeights
        Sentinel-2 is missing, another target is asked for, arrays do not fit, or the weights are not
        those of the card.
    """
    check_target(target, "s2")
    images, days = dated_images(observed, "s2")
    mean = filled(load(folder), images, days, np.asarray(query_days, np.int64))
    return normal(mean, np.full_like(mean, np.nan), ())


@lru_cache
def load(folder: Path = stored.FOLDER) -> Utilise:
    """The network, once per process."""
    shape, tensors = stored.read(NAME, folder)
    model = Utilise(Config(**shape))
    model.load_state_dict(tensors)
    return model.eval()
