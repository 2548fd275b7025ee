"""Translators that must be fitted, each on the pixels that it is not scored on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import band_linear, identity, mlp, ridge
from openeo_udf_fusion.evaluation.methods import Method, Predict, alike
from openeo_udf_fusion.evaluation.series import Series
from openeo_udf_fusion.models.satfusenet import OTHER
from openeo_udf_fusion.training import campaign, pairs
from openeo_udf_fusion.training.pairs import Pairs

ROWS, MLP_ROWS = 200_000, 100_000
MLP_EPOCHS = 30
SEED = 11
NOTE = (
    "band_linear, ridge and mlp are fitted anew for each part of the pixels on all other pixels: MODIS and "
    "VIIRS of the same day in the NBAR samples of the simulation that the network is trained on (S-NPP's "
    f"responses, {campaign.VARIANTS} samples a pixel of which three quarters are NBAR, four libraries of the "
    f"training spectra), {ROWS} rows of them at most, {MLP_ROWS} for the mlp, whose epoch is chosen by a "
    "tenth of the pixels it is fitted on"
)


def training_pairs(data: Path, series: Series) -> Pairs:
    """The NBAR samples of what a network is trained on, for some pixels; `pixel` as in the folder."""
    blocks = pairs.simulate(
        data, campaign.PLATFORMS, campaign.VARIANTS, campaign.SEED, "train", pixels=series.row
    )
    sample = pairs.join([block.take(block.product == "nbar") for block in blocks])
    return replace(sample, first_day=np.full_like(sample.first_day, series.first_day))


def whole_days(sample: Pairs) -> NDArray[np.bool_]:
    """Days on which both sensors have all their bands, (n, t): translators are fitted on these alone."""
    return np.logical_and(sample.modis_valid.all(axis=-1), sample.viirs_valid.all(axis=-1))


def fit(sample: Pairs, series: Series, parts: int, epochs: int = MLP_EPOCHS) -> dict[str, dict[str, Method]]:
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
    x, y, day, pixel = same_day_rows(sample, source, target)
    some = slice(MLP_ROWS)
    network = mlp.fit(x[some], y[some], day[some], groups=pixel[some], seed=SEED, epochs=epochs)
    return {
        "band_linear": band_linear.fit(x, y, identity.partners(target)).predict,
        "ridge": ridge.fit(x, y).predict,
        "mlp": network.predict,
    }


def same_day_rows(
    sample: Pairs, source: str, target: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
    """Some days on which both sensors are whole, shuffled: source, target (n, b), day of year, pixel (n,)."""
    row, column = np.nonzero(whole_days(sample))
    some = np.random.default_rng(SEED).permutation(len(row))[:ROWS]
    row, column = row[some], column[some]
    values = {"modis": sample.modis[row, column], "viirs": sample.viirs[row, column]}
    day = mlp.day_of_year(sample.first_day[row] + column)
    return values[source], values[target], day, sample.pixel[row]
