"""Measure a model on pixels and a VIIRS platform that its training never saw."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import identity, linear
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.satfusenet import OTHER, Config
from openeo_udf_fusion.models.series import Observations, Prediction
from openeo_udf_fusion.training.batches import Noise, disturb_viirs
from openeo_udf_fusion.training.losses import crps_normal
from openeo_udf_fusion.training.pairs import split_pixels
from openeo_udf_fusion.training.satfusenet import load_pairs
from openeo_udf_fusion.training.spectra import Platform

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
PLATFORM: Platform = "NOAA-20"
SEED = 77
FIRST_DAY = 15_340  # 2012-01-01
GAP_DAYS = (5, 10, 20, 40, 80, 160)
GAP_REPEATS = 6
CENTRAL_80 = 1.2815516
"""Half the width of the central 80 % interval of a standard normal distribution."""


class Model(Protocol):
    """What is measured."""

    def predict(
        self, observed: Mapping[str, Observations], query_days: NDArray[np.int32], target: str
    ) -> Prediction:
        """Predict one sensor's reflectance on the queried days."""


def held_out(data: Path, split: str = "test") -> dict[str, Observations]:
    """A year of both sensors for held-out pixels, VIIRS through NOAA-20's responses and with noise."""
    pairs = load_pairs(data, (PLATFORM,), 1, SEED)
    pixels = split_pixels(len(pairs.modis))[split]
    noise = Noise(response_nm=0.0)  # the platform differs from the one trained on; no need to shift it more
    viirs = disturb_viirs(pairs.viirs[0, pixels], noise, np.random.default_rng(SEED))
    days = np.arange(FIRST_DAY, FIRST_DAY + pairs.modis.shape[1], dtype=np.int32)
    return {
        "modis": Observations(to_cube(pairs.modis[pixels]), to_cube(pairs.modis_valid[pixels]), days),
        "viirs": Observations(to_cube(viirs), to_cube(pairs.viirs_valid[pixels]), days),
    }


def to_cube(series: NDArray[Any]) -> NDArray[Any]:
    """(p, t, b) -> (t, b, 1, p)."""
    return np.ascontiguousarray(series.transpose(1, 2, 0)[:, :, None])


def measure(model: Model, data: Path, split: str = "test") -> Json:
    """Translation in both directions and gap filling, per band, beside identity and linear interpolation.

    All numbers are reflectance except coverage (the share of observations inside the central 80 % interval).
    """
    truth = held_out(data, split)
    return {
        "split": split,
        "pixels": truth["modis"].values.shape[-1],
        "viirs_platform": PLATFORM,
        "translation": {f"{OTHER[s]}_to_{s}": translation(model, truth, s) for s in OTHER},
        "gap_filling_modis_alone": {str(days): gaps(model, truth, days) for days in GAP_DAYS},
        "gap_filling_with_viirs": {str(days): gaps(model, truth, days, with_viirs=True) for days in GAP_DAYS},
    }


def translation(model: Model, truth: Mapping[str, Observations], target: str) -> Json:
    """One sensor from the other alone, scored on the days that the other saw."""
    source: dict[str, Observations] = {OTHER[target]: truth[OTHER[target]]}
    query = truth[target].days
    as_it_is = identity.predict(source, query, target).mean
    cells = truth[target].valid & np.isfinite(as_it_is)
    predicted = model.predict(source, query, target)
    others = {"identity": as_it_is}
    return compare(predicted.mean, predicted.sigma, others, truth[target].values, cells, target)


def gaps(model: Model, truth: Mapping[str, Observations], length: int, *, with_viirs: bool = False) -> Json:
    """MODIS inside artificial gaps of `length` days, one a pixel and repeat, observed before and after."""
    series, rng = truth["modis"], np.random.default_rng(SEED + length)
    means, sigmas, lines, cells = [], [], [], []
    for _ in range(GAP_REPEATS):
        hidden = draw_gaps(series.valid, length, rng)
        masked = Observations(series.values, series.valid & ~hidden, series.days)
        observed = {"modis": masked} | ({"viirs": truth["viirs"]} if with_viirs else {})
        prediction = model.predict(observed, series.days, "modis")
        means.append(prediction.mean)
        sigmas.append(prediction.sigma)
        lines.append(linear.predict({"modis": masked}, series.days, "modis").mean)
        cells.append(series.valid & hidden)
    predicted = np.concatenate(means), np.concatenate(sigmas)
    values = np.concatenate([series.values] * GAP_REPEATS)
    others = {"linear": np.concatenate(lines)}
    return compare(*predicted, others, values, np.concatenate(cells), "modis")


def draw_gaps(valid: Bools, length: int, rng: np.random.Generator) -> Bools:
    """True inside one gap a pixel; the pixel was observed before and after it. valid is (t, b, y, x)."""
    hidden = np.zeros_like(valid)
    for y, x in np.ndindex(valid.shape[2:]):
        seen = np.flatnonzero(valid[:, :, y, x].any(axis=1))
        if seen.size and seen[-1] - seen[0] > length:
            start = int(rng.integers(seen[0] + 1, seen[-1] - length + 1))
            hidden[start : start + length, :, y, x] = True
    return hidden


def compare(
    mean: Floats, sigma: Floats, others: Mapping[str, Floats], truth: Floats, cells: Bools, target: str
) -> Json:
    """RMSE per band of model and comparators on the same cells; CRPS and coverage of the model."""
    inside = np.abs(truth - mean) <= CENTRAL_80 * sigma
    score = crps_normal(*(torch.from_numpy(a) for a in (truth, mean, sigma))).numpy()
    bands = Config().bands(target)
    errors = {"rmse": mean - truth} | {f"rmse_{name}": values - truth for name, values in others.items()}
    return {
        **{name: per_band(error, cells, bands, rmse) for name, error in errors.items()},
        "crps": per_band(score, cells, bands, np.mean),
        "coverage_80": per_band(inside, cells, bands, np.mean, digits=3),
        "cells": int(cells.sum()),
    }


def per_band(
    values: Floats | Bools,
    cells: Bools,
    bands: tuple[str, ...],
    score: Callable[[NDArray[Any]], Any],
    digits: int = 5,
) -> dict[str, float]:
    """A score of each band over its cells; all arrays (t, b, y, x)."""
    picked = {name: values[:, index][cells[:, index]] for index, name in enumerate(bands)}
    return {name: round(float(score(chosen)), digits) for name, chosen in picked.items()}


def rmse(error: NDArray[Any]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(error, dtype=np.float64).mean()))
