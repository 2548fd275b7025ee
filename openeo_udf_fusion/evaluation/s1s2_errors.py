"""Sums of errors over held-out dates, and what they say of one method beside another."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.training.s1s2_sites import CYCLE_DAYS, FOLD_DAYS, FOLDS, S2_BANDS

Doubles = NDArray[np.float64]
Days = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Draws:
    """How the bootstrap draws."""

    resamples: int
    seed: int


@dataclass(frozen=True)
class Errors:
    """Sums of errors per image (a held-out date in a part of a site, under one gap), method and band.

    Attributes
    ----------
    methods
        Their names.
    cells, inside
        (images, bands): valid cells, and those in the interval that sigma promises.
    absolute, squared
        (images, methods, bands): sums of errors and of their squares.
    is_strip, day, half_gap
        (images,)
    to_clear
        (images,): mean over pixels of the days to the nearest clear value that may be seen.
    fold
        (images,): whose network it was hidden from.
    """

    methods: tuple[str, ...]
    cells: Doubles
    inside: Doubles
    absolute: Doubles
    squared: Doubles
    is_strip: Bools
    day: Days
    half_gap: Days
    to_clear: Doubles
    fold: Days

    @classmethod
    def of(cls, parts: Sequence["Errors"]) -> "Errors":
        """All of several of the same methods."""
        names = [field.name for field in fields(cls) if field.name != "methods"]
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(methods=parts[0].methods, **joined)

    @property
    def images(self) -> int:
        """How many."""
        return len(self.cells)

    @property
    def blocks(self) -> Days:
        """The block of held-out dates (images,) that each image belongs to."""
        cycle = (self.day - FOLD_DAYS * self.fold) // CYCLE_DAYS
        return np.asarray(cycle * FOLDS + self.fold, np.int64)

    def take(self, chosen: Bools) -> "Errors":
        """Some of the images."""
        names = [field.name for field in fields(self) if field.name != "methods"]
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def counts(self) -> Json:
        """How many dates and blocks of dates they are of, and how far the nearest clear values were."""
        nearest = np.quantile(self.to_clear, (0.1, 0.5, 0.9))
        return {
            "dates": len(np.unique(self.day)),
            "blocks": len(np.unique(self.blocks)),
            "days_to_clear": [round(float(days), 1) for days in nearest],
        }

    def coverage(self) -> float:
        """Share of the observations in the central 80 % that the fused code's sigma promises."""
        return float(self.inside.sum() / self.cells.sum())

    def rows(self, base: str, draws: Draws) -> list[Json]:
        """A row per method: errors per band, and over those of the method `base`."""
        return [
            {
                "method": name,
                "rmse": by_band(np.sqrt(self.squared[:, m].sum(0) / self.cells.sum(0))),
                "mae": by_band(self.absolute[:, m].sum(0) / self.cells.sum(0)),
                f"rmse_ratio_to_{base}": self.ratio(name, base, draws, root=True),
                f"mae_ratio_to_{base}": self.ratio(name, base, draws),
            }
            for m, name in enumerate(self.methods)
        ]

    def against(self, own: str, draws: Draws) -> list[Json]:
        """The errors of one method over each other's."""
        return [
            {
                f"{own}_over": name,
                "rmse": self.ratio(own, name, draws, root=True),
                "mae": self.ratio(own, name, draws),
            }
            for name in self.methods
            if not name.startswith(own)
        ]

    def ratio(self, own: str, other: str, draws: Draws, *, root: bool = False) -> dict[str, float]:
        """Mean over bands of one method's error over another's: RMSE with `root`, else MAE.

        The 95 % interval comes from drawing blocks of dates.
        """
        sums = self.squared if root else self.absolute
        numbers, place = np.unique(self.blocks, return_inverse=True)
        top, bottom = (
            np.stack([sums[place == block, self.methods.index(name)].sum(0) for block in range(len(numbers))])
            for name in (own, other)
        )
        rng = np.random.default_rng([draws.seed, len(numbers)])
        weights = rng.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), draws.resamples)

        def mean_ratio(weight: NDArray[np.integer]) -> Doubles:
            share = (weight @ top) / np.maximum(weight @ bottom, 1e-12)
            return np.asarray((np.sqrt(share) if root else share).mean(-1))

        low, high = np.quantile(mean_ratio(weights), (0.025, 0.975))
        whole = mean_ratio(np.ones(len(numbers), np.int64))
        return {"ratio": round(float(whole), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def by_band(values: Doubles) -> dict[str, float]:
    """A number for each band of Sentinel-2."""
    return {band: round(float(value), 5) for band, value in zip(S2_BANDS, values, strict=True)}
