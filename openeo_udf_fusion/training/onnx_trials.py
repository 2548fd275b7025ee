"""How far two runtimes of one network are from each other, at most, on series made for it."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.models.pixelwise import Pixelwise
from openeo_udf_fusion.models.series import Observations

TRIALS: tuple[tuple[int, float, tuple[str, ...]], ...] = (
    (1, 1.0, ("modis", "viirs")),
    (40, 0.5, ("modis",)),
    (40, 0.5, ("viirs",)),
    (365, 0.6, ("modis", "viirs")),
    (365, 0.05, ("modis", "viirs")),
    (365, 0.2, ("viirs",)),
    (1500, 0.3, ("modis", "viirs")),
)
"""On what both must agree: days, share of days observed, sensors; and `at_the_edge`."""
LEVELS = (0.1, 0.5, 0.9)

_FIRST_DAY = 18_000
_EDGE_DAYS, _EDGE_PIXELS, _EDGE_STEPS = 20, 50, 5


def compare(one: Pixelwise, other: Pixelwise) -> float:
    """The largest difference of two runtimes on seeded series; infinite if one misses values."""
    farthest = 0.0
    for observed in _all(one):
        days = max(len(series.days) for series in observed.values())
        query = np.arange(_FIRST_DAY - 15, _FIRST_DAY + days + 15, 1 + days // 200, dtype=np.int32)
        for target in one.network.bands:
            expected, found = (model.predict(observed, query, target, LEVELS) for model in (one, other))
            for wanted, got in zip(expected, found, strict=True):
                if wanted is None or got is None or not np.array_equal(np.isnan(wanted), np.isnan(got)):
                    return float("inf")
                farthest = max(farthest, float(np.nanmax(np.abs(wanted - got))))
    return farthest


def at_the_edge(model: Pixelwise) -> dict[str, Observations]:
    """Pixels around the brightness at which a model begins to find them strange, ever closer to it.

    The last differ by no more than rounding: runtimes do not agree on which of them are beyond 1.
    """
    rng = np.random.default_rng(21)
    season = {s: rng.uniform(0.1, 0.4, (_EDGE_DAYS, len(b), 1, 1)) for s, b in model.network.bands.items()}
    low, high, tried = 0.1, 20.0, np.empty(0)
    for _ in range(_EDGE_STEPS):
        factors = np.linspace(low, high, _EDGE_PIXELS)
        tried = np.concatenate([tried, factors])
        strangeness = model.predict(_scaled(season, factors), np.array([_FIRST_DAY], np.int32), "modis")[3]
        beyond = np.flatnonzero(np.asarray(strangeness)[0] > 1)
        last = next((place for place in reversed(range(_EDGE_PIXELS)) if place not in beyond), None)
        if last is None or last == _EDGE_PIXELS - 1:
            break  # it finds nothing strange, or everything
        low, high = factors[last], factors[last + 1]
    return _scaled(season, tried)


def _all(model: Pixelwise) -> Iterator[dict[str, Observations]]:
    rng = np.random.default_rng(20)
    for days, share, sensors in TRIALS:
        yield {s: _observed(rng, days, share, len(model.network.bands[s])) for s in sensors}
    yield at_the_edge(model)


def _observed(rng: np.random.Generator, days: int, share: float, bands: int) -> Observations:
    """A few pixels: the first was never seen, the second jumps about as none of the training's does."""
    shape = days, bands, 2, 3
    valid = (rng.uniform(size=(days, 1, 2, 3)) < share) & (rng.uniform(size=shape) < 0.95)
    valid[:, -1, 1, 2] = False
    valid[:, :, 0, 0] = False
    season = 0.25 + 0.1 * np.sin(np.arange(days) / 58)[:, None, None, None]
    values = season + 0.03 * rng.normal(size=shape)
    values[..., 0, 1] = rng.uniform(-0.5, 2.0, size=shape[:2])
    return Observations(values.astype(np.float32), valid, _days(days))


def _scaled(
    season: Mapping[str, NDArray[np.float64]], factors: NDArray[np.float64]
) -> dict[str, Observations]:
    """One row of pixels, each the same series times a factor; seen on every third day."""
    found = {}
    for sensor, values in season.items():
        scaled = (values * factors).astype(np.float32)
        valid = np.broadcast_to((np.arange(_EDGE_DAYS) % 3 == 0)[:, None, None, None], scaled.shape)
        found[sensor] = Observations(scaled, valid, _days(_EDGE_DAYS))
    return found


def _days(count: int) -> NDArray[np.int32]:
    return (_FIRST_DAY + np.arange(count)).astype(np.int32)
