"""How far to trust a network: how much of its correction counts, how wide its intervals are, whom it knows.

Fitted on places that no training saw and stored in the model's card. Per band, by the way a value came
about: observed on the day, translated from the other sensor on the day, bridged between two observations (by
the days from one to the other), or beyond the last one (by the days to it). And however sure the network is:
where a pixel's own observations jump about from one to the next, the next one may do so too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.merging import FAR_DAYS, Grid, holds, neighbours
from openeo_udf_fusion.models.satfusenet import OTHER, Estimate

NEIGHBOURHOOD_DAYS = 34
"""Two steps of a 16-day composite, and two days to spare."""
LONGEST_DAYS = 400
"""Longer gaps count as this long."""
OBSERVED, TRANSLATED, BRIDGED, BEYOND = 0, 1, 2, 2 + LONGEST_DAYS + 1
"""Where each kind's rows begin in a table: bridged and beyond have one per day, from 0."""
ROWS = BEYOND + LONGEST_DAYS + 1
RAMP = 0.05
"""Distrust grows from none at strangeness 1 to all at 1 + RAMP: a step would tear apart what two runtimes say
of one pixel, since their strangenesses differ by rounding. The refusal in `provenance` stays a step at 1."""


@dataclass(frozen=True)
class Calibration:
    """Tables over the ways a value came about; see `row_of`.

    Attributes
    ----------
    share, inflation
        By target sensor, (rows, bands): the part of the network's correction of the base that counts, 0-1,
        and the factor of its spread.
    floor
        By target sensor, (bands,): sigma is at least so many times the pixel's restlessness.
    centre, precision, limit
        Mean and inverse covariance (features, features) of what the training's pixels looked like, and the
        distance beyond which a pixel is unlike any of them.
    """

    share: Mapping[str, Tensor]
    inflation: Mapping[str, Tensor]
    floor: Mapping[str, Tensor]
    centre: Tensor
    precision: Tensor
    limit: float

    @classmethod
    def from_json(cls, stored: Json) -> "Calibration":
        """Unfold the tables of a card: knots in days become a row per day."""
        tables = {s: stored[s] for s in ("modis", "viirs")}
        known = stored["pixels"]
        return cls(
            share={s: unfold(table, "share", stored["gap_days"]) for s, table in tables.items()},
            inflation={s: unfold(table, "inflation", stored["gap_days"]) for s, table in tables.items()},
            floor={s: torch.tensor(table["floor"]) for s, table in tables.items()},
            centre=torch.tensor(known["centre"]),
            precision=torch.tensor(known["precision"]),
            limit=float(known["limit"]),
        )

    def to(self, device: torch.device) -> "Calibration":
        """The same on another device."""
        return Calibration(
            {s: t.to(device) for s, t in self.share.items()},
            {s: t.to(device) for s, t in self.inflation.items()},
            {s: t.to(device) for s, t in self.floor.items()},
            self.centre.to(device),
            self.precision.to(device),
            self.limit,
        )

    def apply(
        self, estimate: Estimate, own: Grid, query: Tensor, strangeness: Tensor, target: str
    ) -> tuple[Tensor, Tensor]:
        """Return location and sigma (p, q, b) of which the tables approve.

        `own` are the target's observations and `query` (q,) the positions asked for. The more a pixel's
        `strangeness` (p,) is beyond the training's, see `distrust`, the more of the base counts instead, at
        last it alone; what the network would have made of it adds to the spread by the same share.
        """
        share, inflation = self.share[target], self.inflation[target]
        bands = torch.arange(share.shape[1], device=query.device)
        cell = row_of(estimate, own.valid.index_select(1, query)) * share.shape[1] + bands
        correction = estimate.location - estimate.base
        location = estimate.base + share.flatten()[cell] * correction
        sigma = estimate.sigma * inflation.flatten()[cell]
        if not holds((strangeness <= 1).all()):
            doubt = distrust(strangeness)[:, None, None]
            location = torch.lerp(location, estimate.base, doubt)
            sigma = (sigma.square() + (doubt * correction).square()).sqrt()
        return location, torch.maximum(sigma, self.floor[target] * restlessness(own))

    def strangeness(self, centres: Mapping[str, Tensor], known: Tensor) -> Tensor:
        """How unlike the training's a pixel is (p,): above 1 it is beyond all of them.

        Only bands that were seen at all, `known` (p, bands of all sensors), are compared: the distance is
        that of their marginal distribution, per band.
        """
        away = torch.where(known, looks(centres) - self.centre, 0.0)
        pull = away @ self.precision
        if not holds(known.all()):
            # What is not known takes the values that make the distance least.
            unknown = ~known
            block = self.precision * (unknown[:, :, None] & unknown[:, None, :])
            block = block + torch.diag_embed(known.to(block))
            away = away + solve(block, torch.where(unknown, -pull, 0.0))
            pull = away @ self.precision
        distance = (away * pull).sum(-1).clamp(min=0) / known.sum(-1).clamp(min=1)
        return distance.sqrt() / self.limit


