"""Calibrate the linear translations that the network starts from: per band the simplest that does."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import ridge
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.merging import Merge
from openeo_udf_fusion.models.satfusenet import OTHER, SatFuseNet
from openeo_udf_fusion.training.pairs import Pairs

Floats = NDArray[np.float64]
ROWS = 200_000
WORTH = 0.99
"""A more complex translation is taken when it brings the error on other places below this share."""
ALIKE = {"modis": ("B4",), "viirs": ("I1", "M4")}
"""Bands that pass as they are: the centres of I1 and M4 differ as much between S-NPP (638, 551 nm) and its
successors (643, 556 nm) as from MODIS's B1 and B4 (646, 554 nm), so that what would correct one platform
harms the next. B1 has M5 beside I1 to be made from."""


class Linear(NamedTuple):
    """target = source @ weight + bias, for one band: weight (source bands,)."""

    weight: Floats
    bias: float


def fit_translations(model: SatFuseNet, pairs: Pairs) -> None:
    """Set the linear translations and the climatology from noisy pairs.

    Each band gets the other sensor's partner band as it is, or that band scaled, or all bands weighted:
    whichever is the simplest that is not clearly worse on places that the fit did not see. Noise in the
    source is what keeps the least squares of all bands from leaning on small differences between bands,
    which another platform does not share. Bright scenes count less.

    Where places have several samples, half of those judge the others: simulated ones are of other spectra.
    """
    series, half = same_days(pairs)
    weight = 1 / (series["modis"].mean(-1, keepdims=True) + 0.05)
    for target, source in OTHER.items():
        merge = model.merge_into(target)
        merge.climatology.copy_(torch.from_numpy(series[target].mean(0)))
        alike = [name in ALIKE[target] for name in model.config.bands(target)]
        set_translation(merge, series[source], series[target], weight, half, alike)


def same_days(pairs: Pairs) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    """Spectra (n, b) of both sensors where both are whole, and which of them are of every other place.

    Those of NBAR where there are some: angles blur what the bands have in common.
    """
    rng = np.random.default_rng(0)
    steady = pairs.product == "nbar" if (pairs.product == "nbar").any() else np.ones(len(pairs), bool)
    both = pairs.modis_valid.all(-1) & pairs.viirs_valid.all(-1) & steady[:, None]
    sample, day = np.nonzero(both)
    if not len(sample):
        raise InvalidParameter(
            "there is no day on which both sensors have all their bands, so that nothing can be translated; "
            "collect more pairs, or mask less"
        )
    some = rng.permutation(len(sample))[:ROWS]
    sample, day = sample[some], day[some]
    series = {
        "modis": pairs.modis[sample, day].astype(np.float64),
        "viirs": pairs.viirs[sample, day].astype(np.float64),
    }
    return series, halves(pairs)[sample]


def halves(pairs: Pairs) -> NDArray[np.bool_]:
    """Half of the samples (n,): of each place the later ones where it has several, else every other place."""
    order = np.lexsort((np.arange(len(pairs)), pairs.pixel))
    _, first, count = np.unique(pairs.pixel[order], return_index=True, return_counts=True)
    turn = np.empty(len(pairs), dtype=np.int64)
    turn[order] = np.arange(len(pairs)) - np.repeat(first, count)
    size = np.empty(len(pairs), dtype=np.int64)
    size[order] = np.repeat(count, count)
    return np.where(size > 1, turn * 2 >= size, pairs.pixel % 2 == 0)


def set_translation(
    merge: Merge,
    source: Floats,
    target: Floats,
    weight: Floats,
    half: NDArray[np.bool_],
    alike: Sequence[bool],
) -> None:
    """Choose and set the translation of each band, and the one for when only the partner band is there."""
    translation = merge.translate
    for band, partner in enumerate(translation.partner):
        errors = np.zeros(3)
        for fitted, scored in ((half, ~half), (~half, half)):
            fits = candidates(source[fitted], target[fitted, band], weight[fitted], partner)
            errors += [
                np.square(source[scored] @ f.weight + f.bias - target[scored, band]).mean() for f in fits
            ]
        fits = candidates(source, target[:, band], weight, partner)
        best = 0
        for more in () if alike[band] else (1, 2):
            best = more if np.sqrt(errors[more] / errors[best]) < WORTH else best
        chosen, alone = fits[best], fits[min(best, 1)]
        translation.weight[band] = torch.from_numpy(chosen.weight)
        translation.bias[band] = chosen.bias
        translation.slope[band], translation.offset[band] = float(alone.weight[partner]), alone.bias


def candidates(source: Floats, target: Floats, weight: Floats, partner: int) -> tuple[Linear, Linear, Linear]:
    """The partner band as it is, the partner band scaled, all bands weighted: from simple to complex."""
    unit = np.eye(source.shape[1])[partner]
    share = (weight / weight.sum())[:, 0]
    rows = np.random.default_rng(0).choice(len(source), size=min(len(source), 100_000), p=share)
    alone = ridge.fit(source[rows][:, [partner]], target[rows, None])
    together = ridge.fit(source[rows], target[rows, None])
    return (
        Linear(unit, 0.0),
        Linear(unit * float(alone.weight[0, 0]), float(alone.bias[0])),
        Linear(together.weight[:, 0], float(together.bias[0])),
    )
