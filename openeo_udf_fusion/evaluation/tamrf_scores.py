"""Scores of drawn images against those held out: all methods of a question on the very same cells.

RMSE, frequency restoration and BRISQUE per band and method, and ratios of RMSE with intervals from drawing
dates with replacement, or blocks of dates where there are few.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from openeo_udf_fusion.baselines.image_pairs import BANDS, UPSCALING
from openeo_udf_fusion.evaluation import metrics, resampling
from openeo_udf_fusion.evaluation.brisque import SMALLEST_PX
from openeo_udf_fusion.evaluation.frequency_restoration import frequency_restoration
from openeo_udf_fusion.evaluation.metrics import Sums
from openeo_udf_fusion.evaluation.tables import interval, number
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.training import tamrf_losses
from openeo_udf_fusion.training.tamrf_losses import LST

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]
Doubles = NDArray[np.float64]
Reference = Literal["truth", "fine bands", "none"]
OBSERVED = "observed"
FINE = tamrf_losses.REFERENCES
COARSE = tuple(at for at in range(len(BANDS["s2"])) if at not in FINE)
"""Places of Sentinel-2's bands of 10 m and of 20 m."""
FEWEST_DATES = 5
"""Of fewer dates, blocks are drawn with replacement."""
BLOCKS = 3
"""Along each side of the site."""
CLEAR_FOR_SPECTRA = 0.95
"""Share of the window that must be clear for an image to serve as a reference of detail."""
STRETCH = (0.01, 0.99)
"""Quantiles of the observed clear values of a band that are black and white to BRISQUE."""


@dataclass(frozen=True)
class Measured:
    """An image held out.

    Attributes
    ----------
    sensor
        "s2" or "l8".
    values, counts
        (b, y, x) on the sensor's grid, and which cells were clear.
    reference
        What frequency restoration is relative to: the image itself, its 10 m bands, or nothing.
    fine
        Of 10 m in all bands: no point spread function lies between it and what is drawn.
    """

    sensor: str
    values: Values
    counts: Mask
    reference: Reference = "truth"
    fine: bool = False


@dataclass(frozen=True)
class Date:
    """What all methods made of one image held out, on the window that is scored.

    Attributes
    ----------
    truth
        (b, y, x) on the sensor's grid; NaN where it does not count.
    seen
        By method, what the sensor would have seen of the drawn image, as `truth`; NaN for no answer.
    restored, gained
        By method (b,), frequency restoration in dB, and what it is beyond the upsampled input.
    natural
        By method and for what was observed (b,), BRISQUE.
    """

    truth: Values
    seen: Mapping[str, Values]
    restored: Mapping[str, Doubles]
    gained: Mapping[str, Doubles]
    natural: Mapping[str, Doubles]


@dataclass(frozen=True)
class Group:
    """All dates of a task, strategy and sensor."""

    task: str
    strategy: str
    sensor: str
    dates: list[Date] = field(default_factory=list)

    @property
    def labels(self) -> Json:
        """What its rows begin with."""
        return {"task": self.task, "strategy": self.strategy, "sensor": self.sensor}

    @property
    def unit(self) -> str:
        """What is drawn with replacement."""
        return "dates" if len(self.dates) >= FEWEST_DATES else "blocks"


