"""Which dates of a series a network is given, and which it must tell: to train and to evaluate alike.

The strategies are those of Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159. Each is a function of the
days of each sensor, "l8" and "s2" (days since 1970-01-01, ascending), and of a random generator, which those
without chance leave alone.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidParameter

Days = NDArray[np.int32]
DaysBySensor = Mapping[str, Days]
Mask = NDArray[np.bool_]

RATES = (0.2, 0.7)
"""Between which lies the share of dates that random masking hides."""
GAP_DAYS = (30, 90)
EVALUATED_GAP_DAYS = 30
START_DAYS = (65, 300)
"""Between which a forecast begins and a backcast ends, counted from the first date."""
DAYS_OF_MONTH = (1, 15)
"""Of the regular series that are called level 3A."""
MOST_TRIES = 20


class Split(NamedTuple):
    """What is given, and what is asked for.

    Attributes
    ----------
    inputs
        By sensor, the dates (t,) that the network is given.
    targets
        By sensor, the dates (t,) to be told and compared; with strategies that hide something, those hidden.
    queries
        (q,), the days asked for, ascending.
    """

    inputs: Mapping[str, Mask]
    targets: Mapping[str, Mask]
    queries: Days


class Strategy(Protocol):
    """Days of each sensor and a random generator -> a split."""

    def __call__(self, days: DaysBySensor, rng: np.random.Generator) -> Split:
        """Split the dates."""


def all_dates(days: DaysBySensor, rng: np.random.Generator) -> Split:
    """Everything given, everything asked for."""
    whole = {s: np.ones(len(d), np.bool_) for s, d in days.items()}
    return Split(whole, whole, union(days))


def random_masking(days: DaysBySensor, rng: np.random.Generator, rates: tuple[float, float] = RATES) -> Split:
    """Dates of both sensors hidden by chance, at a rate that is itself drawn."""
    rate = rng.uniform(*rates)
    return hidden(days, {s: rng.random(len(d)) < rate for s, d in days.items()})


def gaps(days: DaysBySensor, rng: np.random.Generator, lengths: tuple[int, int] = GAP_DAYS) -> Split:
    """All dates of both sensors hidden within one interval of drawn length and place."""
    known = union(days)
    length = int(rng.integers(lengths[0], lengths[1], endpoint=True))
    start = int(rng.integers(known[0], max(known[-1] - length, known[0]) + 1))
    return gap(days, start, length)


def gap(days: DaysBySensor, start: int, length_days: int = EVALUATED_GAP_DAYS) -> Split:
    """All dates of both sensors hidden from a day on, for some days."""
    return hidden(days, {s: (d >= start) & (d < start + length_days) for s, d in days.items()})


def no_hr(days: DaysBySensor, rng: np.random.Generator) -> Split:
    """Landsat alone."""
    return without_sensor(days, "s2")


def no_lr(days: DaysBySensor, rng: np.random.Generator) -> Split:
    """Sentinel-2 alone."""
    return without_sensor(days, "l8")


def forecast(days: DaysBySensor, rng: np.random.Generator) -> Split:
    """Nothing given from a drawn day on."""
    start = drawn_start(days, rng)
    return hidden(days, {s: d >= start for s, d in days.items()})


def backcast(days: DaysBySensor, rng: np.random.Generator) -> Split:
    """Nothing given before a drawn day."""
    start = drawn_start(days, rng)
    return hidden(days, {s: d < start for s, d in days.items()})


def landsat_to_sentinel2(days: DaysBySensor, rng: np.random.Generator, tolerance_days: int = 0) -> Split:
    """CONJLR2HR: Sentinel-2 from the Landsat images of the same days and no others."""
    given = {"l8": near(days, "l8", "s2", tolerance_days), "s2": np.zeros(len(days["s2"]), np.bool_)}
    return to_sentinel2(days, given, tolerance_days)


def sentinel2_to_sentinel2(days: DaysBySensor, rng: np.random.Generator, tolerance_days: int = 0) -> Split:
    """HRNOCONJ2HR: Sentinel-2 on the days of Landsat from Sentinel-2 on the others."""
    own = ~near(days, "s2", "l8", tolerance_days)
    return to_sentinel2(days, {"l8": np.zeros(len(days["l8"]), np.bool_), "s2": own}, tolerance_days)


def both_to_sentinel2(days: DaysBySensor, rng: np.random.Generator, tolerance_days: int = 0) -> Split:
    """LRuHRNOCONJ2HR: as `sentinel2_to_sentinel2`, with all of Landsat beside it."""
    own = ~near(days, "s2", "l8", tolerance_days)
    return to_sentinel2(days, {"l8": np.ones(len(days["l8"]), np.bool_), "s2": own}, tolerance_days)


def twice_a_month(days: DaysBySensor, rng: np.random.Generator) -> Split:
    """L3A: everything given, the 1st and 15th of each month asked for; there is nothing to compare."""
    known = union(days)
    every = np.arange(known[0], known[-1] + 1, dtype=np.int32)
    dates = every.astype("datetime64[D]")
    of_month = (dates - dates.astype("datetime64[M]")).astype(int) + 1
    return at_days(days, every[np.isin(of_month, DAYS_OF_MONTH)])


def at_days(days: DaysBySensor, queries: Days) -> Split:
    """CUSTOM: everything given, any days asked for; what was seen on one of them is compared."""
    given = {s: np.ones(len(d), np.bool_) for s, d in days.items()}
    wanted = np.unique(queries).astype(np.int32)
    return Split(given, {s: np.isin(d, wanted) for s, d in days.items()}, wanted)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "ALL": all_dates,
        "RANDOM": random_masking,
        "GAPS": gaps,
        "NOHR": no_hr,
        "NOLR": no_lr,
        "FORECAST": forecast,
        "BACKCAST": backcast,
        "CONJLR2HR": landsat_to_sentinel2,
        "HRNOCONJ2HR": sentinel2_to_sentinel2,
        "LRuHRNOCONJ2HR": both_to_sentinel2,
        "L3A": twice_a_month,
    }
)
"""By the paper's names; CUSTOM is `at_days`."""
ODDS: Mapping[str, int] = MappingProxyType(
    {"RANDOM": 8, "GAPS": 4, "NOHR": 1, "NOLR": 1, "FORECAST": 1, "BACKCAST": 1}
)
"""Of what a training step hides."""


