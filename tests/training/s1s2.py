"""A small made-up site that both sensors see, and how it lies on disk."""

from pathlib import Path

import numpy as np
import xarray as xr

from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.s1s2_sites import S1_BANDS, S2_BANDS, Site

FIRST = 17_400
"""The first day of a cycle: days since 1970-01-01 that 60 divides."""


def made_up(y: int = 14, x: int = 24, days: int = 180, seed: int = 0) -> Site:
    """Fields that green up; radar tells how green they are, with speckle, and clouds hide a third."""
    rng = np.random.default_rng(seed)
    when = {"s1": np.arange(0, days, 6), "s2": np.arange(0, days, 5)}
    field = np.repeat(np.repeat(rng.uniform(0.3, 1, (y // 4 + 1, x // 4 + 1)), 4, 0), 4, 1)[:y, :x]
    observed = {}
    for name, bands in (("s1", S1_BANDS), ("s2", S2_BANDS)):
        green = field * (0.5 + 0.5 * np.sin(when[name] / 25)[:, None, None])
        weight = np.linspace(-0.2, 0.4, len(bands))[:, None, None]
        level = -14 + 6 * green[:, None] if name == "s1" else 0.3 + weight * green[:, None]
        noise = rng.normal(0, 1.0 if name == "s1" else 0.005, (len(green), len(bands), y, x))
        valid = rng.uniform(size=(len(green), 1, y, x)) < (1 if name == "s1" else 0.66)
        valid = np.broadcast_to(valid, noise.shape).copy()
        values = np.where(valid, level + noise, 0).astype(np.float32)
        observed[name] = Observations(values, valid, (FIRST + when[name]).astype(np.int32))
    return Site("made up", observed)


def write(site: Site, folder: Path) -> None:
    """As the files of a site: integers, 20 m bands and SCL on every second pixel, clouds bright."""
    folder.mkdir(parents=True, exist_ok=True)
    s1, s2 = site.observed["s1"], site.observed["s2"]
    y, x = 5_000_000.0 - 10 * np.arange(site.shape[0]), 500_000.0 + 10 * np.arange(site.shape[1])
    coarse = {"y": (y[::2] + y[1::2]) / 2, "x": (x[::2] + x[1::2]) / 2}

    def dataset(bands, series, scale, grid):
        times = series.days.astype("datetime64[D]").astype("datetime64[ns]")
        made = {}
        for name, values in bands.items():
            stored = np.round(values / scale) if name != "SCL" else values
            made[name] = (("timestamp", "y", "x"), stored.astype(np.int32), {"scale_factor": scale})
        made.get("SCL", ((), (), {}))[2].clear()
        return xr.Dataset(made, {"timestamp": times, **grid})

    fine = {"y": y, "x": x}
    ten = [n for n, band in enumerate(S2_BANDS) if band in ("B02", "B03", "B04", "B08")]
    twenty = [n for n in range(len(S2_BANDS)) if n not in ten]
    half = (slice(None), slice(None, None, 2), slice(None, None, 2))
    scl = {"SCL": np.where(s2.valid[:, 0], 4, 9)[half]}
    bands20 = {S2_BANDS[n]: s2.values[:, n][half] for n in twenty} | scl
    dataset({S2_BANDS[n]: s2.values[:, n] for n in ten}, s2, 1e-4, fine).to_netcdf(folder / "S2_L2A_10m.nc")
    dataset(bands20, s2, 1e-4, coarse).to_netcdf(folder / "S2_L2A_20m.nc")
    radar = {band: s1.values[:, n][half] for n, band in enumerate(S1_BANDS)}
    dataset(radar, s1, 1e-4, coarse).to_netcdf(folder / "S1_GRD_20m.nc")
