"""Every band of the target from all bands of the source, linearly, with a ridge.

Source: Hoerl & Kennard 1970, doi 10.1080/00401706.1970.10488634.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import daily, same_day
from openeo_udf_fusion.models.series import Observations, Prediction

PENALTY = 1e-6
"""On the weights of reflectance, per row: it only steadies bands that say the same."""


@dataclass(frozen=True)
class Ridge:
    """Fitted weights (source bands, target bands), bias and sigma (target bands,)."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    sigma: NDArray[np.float64]

    def predict(
        self,
        observed: Mapping[str, Observations],
        query_days: NDArray[np.int32],
        target: str,
        quantiles: Sequence[float] = (),
    ) -> Prediction:
        """Translate the other sensor's bands of the same day; NaN where it did not see all of them."""
        source = same_day.source_values(observed, query_days, target)
        mean = np.einsum("qsyx,sb->qbyx", source, self.weight.astype(np.float32), optimize=True)
        mean = mean + self.bias.astype(np.float32)[:, None, None]
        return daily.normal(mean, same_day.spread_over(mean, self.sigma), quantiles)


def fit(source: NDArray[np.floating], target: NDArray[np.floating], penalty: float = PENALTY) -> Ridge:
    """Fit the weights.

    Parameters
    ----------
    source, target : (n, bands)
        Reflectance of both sensors on the same day and place; rows with NaN are left out.
    penalty : float
        On the squared weights, per row.
    """
    x, y = same_day.complete_rows(source, target)
    centred, wanted = x - x.mean(0), y - y.mean(0)
    gram = centred.T @ centred + penalty * len(x) * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, centred.T @ wanted)
    bias = y.mean(0) - x.mean(0) @ weight
    return Ridge(weight, bias, (y - x @ weight - bias).std(0))
