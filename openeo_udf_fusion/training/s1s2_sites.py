"""Sites seen by Sentinel-1 and Sentinel-2, read from folders, and what of them is held out.

A site is a folder with the layout of ESA WorldCereal's cubes: `S2_L2A_10m.nc` and `S2_L2A_20m.nc` (the
bands, and SCL) and `S1_GRD*.nc` (VV and VH in dB), with the dimension `timestamp`, `time` or `t`. The 10 m
grid is the site's; coarser bands lie on it by their nearest pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion import sensors
from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.models.series import Observations

S2_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
S1_BANDS = ("VV", "VH")
TIME_NAMES = ("timestamp", "time", "t")
CYCLE_DAYS = 60
TEST_DAYS = (0, 14)
VALIDATION_DAYS = (30, 37)
"""Days of every cycle, counted from 1970-01-01, of which no Sentinel-2 frame is trained on."""
STRIP_SHARE = 0.25
"""Of the columns, in the east, on which nothing is trained."""
BUFFER_PX = 4
"""Columns beside the strip of which nothing is used."""


@dataclass(frozen=True)
class Site:
    """Observations of both sensors on one 10 m grid; a band of a sensor may be missing throughout.

    Attributes
    ----------
    name
        The folder's.
    observed
        By sensor, "s1" in dB and "s2" as reflectance 0-1; in ascending order of days.
    """

    name: str
    observed: Mapping[str, Observations]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        y, x = next(iter(self.observed.values())).values.shape[2:]
        return y, x

    def crop(self, columns: slice) -> "Site":
        """The same with some of the columns only."""
        return Site(
            self.name,
            {
                s: Observations(o.values[..., columns], o.valid[..., columns], o.days)
                for s, o in self.observed.items()
            },
        )


def is_test(days: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Days whose Sentinel-2 frames are for the evaluation alone."""
    return within_cycle(days, TEST_DAYS)


def is_validation(days: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Days whose Sentinel-2 frames choose the weights and calibrate them."""
    return within_cycle(days, VALIDATION_DAYS)


def within_cycle(days: NDArray[np.int32], part: tuple[int, int]) -> NDArray[np.bool_]:
    """Days within [start, stop) of the cycle."""
    return np.asarray((days % CYCLE_DAYS >= part[0]) & (days % CYCLE_DAYS < part[1]))


def strip_start(columns: int) -> int:
    """The first column of the strip that is held out."""
    return columns - int(round(STRIP_SHARE * columns))


def without(observed: Observations, hidden: NDArray[np.bool_]) -> Observations:
    """The frames (t,) that are not hidden."""
    return Observations(*(part[~hidden] for part in observed))


def training_part(site: Site) -> Site:
    """What may be trained on: west of the strip and its buffer, Sentinel-2 outside the days held out."""
    west = site.crop(slice(0, strip_start(site.shape[1]) - BUFFER_PX))
    s2 = west.observed["s2"]
    held_out = is_test(s2.days) | is_validation(s2.days)
    return Site(site.name, {**west.observed, "s2": without(s2, held_out)})


# --- reading


def read_sites(folder: Path) -> list[Site]:
    """The site in a folder, or those in its sub-folders.

    Raises
    ------
    InvalidCollection
        There is none, or one lacks a file, a band or a time axis.
    """
    places = [place for place in (folder, *sorted(folder.glob("*/"))) if (place / "S2_L2A_10m.nc").is_file()]
    if not places:
        raise InvalidCollection(
            f"{folder} holds no site: a folder with S2_L2A_10m.nc, S2_L2A_20m.nc and S1_GRD*.nc was needed, "
            "there or one level below"
        )
    return [read_site(place) for place in places]


def read_site(folder: Path) -> Site:
    """Read one site; see `read_sites`."""
    fine, coarse = (open_cube(folder / f"S2_L2A_{gsd}m.nc") for gsd in (10, 20))
    radar_files = sorted(folder.glob("S1_GRD*.nc"))
    if not radar_files:
        raise InvalidCollection(f"{folder} has no S1_GRD*.nc beside its Sentinel-2 files")
    radar = open_cube(radar_files[0])
    if not np.array_equal(fine["t"].values, coarse["t"].values):
        raise InvalidCollection(f"{folder}: S2_L2A_10m.nc and S2_L2A_20m.nc have different dates")
    optical = [band_of(fine if band in fine else coarse, band, fine) for band in S2_BANDS]
    clear = sensors.sentinel2_clear(band_of(coarse, "SCL", fine))
    back = [band_of(radar, band, fine) for band in S1_BANDS]
    return Site(
        folder.name,
        {
            "s1": observations(back, None, radar["t"].values),
            "s2": observations(optical, clear, fine["t"].values),
        },
    )


def open_cube(file: Path) -> xr.Dataset:
    """A file as it is stored, its time axis named `t`."""
    if not file.is_file():
        raise InvalidCollection(f"{file} is missing; a site needs it")
    # xarray cannot mask an integer band whose fill value is NaN; `band_of` decodes.
    with xr.open_dataset(file, mask_and_scale=False) as opened:
        cube = opened.load()
    named = [name for name in TIME_NAMES if name in cube.dims]
    if not named:
        raise InvalidCollection(f"{file} has none of the time dimensions {TIME_NAMES}, only {[*cube.dims]}")
    return cube.rename({named[0]: "t"}) if named[0] != "t" else cube


def band_of(cube: xr.Dataset, name: str, grid: xr.Dataset) -> NDArray[np.float32]:
    """A band (t, y, x) decoded, NaN where missing, on the grid of another cube by the nearest pixel."""
    if name not in cube:
        raise InvalidCollection(f"a band {name} was needed, the file has {[*cube.data_vars]}")
    band = cube[name].transpose("t", "y", "x")
    stored = band.values
    values = np.asarray(stored * band.attrs.get("scale_factor", 1) + band.attrs.get("add_offset", 0))
    for key in ("_FillValue", "missing_value", "nodata"):
        fill = band.attrs.get(key)
        if fill is not None and np.isfinite(fill):
            values = np.where(stored == fill, np.nan, values)
    decoded = band.copy(data=values.astype(np.float32))
    if not (decoded.x.equals(grid.x) and decoded.y.equals(grid.y)):
        decoded = decoded.sel(x=grid.x, y=grid.y, method="nearest")
    return np.ascontiguousarray(decoded.values)


def observations(
    bands: list[NDArray[np.float32]], clear: NDArray[np.bool_] | None, times: NDArray[np.datetime64]
) -> Observations:
    """Bands of one sensor in ascending order of time; frames without a valid pixel are left out."""
    values = np.stack(bands, 1)
    valid = np.isfinite(values)
    if clear is not None:
        valid &= clear[:, None]
    days = times.astype("datetime64[D]").astype(np.int32)
    order = np.argsort(days, kind="stable")
    order = order[valid[order].any(axis=(1, 2, 3))]
    return Observations(np.where(valid, values, 0)[order], valid[order], days[order])
