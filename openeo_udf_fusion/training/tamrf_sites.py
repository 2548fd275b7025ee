"""Sites seen by Landsat and Sentinel-2, on grids that fit together, and what of them is held out.

Two sites in NetCDF are known. The Belgian one (ESA WorldCereal) has both sensors. Its Landsat lies on
Sentinel-2's 10 m grid by the nearest pixel, so its 30 m cells are found by where values change; reflectance
is Collection 1 without the coastal band, surface temperature Collection 2 in whole kelvin, which alone is an
error of 0.29 K, and on days without an overpass it repeats an older image: only days that have reflectance
too are read. The Romanian one is Sentinel-2 alone, without B05, B06, B07 and B12. `tamrf_ls2s2` reads the
published data set.

Bands of 20 m lie on the 10 m grid by bicubic interpolation: nearest pixels would teach their blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion import quality_flags
from openeo_udf_fusion.baselines.image_pairs import BANDS, UPSCALING, dated_images
from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.s1s2_sites import band_of, open_cube, without

Mask = NDArray[np.bool_]
Values = NDArray[np.float32]
Interval = tuple[str, str]

BELGIUM = "belgium_landsat_sentinel"
ROMANIA = "romania_sentinel2"
HELD_OUT: tuple[Interval, ...] = (
    ("2018-02-04", "2018-02-14"),
    ("2018-07-22", "2018-08-10"),
    ("2018-10-12", "2018-10-29"),
)
"""Of the Belgian site, first and last day: no training sees them. Clear Landsat on 2018-02-07, 07-24, 08-02
and 10-21, on the last two with Sentinel-2 of the same day, the others within a day of one."""
BUFFER_DAYS = 3
"""Beside what is held out; not trained on either."""
VALIDATION: Mapping[str, tuple[Interval, ...]] = MappingProxyType(
    {
        BELGIUM: (("2017-09-25", "2017-10-09"), ("2018-04-17", "2018-04-28"), ("2018-06-24", "2018-07-06")),
        ROMANIA: (("2017-04-01", "2017-06-10"), ("2018-09-15", "2018-10-10"), ("2020-06-20", "2020-07-11")),
    }
)
"""Of each site, first and last day of what chooses the weights; training sees none of it."""
CYCLE_DAYS, VALIDATION_OF_CYCLE = 90, 20
"""Of other sites, the first days of each cycle counted from 1970-01-01."""
MOST_REFLECTANCE = 2.0
NO_TEMPERATURE = 149.0
"""What the Belgian temperature is where there is none: the offset of the product."""


@dataclass(frozen=True)
class Site:
    """Observations of both sensors on grids that fit together; a sensor or a band may be missing.

    Attributes
    ----------
    name
        `BELGIUM` or `ROMANIA`, by which what is held out is known; else the folder's.
    observed
        By sensor: "s2" at 10 m and "l8" at 30 m, three times as coarse and of the same corner. Bands in the
        order of `baselines.image_pairs.BANDS`, reflectance 0-1 and kelvin, one image a day, in ascending
        order of days. `valid` is what was measured, clouds included.
    clear
        By sensor, (t, y, x): where its flags say that the ground was seen.
    corner_20m
        Rows and columns of 10 m, 0 or 1, before the first whole pixel of Sentinel-2's bands of 20 m.
    """

    name: str
    observed: Mapping[str, Observations]
    clear: Mapping[str, Mask]
    corner_20m: tuple[int, int] = (0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns at 10 m."""
        sensor, seen = next(iter(self.observed.items()))
        y, x = (size * scale_of(sensor) for size in seen.values.shape[2:])
        return y, x

    def days(self, sensor: str) -> NDArray[np.int32]:
        """Of a sensor's images, since 1970-01-01; none of a sensor that is missing."""
        return self.observed[sensor].days if sensor in self.observed else np.empty(0, np.int32)

    def between(self, first_day: int, last_day: int) -> "Site":
        """With the dates of a period only, both days included."""
        return self.on({s: (o.days >= first_day) & (o.days <= last_day) for s, o in self.observed.items()})

    def crop(self, top: int, left: int, size: int) -> "Site":
        """A square of it; all in pixels of 10 m and multiples of 3."""
        seen, clear = {}, {}
        for sensor, o in self.observed.items():
            scale = scale_of(sensor)
            place = (
                ...,
                slice(top // scale, (top + size) // scale),
                slice(left // scale, (left + size) // scale),
            )
            seen[sensor] = Observations(o.values[place], o.valid[place], o.days)
            clear[sensor] = self.clear[sensor][place]
        corner = (self.corner_20m[0] - top) % 2, (self.corner_20m[1] - left) % 2
        return Site(self.name, seen, clear, corner)

    def on(self, kept: Mapping[str, Mask]) -> "Site":
        """With some dates (t,) of each sensor only; a sensor without any is left out."""
        left = {s: o for s, o in self.observed.items() if kept[s].any()}
        seen = {s: without(o, np.logical_not(kept[s])) for s, o in left.items()}
        return Site(self.name, seen, {s: self.clear[s][kept[s]] for s in left}, self.corner_20m)


def scale_of(sensor: str) -> int:
    """Pixels of 10 m along one of the sensor's."""
    return UPSCALING if sensor == "l8" else 1


# --- held out


def within(days: NDArray[np.int32], intervals: Sequence[Interval], buffer_days: int = 0) -> Mask:
    """Days since 1970 (t,) that lie in one of the intervals, or so near."""
    inside = np.zeros(len(days), np.bool_)
    for first, last in intervals:
        start, stop = (np.datetime64(day, "D").astype(int) for day in (first, last))
        inside |= (days >= start - buffer_days) & (days <= stop + buffer_days)
    return inside


def is_held_out(site: Site, sensor: str) -> Mask:
    """Dates (t,) of a sensor that are for the evaluation alone."""
    return within(site.observed[sensor].days, HELD_OUT if site.name == BELGIUM else ())


def is_validation(site: Site, sensor: str) -> Mask:
    """Dates (t,) of a sensor that choose the weights."""
    days = site.observed[sensor].days
    if site.name in VALIDATION:
        return within(days, VALIDATION[site.name])
    return np.asarray(days % CYCLE_DAYS < VALIDATION_OF_CYCLE)


def training_part(site: Site) -> Site:
    """What may be trained on: without the dates held out and those beside them. Validation dates stay in."""
    hidden = HELD_OUT if site.name == BELGIUM else ()
    return site.on({s: ~within(o.days, hidden, BUFFER_DAYS) for s, o in site.observed.items()})


# --- reading


def read_belgium(folder: Path) -> Site:
    """The site of both sensors, cut to whole cells of Landsat.

    Parameters
    ----------
    folder
        With `S2_L2A_10m.nc`, `S2_L2A_20m.nc`, `L8_SR_10m.nc` and `L8_L2-ST_10m.nc`.

    Raises
    ------
    InvalidCollection
        A file is missing, or the Landsat image has no blocks of 3 x 3 equal values.
    """
    fine, coarse = (open_part(folder, f"S2_L2A_{gsd}m.nc", "s2") for gsd in (10, 20))
    reflectance, temperature = (open_part(folder, f"L8_{what}_10m.nc", "l8") for what in ("SR", "L2-ST"))
    top, left = cell_corner(reflectance["B4"].values, folder)
    whole = sentinel2(BELGIUM, [fine, coarse])
    rows, columns = (
        (size - start) // UPSCALING for size, start in zip(whole.shape, (top, left), strict=True)
    )
    centres = (
        slice(top + 1, top + UPSCALING * rows, UPSCALING),
        slice(left + 1, left + UPSCALING * columns, UPSCALING),
    )
    landsat, clear = landsat_of(reflectance, temperature, centres)
    place = (..., slice(top, top + UPSCALING * rows), slice(left, left + UPSCALING * columns))
    values, valid, days = whole.observed["s2"]
    return Site(
        BELGIUM,
        {"l8": landsat, "s2": Observations(values[place], valid[place], days)},
        {"l8": clear, "s2": whole.clear["s2"][place]},
        (top % 2, left % 2),
    )


def read_romania(folder: Path) -> Site:
    """The site of Sentinel-2 alone, cut to whole cells of Landsat; bands that it has not are not valid.

    Parameters
    ----------
    folder
        With `sentinel2_cube_subset_romania_10m.nc` and `..._20m.nc`.

    Raises
    ------
    InvalidCollection
        A file is missing.
    """
    files = [f"{ROMANIA.split('_')[1]}_cube_subset_romania_{gsd}m.nc" for gsd in (10, 20)]
    whole = sentinel2(ROMANIA, [open_part(folder, file, "s2") for file in files], 1e-4)
    return whole.crop(0, 0, min(whole.shape) // UPSCALING * UPSCALING)


def open_part(folder: Path, name: str, sensor: str) -> xr.Dataset:
    """One file of a site."""
    if not (folder / name).is_file():
        raise InvalidCollection(f"{folder} needs {name}, which is not there")
    return open_cube(folder / name, sensor)


def days_of(cube: xr.Dataset) -> NDArray[np.int32]:
    """Of its images, since 1970-01-01."""
    return cube["t"].values.astype("datetime64[D]").astype(np.int32)


def sentinel2(name: str, cubes: Sequence[xr.Dataset], factor: float = 1.0) -> Site:
    """Sentinel-2 alone, of a cube at 10 m and one at 20 m of the same corner; values times a factor."""
    fine = cubes[0]
    bands = []
    for band in BANDS["s2"]:
        found = next((cube for cube in cubes if band in cube), None)
        own = None if found is None else band_of([found], band, found)
        missing = np.full((fine.sizes["t"], fine.sizes["y"], fine.sizes["x"]), np.nan, np.float32)
        bands.append(missing if own is None else own if found is fine else doubled(own))
    values = np.stack(bands, 1) * np.float32(factor)
    flags = band_of(cubes, "SCL", fine)
    if flags is None:
        raise InvalidCollection(f"{name}: no file of Sentinel-2 has SCL, which tells clouds from ground")
    valid = np.isfinite(values)
    seen = Observations(np.where(valid, values, np.float32(0)), valid, days_of(fine))
    return Site(name, {"s2": seen}, {"s2": quality_flags.sentinel2_clear(flags)})


def doubled(band: Values) -> Values:
    """A band (t, y, x) at half the pixel size, bicubic."""
    made = F.interpolate(torch.from_numpy(band)[:, None], scale_factor=2, mode="bicubic", align_corners=False)
    finer: Values = made[:, 0].numpy()
    return finer


def cell_corner(band: NDArray[np.generic], folder: Path) -> tuple[int, int]:
    """Row and column where whole cells begin in an image (t, y, x) that repeats each 3 x 3 times."""
    corner = []
    for axis in (1, 2):
        changes = np.moveaxis(np.diff(band.astype(np.float32), axis=axis) != 0, axis, 0).mean((1, 2))
        shares = [float(changes[start::UPSCALING].mean()) for start in range(UPSCALING)]
        edge = int(np.argmax(shares))
        if sum(shares) - shares[edge] > 0.1 * shares[edge]:
            raise InvalidCollection(
                f"{folder}: L8_SR_10m.nc must repeat each value of 30 m over 3 x 3 pixels; the share "
                f"that differ from a neighbour is {[round(share, 2) for share in shares]}, by place"
            )
        corner.append((edge + 1) % UPSCALING)
    return corner[0], corner[1]


def landsat_of(
    reflectance: xr.Dataset, temperature: xr.Dataset, centres: tuple[slice, slice]
) -> tuple[Observations, Mask]:
    """Landsat's observations at 30 m, one image a day, and where they are clear."""
    days, own = days_of(reflectance), days_of(temperature)
    place = (..., *centres)
    missing = np.full(reflectance["B4"].values[place].shape, np.nan, np.float32)
    bands = [band_of([reflectance], band, reflectance) for band in BANDS["l8"][:-1]]
    stack = [missing if band is None else band[place] for band in bands]
    with np.errstate(invalid="ignore"):
        stack = [np.where(band > MOST_REFLECTANCE, np.float32(np.nan), band) for band in stack]
    kelvin, flags = (np.full(missing.shape, fill, np.float32) for fill in (np.nan, 0))
    for at, day in enumerate(days):
        for found in np.flatnonzero(own == day):
            kelvin[at] = temperature["LST"].values[found][centres]
            flags[at] = temperature["QA_PIXEL"].values[found][centres]
    kelvin[kelvin == NO_TEMPERATURE] = np.nan
    values = np.stack([*stack, kelvin], 1)
    seen = Observations(values, np.isfinite(values), days)
    clear = clear_of_collection_1(reflectance["pixel_qa"].values[place]) & quality_flags.landsat_clear(flags)
    clear &= seen.valid[:, 1:-1].all(1)
    images, unique = dated_images({"l8": seen}, "l8")
    daily = np.stack([clear[days == day].any(0) for day in unique])
    valid = np.isfinite(images)
    return Observations(np.where(valid, images, np.float32(0)), valid, unique.astype(np.int32)), daily


def clear_of_collection_1(flags: NDArray[np.generic]) -> Mask:
    """Where Landsat 8 saw the ground: clear, no shadow, cloud or snow, no cirrus of high confidence.

    Source: Landsat 8 Collection 1 Surface Reflectance Product Guide (LSDS-1368), pixel_qa: bits 1 clear,
    3 shadow, 4 snow, 5 cloud, 8-9 confidence of cirrus.
    """
    bits = flags.astype(np.int32)
    cirrus = (bits >> 8 & 3) == 3
    return np.asarray((bits >> 1 & 1 == 1) & (bits & (1 << 3 | 1 << 4 | 1 << 5) == 0) & ~cirrus)
