"""Translators that must be fitted, each on the pixels that it is not scored on."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import band_linear, identity, mlp, ridge
from openeo_udf_fusion.evaluation.methods import Method, Predict, alike
from openeo_udf_fusion.evaluation.series import Series
from openeo_udf_fusion.models.satfusenet import OTHER
from openeo_udf_fusion.training import pairs
from openeo_udf_fusion.training.pairs import Pairs

ROWS = 40_000
SEED = 11
NOTE = (
    "band_linear, ridge and mlp are fitted anew for each part of the pixels on all other pixels: S-NPP's "
    "responses, the training spectra, MODIS and VIIRS of the same day"
)


def training_pairs(data: Path, series: Series) -> Pairs:
    """Pairs to fit on, as S-NPP sees the training spectra, one sample a pixel; `pixel` as in the folder."""
    return pairs.join(list(pairs.simulate(data, ["S-NPP"], 1, SEED, "train", series.row, directional=0.0)))


def fit(sample: Pairs, series: Series, parts: int, epochs: int = mlp.EPOCHS) -> dict[str, dict[str, Method]]:
    """Translators by target and name, each pixel with those fitted on the other parts.

    Parameters
    ----------
    sample
        Of `training_pairs`.
    series
        The pixels that will be scored; their keys say which part each falls into.
    parts
        How many fits there are of each kind.
    epochs
        Of the MLP.
    """
    part = np.array(series.keys) % parts
    methods: dict[str, dict[str, Method]] = {}
    for target, source in OTHER.items():
        fitted: list[Mapping[str, Predict]] = []
        for which in range(parts):
            others = sample.of_pixels(series.row[part != which])
            fitted.append(fit_one(others, source, target, epochs))
        methods[target] = {"identity": alike(identity.predict, len(series))} | {
            name: Method([each[name] for each in fitted], part) for name in fitted[0]
        }
    return methods


def fit_one(sample: Pairs, source: str, target: str, epochs: int) -> dict[str, Predict]:
    """The fitted translators of one direction."""
    x, y, day = same_day_rows(sample, source, target)
    return {
        "band_linear": band_linear.fit(x, y, identity.partners(target)).predict,
        "ridge": ridge.fit(x, y).predict,
        "mlp": mlp.fit(x, y, day, seed=SEED, epochs=epochs).predict,
    }


def same_day_rows(
    sample: Pairs, source: str, target: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Some days on which both sensors are whole: source (n, b), target (n, b) and day of year (n,)."""
    both = sample.modis_valid.all(axis=-1) & sample.viirs_valid.all(axis=-1)
    pixel, column = np.nonzero(both)
    some = np.random.default_rng(SEED).permutation(len(pixel))[:ROWS]
    pixel, column = pixel[some], column[some]
    values = {"modis": sample.modis[pixel, column], "viirs": sample.viirs[pixel, column]}
    return values[source], values[target], mlp.day_of_year(sample.first_day[pixel] + column)
