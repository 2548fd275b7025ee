"""Scored cells: one observation each, hidden from all methods, with what every method said about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation import metrics
from openeo_udf_fusion.evaluation.metrics import Sums
from openeo_udf_fusion.models.series import Prediction

Bools = NDArray[np.bool_]


@dataclass
class Cells:
    """Observations that were hidden, and the predictions of them; all arrays (cells,).

    Attributes
    ----------
    pixel, band
        Where.
    group
        A label of the ground or of the day, as the experiment needs it.
    truth
        Observed surface reflectance.
    mean, sigma
        By method.
    """

    pixel: NDArray[np.int64]
    band: NDArray[np.int64]
    group: NDArray[np.int64]
    truth: NDArray[np.float32]
    mean: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    sigma: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.truth)

    def add(self, method: str, prediction: Prediction, hidden: Bools) -> None:
        """Store what a method said; `hidden` (query, bands, y, x) as given to `pick`."""
        self.mean[method], self.sigma[method] = prediction.mean[hidden], prediction.sigma[hidden]

    def where(self, mask: Bools) -> "Cells":
        """Some of the cells."""
        return Cells(
            self.pixel[mask],
            self.band[mask],
            self.group[mask],
            self.truth[mask],
            {name: values[mask] for name, values in self.mean.items()},
            {name: values[mask] for name, values in self.sigma.items()},
        )

    def answered(self, methods: Sequence[str] | None = None) -> Bools:
        """Where all of the methods have a mean; one that never says how sure it is has no sigma at all."""
        names = self.mean if methods is None else methods
        every = [np.isfinite(self.mean[name]) for name in names]
        return np.logical_and.reduce(every) if every else np.ones(len(self), np.bool_)

    def sums(self, method: str, shape: tuple[int, int], mask: Bools | None = None) -> Sums:
        """Sums of the scores per pixel and band, (pixels, bands)."""
        some = slice(None) if mask is None else mask
        return metrics.add_up(
            self.truth[some],
            self.mean[method][some],
            self.sigma[method][some],
            self.pixel[some],
            self.band[some],
            shape,
        )


def pick(
    truth: NDArray[np.float32], hidden: Bools, pixel: NDArray[np.int64], group: NDArray[np.integer]
) -> Cells:
    """The hidden cells of a row of series.

    Parameters
    ----------
    truth, hidden
        (t, b, 1, x).
    pixel
        (x,) which pixel each series belongs to.
    group
        (t, x) label of each day.
    """
    t, band, _, x = np.nonzero(hidden)
    return Cells(pixel[x], band, group[t, x].astype(np.int64), truth[hidden])


def none(methods: Sequence[str]) -> Cells:
    """No cells, of some methods."""
    where, values = np.empty(0, np.int64), np.empty(0, np.float32)
    return Cells(where, where, where, values, dict.fromkeys(methods, values), dict.fromkeys(methods, values))


def join(parts: Sequence[Cells]) -> Cells:
    """All cells of several parts that were scored with the same methods."""
    return Cells(
        np.concatenate([part.pixel for part in parts]),
        np.concatenate([part.band for part in parts]),
        np.concatenate([part.group for part in parts]),
        np.concatenate([part.truth for part in parts]),
        {name: np.concatenate([part.mean[name] for part in parts]) for name in parts[0].mean},
        {name: np.concatenate([part.sigma[name] for part in parts]) for name in parts[0].sigma},
    )
