"""Rows of JSON out of sums: what a method scored, and how two methods compare."""

from collections.abc import Mapping, Sequence

import numpy as np

from openeo_udf_fusion.evaluation import metrics, resampling
from openeo_udf_fusion.evaluation.metrics import Sums
from openeo_udf_fusion.evaluation.resampling import Interval
from openeo_udf_fusion.jsontypes import Json

DIGITS = 5
ALL_BANDS = "all"


def number(value: object, digits: int = DIGITS) -> float | None:
    """A JSON number of so many significant digits; None for NaN."""
    found = float(value)  # type: ignore[arg-type]
    return float(f"{found:.{digits}g}") if np.isfinite(found) else None


def score_rows(sums: Mapping[str, Sums], bands: Sequence[str], labels: Json, reference: str) -> list[Json]:
    """Every score of every method and band, from sums per pixel and band.

    Parameters
    ----------
    sums
        By method, (pixels, bands) over the same cells.
    bands
        Their names.
    labels
        What else each row says.
    reference
        The method that the CRPS skill is relative to: 1 - CRPS / CRPS of the reference.
    """
    totals = {name: metrics.over_pixels(each) for name, each in sums.items()}
    reference_crps = metrics.crps(totals[reference])
    rows: list[Json] = []
    for name, total in totals.items():
        columns = {
            "rmse": metrics.rmse(total),
            "bias": metrics.bias(total),
            "crps": metrics.crps(total),
            "crps_skill": 1 - metrics.ratio(metrics.crps(total), reference_crps),
            "nse": metrics.nse(total),
            **{f"coverage{level * 100:.0f}": metrics.coverage(total, level) for level in metrics.LEVELS},
        }
        for place, band in enumerate(bands):
            scores = {column: number(values[place]) for column, values in columns.items()}
            rows.append({**labels, "band": band, "method": name, **scores, "cells": int(total.cells[place])})
    return rows


def best_baselines(sums: Mapping[str, Sums], baselines: Sequence[str]) -> list[str]:
    """For every band the baseline with the smallest RMSE on all cells."""
    errors = np.stack([metrics.rmse(metrics.over_pixels(sums[name])) for name in baselines])
    return [baselines[place] for place in np.argmin(np.nan_to_num(errors, nan=np.inf), axis=0)]


def columns_of(sums: Mapping[str, Sums], chosen: Sequence[str]) -> Sums:
    """Sums whose every band is of another method."""
    picked = [Sums(*(part[..., [place]] for part in sums[name])) for place, name in enumerate(chosen)]
    return Sums(*(np.concatenate(parts, axis=-1) for parts in zip(*picked, strict=True)))


def ratio_rows(
    sums: Mapping[str, Sums],
    method: str,
    baselines: Sequence[str],
    bands: Sequence[str],
    labels: Json,
    resamples: int,
) -> tuple[list[Json], Json]:
    """RMSE of a method over that of each band's best baseline: a row per band, and the mean of the bands."""
    best = best_baselines(sums, baselines)
    per_band, mean = resampling.rmse_ratio(sums[method], columns_of(sums, best), resamples)
    rows = [
        {**labels, "band": band, "baseline": best[place], **interval(per_band, "ratio", place)}
        for place, band in enumerate(bands)
    ]
    return rows, {**labels, **interval(mean, "ratio")}


def coverage_rows(sums: Sums, bands: Sequence[str], labels: Json, resamples: int) -> list[Json]:
    """Coverage of the 80 % intervals with its own interval: of all bands together, then of each."""
    rows: list[Json] = []
    for some, names in ((metrics.over_bands(sums), [ALL_BANDS]), (sums, list(bands))):
        found = resampling.coverage(some, 0.8, resamples)
        rows += [
            {
                **labels,
                "band": name,
                **interval(found, "coverage80", place),
                "half_width": number(found.half_width[place]),
            }
            for place, name in enumerate(names)
        ]
    return rows


def interval(found: Interval, name: str, place: int | None = None) -> Json:
    """An estimate under its name, and the ends of its interval."""
    at = () if place is None else (place,)
    return {
        name: number(found.estimate[at]),
        "low": number(np.asarray(found.low)[at]),
        "high": number(np.asarray(found.high)[at]),
    }
