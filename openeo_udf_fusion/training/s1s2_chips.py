"""Chips to train the Sentinel-1/2 embedding on: a small square, its frames, and gaps made on purpose.

A gap hides all Sentinel-2 frames of 1 to 80 days; some of them are then asked for. Of the frames that stay,
some get the clouds of another date, some vanish. Turning, mirroring, a gain per band and a stretch of time
make one site stand for more than it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from openeo_udf_fusion.models.embedder import standardise
from openeo_udf_fusion.models.s1s2_embedding import Config, Frames, SensorConfig
from openeo_udf_fusion.training.s1s2_sites import Site


@dataclass(frozen=True)
class Habits:
    """How chips are drawn; shares are probabilities.

    Attributes
    ----------
    size_px
        Rows and columns.
    gap_days
        A gap reaches up to so far to either side of a clear day.
    queries, visible_queries, radar_queries
        Days asked for at most: hidden and visible ones of Sentinel-2, and those of each other sensor.
    """

    size_px: int = 20
    gap_days: int = 35
    no_gap: float = 0.15
    queries: int = 3
    visible_queries: int = 2
    radar_queries: int = 2
    lost: float = 0.15
    clouded: float = 0.25
    without_s1: float = 0.15
    without_s2: float = 0.1
    gain: float = 0.03
    offset_db: float = 0.5
    stretch: float = 0.2


@dataclass(frozen=True)
class Chip:
    """Frames to see, days to ask for, and what was there.

    truth: by sensor, standardised (q, b, y, x) and valid; where a day was not asked of a sensor all invalid.
    """

    frames: Mapping[str, Frames]
    query: Tensor
    truth: Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Prepared:
    """A site as tensors: by sensor (values, valid), and days (t,) as numpy."""

    series: Mapping[str, tuple[Tensor, Tensor]]
    days: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, site: Site, config: Config) -> "Prepared":
        """Standardise a site."""
        series = {}
        for name, observed in site.observed.items():
            valid = torch.from_numpy(observed.valid)
            ready = standardise(torch.from_numpy(observed.values), valid, config.sensor(name))
            series[name] = (ready, valid)
        return cls(series, {s: o.days for s, o in site.observed.items()})


def draw(
    sites: Sequence[Prepared],
    config: Config,
    habits: Habits,
    rng: np.random.Generator,
    only: str | None = None,
) -> Chip:
    """A chip, of one sensor alone where `only` names it."""
    site = sites[int(rng.integers(len(sites)))]
    rows, columns = place(site, habits, rng)
    parts = {s: (v[..., rows, columns], m[..., rows, columns]) for s, (v, m) in site.series.items()}
    anchor = only or "s2"
    worth = parts[anchor][1].any(1).float().mean((1, 2)).numpy() > 0.1
    if not worth.any():
        return draw(sites, config, habits, rng, only)
    day = int(rng.choice(site.days[anchor][worth]))
    asked, shown = choose_days(site.days, day, habits, rng)
    chosen = config.sensors if only is None else (config.sensor(only),)
    dropped = drop(rng, habits) if only is None else None
    turn = (int(rng.integers(4)), bool(rng.integers(2)))
    query = np.unique(np.concatenate([asked[s.id] for s in chosen]))
    stretch = 1 + rng.uniform(-habits.stretch, habits.stretch)
    frames, truth = {}, {}
    for sensor in chosen:
        values, valid = parts[sensor.id]
        values = turned(change_level(values, valid, sensor, habits, rng), turn)
        valid, days = turned(valid, turn), site.days[sensor.id]
        truth[sensor.id] = wanted(values, valid, days, asked[sensor.id], query)
        near = (np.abs(days[:, None] - query).min(1) <= config.support_days(sensor.id)) & shown[sensor.id]
        if sensor.id != dropped and near.any():
            index = torch.from_numpy(np.flatnonzero(near))
            seen = valid[index]
            if sensor.id == "s2":
                seen = with_clouds(seen, valid, habits, rng)
            moved = torch.from_numpy((days[near] - day) * stretch).float()
            frames[sensor.id] = Frames(torch.where(seen, values[index], 0.0), seen, moved)
    if not frames:
        return draw(sites, config, habits, rng, only)
    return Chip(frames, torch.from_numpy((query - day) * stretch).float(), truth)


def place(site: Prepared, habits: Habits, rng: np.random.Generator) -> tuple[slice, slice]:
    """Where in a site a chip lies."""
    height, width = next(iter(site.series.values()))[0].shape[-2:]
    size_y, size_x = min(habits.size_px, height), min(habits.size_px, width)
    top, left = int(rng.integers(height - size_y + 1)), int(rng.integers(width - size_x + 1))
    return slice(top, top + size_y), slice(left, left + size_x)


def drop(rng: np.random.Generator, habits: Habits) -> str | None:
    """The sensor that a chip goes without, if any."""
    chance = rng.uniform()
    if chance < habits.without_s1:
        return "s1"
    return "s2" if chance < habits.without_s1 + habits.without_s2 else None


def choose_days(
    days: Mapping[str, np.ndarray], day: int, habits: Habits, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Days asked of each sensor, and which of its frames are shown."""
    asked, shown = {}, {s: rng.uniform(size=len(d)) >= habits.lost for s, d in days.items()}
    if "s2" in days:
        optical = days["s2"]
        back, ahead = rng.integers(0, habits.gap_days + 1, 2)
        in_gap = (optical >= day - back) & (optical <= day + ahead)
        if rng.uniform() < habits.no_gap:
            in_gap[:] = False
        shown["s2"] &= ~in_gap
        near = np.abs(optical - day) <= habits.gap_days
        hidden = some_of(optical[in_gap], habits.queries, rng)
        visible = some_of(optical[near & ~in_gap], habits.visible_queries, rng)
        asked["s2"] = np.concatenate([hidden, visible]) if in_gap.any() else np.append(visible, day)
    for other in (s for s in days if s != "s2"):
        own = days[other]
        asked[other] = some_of(own[np.abs(own - day) <= habits.gap_days], habits.radar_queries, rng)
        if rng.uniform() < 0.5:
            shown[other] &= ~np.isin(own, asked[other])
    return asked, shown


