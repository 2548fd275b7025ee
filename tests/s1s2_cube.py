"""A made-up site of both Sentinels as a cube, and as collections on disk."""

import json
from pathlib import Path

import numpy as np
import xarray as xr

from openeo_udf_fusion.training.s1s2_sites import Site

from .training import s1s2

PERIOD = ["2017-08-22", "2018-02-18"]
"""All days of the site."""
CLEAR, CLOUD = 4, 9


def cube_of(site: Site, unit: str = "dB") -> xr.DataArray:
    """Both sensors on all their dates (t, bands, y, x), float32: backscatter, reflectance and SCL."""
    y, x = site.shape
    coords = {"y": 5_000_000.0 - 10 * np.arange(y), "x": 500_000.0 + 10 * np.arange(x)}
    layers = []
    for sensor, names in (("s1", s1s2.S1_BANDS), ("s2", s1s2.S2_BANDS)):
        seen = site.observed[sensor]
        values = np.where(seen.valid, seen.values, np.nan if sensor == "s1" else 0.7)
        if sensor == "s1" and unit == "linear":
            values = 10 ** (values / 10)
        if sensor == "s2":
            values = np.concatenate([values, np.where(seen.valid[:, :1], CLEAR, CLOUD)], axis=1)
            names = (*names, "SCL")
        labels = [f"{sensor}_{name}" for name in names]
        dates = seen.days.astype("datetime64[D]").astype("datetime64[ns]")
        layers.append(xr.DataArray(values, {"t": dates, "bands": labels, **coords}, ("t", "bands", "y", "x")))
    dates = np.union1d(*(layer["t"].values for layer in layers))
    return xr.concat([layer.reindex(t=dates) for layer in layers], "bands").astype(np.float32)


def write_collections(site: Site, folder: Path) -> None:
    """The files of a site, each a collection, and once more as `sentinel1` and `sentinel2`."""
    s1s2.write(site, folder / "files")
    for file in sorted((folder / "files").glob("*.nc")):
        if "20m" in file.name and file.name.startswith("S2"):
            bytes_of_flags(file)
        for name in (file.stem, f"sentinel{file.stem[1]}"):
            own = folder / name
            own.mkdir(exist_ok=True)
            (own / file.name).hardlink_to(file)
            (own / "collection.json").write_text(json.dumps({"crs": "EPSG:32631"}))
        file.unlink()
    (folder / "files").rmdir()


def bytes_of_flags(file: Path) -> None:
    """Store SCL as the product does; flags of 32 bits are not read."""
    with xr.open_dataset(file, mask_and_scale=False) as opened:
        dataset = opened.load()
    dataset["SCL"] = dataset["SCL"].astype(np.uint8)
    dataset.to_netcdf(file)
