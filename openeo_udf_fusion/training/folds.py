"""Who is trained on and who is scored: five folds of places, never of days."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
FOLDS = 5
SEED = 43
VALIDATION_SHARE = 0.1
BLOCK_DEG = 5.0
"""Places within one block of this size are neighbours and stay together."""


class Split(NamedTuple):
    """Disjoint places to train on, to stop early by, and to score afterwards."""

    train: Indices
    validation: Indices
    test: Indices


def fold_of(count: int) -> Indices:
    """The fold (count,) of each of so many places, blocks or pixels; the same in every run."""
    folds = np.empty(count, dtype=np.int64)
    folds[np.random.default_rng(SEED).permutation(count)] = np.arange(count) * FOLDS // max(count, 1)
    return folds


def blocks_of(longitude: NDArray[np.floating], latitude: NDArray[np.floating]) -> Indices:
    """A number (n,) per place, equal for places in one block of 5 degrees; unknown places stand alone."""
    known = np.isfinite(longitude) & np.isfinite(latitude)
    columns = round(360 / BLOCK_DEG)
    row = np.floor(np.where(known, latitude + 90, 0) / BLOCK_DEG).astype(np.int64)
    column = np.floor(np.where(known, longitude + 180, 0) / BLOCK_DEG).astype(np.int64)
    alone = -1 - np.arange(len(known))
    return np.unique(np.where(known, row * columns + column, alone), return_inverse=True)[1]


def split(pixels: Indices, blocks: Indices, fold: int | None) -> Split:
    """Split places for the training of a fold's network, or of the one to ship (None), which tests nothing.

    Parameters
    ----------
    pixels, blocks
        (n,) the places and the block each lies in.
    fold
        Which fold is kept for scoring.
    """
    names, block = np.unique(blocks, return_inverse=True)
    tested = fold_of(len(names)) == fold if fold is not None else np.zeros(len(names), dtype=np.bool_)
    rest = np.flatnonzero(~tested)
    rng = np.random.default_rng([SEED, 99 if fold is None else fold])
    watched = np.zeros(len(names), dtype=np.bool_)
    watched[rng.permutation(rest)[: max(1, round(VALIDATION_SHARE * len(rest)))]] = True
    return Split(pixels[~(tested | watched)[block]], pixels[watched[block]], pixels[tested[block]])
