"""How each value of a result came about, from where and when there were observations."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.cubes import DayNumbers, Mask, SensorArrays

OBSERVED, TRANSLATED, INTERPOLATED, EXTRAPOLATED, REFUSED = range(5)
MEANINGS = (
    "observed",
    "translated_from_the_other_sensor_on_the_same_day",
    "interpolated",
    "seasonal_or_extrapolated",
    "refused",
)
LONGEST_INTERPOLATED_GAP_DAYS = 80
"""Beyond it the neighbours in time say little: a value is called seasonal. It is the longest gap scored."""
STRANGE_SUPPORT_DAYS = 16
"""Up to here from an observation a pixel that the model does not know is interpolated: NBAR's own window."""

_NEVER = 30_000


class Trace(NamedTuple):
    """Codes and days to the nearest observation (NaN where there is none), both (query, y, x)."""

    code: NDArray[np.uint8]
    days_to_observation: NDArray[np.float32]


def refuse_strangers(traced: Trace, strangeness: NDArray[np.float32] | None) -> Trace:
    """Refuse what neither data nor model support: pixels unlike the training's, away from observations.

    Parameters
    ----------
    traced : Trace
    strangeness : (y, x), optional
        `Prediction.strangeness`: above 1 a pixel is unlike all that the model was trained on.
    """
    if strangeness is None:
        return traced
    far = ~(traced.days_to_observation <= STRANGE_SUPPORT_DAYS)
    return traced._replace(code=np.where(far & (strangeness > 1), np.uint8(REFUSED), traced.code))


class _Neighbours(NamedTuple):
    """Days to the last observation before or on a day, and to the next one on or after it."""

    before: NDArray[np.int16]
    after: NDArray[np.int16]


def trace(
    own: SensorArrays | None,
    other: SensorArrays | None,
    partners: Sequence[int],
    query_days: DayNumbers,
    support_days: int,
    longest_gap_days: int = LONGEST_INTERPOLATED_GAP_DAYS,
) -> Trace:
    """Trace every value of a translation between two sensors to what it rests on.

    Parameters
    ----------
    own, other : SensorArrays, optional
        Observations of the sensor that is predicted, and of the one that helps; either may be missing.
    partners : sequence of int
        For each band of `own` the position of the band of `other` that stands for it.
    query_days : (query,) int32
        Days since 1970-01-01, ascending.
    support_days : int
        Farther than this from every observation a value is refused.
    longest_gap_days : int
        In a longer gap a value is called seasonal or extrapolated, in a shorter one interpolated.

    Returns
    -------
    Trace
        The code is the worst over the bands; the distance is that to the nearest observation of any band.
    """
    sides = [arrays for arrays in (own, other) if arrays is not None]
    first, last = _window(sides, query_days)
    place = query_days - first
    y, x = sides[0].values.shape[2:]
    anything = np.zeros((last - first + 1, y, x), np.bool_)
    code = np.zeros((len(query_days), y, x), np.uint8)
    for own_valid, other_valid in _distinct_masks(own, other, partners):
        seen = _daily(own, own_valid, first, anything.shape)
        helped = seen | _daily(other, other_valid, first, anything.shape)
        anything |= helped
        np.maximum(code, _grade(seen[place], _neighbours(helped, place), longest_gap_days), out=code)
    nearest = np.minimum(*_neighbours(anything, place))
    code[nearest > support_days] = REFUSED
    return Trace(code, np.where(nearest < _NEVER, nearest, np.nan).astype(np.float32))


def _window(sides: Sequence[SensorArrays], query_days: DayNumbers) -> tuple[int, int]:
    """Return the first and last day of interest: of queries and of valid observations."""
    days = [query_days]
    for arrays in sides:
        per_day = arrays.valid.any((1, 2, 3)) if arrays.days.ndim == 1 else arrays.valid.any(1)
        days.append(arrays.days[per_day])
    every = np.concatenate([part.ravel() for part in days])
    return int(every.min()), int(every.max())


def _distinct_masks(
    own: SensorArrays | None, other: SensorArrays | None, partners: Sequence[int]
) -> list[tuple[Mask | None, Mask | None]]:
    """Return (own, other) validity (t, y, x) per band, once only if all bands share it (the usual case)."""
    masks = [
        (None if own is None else own.valid[:, band], None if other is None else other.valid[:, partner])
        for band, partner in enumerate(partners)
    ]
    alike = all(_same(mine, masks[0][0]) and _same(theirs, masks[0][1]) for mine, theirs in masks[1:])
    return masks[:1] if alike else masks


def _same(one: Mask | None, another: Mask | None) -> bool:
    return one is another if one is None or another is None else np.array_equal(one, another)


def _daily(arrays: SensorArrays | None, valid: Mask | None, first: int, shape: tuple[int, ...]) -> Mask:
    """Return on which days of the window each pixel was seen."""
    seen = np.zeros(shape, np.bool_)
    if arrays is None or valid is None:
        return seen
    for step in np.flatnonzero(valid.reshape(len(valid), -1).any(1)):
        if arrays.days.ndim == 1:
            seen[arrays.days[step] - first] |= valid[step]
        else:
            rows, columns = np.nonzero(valid[step])
            seen[arrays.days[step][rows, columns] - first, rows, columns] = True
    return seen


def _neighbours(seen: Mask, place: DayNumbers) -> _Neighbours:
    return _Neighbours(_days_since(seen)[place], _days_since(seen[::-1])[::-1][place])


def _days_since(seen: Mask) -> NDArray[np.int16]:
    """Return the days from each day back to the last one that was seen."""
    since = np.empty(seen.shape, np.int16)
    last = np.full(seen.shape[1:], _NEVER, np.int16)
    for day, now in enumerate(seen):
        last = np.where(now, np.int16(0), np.minimum(last + np.int16(1), np.int16(_NEVER)))
        since[day] = last
    return since


def _grade(seen: Mask, near: _Neighbours, longest_gap_days: int) -> NDArray[np.uint8]:
    """Return the code of one band."""
    span = near.before.astype(np.int32) + near.after
    code = np.where(span <= longest_gap_days, np.uint8(INTERPOLATED), np.uint8(EXTRAPOLATED))
    code[near.before == 0] = TRANSLATED
    code[seen] = OBSERVED
    return code
