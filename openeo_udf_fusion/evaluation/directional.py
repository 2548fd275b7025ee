"""Intervals on real directional data: composites of single days, a third of them withheld."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion import cubes
from openeo_udf_fusion.errors import UnknownCollection
from openeo_udf_fusion.evaluation import cells, tables
from openeo_udf_fusion.evaluation.cells import Cells
from openeo_udf_fusion.evaluation.methods import Predict
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.series import Observations, Prediction
from openeo_udf_fusion.sensors import FUSED_BANDS

COLLECTION = "munich_modis"
WITHHELD = 1 / 3
BLOCK_PX = 10
"""Neighbours share weather and ground: whole squares of so many pixels are resampled."""
NOTE = (
    "MOD09A1 of a real scene (Munich, 2022): each pixel at its own acquisition day, clear by its state "
    f"flags; a third of its clear composites is withheld; intervals resample squares of {BLOCK_PX} pixels"
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
    scene = read(data)
    if scene is None:
        return {"not_evaluated": f"the data folder has no collection {COLLECTION}", "rows": []}
    found, squares = withhold(scene, methods, pixels, seed, progress)
    kept = found.where(found.answered())
    shape = (squares, len(bands))
    sums = {name: kept.sums(name, shape) for name in methods}
    baselines = [name for name in methods if name != "satfusenet"]
    ratios, mean = tables.ratio_rows(sums, "satfusenet", baselines, bands, {}, resamples)
    return {
        "note": NOTE,
        "collection": COLLECTION,
        "pixels": min(pixels, scene.values[0, 0].size),
        "squares": int(np.unique(kept.pixel).size),
        "rows": tables.score_rows(sums, bands, {}, "linear"),
        "ratio": ratios,
        "ratio_mean": mean,
        "coverage": tables.coverage_rows(sums["satfusenet"], bands, {}, resamples),
    }


def read(data: Path) -> Observations | None:
    """The scene as observations, (t, 7, y, x) with days (t, y, x); None if the folder has none."""
    from openeo_udf_fusion.local.collections import get_collection

    try:
        collection = get_collection(data, COLLECTION)
    except UnknownCollection:
        return None
    cube = cubes.canonical(collection.open())
    return Observations(*cubes.sensor_arrays(cube, "modis", FUSED_BANDS["modis"]))


def withhold(
    scene: Observations,
    methods: Mapping[str, Predict],
    pixels: int,
    seed: int,
    progress: Callable[[str], None],
) -> tuple[Cells, int]:
    """Predictions of withheld composites of some of the pixels; `pixel` of a cell is its square."""
    rng = np.random.default_rng(seed)
    steps, bands, height, width = scene.values.shape
    chosen = np.sort(rng.permutation(height * width)[:pixels])
    across = -(-width // BLOCK_PX)
    square = (chosen // width) // BLOCK_PX * across + (chosen % width) // BLOCK_PX
    values = scene.values.reshape(steps, bands, 1, -1)[..., chosen]
    valid = scene.valid.reshape(steps, bands, 1, -1)[..., chosen]
    own_days = np.broadcast_to(
        scene.days if scene.days.ndim == 3 else scene.days[:, None, None], (steps, height, width)
    )
    days = own_days.reshape(steps, 1, -1)[..., chosen]
    seen: NDArray[np.bool_] = np.any(valid, axis=1, keepdims=True)
    hidden = valid & third(seen, rng)
    observed = {"modis": Observations(values, valid & ~hidden, days)}
    query = np.unique(days[hidden.any(axis=1)])
    found = cells.pick(values, hidden, square, np.zeros((steps, len(chosen)), np.int64))
    for name, predict in methods.items():
        found.add(name, on_own_days(predict(observed, query, "modis"), query, days), hidden)
        progress(f"withheld composites: {name}")
    return found, int(across * -(-height // BLOCK_PX))


def third(seen: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A third of each pixel's steps that were seen, (t, 1, y, x)."""
    order = np.where(seen, rng.random(seen.shape), 2).argsort(axis=0).argsort(axis=0)
    return np.asarray(seen & (order < np.round(seen.sum(axis=0) * WITHHELD)))


def on_own_days(prediction: Prediction, query: NDArray[np.int32], days: NDArray[np.int32]) -> Prediction:
    """What was predicted for each step's own day: (query, b, y, x) and days (t, y, x) -> (t, b, y, x)."""
    at = np.minimum(np.searchsorted(query, days), len(query) - 1)[:, None]
    mean, sigma = (np.take_along_axis(each, at, axis=0) for each in (prediction.mean, prediction.sigma))
    return Prediction(mean, sigma, mean[None, :0])