def draw(days: DaysBySensor, rng: np.random.Generator) -> tuple[str, Split]:
    """A strategy for a step of training, by its odds, that leaves something to give and something to tell.

    Raises
    ------
    InvalidParameter
        There are fewer than two dates.
    """
    known = {s: d for s, d in days.items() if len(d)}
    names, odds = [*ODDS], np.array([*ODDS.values()], float)
    for _ in range(MOST_TRIES):
        name = str(rng.choice(names, p=odds / odds.sum()))
        split = STRATEGIES[name](known, rng)
        if some(split.inputs) and some(split.targets):
            return name, split
    total = sum(map(len, known.values()))
    if total < 2:
        raise InvalidParameter(f"to hide some dates and give others two are needed at least, got {total}")
    sensor = max(known, key=lambda s: len(known[s]))
    kept = {s: np.ones(len(d), np.bool_) for s, d in known.items()}
    kept[sensor][rng.integers(len(known[sensor]))] = False
    return "RANDOM", hidden(known, {s: ~mask for s, mask in kept.items()})


# --- the pieces


def union(days: DaysBySensor) -> Days:
    """All days of any sensor, ascending."""
    return np.unique(np.concatenate([*days.values()])).astype(np.int32)


def some(dates: Mapping[str, Mask]) -> bool:
    """Whether there is a date of any sensor."""
    return any(bool(mask.any()) for mask in dates.values())


def hidden(days: DaysBySensor, away: Mapping[str, Mask]) -> Split:
    """Some dates hidden and to be told, all days asked for."""
    return Split({s: ~mask for s, mask in away.items()}, dict(away), union(days))


def without_sensor(days: DaysBySensor, sensor: str) -> Split:
    """All dates of a sensor hidden, none of another."""
    return hidden(days, {s: np.full(len(d), s == sensor) for s, d in days.items()})


def drawn_start(days: DaysBySensor, rng: np.random.Generator) -> int:
    """A day within a year's range from the first date."""
    return int(union(days)[0] + rng.integers(*START_DAYS, endpoint=True))


def near(days: DaysBySensor, sensor: str, other: str, tolerance_days: int) -> Mask:
    """Dates (t,) of a sensor with one of the other's on the same day, or so near."""
    both_needed(days)
    apart = np.abs(days[sensor][:, None].astype(np.int64) - days[other])
    return np.asarray((apart <= tolerance_days).any(1))


def to_sentinel2(days: DaysBySensor, given: Mapping[str, Mask], tolerance_days: int) -> Split:
    """Sentinel-2 on Landsat's days asked for."""
    wanted = near(days, "s2", "l8", tolerance_days)
    targets = {"l8": np.zeros(len(days["l8"]), np.bool_), "s2": wanted}
    return Split(given, targets, np.unique(days["s2"][wanted]).astype(np.int32))


def both_needed(days: DaysBySensor) -> None:
    """Raise InvalidParameter where a sensor is missing."""
    if missing := {"l8", "s2"} - days.keys():
        raise InvalidParameter(f"this strategy needs days of l8 and of s2; {sorted(missing)} is missing")
