"""The Data Mining Sharpener: surface temperature at 10 m from how it goes with reflectance at 30 m.

Gao, Kustas and Anderson 2012, doi:10.3390/rs4113287: regression trees with linear leaves, bagged, learn
temperature from reflectance on homogeneous Landsat cells, once over the whole image and once within moving
windows; both are applied to the fine image and weighted by how well they give the cells' temperature back.
What the cells still lack is added, bilinear. Written from the paper; its trees are Cubist's, these split by
variance. How many trees, cells and leaves there are is this project's choice.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines.daily import without_spread
from openeo_udf_fusion.baselines.image_pairs import BANDS, UPSCALING, check_target, dated_images, finer
from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.models.series import Observations, Prediction

Values = NDArray[np.float32]
Floats = NDArray[np.float64]

LST = BANDS["l8"].index("LST")
CLEAR_SHARE = 0.9
"""Of its pixels an image of Sentinel-2 needs so many to be chosen."""
HOMOGENEOUS_SHARE = 0.8
"""Of the cells, those of least variation inside are learned from."""
TREES, BAG = 20, 0.8
MIN_LEAF, RIDGE = 40, 1e-2
BEYOND = 0.25
"""A leaf may go beyond the temperatures it has seen by this share of their range."""
WINDOW, CORE = 15, 7
"""Cells on a side that a local model learns from, and those in their middle that it is applied to."""


def predict(
    observed: Mapping[str, Observations], query_days: NDArray[np.int32], target: str = "l8"
) -> Prediction:
    """Surface temperature at 10 m on days that Landsat saw.

    Parameters
    ----------
    observed
        Both sensors, as `image_pairs` has them; what is cloudy must not be valid.
    query_days
        (query,) days since 1970-01-01.
    target
        Only "l8".

    Returns
    -------
    Prediction
        (query, 8, y, x): LST in kelvin, all other bands NaN. Sentinel-2's image is the one nearest in time
        that is clear on nine tenths of the area (the earlier of two; the clearest where none is), its gaps
        filled from the next nearest dates. NaN on days and in cells that Landsat did not see, and where
        Sentinel-2 never saw the pixel.

    Raises
    ------
    InvalidParameter, InvalidCube
        A sensor is missing, another target is asked for, or arrays do not fit.
    """
    check_target(target, "l8")
    coarse, coarse_days = dated_images(observed, "l8")
    fine, fine_days = dated_images(observed, "s2")
    y, x = (UPSCALING * size for size in coarse.shape[2:])
    if fine.shape[2:] != (y, x):
        raise InvalidCube(
            f"s2 must have {UPSCALING} pixels along one of l8, {(y, x)}; it is {fine.shape[2:]} (y, x)"
        )
    mean = np.full((len(query_days), len(BANDS["l8"]), y, x), np.float32(np.nan))
    for place, day in enumerate(query_days):
        same = np.flatnonzero(coarse_days == day)
        if same.size and np.isfinite(fine).any() and np.isfinite(coarse[same[0], LST]).any():
            image = nearest_clear(fine, fine_days, int(day))
            mean[place, LST] = sharpened(image, coarse[same[0], LST])
    return without_spread(mean)


def nearest_clear(images: Values, days: NDArray[np.int64], day: int) -> Values:
    """The image (b, y, x) that goes with a day, whose gaps others fill."""
    clear = np.isfinite(images[:, np.isfinite(images).any((0, 2, 3))]).all(1).mean((1, 2))
    needed = min(CLEAR_SHARE, clear.max())
    order = np.lexsort((days, np.abs(days - day), clear < needed))
    image: Values = images[order[0]].copy()
    for other in images[order[1:]]:
        missing = ~np.isfinite(image)
        if not missing.any():
            break
        np.copyto(image, other, where=missing)
    return image


def sharpened(image: Values, lst: Values) -> Values:
    """Temperature (3 y, 3 x) of cells (y, x) with the detail of an image (b, 3 y, 3 x)."""
    bands: Floats = image[np.isfinite(image).any((1, 2))].astype(np.float64)
    cells, spread = cell_mean(bands), cell_variation(bands)
    usable = np.isfinite(cells).all(0) & np.isfinite(lst)
    known = usable & (spread <= np.quantile(spread[usable], HOMOGENEOUS_SHARE)) if usable.any() else usable
    everywhere = modelled(bands, cells, lst, known)
    nearby = np.full_like(everywhere, np.nan)
    for window, core in windows(lst.shape):
        inside = np.zeros_like(known)
        inside[window] = known[window]
        pixels = tuple(slice(UPSCALING * part.start, UPSCALING * part.stop) for part in core)
        nearby[pixels] = modelled(bands[:, *pixels], cells, lst, inside)
    guess = weighted([everywhere, nearby], lst)
    result: Values = (guess + between_cells(lst - cell_mean(guess[None])[0])).astype(np.float32)
    return np.where(enlarged(np.isfinite(lst)), result, np.float32(np.nan))


def cell_mean(image: Floats) -> Floats:
    """Means (b, y, x) of the cells of an image (b, 3 y, 3 x); NaN where a pixel is."""
    mean: Floats = in_cells(image).mean((2, 4))
    return mean


def cell_variation(image: Floats) -> Floats:
    """The bands' mean coefficient of variation within each cell, (y, x)."""
    blocks = in_cells(image)
    variation: Floats = (blocks.std((2, 4)) / np.maximum(np.abs(blocks.mean((2, 4))), 1e-6)).mean(0)
    return variation


