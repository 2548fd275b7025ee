"""GPP from reflectance and weather: two models, and their predictions where they were not trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation.gpp_towers import SHORTWAVE

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
RED, NIR = 0, 1
"""Positions of MODIS B1 and B2."""
PAR_SHARE = 0.45
"""Of the sun's short-wave radiation, as in the MOD17 user guide (C6)."""
FOLDS = 9


class Fitted(Protocol):
    """A model that was fitted."""

    def predict(self, bands: Doubles, weather: Doubles) -> Doubles:
        """GPP (n,) from reflectance (n, 7) in the order of MODIS and weather (n, 10)."""
        ...


class Fit(Protocol):
    """How a model is fitted."""

    def __call__(self, bands: Doubles, weather: Doubles, gpp: Doubles) -> Fitted:
        """Fit to reflectance (n, 7), weather (n, 10) and GPP (n,)."""
        ...


@dataclass(frozen=True)
class LightUse:
    """GPP = slope NIRv PAR + offset.

    NIRv = NDVI x near infrared, doi:10.1126/sciadv.1602244; times light it is doi:10.1016/j.rse.2021.112763.
    """

    slope: float
    offset: float

    def predict(self, bands: Doubles, weather: Doubles) -> Doubles:
        """GPP (n,), gC m-2 d-1, never negative."""
        return np.maximum(self.slope * light_of_leaves(bands, weather) + self.offset, 0)


def fit_light_use(bands: Doubles, weather: Doubles, gpp: Doubles) -> LightUse:
    """Fit slope and offset by least squares."""
    slope, offset = np.polyfit(light_of_leaves(bands, weather), gpp, 1)
    return LightUse(float(slope), float(offset))


def light_of_leaves(bands: Doubles, weather: Doubles) -> Doubles:
    """NIRv times photosynthetically active radiation: (n,), W m-2."""
    red, nir = bands[:, RED], bands[:, NIR]
    total = red + nir
    ndvi = np.divide(nir - red, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(ndvi * nir * PAR_SHARE * weather[:, SHORTWAVE])


@dataclass(frozen=True)
class KernelRidge:
    """Kernel ridge regression on all seven bands and all weather variables, doi:10.1007/978-0-387-84858-7.

    One of the methods that doi:10.5194/bg-13-4291-2016 upscales fluxes with. The kernel is a Gaussian plus a
    line, k(a, b) = exp(-0.1 |a - b|^2 / m) + a.b / m, for m standardised variables, the ridge 0.1. Chosen by
    R2 on left-out places with the HLS bands themselves: .71, against .69 of extremely randomised trees, .67
    of boosted trees and .69 of `LightUse`; the plant type made each of the learners worse there.
    """

    centre: Doubles
    scale: Doubles
    known: Doubles
    weight: Doubles
    mean: float

    def predict(self, bands: Doubles, weather: Doubles) -> Doubles:
        """GPP (n,), gC m-2 d-1, never negative."""
        points = (np.concatenate([bands, weather], axis=1) - self.centre) / self.scale
        return np.maximum(kernel(points, self.known) @ self.weight + self.mean, 0)


RIDGE = 0.1
NARROWNESS = 0.1


def fit_kernel_ridge(bands: Doubles, weather: Doubles, gpp: Doubles) -> KernelRidge:
    """Solve (K + ridge I) weight = GPP - mean."""
    variables = np.concatenate([bands, weather], axis=1)
    centre, spread = variables.mean(axis=0), variables.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    known, mean = (variables - centre) / scale, float(gpp.mean())
    weight = np.linalg.solve(kernel(known, known) + RIDGE * np.eye(len(known)), gpp - mean)
    return KernelRidge(centre, scale, known, np.asarray(weight, np.float64), mean)


def kernel(a: Doubles, b: Doubles) -> Doubles:
    """Likeness of standardised points: (n, m), (k, m) -> (n, k)."""
    product = a @ b.T
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * product
    return np.asarray(np.exp(-NARROWNESS * squared / a.shape[1]) + product / a.shape[1])


MODELS: Mapping[str, Fit] = {"kernel ridge": fit_kernel_ridge, "light use": fit_light_use}


def folds_of(place: Integers, seed: int, folds: int = FOLDS) -> Integers:
    """The fold of each row (n,): all rows of a place share one, and the folds hold equally many places."""
    distinct, index = np.unique(place, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(distinct))
    return (np.argsort(order) % min(folds, len(distinct)))[index].astype(np.int64)


def held_out(
    fit: Fit,
    train: Doubles,
    inputs: Mapping[str, Doubles],
    weather: Doubles,
    gpp: Doubles,
    fold: Integers,
) -> dict[str, Doubles]:
    """GPP of every row by the model that was fitted to the other folds' rows of `train`.

    Parameters
    ----------
    fit
        One of `MODELS`.
    train
        (n, 7) reflectance to fit on.
    inputs
        What each of the fitted models is then fed: (n, 7) by name.
    weather, gpp, fold
        (n, 10), (n,) and (n,).

    Returns
    -------
    dict
        GPP (n,) by the names of `inputs`.
    """
    found = {name: np.empty(len(gpp)) for name in inputs}
    for number in np.unique(fold):
        here = fold == number
        model = fit(train[~here], weather[~here], gpp[~here])
        for name, bands in inputs.items():
            found[name][here] = model.predict(bands[here], weather[here])
    return found
