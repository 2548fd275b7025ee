"""Sites seen by Sentinel-1 and Sentinel-2, read from folders, and what of them is held out.

A site is a folder with the layout of ESA WorldCereal's cubes: files `S2*.nc` with the bands and SCL, one or
one per resolution, and a file `S1*.nc` with VV and VH in dB; their time is the dimension `timestamp`, `time`
or `t`. The finest grid of Sentinel-2 is the site's; coarser bands lie on it by their nearest pixel. A band
that no file has is missing throughout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion import quality_flags, sensors
from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.models.embedder import in_order
from openeo_udf_fusion.models.series import Observations

S2_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
S1_BANDS = ("VV", "VH")
SENSORS = ("s2", "s1")
MOST_REFLECTANCE = 2.0
TIME_NAMES = ("timestamp", "time", "t")
CYCLE_DAYS = 60
TEST_DAYS = (0, 14)
VALIDATION_DAYS = (30, 37)
"""Days of every cycle, counted from 1970-01-01, of which no Sentinel-2 frame is trained on."""
FOLDS = 4
FOLD_DAYS = CYCLE_DAYS // FOLDS
"""Each fold holds the same parts of a cycle out, so many days later than the one before."""
STRIP_SHARE = 0.25
"""Of the columns, in the east, on which nothing is trained."""
BUFFER_PX = 7
"""Columns beside the strip of which nothing is used: as far as a code looks around its pixel."""


@dataclass(frozen=True)
class Site:
    """Observations of both sensors on one 10 m grid; a band of a sensor may be missing throughout.

    Attributes
    ----------
    name
        The folder's.
    observed
        By sensor, "s1" in dB and "s2" as reflectance 0-1; in ascending order of days.
    fold
        Which days are held out: 0 those of the shipped network, 1 to 3 the others in turn.
    """

    name: str
    observed: Mapping[str, Observations]
    fold: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        y, x = next(iter(self.observed.values())).values.shape[2:]
        return y, x

    def crop(self, columns: slice) -> "Site":
        """The same with some of the columns only."""
        cropped = {
            s: Observations(o.values[..., columns], o.valid[..., columns], o.days)
            for s, o in self.observed.items()
        }
        return replace(self, observed=cropped)


def is_test(days: NDArray[np.int32], fold: int = 0) -> NDArray[np.bool_]:
    """Days whose Sentinel-2 frames are for the evaluation alone."""
    return within_cycle(days - FOLD_DAYS * fold, TEST_DAYS)


def is_validation(days: NDArray[np.int32], fold: int = 0) -> NDArray[np.bool_]:
    """Days whose Sentinel-2 frames choose the weights and calibrate them."""
    return within_cycle(days - FOLD_DAYS * fold, VALIDATION_DAYS)


def within_cycle(days: NDArray[np.int32], part: tuple[int, int]) -> NDArray[np.bool_]:
    """Days within [start, stop) of the cycle."""
    return np.asarray((days % CYCLE_DAYS >= part[0]) & (days % CYCLE_DAYS < part[1]))


def strip_start(columns: int) -> int:
    """The first column of the strip that is held out."""
    return columns - int(round(STRIP_SHARE * columns))


def without(observed: Observations, hidden: NDArray[np.bool_]) -> Observations:
    """The frames (t,) that are not hidden."""
    return Observations(observed.values[~hidden], observed.valid[~hidden], observed.days[~hidden])


def training_part(site: Site) -> Site:
    """What may be trained on: west of the strip and its buffer, Sentinel-2 outside the days held out."""
    west = site.crop(slice(0, strip_start(site.shape[1]) - BUFFER_PX))
    s2 = west.observed["s2"]
    held_out = is_test(s2.days, site.fold) | is_validation(s2.days, site.fold)
    return replace(west, observed={**west.observed, "s2": without(s2, held_out)})


# --- reading


def read_sites(folder: Path, fold: int = 0) -> list[Site]:
    """The site in a folder, or those in its sub-folders, of which a fold's days are held out.

    Raises
    ------
    InvalidCollection
        There is none, or one lacks a sensor, SCL or a time axis, or is in other units.
    """
    places = [place for place in (folder, *sorted(folder.glob("*/"))) if [*place.glob("S2*.nc")]]
    if not places:
        raise InvalidCollection(
            f"{folder} holds no site: a folder with S2*.nc and S1*.nc was needed, there or one level below"
        )
    return [replace(read_site(place), fold=fold) for place in places]


def read_site(folder: Path) -> Site:
    """Read one site; see `read_sites`."""
    optical, radar = (
        [open_cube(file, s) for file in sorted(folder.glob(f"{s.upper()}*.nc"))] for s in SENSORS
    )
    if not optical or not radar:
        raise InvalidCollection(f"{folder} needs both S2*.nc and S1*.nc")
    grid = max(optical, key=lambda cube: cube.sizes["x"] * cube.sizes["y"])
    if not all(np.array_equal(cube["t"].values, grid["t"].values) for cube in optical):
        raise InvalidCollection(f"{folder}: its Sentinel-2 files have different dates")
    flags = band_of(optical, "SCL", grid)
    if flags is None:
        raise InvalidCollection(f"{folder}: no Sentinel-2 file has SCL, which tells clouds from ground")
    clear = quality_flags.sentinel2_clear(flags)
    seen = {
        "s1": observations(radar, S1_BANDS, grid, None),
        "s2": observations(optical, S2_BANDS, grid, clear),
    }
    check_units(folder, seen)
    return Site(folder.name, seen)


def check_units(folder: Path, seen: Mapping[str, Observations]) -> None:
    """Refuse backscatter as power and reflectance as digital numbers."""
    middle = {s: float(np.median(o.values[o.valid])) if o.valid.any() else 0.0 for s, o in seen.items()}
    if middle["s1"] > 0:
        raise InvalidCollection(
            f"{folder}: Sentinel-1 in dB was needed, the median is {middle['s1']:.3g}; write 10 log10 of it"
        )
    if middle["s2"] > MOST_REFLECTANCE:
        raise InvalidCollection(
            f"{folder}: Sentinel-2 reflectance 0-1 was needed, the median is {middle['s2']:.3g}; "
            "give the bands a scale_factor"
        )


def open_cube(file: Path, sensor: str) -> xr.Dataset:
    """A file as it is stored, its time axis named `t` and its bands as the sensor's."""
    # xarray cannot mask an integer band whose fill value is NaN; `band_of` decodes.
    with xr.open_dataset(file, mask_and_scale=False) as opened:
        cube = opened.load()
    named = [name for name in TIME_NAMES if name in cube.dims]
    if not named:
        raise InvalidCollection(f"{file} has none of the time dimensions {TIME_NAMES}, only {[*cube.dims]}")
    labels = {str(name): sensors.canonical_label(str(name), sensor) for name in cube.data_vars}
    bands = {name: label.partition("_")[2] for name, label in labels.items() if label}
    return cube.rename(bands | ({named[0]: "t"} if named[0] != "t" else {}))


def band_of(cubes: Sequence[xr.Dataset], name: str, grid: xr.Dataset) -> NDArray[np.float32] | None:
    """A band (t, y, x) decoded, NaN where missing, on a grid by the nearest pixel; None if no file has it."""
    cube = next((cube for cube in cubes if name in cube), None)
    if cube is None:
        return None
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
    cubes: Sequence[xr.Dataset], names: Sequence[str], grid: xr.Dataset, clear: NDArray[np.bool_] | None
) -> Observations:
    """Bands of one sensor in ascending order of time; frames without a valid pixel are left out."""
    times = cubes[0]["t"].values.astype("datetime64[ns]")
    nothing = np.full((len(times), grid.sizes["y"], grid.sizes["x"]), np.nan, np.float32)
    bands = [band_of(cubes, name, grid) for name in names]
    values = np.stack([nothing if band is None else band for band in bands], 1)
    valid = np.isfinite(values)
    if clear is not None:
        valid &= clear[:, None]
    days = times.astype("datetime64[D]").astype(np.int32)
    seen = Observations(np.where(valid, values, 0), valid, days)
    return in_order(without(seen, np.logical_not(valid.any(axis=(1, 2, 3)))))
