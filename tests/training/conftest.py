"""Small made-up series and spectra, and a tiny network: a training in seconds."""

import numpy as np
import pytest

from openeo_udf_fusion.models.satfusenet import Config
from openeo_udf_fusion.training.pairs import Pairs
from openeo_udf_fusion.training.satfusenet import Run, Schedule


@pytest.fixture(scope="session")
def pairs() -> Pairs:
    rng = np.random.default_rng(0)
    days = np.arange(90)
    season = 0.2 + 0.1 * np.sin(days / 20 + rng.uniform(0, 6, (12, 1)))[..., None]
    modis = (season * rng.uniform(0.5, 1.5, (12, 1, 7))).astype(np.float32)
    valid = np.broadcast_to(rng.uniform(size=(12, 90, 1)) < 0.8, modis.shape).copy()
    partner = list(Config().viirs_partner)
    viirs = modis[None, ..., partner] * np.float32(1.02)
    seen = valid[..., partner]
    return Pairs(np.where(valid, modis, 0), valid, np.where(seen, viirs, 0).astype(np.float32), seen)


@pytest.fixture
def tiny() -> Config:
    return Config(width=8, layers=1, heads=2, mlp=8, decoder=8)


@pytest.fixture
def make_run(pairs, tiny):
    """Factory: a run of a few steps on the small pairs."""

    def make(steps: int = 4) -> Run:
        schedule = Schedule(steps=steps, batch=4, warmup_steps=2, validate_every=max(2, steps // 5))
        return Run(pairs, np.arange(8), np.arange(8, 12), schedule, tiny)

    return make
