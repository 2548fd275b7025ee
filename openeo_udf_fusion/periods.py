"""The dates of a result: ISO 8601 periods anchored in the calendar, given lists, or acquisition dates.

Nothing here depends on the first date of a chunk, so that neighbouring tiles get the same dates.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidParameter

Days = NDArray[np.datetime64]
"""Dates as datetime64[D]."""

_PERIOD = re.compile(r"P(?P<count>[1-9]\d*)(?P<unit>[DWMY])")
_CHOICES = (
    "dates must be 'acquisition', an ISO 8601 period of days, weeks, months or years such as 'P8D' or 'P1M', "
    "or a list of dates"
)


def output_dates(dates: str | Sequence[str], temporal_extent: Sequence[str] | None, acquired: Days) -> Days:
    """Return the dates that a result shall have.

    Parameters
    ----------
    dates : str or sequence of str
        "acquisition" (every date in `acquired`), an ISO 8601 period (P8D and every other number of days or
        weeks restarts on 1 January; P1M is the 1st of each month; P1Y is 1 January), or a list of dates.
    temporal_extent : (start, end), optional
        Left-closed; required for a period. For acquisition dates it limits them; a list stands for itself.
    acquired : datetime64 array
        The dates of the input.

    Returns
    -------
    datetime64[D] array
        Ascending, without repetitions.

    Raises
    ------
    InvalidParameter
        For anything else, or if no date is left.
    """
    if not isinstance(dates, Iterable):
        raise InvalidParameter(f"{_CHOICES}; got {dates!r}")
    if not isinstance(dates, str):
        found = np.unique([parse_day(text, "dates") for text in dates]).astype("datetime64[D]")
    elif dates == "acquisition":
        found = _within(np.unique(acquired.astype("datetime64[D]")), temporal_extent)
    elif temporal_extent is None:
        raise InvalidParameter(
            f"dates={dates!r} needs a temporal_extent, for its dates come from the calendar; "
            "give [start, end], or a list of dates"
        )
    else:
        found = period_dates(dates, *parse_extent(temporal_extent))
    if not len(found):
        raise InvalidParameter(
            f"dates={dates!r} has no date within temporal_extent={temporal_extent!r}{_there(acquired)}"
        )
    return found


def _there(acquired: NDArray[np.datetime64]) -> str:
    """Say which dates a cube has, for an error."""
    if not len(acquired):
        return "; the cube has no dates at all"
    first, last = (day.astype("datetime64[D]") for day in (acquired.min(), acquired.max()))
    return f"; the cube has {len(acquired)} dates from {first} to {last}"


def period_dates(period: str, start: np.datetime64, end: np.datetime64) -> Days:
    """Return the starts of all periods within [start, end), counted from the calendar."""
    match = _PERIOD.fullmatch(period)
    if not match:
        raise InvalidParameter(f"{_CHOICES}; got {period!r}")
    count, unit = int(match["count"]), match["unit"]
    years = np.arange(start.astype("datetime64[Y]"), end.astype("datetime64[Y]") + np.timedelta64(1, "Y"))
    if unit == "Y":
        found = years[years.astype(int) % count == 0].astype("datetime64[D]")
    elif unit == "M":
        found = np.concatenate([_months(year, count) for year in years])
    else:
        found = np.concatenate([_days(year, count * (7 if unit == "W" else 1)) for year in years])
    kept: Days = found[(found >= start) & (found < end)]
    return kept


def _days(year: np.datetime64, step: int) -> Days:
    first, last = year.astype("datetime64[D]"), (year + 1).astype("datetime64[D]")
    days: Days = np.arange(first, last, np.timedelta64(step, "D"))  # type: ignore[assignment]
    return days


def _months(year: np.datetime64, step: int) -> Days:
    first, last = year.astype("datetime64[M]"), (year + 1).astype("datetime64[M]")
    return np.arange(first, last, np.timedelta64(step, "M")).astype("datetime64[D]")


def parse_extent(temporal_extent: Sequence[str]) -> tuple[np.datetime64, np.datetime64]:
    """Return start and end of a left-closed extent, as days; an end within a day includes that day."""
    pair = isinstance(temporal_extent, Sequence) and not isinstance(temporal_extent, str)
    if not pair or len(temporal_extent) != 2 or None in temporal_extent:
        raise InvalidParameter(
            f"temporal_extent must be [start, end] with both ends given, got {temporal_extent!r}"
        )
    start, end = (parse_day(text, "temporal_extent") for text in temporal_extent)
    if "T" in temporal_extent[1] and not re.search(r"T00:00(:00(\.0+)?)?(Z|\+00:00)?$", temporal_extent[1]):
        end = end + np.timedelta64(1, "D")
    if end <= start:
        raise InvalidParameter(f"temporal_extent must end after it starts, got {list(temporal_extent)}")
    return start, end


def parse_day(text: str, parameter: str) -> np.datetime64:
    """Return the day of an ISO 8601 date or an RFC 3339 date-time."""
    match = re.match(r"\d{4}-\d{2}-\d{2}(?=$|T\d{2}:\d{2})", text) if isinstance(text, str) else None
    try:
        if match:
            return np.datetime64(match.group(), "D")
    except ValueError:
        pass
    raise InvalidParameter(f"{parameter} takes dates such as '2022-01-31', got {text!r}")


def _within(days: Days, temporal_extent: Sequence[str] | None) -> Days:
    if temporal_extent is None:
        return days
    start, end = parse_extent(temporal_extent)
    inside: Days = days[(days >= start) & (days < end)]
    return inside
