"""Intervals on real directional data: composites of single days, a third of them withheld."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation import cells, tables
from openeo_udf_fusion.evaluation.cells import Cells
from openeo_udf_fusion.evaluation.methods import Predict
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.series import Observations, Prediction
from openeo_udf_fusion.sensors import FUSED_BANDS
from openeo_udf_fusion.training import composites
from openeo_udf_fusion.training.composites import SQUARE_PX

NOTE = (
    "MOD09A1 of a real scene (Munich, 2022): each pixel at its own acquisition day, clear by its state "
    f"flags; a third of its clear composites is withheld; intervals resample squares of {SQUARE_PX} pixels. "
    "The floor of the spread was set on the other squares of a chessboard over the same scene and year"
)


def evaluate(
    data: Path,
    methods: Mapping[str, Predict],
    pixels: int,
    resamples: int,
    seed: int,
    progress: Callable[[str], None],
) -> Json:
    """Scores per band and method; with the reason instead, where the data folder has no such scene."""
    bands = FUSED_BANDS["modis"]
    scene = composites.read(data)
    if scene is None:
        return {"not_evaluated": f"the data folder has no collection {composites.COLLECTION}", "rows": []}
    found = score(scene, methods, pixels, seed, progress)
    kept = found.where(found.answered())
    shape = (int(found.pixel.max(initial=-1)) + 1, len(bands))
    sums = {name: kept.sums(name, shape) for name in methods}
    baselines = [name for name in methods if name != "satfusenet"]
    ratios, mean = tables.ratio_rows(sums, "satfusenet", baselines, bands, {}, resamples)
    return {
        "note": NOTE,
        "collection": composites.COLLECTION,
        "squares": int(np.unique(kept.pixel).size),
        "values": int(kept.pixel.size),
        "rows": tables.score_rows(sums, bands, {}, "linear"),
        "ratio": ratios,
        "ratio_mean": mean,
        "coverage": tables.coverage_rows(sums["satfusenet"], bands, {}, resamples),
    }


def score(
    scene: Observations,
    methods: Mapping[str, Predict],
    pixels: int,
    seed: int,
    progress: Callable[[str], None],
) -> Cells:
    """Predictions of withheld composites of some of the pixels; `pixel` of a cell is its square."""
    withheld = composites.withhold(scene, "test", pixels, seed)
    series, hidden = withheld.observed, withheld.hidden
    query = np.unique(series.days[hidden.any(axis=1)])
    found = cells.pick(
        series.values, hidden, withheld.square, np.zeros((len(hidden), hidden.shape[-1]), np.int64)
    )
    for name, predict in methods.items():
        prediction = predict({"modis": series}, query, "modis")
        found.add(name, on_own_days(prediction, query, series.days), hidden)
        progress(f"withheld composites: {name}")
    return found


def on_own_days(prediction: Prediction, query: NDArray[np.int32], days: NDArray[np.int32]) -> Prediction:
    """What was predicted for each step's own day: (query, b, y, x) and days (t, y, x) -> (t, b, y, x)."""
    at = np.minimum(np.searchsorted(query, days), len(query) - 1)[:, None]
    mean, sigma = (np.take_along_axis(each, at, axis=0) for each in (prediction.mean, prediction.sigma))
    return Prediction(mean, sigma, mean[None, :0])
