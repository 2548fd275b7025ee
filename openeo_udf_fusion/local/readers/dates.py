"""Dates: in coordinates, in file names, and the intervals that select them."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidCollection, InvalidParameter

Dates = NDArray[np.datetime64]

DATE_TAG = "datetime"
"""The dataset tag in which this package's GeoTIFFs keep their date, with its time of day."""

# 2022-01-31, 20220131, each perhaps with T103000 behind; 2022031 (day of the year), as in A2022031.
_DAY = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?:(?P<dash>[-_]?)(?P<month>0[1-9]|1[0-2])(?P=dash)(?P<day>0[1-9]|[12]\d|3[01])"
    r"(?:[T_-]?(?P<time>(?:[01]\d|2[0-3])[0-5]\d[0-5]\d))?|(?P<doy>[0-3]\d\d))(?!\d)"
)


def date_in_path(path: Path, folder: Path) -> np.datetime64 | None:
    """The date in a file's name, or else in the name of the nearest folder up to `folder` that has one.

    Reads YYYYMMDD, YYYY-MM-DD (with THHMMSS behind, if any) and YYYYDDD; the first date of a name counts.
    """
    above = [parent.name for parent in path.parents if parent.is_relative_to(folder)]
    for name in (path.stem, *above):
        for found in _DAY.finditer(name):
            if (date := _date(found)) is not None:
                return date
    return None


def without_date(stem: str) -> str:
    """A file's stem with its date and the separators around it taken out."""
    for found in _DAY.finditer(stem):
        if _date(found) is not None:
            before = re.sub(r"[-_.]?A?$", "", stem[: found.start()])
            after = stem[found.end() :].lstrip("-_.Z")
            return "_".join(part for part in (before, after) if part)
    return stem


def as_dates(values: NDArray[np.generic] | Sequence[str], where: str) -> Dates:
    """Coordinates as datetime64[ns]: dates or ISO 8601 texts.

    Raises
    ------
    InvalidCollection
        They are no dates of the standard calendar, or some are missing.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "MUSOT":
        raise InvalidCollection(f"{where} has values of type {array.dtype}, not dates; give it CF units")
    try:
        texts = array.astype(str) if array.dtype.kind == "S" else array
        index = pd.to_datetime(texts, utc=True, format=None if array.dtype.kind == "M" else "ISO8601")
        dates: Dates = index.tz_convert(None).to_numpy().astype("datetime64[ns]")
    except (ValueError, TypeError) as error:
        raise InvalidCollection(
            f"{where} cannot be read as dates of the standard calendar: {error}"
        ) from error
    if np.isnat(dates).any():
        raise InvalidCollection(f"{where} has missing dates")
    return dates


def in_interval(dates: Dates, interval: Sequence[str | None]) -> NDArray[np.bool_]:
    """Which dates lie in the left-closed interval [start, end); None leaves an end open.

    Raises
    ------
    InvalidParameter
        It is no pair of dates, or the end is not after the start.
    """
    if isinstance(interval, str) or len(interval) != 2:
        raise InvalidParameter(f"temporal_extent needs [start, end], each a date or null; got {interval!r}")
    start, end = (None if limit is None else _instant(limit) for limit in interval)
    if start is not None and end is not None and end <= start:
        raise InvalidParameter(
            f"temporal_extent {list(interval)} is empty: the end is excluded and must be after the start"
        )
    inside = np.ones(len(dates), bool)
    if start is not None:
        inside &= dates >= start
    if end is not None:
        inside &= dates < end
    return inside


def iso(date: np.datetime64) -> str:
    """RFC 3339 text of a date, to the second, as openEO writes it."""
    return f"{np.datetime_as_string(date, unit='s')}Z"


def _instant(limit: str) -> np.datetime64:
    try:
        stamp = pd.Timestamp(limit)
    except (ValueError, TypeError) as error:
        raise InvalidParameter(
            f"temporal_extent: {limit!r} is no date; use 2022-01-31 or 2022-01-31T00:00:00Z"
        ) from error
    return _datetime64(stamp if stamp.tzinfo is None else stamp.tz_convert(None))


def _date(found: re.Match[str]) -> np.datetime64 | None:
    year, doy = found["year"], found["doy"]
    try:
        if doy is not None:
            stamp = pd.to_datetime(f"{year}{doy}", format="%Y%j")
        else:
            time = found["time"] or "000000"
            stamp = pd.to_datetime(f"{year}{found['month']}{found['day']}{time}", format="%Y%m%d%H%M%S")
    except ValueError:  # 31 February, day 400
        return None
    return _datetime64(stamp)


def _datetime64(stamp: pd.Timestamp) -> np.datetime64:
    return np.datetime64(stamp.value, "ns")  # pandas may hold a coarser unit
