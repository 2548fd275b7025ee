"""A small network and small pairs: quick to train."""

from dataclasses import fields

import numpy as np
import pytest

from openeo_udf_fusion.models.satfusenet import Config
from openeo_udf_fusion.training.pairs import Pairs
from openeo_udf_fusion.training.satfusenet import Run, Schedule

DAYS = 96


class Whole:
    """Samples that are the same in every round."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def at(self, _round: int) -> Pairs:
        """All of them."""
        return self.pairs


@pytest.fixture
def tiny() -> Config:
    """A network of a few thousand parameters."""
    return Config(width=16, layers=1, heads=2, mlp=16, decoder=16, reach_bins=6)


@pytest.fixture
def make_pairs():
    """Make smooth series; VIIRS is a line in MODIS. Two samples a pixel, a fifth of them directional."""

    def make(pixels: int = 14, seed: int = 0) -> Pairs:
        rng = np.random.default_rng(seed)
        samples, day = 2 * pixels, np.arange(DAYS)
        phase, size = rng.uniform(0, 6, (samples, 1, 1)), rng.uniform(0.02, 0.15, (samples, 1, 7))
        modis = 0.25 + size * np.sin(day[:, None] / 12 + phase)
        viirs = 0.9 * modis[..., list(Config().viirs_partner)] + 0.02
        valid = rng.uniform(size=(samples, DAYS, 1)) < 0.8
        known = np.broadcast_to(valid, modis.shape).copy(), np.broadcast_to(valid, viirs.shape).copy()
        return Pairs(
            pixel=np.repeat(np.arange(pixels), 2),
            platform=np.full(samples, "S-NPP"),
            product=np.where(np.arange(samples) % 5 == 3, "directional", "nbar"),
            first_day=np.full(samples, 15_340, np.int32),
            longitude=np.full(samples, np.nan, np.float32),
            latitude=np.full(samples, np.nan, np.float32),
            land_cover=np.full(samples, ""),
            modis=np.where(known[0], modis, 0).astype(np.float32),
            modis_valid=known[0],
            viirs=np.where(known[1], viirs, 0).astype(np.float32),
            viirs_valid=known[1],
        )

    return make


@pytest.fixture
def pairs(make_pairs) -> Pairs:
    """Fourteen pixels."""
    return make_pairs()


@pytest.fixture
def make_run(pairs, tiny):
    """Make a training of a few steps on twelve pixels, watched by two others."""

    def make(**schedule) -> Run:
        settings = {"batch": 8, "warmup_steps": 5, "validate_every": 50, "average": 0.9} | schedule
        trained, watched = (pairs.of_pixels(np.array(p)) for p in (range(12), (12, 13)))
        return Run(Whole(trained), watched, Schedule(**settings), tiny)

    return make


def same(one: Pairs, other: Pairs) -> bool:
    """Whether two lots of samples are equal in every array."""
    return all(
        np.array_equal(
            getattr(one, f.name), getattr(other, f.name), equal_nan=f.name in ("longitude", "latitude")
        )
        for f in fields(Pairs)
    )
