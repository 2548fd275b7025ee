"""Made-up sites of Landsat and Sentinel-2 to train on."""

import numpy as np

from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.tamrf_sites import Site

START = 17_600


def made_up(name="made_up", days=360, size=24, seed=0, sensors=("l8", "s2"), start=START):
    """A site whose reflectance follows the season, Landsat the mean of Sentinel-2, under some clouds."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform(0.1, 0.4, (10, size, size)).astype(np.float32)
    seen, clear = {}, {}
    for sensor, every in (("l8", 16), ("s2", 4)):
        if sensor not in sensors:
            continue
        dates = np.arange(start, start + days, every, dtype=np.int32)
        season = 0.1 * np.sin(2 * np.pi * dates / 365)[:, None, None, None]
        fine = ground + season.astype(np.float32)
        if sensor == "l8":
            coarse = fine.reshape(len(dates), 10, size // 3, 3, size // 3, 3).mean((3, 5))
            fine = coarse[:, [0, 0, 1, 2, 7, 8, 9, 9]].copy()
            fine[:, 7] = 290 + 50 * fine[:, 7]
        cloudy = rng.random((len(dates), 1, 1)) < 0.3
        clear[sensor] = np.broadcast_to(~cloudy, (len(dates), *fine.shape[2:])).copy()
        values = np.where(clear[sensor][:, None], fine, fine * 1.5).astype(np.float32)
        valid = np.ones(values.shape, bool)
        if sensor == "l8":
            valid[:, 0] = False
        seen[sensor] = Observations(np.where(valid, values, np.float32(0)), valid, dates)
    return Site(name, seen, clear)
