"""The images of Landsat and Sentinel-2 in a cube: one a day and sensor, their flags, their units."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion import cubes, quality_flags, sensors
from openeo_udf_fusion.cubes import DayNumbers, Mask, Values
from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.processes.band_groups import known_labels

Number = TypeVar("Number", bound=np.generic)
FLAGS: Mapping[str, Mapping[str, Callable[[quality_flags.Flags], Mask]]] = MappingProxyType(
    {"l8": quality_flags.LANDSAT_FLAGS, "s2": MappingProxyType({"SCL": quality_flags.sentinel2_clear})}
)
"""What tells clouds, by sensor."""
POSSIBLE_KELVIN = (150.0, 375.0)
"""Of a surface temperature; the product's offset, 149 K, is a fill value that was decoded."""
ENOUGH_VALUES = 100
"""To judge a unit by: one strange pixel is no reason to end a job."""
COARSE_GSD_M = 20
SHARPNESS = -0.75
"""Of the cubic kernel, as the bands of 20 m were interpolated for the training."""


class Images(NamedTuple):
    """One sensor's images, one a day in ascending order.

    Attributes
    ----------
    values, valid
        (t, bands, y, x); valid is what was measured, clouds included.
    clear
        (t, y, x): where the cube's flags say that the ground was seen; where it has none, what was measured.
    days
        (t,) since 1970-01-01.
    present
        Positions of the bands that the cube has.
    """

    values: Values
    valid: Mask
    clear: Mask
    days: DayNumbers
    present: tuple[int, ...]


