"""One series out of two sensors' on a daily grid, and the line between its observations: what is simple.

Axes: p pixels, t days of the grid, b bands, q queried days.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

FAR_DAYS = 730
"""Distance in days given to the decoder where there is no observation on that side."""


class Grid(NamedTuple):
    """One sensor's observations on a daily grid: values (p, t, b), zero where not valid; valid (p, t, b)."""

    values: Tensor
    valid: Tensor


class Base(NamedTuple):
    """An interpolation in time and its circumstances; all (p, q, b)."""

    estimate: Tensor
    step: Tensor  # next minus previous value
    days_before: Tensor
    days_after: Tensor


class Merged(NamedTuple):
    """One series out of two sensors, and how they differ around each day; all (p, t, b).

    Where the grid is not valid its values are not zero, but what a translation makes of nothing.
    """

    grid: Grid
    peculiar: Tensor  # the sensors' difference nearby, less their mean difference
    days_away: Tensor  # from the nearest day that both saw


class Translation(nn.Module):
    """A calibrated linear translation: all bands at once, or band by band where a band is missing."""

    weight: Tensor
    bias: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, source_bands: int, target_bands: int, partner: tuple[int, ...]) -> None:
        super().__init__()
        self.partner = list(partner)
        self.register_buffer("weight", F.one_hot(torch.tensor(self.partner), source_bands).float())
        self.register_buffer("bias", torch.zeros(target_bands))
        self.register_buffer("slope", torch.ones(target_bands))
        self.register_buffer("offset", torch.zeros(target_bands))

    def forward(self, source: Grid) -> Grid:
        """Values of the target's bands on the source's days, valid where the partner band is."""
        valid = source.valid[..., self.partner]
        moved = F.linear(source.values, self.weight, self.bias)
        if not holds(source.valid.all()):
            complete = source.valid.all(-1, keepdim=True)
            moved = torch.where(complete, moved, source.values[..., self.partner] * self.slope + self.offset)
        return Grid(moved, valid)


class Merge(nn.Module):
    """The sensor's own series, completed by the other sensor's translated one, less their difference.

    Where both saw the same day they differ by calibration, footprint and angle. The mean difference at the
    pixel is shrunk towards zero as if `shrink` more days agreed; near days that both saw, the difference of
    those days counts too, by a share that fades with the distance. `climatology` is the mean reflectance of
    each band, for where nothing at all is known about it.
    """

    climatology: Tensor

    def __init__(self, source_bands: int, target_bands: int, partner: tuple[int, ...]) -> None:
        super().__init__()
        self.translate = Translation(source_bands, target_bands, partner)
        self.register_buffer("climatology", torch.full((target_bands,), 0.2))
        self.log_shrink = nn.Parameter(torch.full((target_bands,), math.log(4.0)))
        self.local_share = nn.Parameter(torch.zeros(target_bands))
        self.log_memory_days = nn.Parameter(torch.full((target_bands,), math.log(20.0)))

    def forward(self, own: Grid, other: Grid) -> Merged:
        """Both (p, t, b) grids on the own sensor's scale."""
        moved = self.translate(other)
        both = own.valid & moved.valid
        if holds(~both.any()):
            values = torch.where(own.valid, own.values, moved.values)
            nothing = torch.zeros_like(values)
            return Merged(Grid(values, own.valid | moved.valid), nothing, torch.full_like(values, FAR_DAYS))
        difference = torch.where(both, own.values - moved.values, 0.0)
        shift = difference.sum(1, keepdim=True) / (both.sum(1, keepdim=True) + self.log_shrink.exp())
        near = interpolate(
            Grid(difference, both), torch.arange(own.values.shape[1], device=both.device), shift
        )
        peculiar = near.estimate - shift
        away = torch.minimum(near.days_before, near.days_after)
        share = self.local_share.sigmoid() * torch.exp(-away * (-self.log_memory_days).exp())
        values = torch.where(own.valid, own.values, moved.values + shift + share * peculiar)
        return Merged(Grid(values, own.valid | moved.valid), peculiar, away)


def interpolate(grid: Grid, query: Tensor, fallback: Tensor) -> Base:
    """Interpolate linearly in time between the nearest valid values of each band; constant outside.

    `query` (q,) are positions on the grid; `fallback`, (b,) or (p, 1, b), stands where a band was never seen.
    """
    days = grid.values.shape[1]
    before, after = neighbours(grid.valid)
    if not is_whole(query, days):
        before, after = before.index_select(1, query), after.index_select(1, query)  # (p q b)
    has_before, has_after = before >= 0, after < days
    start = grid.values.gather(1, before.clamp(min=0))
    end = grid.values.gather(1, after.clamp(max=days - 1))
    start, end = torch.where(has_before, start, end), torch.where(has_after, end, start)
    seen = has_before | has_after
    start, end = torch.where(seen, start, fallback), torch.where(seen, end, fallback)
    at = query[:, None]
    days_before = torch.where(has_before, at - before, FAR_DAYS).float().clamp(max=FAR_DAYS)
    days_after = torch.where(has_after, after - at, FAR_DAYS).float().clamp(max=FAR_DAYS)
    fraction = days_before / (days_before + days_after).clamp(min=1)
    step = end - start
    return Base(start + fraction * step, step, days_before, days_after)


def neighbours(valid: Tensor) -> tuple[Tensor, Tensor]:
    """Each day's last valid day up to it (-1: none) and next one from it on (days: none): both (p, t, b)."""
    days = valid.shape[1]
    day = torch.arange(days, device=valid.device)[:, None].expand(valid.shape)
    rank = valid.cumsum(1)  # how many valid days there were, this one included
    # The rank-th valid day, and "none" before the first and after the last; what is not valid falls behind.
    table = torch.full_like(rank[:, :1], days).expand(-1, days + 2, -1)
    table = table.scatter(1, torch.where(valid, rank, days + 1), day)
    table = torch.cat([torch.full_like(rank[:, :1], -1), table[:, 1:]], 1)
    return table.gather(1, rank), table.gather(1, torch.where(valid, rank, rank + 1))


def holds(condition: Tensor) -> bool:
    """Whether a shortcut may be taken; never in an exported graph, which is one for all values."""
    return not torch.compiler.is_exporting() and bool(condition)


def is_whole(query: Tensor, days: int) -> bool:
    """Whether the queried positions are all days of the grid in order."""
    if torch.compiler.is_exporting():
        return False
    return len(query) == days and bool((query == torch.arange(days, device=query.device)).all())


def around(grid: Grid) -> tuple[Tensor, Tensor]:
    """Mean of the valid values of nine days (p, t, b), zero where there is none; and their share of nine."""
    days = grid.values.shape[1]
    both = torch.cat([torch.where(grid.valid, grid.values, 0.0), grid.valid.to(grid.values)], -1)
    one = F.pad(both, (0, 0, 4, 4))
    two = one[:, :-1] + one[:, 1:]
    four = two[:, :-2] + two[:, 2:]
    eight = four[:, :-4] + four[:, 4:]
    total, count = (eight[:, :days] + one[:, 8:]).chunk(2, -1)
    return total / count.clamp(min=1), count / 9


def roughness(grid: Grid, mean: Tensor) -> Tensor:
    """Mean distance (p, 1, b) of a pixel's values from the mean around them: how much smoothing they bear."""
    distance = torch.where(grid.valid, (grid.values - mean).abs(), 0.0).sum(1, keepdim=True)
    return distance / grid.valid.sum(1, keepdim=True).clamp(min=1)
