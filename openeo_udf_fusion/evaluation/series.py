"""The measured series that are scored: a year of MODIS per pixel, and what the ground was like."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training import pairs
from openeo_udf_fusion.training.pairs import FIRST_DAY, SERIES_FOLDER

Scalar = TypeVar("Scalar", bound=np.generic)
SNOW, SNOW_FREE, UNKNOWN = 1, 0, -1
SURFACES = {"snow": SNOW, "snow_free": SNOW_FREE}
NDSI_OF_SNOW, DARKEST_SNOW_B2 = 0.4, 0.11
SNOW_RULE = (
    "snow: NDSI = (B4 - B6) / (B4 + B6) of the hidden truth > 0.4 and B2 > 0.11 (SNOMAP; Hall, Riggs and "
    "Salomonson 1995, doi:10.1016/0034-4257(95)00137-P); snow-free: both known and not so"
)
TUNING_SERIES_SHA256 = "8208c6dee0f4ca88d846181f51f3a30af2d547535076d1dd67f27d095515272c"
"""Of the fingerprints, one after the other, of the series on which the training's settings were chosen."""
TUNING_SEED, TUNING_PIXELS = 43, 60
GREEN, SHORTWAVE, NEAR_INFRARED = 3, 5, 1
"""Positions of B4, B6 and B2."""


@dataclass(frozen=True)
class Series:
    """A year of MODIS on consecutive days.

    Attributes
    ----------
    values, valid
        (p, t, 7) surface reflectance, and what of it was measured.
    fingerprints
        (p,) of each pixel's stored numbers; a network's card lists those that it saw.
    land_cover
        (p,) "" where unknown.
    row
        (p,) which of the pixels of the data folder each is: `pairs.simulate` knows them by that number.
    first_day
        Days since 1970-01-01: that of the file's `dates`, else 2012-01-01.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    fingerprints: NDArray[np.str_]
    land_cover: NDArray[np.str_]
    row: NDArray[np.int64]
    first_day: int = FIRST_DAY

    def __len__(self) -> int:
        """Number of pixels."""
        return len(self.values)

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of the columns."""
        return np.arange(self.first_day, self.first_day + self.values.shape[1], dtype=np.int32)

    @property
    def keys(self) -> list[int]:
        """A number per pixel that depends on nothing but its data."""
        return [int(fingerprint, 16) for fingerprint in self.fingerprints]

    def take(self, pixels: NDArray[np.integer] | NDArray[np.bool_]) -> "Series":
        """Some of the pixels."""
        return Series(
            self.values[pixels],
            self.valid[pixels],
            self.fingerprints[pixels],
            self.land_cover[pixels],
            self.row[pixels],
            self.first_day,
        )


def read(data: Path) -> Series:
    """All pixels of `nbar_series/*.npz` in a data folder, each once; `land_cover` (p,) where a file has it.

    Raises
    ------
    InvalidParameter
        There is no such file, one lacks an array, or the series are not of the same days.
    """
    lengths, starts, covers = set(), set(), []
    for file in sorted((data / SERIES_FOLDER).glob("*.npz")):
        with np.load(file) as archive:
            if "refl" in archive:
                count, days = archive["refl"].shape[:2]
                lengths.add(days)
                starts.add(first_day(archive, file.name))
                covers.append(archive["land_cover"] if "land_cover" in archive else np.full(count, ""))
    if len(lengths) > 1:
        raise InvalidParameter(
            f"the series in {SERIES_FOLDER}/*.npz must be equally long, they have {sorted(lengths)} days"
        )
    if len(starts) > 1:
        days_of = ", ".join(str(np.datetime64(start, "D")) for start in sorted(starts))
        raise InvalidParameter(
            f"the series in {SERIES_FOLDER}/*.npz must begin on one day, they do on {days_of}"
        )
    values, valid, fingerprints = pairs.read_series(data)
    names = np.array(fingerprints)
    _, first = np.unique(names, return_index=True)
    cover = np.concatenate(covers).astype(str)
    whole = Series(values, valid, names, cover, np.arange(len(values)), min(starts))
    return whole.take(np.sort(first))


def untouched(series: Series) -> NDArray[np.bool_] | None:
    """Which pixels (p,) no setting of the training was chosen by; None for series that none was chosen on.

    Settings were chosen by trials on a random draw of the pixels of one file, told by its fingerprints.
    """
    names = "".join(series.fingerprints)
    if hashlib.sha256(names.encode()).hexdigest() != TUNING_SERIES_SHA256:
        return None
    tried = np.random.default_rng(TUNING_SEED).permutation(len(series))[:TUNING_PIXELS]
    return ~np.isin(np.arange(len(series)), tried)


def first_day(archive: Mapping[str, NDArray[np.generic]], name: str) -> int:
    """The first of an archive's `dates` in days since 1970-01-01; `FIRST_DAY` where it has none.

    Raises
    ------
    InvalidParameter
        The dates are not consecutive days, one for each column.
    """
    if "dates" not in archive:
        return FIRST_DAY
    days = archive["dates"].astype("datetime64[D]").astype(np.int64)
    if len(days) != archive["refl"].shape[1] or (np.diff(days) != 1).any():
        raise InvalidParameter(
            f"the dates of {name} must be consecutive days, one for each of its {archive['refl'].shape[1]} "
            f"columns; {len(days)} dates came, or some are left out"
        )
    return int(days[0])


def surface(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.int8]:
    """SNOW, SNOW_FREE or UNKNOWN on each day, (p, t), of reflectance (p, t, 7); see `SNOW_RULE`."""
    green, shortwave = values[..., GREEN], values[..., SHORTWAVE]
    bright = values[..., NEAR_INFRARED] > DARKEST_SNOW_B2
    snow = bright & (green - shortwave > NDSI_OF_SNOW * (green + shortwave))
    known = valid[..., [GREEN, SHORTWAVE, NEAR_INFRARED]].all(axis=-1)
    return np.where(known, snow, UNKNOWN).astype(np.int8)


def observations(
    values: NDArray[np.float32], valid: NDArray[np.bool_], days: NDArray[np.int32]
) -> Observations:
    """Series (p, t, b) as a cube of one row of pixels, (t, b, 1, p)."""
    return Observations(to_cube(values), to_cube(valid), days)


def to_cube(series: NDArray[Scalar]) -> NDArray[Scalar]:
    """(p, t, b) -> (t, b, 1, p)."""
    return np.ascontiguousarray(series.transpose(1, 2, 0)[:, :, None])
