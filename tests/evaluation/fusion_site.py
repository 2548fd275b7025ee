"""A made-up site of both sensors: fields that change with the season, sharp edges, clouds on some dates."""

import numpy as np

from openeo_udf_fusion.baselines.image_pairs import BANDS
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.tamrf_sites import Site

BLOCK = ("2018-07-22", "2018-08-10")
FIRST, LAST = (int(np.datetime64(day, "D").astype(int)) for day in ("2018-06-10", "2018-09-20"))
LANDSAT_EVERY, SENTINEL_EVERY = 8, 5
LEVEL, AMPLITUDE = 0.1, 0.05


def ground(day: int, size: int, seed: int = 0) -> np.ndarray:
    """Reflectance (y, x) at 10 m on a day: patches, each with its own season."""
    rng = np.random.default_rng(seed)
    patch = np.kron(rng.integers(0, 4, (size // 6 + 1, size // 6 + 1)), np.ones((6, 6), int))[:size, :size]
    return (LEVEL + 0.02 * patch + AMPLITUDE * np.sin(day / 60 + patch)).astype(np.float32)


def made_up(size: int = 36) -> Site:
    """Sentinel-2 every 5 days and Landsat every 8, the same ground in all bands; every sixth date cloudy."""
    days = {
        "s2": np.arange(FIRST, LAST, SENTINEL_EVERY, np.int32),
        "l8": np.arange(FIRST, LAST, LANDSAT_EVERY, np.int32),
    }
    observed, clear = {}, {}
    for sensor, own in days.items():
        images = []
        for day in own:
            fine = ground(int(day), size)
            image = fine if sensor == "s2" else fine.reshape(size // 3, 3, size // 3, 3).mean((1, 3))
            bands = np.repeat(image[None], len(BANDS[sensor]), 0)
            if sensor == "l8":
                bands[-1] = 290 + 60 * image
            images.append(bands)
        values = np.stack(images).astype(np.float32)
        seen = np.ones((len(own), *values.shape[2:]), bool)
        seen[4::6] = False
        values[4::6] += 0.4
        valid = np.ones(values.shape, bool)
        if sensor == "l8":
            valid[:, 0] = False  # as the Belgian site, which lacks B1
        observed[sensor] = Observations(values, valid, own)
        clear[sensor] = seen
    return Site("made up", observed, clear)