def distrust(strangeness: Tensor) -> Tensor:
    """How little the network counts, 0-1, for a pixel so strange; continuous, see `RAMP`."""
    return ((strangeness - 1) / RAMP).clamp(0, 1)


def restlessness(series: Grid) -> Tensor:
    """How far (p, 1, b) a pixel's observations lie from the line between their neighbours, on average.

    Observations with neighbours more than `NEIGHBOURHOOD_DAYS` apart do not count; zero where none is left.
    """
    days = series.values.shape[1]
    day = torch.arange(days, device=series.values.device)[:, None]
    before, after = neighbours(series.valid)
    before, after = before[:, :-2], after[:, 2:]
    usable = series.valid[:, 1:-1] & (before >= 0) & (after < days) & (after - before <= NEIGHBOURHOOD_DAYS)
    start = series.values.gather(1, before.clamp(min=0))
    end = series.values.gather(1, after.clamp(max=days - 1))
    fraction = (day[1:-1] - before) / (after - before)
    off = (series.values[:, 1:-1] - torch.lerp(start, end, fraction)).abs()
    return torch.where(usable, off, 0.0).sum(1, keepdim=True) / usable.sum(1, keepdim=True).clamp(min=1)


def solve(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve positive definite systems (p, n, n) with right sides (p, n).

    Gauss and Jordan's elimination written out, since ONNX has no operator for it; positive definite matrices
    need no pivoting.
    """
    system = torch.cat([matrix, right[..., None]], -1)
    for place in range(matrix.shape[-1]):
        row = system[:, place : place + 1] / system[:, place : place + 1, place : place + 1]
        rest = system - system[:, :, place : place + 1] * row
        system = torch.cat([rest[:, :place], row, rest[:, place + 1 :]], 1)
    return system[..., -1]


def looks(centres: Mapping[str, Tensor]) -> Tensor:
    """What is compared of a pixel: the roots of its bands' mean reflectances (p, bands of all sensors)."""
    return torch.cat([centres[sensor] for sensor in OTHER], -1).clamp(min=0).sqrt()


def row_of(estimate: Estimate, own: Tensor) -> Tensor:
    """The row (p, q, b) of a table that each cell belongs to."""
    before, after = estimate.days_before, estimate.days_after
    bridged = BRIDGED + (before + after).clamp(max=LONGEST_DAYS)
    beyond = BEYOND + torch.minimum(before, after).clamp(max=LONGEST_DAYS)
    row = torch.where(torch.maximum(before, after) >= FAR_DAYS, beyond, bridged)
    row = torch.where(before == 0, TRANSLATED, row)
    return torch.where(own, OBSERVED, row).long()


def unfold(table: Mapping[str, Json], what: str, knots: Sequence[float]) -> Tensor:
    """A row per day (rows, bands) out of the knots of a card; between knots linear in the gap's logarithm."""
    observed, translated = (torch.tensor(table[kind][what])[None] for kind in ("observed", "translated"))
    bridged, beyond = (along_days(table[kind][what], knots) for kind in ("bridged", "beyond"))
    return torch.cat([observed, translated, bridged, beyond])


def along_days(values: Sequence[Sequence[float]], knots: Sequence[float]) -> Tensor:
    """Values (knots, bands) at 0..LONGEST_DAYS days; constant outside the knots."""
    at = torch.log1p(torch.tensor(knots, dtype=torch.float32))
    days = torch.log1p(torch.arange(LONGEST_DAYS + 1, dtype=torch.float32)).clamp(at[0], at[-1])
    right = torch.searchsorted(at, days).clamp(1, len(knots) - 1)
    fraction = (days - at[right - 1]) / (at[right] - at[right - 1])
    known = torch.tensor(values, dtype=torch.float32)
    return torch.lerp(known[right - 1], known[right], fraction[:, None])
