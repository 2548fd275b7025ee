"""A small seeded cube of both sensors, and the shipped model in either runtime."""

from collections.abc import Callable

import numpy as np
import pytest

from openeo_udf_fusion.models import weights
from openeo_udf_fusion.models.pixelwise import Pixelwise
from openeo_udf_fusion.models.series import Observations

Cube = dict[str, Observations]


@pytest.fixture(scope="session", params=["torch", "onnx"])
def model(request: pytest.FixtureRequest) -> Pixelwise:
    return weights.load("satfusenet", device="cpu", runtime=request.param)


@pytest.fixture
def make_observed() -> Callable[..., Cube]:
    """Factory: green-up of a few pixels, each sensor on its own days, cells missing at random."""

    def make(
        days: int = 120, y: int = 2, x: int = 3, share: float = 0.5, first: int = 18_000, seed: int = 0
    ) -> Cube:
        rng = np.random.default_rng(seed)
        levels = {
            "modis": (0.08, 0.3, 0.04, 0.08, 0.32, 0.25, 0.15),
            "viirs": (0.08, 0.3, 0.04, 0.08, 0.08, 0.32, 0.25, 0.14),
        }
        observed = {}
        for sensor, level in levels.items():
            seen = np.sort(rng.choice(days, int(share * days), replace=False)).astype(np.int32)
            season = (
                1 + 0.3 * np.sin(seen / 40)[:, None, None, None] + rng.normal(0, 0.02, (len(seen), 1, y, x))
            )
            values = (np.array(level)[None, :, None, None] * season).astype(np.float32)
            valid = np.broadcast_to(rng.uniform(size=(len(seen), 1, y, x)) < 0.8, values.shape).copy()
            valid &= rng.uniform(size=valid.shape) < 0.95
            values[~valid] = np.nan
            observed[sensor] = Observations(values, valid, first + seen)
        return observed

    return make
