"""Interpolate a sensor's images linearly in time, each band of each pixel between its own valid dates."""

import torch
from torch import Tensor

STRIP_ROWS = 32


def linear_in_time(
    images: Tensor,
    days: Tensor,
    valid: Tensor,
    query_days: Tensor,
    otherwise: Tensor,
    other_days: bool = False,
) -> Tensor:
    """Each pixel's values on the queried days, constant before its first valid date and after its last.

    Parameters
    ----------
    images, valid
        (t, b, y, x); what is not valid is ignored and may be NaN.
    days
        (t,) in any order; the values of one day become their mean.
    query_days
        (q,), counted alike.
    otherwise
        (b,), for a band of a pixel that was never seen.
    other_days
        Whether what was seen on a queried day itself is left out.

    Returns
    -------
    Tensor
        (q, b, y, x).
    """
    days, place = torch.unique(days.to(images.device), return_inverse=True)  # in order
    query_days = query_days.to(images.device)
    made = images.new_empty(len(query_days), *images.shape[1:])
    for start in range(0, images.shape[-2], STRIP_ROWS):
        strip = (..., slice(start, start + STRIP_ROWS), slice(None))
        known, seen = daily_means(images[strip], valid[strip], place, len(days))
        made[strip] = between_neighbours(known, seen, days, query_days, otherwise, other_days)
    return made


def daily_means(images: Tensor, valid: Tensor, place: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Values (day, b, y, x) and where there is one; `place` (t,) is the day of each image."""
    shape = (count, *images.shape[1:])
    total = images.new_zeros(shape).index_add(0, place, torch.where(valid, images, 0))
    number = images.new_zeros(shape).index_add(0, place, valid.to(images.dtype))
    return total / number.clamp(min=1), number > 0


def between_neighbours(
    known: Tensor, seen: Tensor, days: Tensor, query_days: Tensor, otherwise: Tensor, other_days: bool
) -> Tensor:
    """As `linear_in_time`, with `days` in order and none of them twice."""
    count = len(days)
    order = torch.arange(count, dtype=torch.int16, device=known.device)[:, None, None, None]
    before = torch.where(seen, order, -1).cummax(0).values  # the last valid date so far, -1: none
    after = torch.where(seen, order, count).flip(0).cummin(0).values.flip(0)
    last = torch.searchsorted(days, query_days, right=not other_days) - 1
    next_ = torch.searchsorted(days, query_days, right=other_days)
    left = torch.where((last >= 0)[:, None, None, None], before[last.clamp(min=0)], -1)
    right = torch.where((next_ < count)[:, None, None, None], after[next_.clamp(max=count - 1)], count)
    left, right = torch.where(left < 0, right, left).long(), torch.where(right >= count, left, right).long()
    never = left >= count
    left, right = left.clamp(max=count - 1), right.clamp(0, count - 1)
    gap = (days[right] - days[left]).to(known.dtype)
    passed = (query_days[:, None, None, None] - days[left]).to(known.dtype)
    share = torch.where(gap > 0, passed / gap.clamp(min=1e-9), 0)
    from_, to = known.gather(0, left), known.gather(0, right)
    return torch.where(never, otherwise[:, None, None].to(known), from_ + share * (to - from_))
