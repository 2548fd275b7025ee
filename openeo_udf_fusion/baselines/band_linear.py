"""A line for each band: target = slope x partner band + intercept, by least squares.

Source: the usual band adjustment between sensors (Claverie et al. 2018, doi 10.1016/j.rse.2018.09.002, for
Landsat and Sentinel-2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import daily, same_day
from openeo_udf_fusion.models.series import Observations, Prediction


@dataclass(frozen=True)
class BandLinear:
    """A fitted line for each of the target's bands.

    Attributes
    ----------
    partner : tuple of int
        Position of the source's band that stands for each.
    slope, intercept, sigma : (bands,) float64
        Of the lines, and the standard deviation about them.
    """

    partner: tuple[int, ...]
    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    sigma: NDArray[np.float64]

    def predict(
        self,
        observed: Mapping[str, Observations],
        query_days: NDArray[np.int32],
        target: str,
        quantiles: Sequence[float] = (),
    ) -> Prediction:
        """Translate the other sensor's bands of the same day; NaN where it did not see the partner band."""
        source = same_day.source_values(observed, query_days, target)[:, list(self.partner)]
        slope, intercept = (each.astype(np.float32)[:, None, None] for each in (self.slope, self.intercept))
        mean = slope * source + intercept
        return daily.normal(mean, same_day.spread_over(mean, self.sigma), quantiles)


def fit(source: NDArray[np.floating], target: NDArray[np.floating], partner: Sequence[int]) -> BandLinear:
    """Fit the lines.

    Parameters
    ----------
    source : (n, source bands)
        Reflectance of the source; rows with NaN are left out.
    target : (n, target bands)
        Reflectance of the target on the same day and place.
    partner : sequence of int
        For each band of the target the position of its partner in `source`.
    """
    x, y = same_day.complete_rows(source[:, list(partner)], target)
    deviation = x - x.mean(0)
    slope = (deviation * (y - y.mean(0))).sum(0) / np.maximum((deviation**2).sum(0), 1e-12)
    intercept = y.mean(0) - slope * x.mean(0)
    sigma = (y - slope * x - intercept).std(0)
    return BandLinear(tuple(partner), slope, intercept, sigma)
