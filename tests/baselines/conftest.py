"""Seeded series with gaps of their own for every band and pixel."""

from collections.abc import Callable

import numpy as np
import pytest

from openeo_udf_fusion.baselines import fluxneteo, linear, seasonal, whittaker
from openeo_udf_fusion.models.series import Observations

FIRST_DAY = 18_000
FILLERS = {module.__name__.rpartition(".")[2]: module for module in (linear, whittaker, seasonal, fluxneteo)}


@pytest.fixture(params=FILLERS.values(), ids=FILLERS)
def filler(request):
    """Each of the classical gap fillers."""
    return request.param


@pytest.fixture(scope="session")
def make_series() -> Callable[..., Observations]:
    """Factory: a season and weather, in any unit; cells are missing by chance, days are in random order."""

    def make(
        days: int = 120,
        bands: int = 2,
        y: int = 2,
        x: int = 3,
        *,
        share: float = 0.6,
        level: float = 0.2,
        own_days: bool = False,
        seed: int = 0,
    ) -> Observations:
        rng = np.random.default_rng(seed)
        day = np.arange(days)
        weather = np.cumsum(rng.normal(0, 0.01, (days, bands, y, x)), axis=0)
        season = 1 + 0.3 * np.sin(2 * np.pi * day / 365)[:, None, None, None]
        values = (level * (season + weather)).astype(np.float32)
        valid = rng.random(values.shape) < share
        values[~valid] = np.nan
        order = rng.permutation(days)
        when = (FIRST_DAY + day).astype(np.int32)
        if own_days:
            when = np.broadcast_to(when[:, None, None], (days, y, x)).copy()
        return Observations(values[order], valid[order], when[order])

    return make
