"""Artificial gaps: days hidden from all methods alike, between days on which the pixel was observed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GAP_DAYS = (5, 10, 20, 40, 80)
REPEATS = 10
SEED = 2012


class Gaps(NamedTuple):
    """Gaps of one length, each on a copy of a pixel: the pixel's row and the first hidden day, (gaps,)."""

    pixel: NDArray[np.int64]
    start: NDArray[np.int64]


def draw_gaps(
    valid: NDArray[np.bool_], length: int, keys: Sequence[int], repeats: int = REPEATS, seed: int = SEED
) -> Gaps:
    """Draw gaps of each pixel with an observation before and after each of them.

    A pixel's gaps depend on its key alone, not on the pixels beside it. No gap of a pixel is drawn twice
    unless there are fewer places than gaps; a pixel whose observations span too few days has none.

    Parameters
    ----------
    valid
        (pixels, days, bands).
    length
        In days.
    keys
        A number that goes with each pixel.
    repeats
        Gaps per pixel.
    seed
        Of the draw.
    """
    pixels, starts = [], []
    for row, key in enumerate(keys):
        observed = np.flatnonzero(valid[row].any(axis=-1))
        first, last = (observed[0], observed[-1]) if observed.size else (0, 0)
        places = np.arange(first + 1, last - length + 1)
        if places.size:
            rng = np.random.default_rng([seed, length, key])
            pixels.append(np.full(repeats, row))
            starts.append(rng.choice(places, repeats, replace=places.size < repeats))
    if not pixels:
        return Gaps(np.empty(0, np.int64), np.empty(0, np.int64))
    return Gaps(np.concatenate(pixels), np.concatenate(starts))


def hidden_days(gaps: Gaps, length: int, days: int) -> NDArray[np.bool_]:
    """Which days each gap hides, (gaps, days)."""
    day = np.arange(days) - gaps.start[:, None]
    return (day >= 0) & (day < length)
