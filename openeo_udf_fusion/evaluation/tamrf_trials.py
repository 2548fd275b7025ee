"""What TAMRF's evaluation asks: which images the methods are shown, and which they must draw.

The strategies of Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159. Drawn are held-out dates alone,
which no training saw; shown is everything of the site but what the strategy hides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.training import tamrf_strategies as strategies
from openeo_udf_fusion.training.tamrf_sites import Interval, Site

Days = NDArray[np.int32]
SENSORS = ("s2", "l8")
LEAST_CLEAR = 0.5
"""Share of the site that must be clear on a date that is drawn."""
NEAR_DAYS = 1
"""Landsat and Sentinel-2 of so few days apart count as one date: the site has two of the very same day."""
HALVES = 2
STRATEGIES = {
    "GAPS": "both sensors hidden for 30 days about the held-out block",
    "RANDOM": "half of all dates of both sensors hidden, drawn twice so that each date is drawn once",
    "FORECAST": "shown is only what lies before those 30 days",
    "BACKCAST": "shown is only what lies after those 30 days",
    "NOHR": "no Sentinel-2 at all",
    "NOLR": "no Landsat at all",
    "CONJLR2HR": "Landsat of that date alone",
    "HRNOCONJ2HR": "Sentinel-2 alone, without that date",
    "LRuHRNOCONJ2HR": "all Landsat, and Sentinel-2 without that date",
    "LRuHRGAPS2HR": "all Landsat, and Sentinel-2 without 30 days about that date (ours, not the paper's)",
    "ALL": "everything, that date too",
    "WALD": "everything of Sentinel-2 at twice its pixel size: what was measured at 20 m is the truth",
}


@dataclass(frozen=True)
class Target:
    """An image to draw: a sensor's date by its place in the site, and the day that methods are asked for."""

    sensor: str
    place: int
    day: int


@dataclass(frozen=True)
class Trial:
    """Images shown, and those to draw from them.

    Attributes
    ----------
    task, strategy
        Of the evaluation; see `STRATEGIES`.
    shown
        The site without what is hidden.
    targets
        What must be drawn.
    """

    task: str
    strategy: str
    shown: Site
    targets: tuple[Target, ...]

    @property
    def days(self) -> Days:
        """Days asked for, in order and each once."""
        return np.unique([target.day for target in self.targets]).astype(np.int32)

    @property
    def sensors(self) -> tuple[str, ...]:
        """Sensors to draw."""
        return tuple(s for s in SENSORS if any(target.sensor == s for target in self.targets))


def day_of(date: str) -> int:
    """An ISO date as days since 1970-01-01."""
    return int(np.datetime64(date, "D").astype(int))


def clear_dates(site: Site, sensor: str, first: int, last: int) -> list[int]:
    """Places of a sensor's dates, from one day to another, that are clear enough."""
    if sensor not in site.observed:
        return []
    days = site.observed[sensor].days
    share = site.clear[sensor].mean((1, 2))
    return [int(at) for at in np.flatnonzero((days >= first) & (days <= last) & (share >= LEAST_CLEAR))]


def targets_within(site: Site, block: Interval, sensors: Sequence[str] = SENSORS) -> tuple[Target, ...]:
    """All images of a held-out block that are clear enough to be scored."""
    first, last = map(day_of, block)
    return tuple(
        Target(sensor, at, int(site.observed[sensor].days[at]))
        for sensor in sensors
        for at in clear_dates(site, sensor, first, last)
    )


def window(block: Interval, days: int) -> tuple[int, int]:
    """First and last of so many days about the middle of a block, or the block itself if it is longer."""
    first, last = map(day_of, block)
    start = (first + last + 1 - days) // 2
    return min(first, start), max(last, start + days - 1)


