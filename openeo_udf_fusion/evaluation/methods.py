"""What is scored: functions of the one shape, each with the network or the fit that may score a pixel."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.models.series import Observations, Prediction
from openeo_udf_fusion.sensors import FUSED_BANDS


class Predict(Protocol):
    """The shape that models and baselines share."""

    def __call__(
        self, observed: Mapping[str, Observations], query_days: NDArray[np.int32], target: str
    ) -> Prediction:
        """Predict the target's bands on the queried days: (query, bands, y, x)."""


class Method(NamedTuple):
    """Functions, and which of them each pixel is scored with: (pixels,), -1 for none."""

    predict: Sequence[Predict]
    chosen: NDArray[np.int64]

    def __call__(
        self,
        observed: Mapping[str, Observations],
        query_days: NDArray[np.int32],
        target: str,
        pixel: NDArray[np.int64],
    ) -> Prediction:
        """Predict a row of series; `pixel` (x,) says which pixel each of them is a copy of.

        NaN where no function may score a pixel.
        """
        chosen = self.chosen[pixel]
        used = np.unique(chosen[chosen >= 0])
        if len(used) == 1 and (chosen >= 0).all():
            only: Predict = self.predict[int(used[0])]
            return only(observed, query_days, target)
        shape = (len(query_days), len(FUSED_BANDS[target]), 1, len(pixel))
        mean, sigma = (np.full(shape, np.nan, np.float32) for _ in range(2))
        for which in used:
            columns = np.flatnonzero(chosen == which)
            part = self.predict[which](select(observed, columns), query_days, target)
            mean[..., columns], sigma[..., columns] = part.mean, part.sigma
        return Prediction(mean, sigma, mean[None, :0])


def alike(predict: Predict, pixels: int) -> Method:
    """A method that is the same for all pixels."""
    return Method([predict], np.zeros(pixels, np.int64))


def select(observed: Mapping[str, Observations], columns: NDArray[np.int64]) -> dict[str, Observations]:
    """Some of the series of a row."""
    return {
        sensor: Observations(each.values[..., columns], each.valid[..., columns], each.days)
        for sensor, each in observed.items()
    }
