"""From one sensor to the other: what an interpolation lacks, by how the other sensor's images differ from it.

Axes as in `tamrf_network`.
"""

import math

import torch
from torch import Tensor, nn

REACH_DAYS = 8
"""Over which a difference between the sensors is carried, before anything is learned."""
PACE = 20
"""How much faster than other weights the exponents of a kernel in time learn."""


class Kernel(nn.Module):
    """How much a date counts on another day, exp(trust - days / reach): two numbers a band, learned."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.trust = nn.Parameter(torch.full((bands,), -1.0 / PACE))
        self.reach = nn.Parameter(torch.full((bands,), math.log(REACH_DAYS) / PACE))

    def forward(self, days: Tensor, query_days: Tensor) -> Tensor:
        """Dates (t,) on queried days (q,) -> (q, t, b)."""
        apart = (query_days[:, None] - days).abs().float()[..., None]
        trust, reach = self.trust.to(days.device), self.reach.to(days.device)
        return (PACE * trust - apart / (PACE * reach).exp()).exp()


class Carry(nn.Module):
    """What an interpolation lacks on queried days, by what another sensor's dates differ from it.

    On dates of its own it lacks nothing. What both tell is weighted by kernels in time; 1 counts for nothing.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.theirs, self.own = Kernel(bands), Kernel(bands)
        self.bias = nn.Parameter(torch.zeros(bands))

    def forward(
        self, away: Tensor, days: Tensor, own: Tensor, own_days: Tensor, query_days: Tensor
    ) -> Tensor:
        """Differences (t, b, y, x), NaN where unknown, of days (t,) -> (q, b, y, x) of queried days (q,).

        `own` (t', b, y, x) is the share of a pixel that the interpolated sensor saw on its own days (t',).
        """
        known = away.isfinite()
        moved = torch.where(known, away - self.bias.to(away.device)[:, None, None], 0)
        counts = self.theirs(days, query_days)
        total = torch.einsum("qtb,tbyx->qbyx", counts, known.to(away.dtype))
        total = total + torch.einsum("qtb,tbyx->qbyx", self.own(own_days, query_days), own)
        carried: Tensor = torch.einsum("qtb,tbyx->qbyx", counts, moved) / (1 + total)
        return carried