def labelled(cube: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return the cube as `cubes.canonical` does, Landsat-9 as Landsat-8, bare names of the one sensor known.

    Raises
    ------
    InvalidCube
        As `canonical`, or if two bands have the same name then.
    """
    given = cubes.canonical(cube)
    given = given.assign_coords(bands=known_labels(given["bands"].values))
    ninth = np.array([str(label).startswith("l9_") for label in given["bands"].values])
    if not ninth.any():
        return given
    eighth = given[:, ninth]
    eighth = eighth.assign_coords(bands=[f"l8_{str(name)[3:]}" for name in eighth["bands"].values])
    return xr.concat([given[:, ~ninth], eighth], "t", join="outer") if not ninth.all() else eighth


def images_of(cube: xr.DataArray, sensor: str, bands: Sequence[str]) -> Images | None:
    """Return one sensor's images in a cube of `labelled`; None if the cube has none of its bands.

    What is outside the range of a valid reflectance or of `POSSIBLE_KELVIN`, NaN, and reflectance of exactly
    0 in all bands is not valid. Images of one day become their mean; a day is clear where each of the flags
    that the cube has for this sensor was given on that day and says so.

    Bands of 20 m that were brought to 10 m by repeating each value 2 x 2 times are interpolated (cubic), as
    they were for the training.

    Parameters
    ----------
    cube
        From `labelled`.
    sensor
        "l8" or "s2".
    bands
        Names in the model's order.

    Raises
    ------
    InvalidCube
        If values cannot be reflectance 0-1 or kelvin.
    """
    there = set(cube["bands"].values.tolist())
    present = tuple(place for place, band in enumerate(bands) if f"{sensor}_{band}" in there)
    if not present:
        return None
    flags = [name for name in FLAGS[sensor] if f"{sensor}_{name}" in there]
    labels = [f"{sensor}_{name}" for name in (*(bands[place] for place in present), *flags)]
    frames = _with_content(cube.sel(bands=labels))
    values, valid, numbers = _measured(frames, labels[: len(present)])
    days, place = np.unique(numbers, return_inverse=True)
    values, valid = _daily_means(values, valid, place, len(days))
    words = {name: frames.sel(bands=f"{sensor}_{name}").values for name in flags}
    clear = _clear(words, FLAGS[sensor], place, valid)
    if sensor == "s2":
        _undo_repeats(values, valid, [bands[place] for place in present])
    seen = valid.any((1, 2, 3))
    whole = _in_order(values[seen], present, len(bands))
    return Images(whole, _in_order(valid[seen], present, len(bands)), clear[seen], days[seen], present)


def _with_content(cube: xr.DataArray) -> xr.DataArray:
    """The dates on which any of the bands holds a number."""
    there = np.array([bool(np.isfinite(frame).any()) for frame in cube.values])
    return cube if there.all() else cube[there]


def _measured(cube: xr.DataArray, labels: list[str]) -> cubes.SensorArrays:
    """Values of the labels (t, bands, y, x), where they are measurements, and their days."""
    arrays = cubes.band_arrays(cube, None, labels)
    optical = [place for place, label in enumerate(labels) if cubes.is_reflectance(label)]
    if optical:
        arrays.valid[:, optical] &= (arrays.values[:, optical] != 0).any(1, keepdims=True)
    for place in set(range(len(labels))) - set(optical):
        kelvin = arrays.values[:, place]
        _check_kelvin(kelvin[arrays.valid[:, place]])
        arrays.valid[:, place] &= (kelvin >= POSSIBLE_KELVIN[0]) & (kelvin <= POSSIBLE_KELVIN[1])
    return arrays


def _check_kelvin(sample: NDArray[np.float32]) -> None:
    """Raise InvalidCube unless values can be kelvin; zeros are nodata of any unit."""
    sample = sample[sample != 0]
    lowest, highest = POSSIBLE_KELVIN
    if sample.size < ENOUGH_VALUES or lowest - 1.1 <= (middle := float(np.median(sample))) <= highest:
        return
    guess = "stored integers? they become kelvin by x 0.00341802 + 149; tenths of a kelvin? by x 0.1"
    if middle < lowest:
        guess = "degrees Celsius? add 273.15"
    raise InvalidCube(
        f"surface temperature (l8_LST) must be in kelvin, {lowest:.0f} to {highest:.0f}; its median is "
        f"{middle:.4g}: {guess}"
    )


def _daily_means(values: Values, valid: Mask, place: NDArray[np.intp], count: int) -> tuple[Values, Mask]:
    """Means of the valid values of each day; `place` (t,) is the day of each image."""
    if len(place) == count:
        order = np.argsort(place)
        return np.where(valid, values, np.float32(0))[order], valid[order]
    total = np.zeros((count, *values.shape[1:]), np.float32)
    number = np.zeros(total.shape, np.uint8)
    for step, day in enumerate(place):
        total[day] += np.where(valid[step], values[step], np.float32(0))
        number[day] += valid[step]
    return np.asarray(total / np.maximum(number, 1), np.float32), number > 0


def _clear(
    words: Mapping[str, Values],
    known: Mapping[str, Callable[[quality_flags.Flags], Mask]],
    place: NDArray[np.intp],
    valid: Mask,
) -> Mask:
    """Where each day is clear, (day, y, x), by all flags there are."""
    clear: Mask = np.asarray(valid.any(1))
    for name, own in words.items():
        told, cloudy = np.zeros((2, *clear.shape), np.bool_)
        for step, day in enumerate(place):
            there = np.isfinite(own[step])
            told[day] |= there
            cloudy[day] |= there & ~known[name](own[step])
        clear &= told & ~cloudy
    return clear


def _in_order(array: NDArray[Number], present: tuple[int, ...], count: int) -> NDArray[Number]:
    """Bands at their positions among all of the model's."""
    if len(present) == count:
        return array
    complete = np.zeros((len(array), count, *array.shape[2:]), array.dtype)
    complete[:, list(present)] = array
    return complete


# --- bands of 20 m


def _undo_repeats(values: Values, valid: Mask, bands: Sequence[str]) -> None:
    """Interpolate, in place, bands of 20 m whose values all come in blocks of 2 x 2 equal ones."""
    own = [place for place, band in enumerate(bands) if _is_coarse(band)]
    if not own:
        return
    coarse = np.where(valid[:, own], values[:, own], np.float32(np.nan))
    rows, columns = (_start_of_pairs(np.moveaxis(coarse, axis, 0)) for axis in (-2, -1))
    if rows is None or columns is None:
        return
    finer = coarse
    for axis, first in ((-2, rows), (-1, columns)):
        finer = np.moveaxis(_interpolated(np.moveaxis(finer, axis, 0), first), 0, axis)
    values[:, own] = np.where(np.isfinite(finer), finer, values[:, own])


def _is_coarse(band: str) -> bool:
    known = sensors.SENTINEL2.band(band)
    return known is not None and known.gsd_m == COARSE_GSD_M


def _start_of_pairs(lines: Values) -> int | None:
    """Where pairs of equal lines begin, 0 or 1; None where lines do not come in pairs.

    What is missing equals anything: at the edge of the data half a pair may lie in a tile.
    """
    same = [not ((one != next_) & ~np.isnan(one + next_)).any() for one, next_ in pairwise(lines)]
    return next((start for start in (0, 1) if all(same[start::2])), None)


def _interpolated(lines: Values, start: int) -> Values:
    """Lines (n, ...) in pairs of equal ones, interpolated between the pairs' centres.

    Beyond the last pair that is not missing its value goes on, as at the edge of an image. The kernel is the
    cubic convolution of Keys 1981, doi:10.1109/TASSP.1981.1163711.
    """
    count = (len(lines) + start + 1) // 2
    first = 2 * np.arange(count) - start
    halves = lines[np.maximum(first, 0)], lines[np.minimum(first + 1, len(lines) - 1)]
    own = np.where(np.isnan(halves[0]), halves[1], halves[0])
    out = np.empty((2 * count, *lines.shape[1:]), np.float32)
    before, after = _neighbours(own, -1), _neighbours(own, 1)
    for half, (near, other) in enumerate(((before, after), (after, before))):
        pairs = (near[1], near[0], own, other[0])
        out[half::2] = sum(np.float32(weight) * pair for weight, pair in zip(_WEIGHTS, pairs, strict=True))
    return out[start : start + len(lines)]


def _neighbours(pairs: Values, step: int) -> tuple[Values, Values]:
    """The next pair in a direction and the one behind it; where one is missing, the one before goes on."""
    beyond = np.full_like(pairs[:1], np.nan)
    found = [pairs]
    for _ in range(2):
        shifted = [found[-1][1:], beyond] if step > 0 else [beyond, found[-1][:-1]]
        found.append(np.concatenate(shifted))
    near = np.where(np.isnan(found[1]), pairs, found[1])
    return near, np.where(np.isnan(found[2]), near, found[2])


def _cubic(x: float) -> float:
    if x <= 1:
        return (SHARPNESS + 2) * x**3 - (SHARPNESS + 3) * x**2 + 1
    return SHARPNESS * (x**3 - 5 * x**2 + 8 * x - 4)


_WEIGHTS = tuple(_cubic(away) for away in (1.75, 0.75, 0.25, 1.25))
"""Of four pairs for the first line of the third, by how far their centres are; mirrored for the second."""
