"""Sizes and times as they are given on a command line."""

import argparse
import math
import re

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<prefix>[kKMGT]?)(?P<unit>i?B|)", re.ASCII)
MOST_DAYS = 365_000
"""Dates so far from today still have a year that datetime knows."""
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def size_bytes(text: str) -> int | None:
    """`4GiB` or `4G` (times 1024), `4GB` (times 1000); `none`: no limit.

    Raises
    ------
    argparse.ArgumentTypeError
    """
    if text.lower() == "none":
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"must be a size such as 500MB, 4GiB or none, got {text!r}")
    factor = 1000 if found["unit"] == "B" else 1024
    count = int(float(found["number"]) * factor ** _POWERS[found["prefix"]])
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be larger than nothing, got {text!r}")
    return count


def seconds(text: str) -> float | None:
    """A number of seconds above 0; `none`: no limit.

    Raises
    ------
    argparse.ArgumentTypeError
    """
    return _number(text, "seconds")


def days(text: str) -> float | None:
    """A number of days above 0, a thousand years at most; `none`: for ever.

    Raises
    ------
    argparse.ArgumentTypeError
    """
    number = _number(text, "days")
    if number is not None and number > MOST_DAYS:
        raise argparse.ArgumentTypeError(f"must be {MOST_DAYS} days at most, or none for ever, got {text!r}")
    return number


def _number(text: str, unit: str) -> float | None:
    if text.lower() == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of {unit} above 0, or none, got {text!r}")
    return number