def gap_trials(site: Site, blocks: Sequence[Interval], gap_days: int, seed: int) -> Iterator[Trial]:
    """Gap filling: of both sensors, by all the strategies that hide whole dates."""
    days = {sensor: seen.days for sensor, seen in site.observed.items()}
    for block in blocks:
        start, stop = window(block, gap_days)
        wanted = targets_within(site, block)
        for strategy, split in (
            ("GAPS", strategies.gap(days, start, stop - start + 1)),
            ("FORECAST", strategies.hidden(days, {s: d >= start for s, d in days.items()})),
            ("BACKCAST", strategies.hidden(days, {s: d <= stop for s, d in days.items()})),
        ):
            yield Trial("gap_filling", strategy, site.on(split.inputs), wanted)
    yield from random_trials(site, blocks, seed)
    for strategy, absent in (("NOHR", "s2"), ("NOLR", "l8")):
        split = strategies.without_sensor(days, absent)
        wanted = tuple(t for block in blocks for t in targets_within(site, block, [absent]))
        yield Trial("gap_filling", strategy, site.on(split.inputs), wanted)


def random_trials(site: Site, blocks: Sequence[Interval], seed: int) -> Iterator[Trial]:
    """Halves of all dates hidden at random; each held-out date is drawn while its half is hidden."""
    rng = np.random.default_rng(seed)
    half = {s: rng.permutation(len(seen.days)) % HALVES for s, seen in site.observed.items()}
    days = {sensor: seen.days for sensor, seen in site.observed.items()}
    wanted = [target for block in blocks for target in targets_within(site, block)]
    for number in range(HALVES):
        split = strategies.hidden(days, {sensor: which == number for sensor, which in half.items()})
        own = tuple(target for target in wanted if split.targets[target.sensor][target.place])
        yield Trial("gap_filling", "RANDOM", site.on(split.inputs), own)


def conjunctions(site: Site, blocks: Sequence[Interval]) -> list[tuple[int, int]]:
    """Places (Landsat's, Sentinel-2's) of held-out clear images at most `NEAR_DAYS` apart."""
    found = []
    for block in blocks:
        first, last = map(day_of, block)
        for coarse in clear_dates(site, "l8", first, last):
            day = int(site.observed["l8"].days[coarse])
            near = clear_dates(site, "s2", day - NEAR_DAYS, day + NEAR_DAYS)
            if near:
                apart = [abs(int(site.observed["s2"].days[at]) - day) for at in near]
                found.append((coarse, near[int(np.argmin(apart))]))
    return found


def fusion_trials(site: Site, blocks: Sequence[Interval], gap_days: int) -> Iterator[Trial]:
    """Spatio-temporal fusion: Sentinel-2 on a day of Landsat, by what of both is shown.

    Methods are asked for Landsat's day, for those that add to its image know no other. Of the site's
    conjunctions only that one is hidden, for STAIR learns from the others.
    """
    days = {sensor: seen.days for sensor, seen in site.observed.items()}
    for coarse, fine in conjunctions(site, blocks):
        day = int(days["l8"][coarse])
        conjunct = np.abs(days["s2"] - day) <= NEAR_DAYS
        in_gap = np.abs(days["s2"] - day) <= gap_days // 2
        all_of = {sensor: np.ones(len(own), np.bool_) for sensor, own in days.items()}
        none = np.zeros(len(days["l8"]), np.bool_)
        for strategy, away in (
            ("CONJLR2HR", {"s2": all_of["s2"], "l8": days["l8"] != day}),
            ("HRNOCONJ2HR", {"s2": conjunct, "l8": all_of["l8"]}),
            ("LRuHRNOCONJ2HR", {"s2": conjunct, "l8": none}),
            ("LRuHRGAPS2HR", {"s2": in_gap, "l8": none}),
        ):
            shown = site.on(strategies.hidden(days, away).inputs)
            yield Trial("fusion", strategy, shown, (Target("s2", fine, day),))


def sharpening_trials(site: Site, blocks: Sequence[Interval]) -> Iterator[Trial]:
    """Sharpening of bands and of surface temperature: everything is shown."""
    for task, sensor in (("band_sharpening", "s2"), ("thermal_sharpening", "l8")):
        wanted = tuple(t for block in blocks for t in targets_within(site, block, [sensor]))
        yield Trial(task, "ALL", site, wanted)


def wald_trial(shown: Site, blocks: Sequence[Interval]) -> Trial:
    """Band sharpening of a site at twice its pixel size."""
    wanted = tuple(t for block in blocks for t in targets_within(shown, block, ["s2"]))
    return Trial("band_sharpening", "WALD", shown, wanted)
