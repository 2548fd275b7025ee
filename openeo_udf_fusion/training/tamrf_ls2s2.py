"""Sites of the LS2S2 data set (Zenodo 15471890), of which only the windows asked for are read.

A site is a folder with `sentinel2/index.csv` and `landsat/index.csv` (columns separated by tabs) and, for
each date, `<sensor>/YYYYMMDD/<sensor>_{bands,mask}_YYYYMMDD.tif`: int16, reflectance x 1e4 and kelvin x 10,
-10000 where nothing is; Sentinel-2 at 10 m, Landsat at 30 m from the same corner.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from openeo_udf_fusion.baselines.image_pairs import BANDS
from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.tamrf_sites import (
    BELGIUM,
    ROMANIA,
    Mask,
    Site,
    Values,
    read_belgium,
    read_romania,
    scale_of,
)

FOLDERS = MappingProxyType({"l8": "landsat", "s2": "sentinel2"})
NODATA = -10000
NOT_USABLE = {"0", "false", "no"}
"""What the index says of a date that is not to be used."""


@dataclass(frozen=True)
class Ls2s2Site:
    """One site's dates; `crop` reads a square of them.

    Attributes
    ----------
    name
        The folder's.
    folder
        Where it lies.
    dates
        By sensor, those that the index calls valid, in ascending order.
    shape
        Rows and columns at 10 m.
    """

    name: str
    folder: Path
    dates: MappingProxyType[str, NDArray[np.datetime64]]
    shape: tuple[int, int]

    def days(self, sensor: str) -> NDArray[np.int32]:
        """Of its images, since 1970-01-01."""
        return self.dates[sensor].astype(np.int32)

    def between(self, first_day: int, last_day: int) -> "Ls2s2Site":
        """With the dates of a period only, both days included."""
        kept = {
            s: dates[(self.days(s) >= first_day) & (self.days(s) <= last_day)]
            for s, dates in self.dates.items()
        }
        return replace(self, dates=MappingProxyType(kept))

    def crop(self, top: int, left: int, size: int) -> Site:
        """A square of all its dates; in pixels of 10 m and multiples of 3."""
        read = {s: read_window(self.folder, s, dates, (top, left, size)) for s, dates in self.dates.items()}
        return Site(
            self.name,
            {s: o for s, (o, _) in read.items()},
            {s: clear for s, (_, clear) in read.items()},
            (top % 2, left % 2),
        )


def read_ls2s2(folder: Path) -> list[Ls2s2Site]:
    """The sites in a folder, or the one that it is.

    Raises
    ------
    InvalidCollection
        There is none, or one lacks dates, rasters, or bands.
    """
    places = [place for place in (folder, *sorted(folder.glob("*/"))) if is_ls2s2(place)]
    if not places:
        raise InvalidCollection(
            f"{folder} holds no site of LS2S2: folders with landsat/index.csv and sentinel2/index.csv were "
            "needed, there or one level below"
        )
    return [open_site(place) for place in places]


def is_ls2s2(folder: Path) -> bool:
    """Whether a folder is one site of the data set."""
    return all((folder / part / "index.csv").is_file() for part in FOLDERS.values())


def open_site(folder: Path) -> Ls2s2Site:
    """Read a site's index, and check its first images."""
    dates = {sensor: dates_of(folder / part / "index.csv") for sensor, part in FOLDERS.items()}
    shapes = {}
    for sensor, known in dates.items():
        if not len(known):
            raise InvalidCollection(f"{folder / FOLDERS[sensor]}/index.csv has no valid date")
        with rasterio.open(raster(folder, sensor, "bands", known[0])) as image:
            if image.count != len(BANDS[sensor]):
                raise InvalidCollection(
                    f"{image.name} needs the {len(BANDS[sensor])} bands {BANDS[sensor]}, it has {image.count}"
                )
            shapes[sensor] = (image.height * scale_of(sensor), image.width * scale_of(sensor))
    if shapes["l8"] != shapes["s2"]:
        raise InvalidCollection(
            f"{folder}: Landsat must cover what Sentinel-2 covers; it covers {shapes['l8']} pixels of 10 m, "
            f"Sentinel-2 has {shapes['s2']}"
        )
    return Ls2s2Site(folder.name, folder, MappingProxyType(dates), shapes["s2"])


def dates_of(index: Path) -> NDArray[np.datetime64]:
    """Dates that an index calls valid, in ascending order, each once."""
    with index.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if rows and "acquisition_date" not in rows[0]:
        raise InvalidCollection(
            f"{index} needs the column acquisition_date, separated by tabs; got {[*rows[0]]}"
        )
    usable = [row for row in rows if (row.get("valid") or "true").strip().lower() not in NOT_USABLE]
    return np.unique(np.array([row["acquisition_date"][:10] for row in usable], "datetime64[D]"))


def raster(folder: Path, sensor: str, what: str, date: np.datetime64) -> Path:
    """Where bands or mask of a date lie."""
    day = str(date).replace("-", "")
    part = FOLDERS[sensor]
    return folder / part / day / f"{part}_{what}_{day}.tif"


def read_window(
    folder: Path, sensor: str, dates: NDArray[np.datetime64], square: tuple[int, int, int]
) -> tuple[Observations, Mask]:
    """A sensor's images of a square (top, left, size) in pixels of 10 m, and where they are clear."""
    top, left, size = (number // scale_of(sensor) for number in square)
    window = Window(left, top, size, size)
    values = np.empty((len(dates), len(BANDS[sensor]), size, size), np.float32)
    valid, clear = np.empty(values.shape, np.bool_), np.empty((len(dates), size, size), np.bool_)
    for at, date in enumerate(dates):
        with rasterio.open(raster(folder, sensor, "bands", date)) as image:
            stored = image.read(window=window)
        with rasterio.open(raster(folder, sensor, "mask", date)) as image:
            masked = image.read(1, window=window) > 0
        values[at], valid[at] = decoded(stored, sensor)
        clear[at] = ~masked & (stored != 0).all(0) & valid[at].all(0)
    return Observations(np.where(valid, values, np.float32(0)), valid, dates.astype(np.int32)), clear


def decoded(stored: NDArray[np.int16], sensor: str) -> tuple[Values, Mask]:
    """Reflectance and kelvin (b, y, x), and where something was measured."""
    scale = np.array([10.0 if band == "LST" else 1e4 for band in BANDS[sensor]], np.float32)
    return (stored / scale[:, None, None]).astype(np.float32), np.asarray(stored != NODATA)


def read_sites(folders: list[Path]) -> list[Site | Ls2s2Site]:
    """The sites of some folders, each told by what it holds.

    Raises
    ------
    InvalidCollection
        A folder holds none of the known sites.
    """
    sites: list[Site | Ls2s2Site] = []
    for folder in folders:
        places = [folder, folder / BELGIUM, folder / ROMANIA]
        known = [place for place in places if (place / "L8_SR_10m.nc").is_file()]
        sites += [read_belgium(place) for place in known]
        alone = [place for place in places if [*place.glob("sentinel2_cube_subset_romania_*.nc")]]
        sites += [read_romania(place) for place in alone]
        if not known and not alone:
            sites += read_ls2s2(folder)
    return sites
