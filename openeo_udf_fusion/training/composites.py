"""Real directional composites: the scene on which spreads meet angles, haze and missed clouds as they are."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion import cubes
from openeo_udf_fusion.errors import UnknownCollection
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.sensors import FUSED_BANDS

COLLECTION = "munich_modis"
WITHHELD = 1 / 3
SQUARE_PX = 10
"""Neighbours share weather and ground: whole squares of so many pixels go together."""
Part = Literal["calibrate", "test"]


class Withheld(NamedTuple):
    """Series of some pixels of a scene: what may be read, what is asked for, and each pixel's square (x,).

    `observed` and `hidden` (t, bands, 1, x) share values and days.
    """

    observed: Observations
    hidden: NDArray[np.bool_]
    square: NDArray[np.int64]


def read(data: Path) -> Observations | None:
    """MOD09A1 of a real scene, (t, 7, y, x) with days (t, y, x), clouds masked; None if there is none."""
    from openeo_udf_fusion.local.collections import get_collection

    try:
        collection = get_collection(data, COLLECTION)
    except UnknownCollection:
        return None
    cube = cubes.canonical(collection.open())
    return Observations(*cubes.sensor_arrays(cube, "modis", FUSED_BANDS["modis"]))


def withhold(scene: Observations, part: Part, pixels: int, seed: int) -> Withheld:
    """Withhold a third of each pixel's clear steps, of some pixels of every other square of a chessboard."""
    rng = np.random.default_rng(seed)
    steps, bands, height, width = scene.values.shape
    row, column = np.divmod(np.arange(height * width), width)
    across = -(-width // SQUARE_PX)
    square = row // SQUARE_PX * across + column // SQUARE_PX
    white = (row // SQUARE_PX + column // SQUARE_PX) % 2 == 0
    chosen = np.sort(rng.permutation(np.flatnonzero(white == (part == "calibrate")))[:pixels])
    own_days = scene.days if scene.days.ndim == 3 else scene.days[:, None, None]
    days = np.broadcast_to(own_days, (steps, height, width)).reshape(steps, 1, -1)[..., chosen]
    values = scene.values.reshape(steps, bands, 1, -1)[..., chosen]
    valid = scene.valid.reshape(steps, bands, 1, -1)[..., chosen]
    seen: NDArray[np.bool_] = np.any(valid, axis=1, keepdims=True)
    hidden = valid & third(seen, rng)
    return Withheld(Observations(values, valid & ~hidden, days), hidden, square[chosen])


def third(seen: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A third of each pixel's steps that were seen, (t, 1, y, x)."""
    order = np.where(seen, rng.random(seen.shape), 2).argsort(axis=0).argsort(axis=0)
    return np.asarray(seen & (order < np.round(seen.sum(axis=0) * WITHHELD)))