def compare(
    measured: Measured,
    drawn: Mapping[str, Values],
    margin_px: int,
    judge: Callable[[Values], float] | None = None,
) -> Date:
    """Compare what methods drew, (b, y, x) at 10 m, with what was held out.

    Parameters
    ----------
    measured
        The image held out.
    drawn
        By method; NaN where a method has no answer.
    margin_px
        Pixels of 10 m left out at every side.
    judge
        BRISQUE of an image (y, x) within 0-1; None where there is no model.
    """
    scale = UPSCALING if measured.sensor == "l8" else 1
    inner, coarse = inside(margin_px), inside(margin_px // scale)
    seen = {
        m: (image if measured.fine else as_seen(image, measured.sensor))[coarse] for m, image in drawn.items()
    }
    values, counts = measured.values[coarse], measured.counts[coarse]
    window = {m: image[inner] for m, image in drawn.items()}
    clear = bool(counts.any(0).mean() >= CLEAR_FOR_SPECTRA)
    restored, gained = spectra(measured, values, seen, window) if clear else ({}, {})
    own = {OBSERVED: values} if scale == 1 else {}
    truth = np.where(counts, values, np.float32(np.nan))
    return Date(truth, seen, restored, gained, naturalness(truth, {**own, **window}, judge))


def as_seen(image: Values, sensor: str) -> Values:
    """A drawn image (b, y, x) at 10 m as the sensor would have seen it, on its grid."""
    seen: Values = tamrf_losses.as_seen(torch.from_numpy(image)[None], sensor)[0].numpy()
    return seen


def inside(margin: int) -> tuple[slice, slice, slice]:
    """All of an image (b, y, x) but a margin."""
    cut = slice(margin, -margin or None)
    return slice(None), cut, cut


def spectra(
    measured: Measured, values: Values, seen: Mapping[str, Values], window: Mapping[str, Values]
) -> tuple[dict[str, Doubles], dict[str, Doubles]]:
    """Frequency restoration by method, of each band: against the reference, and against the input."""
    if measured.sensor != "s2" or measured.reference == "none":
        return {}, {}
    if measured.reference == "truth":
        pairs = {m: zip(image, values, strict=True) for m, image in seen.items()}
        return {m: np.array([frequency_restoration(*pair) for pair in each]) for m, each in pairs.items()}, {}
    fine = values[list(FINE)]
    restored, gained = {}, {}
    for m, image in window.items():
        restored[m], gained[m] = (np.full(len(image), np.nan) for _ in range(2))
        for band in COARSE:
            restored[m][band] = np.mean([frequency_restoration(image[band], other) for other in fine])
            gained[m][band] = frequency_restoration(image[band], values[band])
    return restored, gained


def naturalness(
    truth: Values, images: Mapping[str, Values], judge: Callable[[Values], float] | None
) -> dict[str, Doubles]:
    """BRISQUE by method, of each band in one stretch for all; NaN without a model, or if too small."""
    found = {m: np.full(len(truth), np.nan) for m in images}
    for band, known in enumerate(truth):
        if judge is None or not np.isfinite(known).any():
            continue
        black, white = np.nanquantile(known, STRETCH)
        for m, image in images.items():
            if white > black and min(image.shape[1:]) >= SMALLEST_PX:
                found[m][band] = judge(np.clip((image[band] - black) / (white - black), 0, 1))
    return found


# --- rows


def sums_of(group: Group) -> dict[str, Sums]:
    """Sums by method, (units, bands): of a band over the cells that all methods that draw it answer."""
    truth = np.stack([date.truth for date in group.dates])
    seen = {m: np.stack([date.seen[m] for date in group.dates]) for m in group.dates[0].seen}
    cells: Mask = np.isfinite(truth)
    draws = {m: band_mask(cells & np.isfinite(images)) for m, images in seen.items()}
    for m, images in seen.items():
        cells &= np.isfinite(images) | ~draws[m].reshape(-1, 1, 1)
    units = unit_numbers(group, truth.shape)
    found = {}
    for m, images in seen.items():
        at = np.nonzero(cells & draws[m].reshape(-1, 1, 1))
        none = np.full(len(at[0]), np.nan)
        shape = int(units.max()) + 1, truth.shape[1]
        found[m] = metrics.add_up(truth[at], images[at], none, units[at], at[1], shape)
    return found


def band_mask(cells: Mask) -> Mask:
    """Bands (b,) with any of their cells (dates, b, y, x)."""
    return np.asarray(cells.any((0, 2, 3)), np.bool_)


def unit_numbers(group: Group, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Of each cell (dates, b, y, x) the number of what is drawn with replacement."""
    dates, _, y, x = shape
    number = np.arange(dates)[:, None, None]
    if group.unit == "blocks":
        rows, columns = (np.arange(size) * BLOCKS // size for size in (y, x))
        number = number * BLOCKS**2 + rows[:, None] * BLOCKS + columns
    return np.ascontiguousarray(np.broadcast_to(number[:, None], shape)).astype(np.int64)


def rows_of(group: Group, sums: Mapping[str, Sums]) -> list[Json]:
    """A row per band and method that has an answer; what was observed has a row for its BRISQUE."""
    bands, rows = BANDS[group.sensor], []
    shown = np.array([np.isfinite(date.truth).any((1, 2)) for date in group.dates]).sum(0).tolist()
    errors = {m: metrics.rmse(metrics.over_pixels(each)) for m, each in sums.items()}
    restored, gained, naturals = (
        averages([getattr(date, name) for date in group.dates]) for name in ("restored", "gained", "natural")
    )
    for place, band in enumerate(bands):
        for m in [*sums, OBSERVED]:
            natural = of_band(naturals.get(m), place)
            answered = m in sums and np.isfinite(errors[m][place])
            if not answered and (m in sums or natural is None):
                continue
            rows.append(
                {
                    **group.labels,
                    "band": band,
                    "method": m,
                    "rmse": number(errors[m][place]) if answered else None,
                    "fr_db": of_band(restored.get(m), place),
                    "fr_gain_db": of_band(gained.get(m), place),
                    "brisque": natural,
                    "cells": int(sums[m].cells[:, place].sum()) if answered else 0,
                    "dates": int(scored_dates(sums[m], len(group.dates))[place])
                    if answered
                    else shown[place],
                }
            )
    return rows


def scored_dates(sums: Sums, dates: int) -> NDArray[np.int64]:
    """Of each band (b,), on how many dates there are cells that all methods answer."""
    cells = sums.cells.reshape(dates, -1, sums.cells.shape[1]).sum(1)
    return np.asarray((cells > 0).sum(0), np.int64)


def averages(found: Sequence[Mapping[str, Doubles]]) -> dict[str, Doubles]:
    """By method the mean of a score (b,) over the dates on which all methods that draw a band have one."""
    methods = dict.fromkeys(m for date in found for m in date)
    size = next((len(each) for date in found for each in date.values()), 0)
    none = np.full(size, np.nan)
    scores = {m: np.stack([date.get(m, none) for date in found]) for m in methods}
    known = {m: np.isfinite(each) for m, each in scores.items()}
    common = np.ones((len(found), size), np.bool_)
    for each in known.values():
        common &= each | ~each.any(0)
    count = np.where(common.any(0), common.sum(0), np.nan)
    return {
        m: np.where(known[m].any(0), np.where(common, each, 0).sum(0) / count, np.nan)
        for m, each in scores.items()
    }


def of_band(scores: Doubles | None, place: int) -> float | None:
    """The number of a band, if there is one."""
    return number(scores[place]) if scores is not None and np.isfinite(scores[place]) else None


def ratios_of(
    group: Group, sums: Mapping[str, Sums], models: Sequence[str], resamples: int, seed: int
) -> list[Json]:
    """RMSE of each model over each other method's: per band, and the mean of the reflective bands."""
    bands, rows = BANDS[group.sensor], []
    for model in models:
        for other in [m for m in sums if model in sums and m != model]:
            labels = {**group.labels, "method": model, "baseline": other, "drawn": group.unit}
            both = on_common_bands(sums[model], sums[other])
            if not both[0].cells.sum():
                continue
            per_band, _ = resampling.rmse_ratio(*both, resamples, seed)
            for place, band in enumerate(bands):
                if np.isfinite(per_band.estimate[place]):
                    rows.append({**labels, "band": band, **interval(per_band, "ratio", place)})
            reflective = slice(None, LST if group.sensor == "l8" else None)
            one, another = (Sums(*(part[..., reflective] for part in each)) for each in both)
            if one.cells.sum():
                mean = resampling.rmse_ratio(one, another, resamples, seed)[1]
                rows.append({**labels, "band": "mean", **interval(mean, "ratio")})
    return rows


def on_common_bands(one: Sums, other: Sums) -> tuple[Sums, Sums]:
    """The sums of two methods without the bands that only one of them draws."""
    both = (one.cells.sum(0) > 0) & (other.cells.sum(0) > 0)
    found = [Sums(*(np.where(both, part, 0.0) for part in each)) for each in (one, other)]
    return found[0], found[1]