def in_cells(image: Floats) -> Floats:
    """(b, 3 y, 3 x) -> (b, y, 3, x, 3)."""
    bands, y, x = image.shape
    return image.reshape(bands, y // UPSCALING, UPSCALING, x // UPSCALING, UPSCALING)


def enlarged(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is said of cells (y, x), of each of their pixels."""
    return np.repeat(np.repeat(cells, UPSCALING, 0), UPSCALING, 1)


def windows(shape: tuple[int, ...]) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Windows of cells to learn from, and the cores that they are for, which cover everything once."""
    reach = (WINDOW - CORE) // 2
    for place in np.ndindex(*(-(-size // CORE) for size in shape)):
        starts = [CORE * number for number in place]
        stops = [min(start + CORE, size) for start, size in zip(starts, shape, strict=True)]
        window = tuple(
            slice(max(start - reach, 0), stop + reach) for start, stop in zip(starts, stops, strict=True)
        )
        yield window, tuple(slice(start, stop) for start, stop in zip(starts, stops, strict=True))


def modelled(image: Floats, cells: Floats, lst: Values, known: NDArray[np.bool_]) -> Floats:
    """What trees grown on known cells say of an image's pixels, (y, x)."""
    rows = image.reshape(len(image), -1).T
    seen = np.isfinite(rows).all(1)
    guess = np.full(len(rows), np.nan)
    if known.any() and seen.any():
        guess[seen] = forest(cells[:, known].T, lst[known].astype(np.float64), rows[seen])
    return guess.reshape(image.shape[1:])


def weighted(guesses: list[Floats], lst: Values) -> Floats:
    """The guesses' mean (3 y, 3 x), each weighted in a cell by the inverse square of its error there."""
    total, weights = np.zeros(guesses[0].shape), np.zeros(guesses[0].shape)
    for guess in guesses:
        error = cell_mean(guess[None])[0] - lst
        weight = np.where(np.isfinite(error), 1 / np.maximum(np.square(error), 1e-6), 1.0)
        each = np.where(np.isfinite(guess), np.repeat(np.repeat(weight, UPSCALING, 0), UPSCALING, 1), 0.0)
        total += each * np.where(np.isfinite(guess), guess, 0.0)
        weights += each
    return np.divide(total, weights, out=np.full_like(total, np.nan), where=weights > 0)


def between_cells(residual: Floats) -> Floats:
    """What cells (y, x) lack, bilinear on pixels (3 y, 3 x); unknown ones take after their neighbours."""
    known = np.isfinite(residual)
    both = np.stack([np.where(known, residual, 0.0), known]).astype(np.float32)
    total, weight = finer(both[:, None], "bilinear")[:, 0].astype(np.float64)
    mean: Floats = np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-6)
    return mean


# --- regression trees with linear leaves


class Leaf(NamedTuple):
    """A linear model, kept within the values it was fitted to and a little beyond."""

    centre: Floats
    slope: Floats
    level: float
    lowest: float
    highest: float


class Split(NamedTuple):
    """Rows go below where their band is at most the threshold."""

    band: int
    threshold: float
    below: "Tree"
    above: "Tree"


Tree = Leaf | Split


def forest(rows: Floats, values: Floats, asked: Floats) -> Floats:
    """The mean of trees, each grown on its own share of the rows, on the rows asked for."""
    rng = np.random.default_rng(2012)
    total = np.zeros(len(asked))
    for _ in range(TREES):
        chosen = rng.permutation(len(rows))[: max(1, round(BAG * len(rows)))]
        total += answered(grown(rows[chosen], values[chosen]), asked)
    return total / TREES


def grown(rows: Floats, values: Floats) -> Tree:
    """The tree of rows (n, b) and their values (n,)."""
    found = best_split(rows, values)
    if found is None:
        return leaf(rows, values)
    band, threshold = found
    below = rows[:, band] <= threshold
    return Split(band, threshold, grown(rows[below], values[below]), grown(rows[~below], values[~below]))


def best_split(rows: Floats, values: Floats) -> tuple[int, float] | None:
    """The band and threshold that leave the least variance; None where no leaf would be large enough."""
    count = len(rows)
    if count < 2 * MIN_LEAF:
        return None
    order = np.argsort(rows, axis=0, kind="stable")
    ordered = np.take_along_axis(rows, order, 0)
    summed = np.cumsum(values[order] - values.mean(), axis=0)
    left = np.arange(1, count)[:, None]
    gain = np.square(summed[:-1]) * (1 / left + 1 / (count - left))  # the sums of both sides are opposite
    allowed = (left >= MIN_LEAF) & (count - left >= MIN_LEAF) & (ordered[:-1] < ordered[1:])
    gain = np.where(allowed, gain, -1.0)
    place, band = np.unravel_index(int(gain.argmax()), gain.shape)
    if gain[place, band] <= 0:
        return None
    return int(band), float(ordered[place : place + 2, band].mean())


def leaf(rows: Floats, values: Floats) -> Leaf:
    """A ridge regression."""
    centre, level = rows.mean(0), float(values.mean())
    scale = np.maximum(rows.std(0), 1e-6)
    away = (rows - centre) / scale
    gram = away.T @ away + RIDGE * len(rows) * np.eye(rows.shape[1])
    slope = np.linalg.solve(gram, away.T @ (values - level)) / scale
    lowest, highest = float(values.min()), float(values.max())
    spare = BEYOND * (highest - lowest)
    return Leaf(centre, slope, level, lowest - spare, highest + spare)


def answered(tree: Tree, rows: Floats) -> Floats:
    """What a tree says of rows (n, b)."""
    if isinstance(tree, Leaf):
        line: Floats = tree.level + (rows - tree.centre) @ tree.slope
        return np.clip(line, tree.lowest, tree.highest)
    result = np.empty(len(rows))
    below = rows[:, tree.band] <= tree.threshold
    result[below] = answered(tree.below, rows[below])
    result[~below] = answered(tree.above, rows[~below])
    return result
