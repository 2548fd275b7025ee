"""Mirror and transpose images by chance: what trainings do to the squares that they see."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind", bound=np.generic)


class Turn(NamedTuple):
    """One way to turn arrays (..., y, x), all alike.

    Attributes
    ----------
    flips
        The axes that are mirrored.
    swap
        Whether y and x change places then.
    """

    flips: tuple[int, ...]
    swap: bool

    def __call__(self, array: NDArray[Kind]) -> NDArray[Kind]:
        """The array turned, as a view."""
        flipped = np.flip(array, self.flips)
        return np.swapaxes(flipped, -2, -1) if self.swap else flipped


def drawn_turn(rng: np.random.Generator) -> Turn:
    """One of the eight, by chance."""
    flips = tuple(axis for axis in (-2, -1) if rng.random() < 0.5)
    return Turn(flips, rng.random() < 0.5)