def some_of(days: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """At most so many of the days."""
    return rng.permutation(days)[:count]


def wanted(
    values: Tensor, valid: Tensor, days: np.ndarray, asked: np.ndarray, query: np.ndarray
) -> tuple[Tensor, Tensor]:
    """What a sensor saw on the queried days that were asked of it: values and valid (q, b, y, x)."""
    truth = torch.zeros(len(query), *values.shape[1:])
    known = torch.zeros(truth.shape, dtype=torch.bool)
    for at in np.flatnonzero(np.isin(query, asked)):
        frame = int(np.flatnonzero(days == query[at])[0])
        truth[at], known[at] = values[frame], valid[frame]
    return truth, known


def with_clouds(seen: Tensor, everywhere: Tensor, habits: Habits, rng: np.random.Generator) -> Tensor:
    """Some frames with the clouds of another date on top."""
    for frame in np.flatnonzero(rng.uniform(size=len(seen)) < habits.clouded):
        other = everywhere[int(rng.integers(len(everywhere)))]
        seen[frame] &= turned(other, (2 * int(rng.integers(2)), bool(rng.integers(2))))
    return seen


def change_level(
    values: Tensor, valid: Tensor, sensor: SensorConfig, habits: Habits, rng: np.random.Generator
) -> Tensor:
    """A gain per band for reflectance, an offset per band for decibels; the same for all frames."""
    count = len(sensor.bands)
    centre, spread = (torch.tensor(getattr(sensor, n))[:, None, None] for n in ("centre", "spread"))
    if sensor.id == "s1":
        offset = torch.from_numpy(rng.normal(0, habits.offset_db, count)).float()[:, None, None]
        return torch.where(valid, values + offset / spread, 0.0)
    gain = torch.from_numpy(rng.normal(0, habits.gain, count)).float()[:, None, None]
    return torch.where(valid, values + gain * (values + centre / spread), 0.0)


def turned(image: Tensor, turn: tuple[int, bool]) -> Tensor:
    """Rotate by quarters, then mirror."""
    image = torch.rot90(image, turn[0], (-2, -1))
    return image.flip(-1) if turn[1] else image
