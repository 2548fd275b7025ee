"""What TAMRF sees in one step of training: a square of one site over a time, some dates of it hidden.

Half of the augmentation is geometry, a new day 0, and bands that are missing. The other half is semi-real:
a Landsat image that was never taken, simulated from the Sentinel-2 image of a date that is hidden, so that
a site with few or no conjunctions teaches fusion too. Surface temperature is never simulated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray

from openeo_udf_fusion.baselines.image_pairs import ALIKE, BANDS, UPSCALING
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.tamrf_losses import as_seen
from openeo_udf_fusion.training.tamrf_sites import Site
from openeo_udf_fusion.training.tamrf_strategies import Split, draw, union
from openeo_udf_fusion.training.turns import drawn_turn

SENSORS = ("l8", "s2")
LEAST_DATES = 4
MOST_TRIES = 50
LEAST_CLEAR = 0.05
"""Share of a square that a date must show clearly to be of use to a network that is given no clouds."""
TO_LANDSAT = MappingProxyType(
    {
        "B02": (0.9778, -0.004),
        "B03": (1.0064, -0.0009),
        "B04": (0.9763, 0.001),
        "B8A": (0.9975, -0.0001),
        "B11": (0.9994, -0.0007),
        "B12": (0.9949, -0.0004),
    }
)
"""Slope and offset from Sentinel-2 (2A and 2B averaged) to Landsat 8's band, HLS v1.4."""
SIMULATED_GAIN, SIMULATED_OFFSET = 0.03, 0.004
"""Standard deviations: how two atmospheric corrections of one image differ."""


class Source(Protocol):
    """A site, in memory or on disk: `tamrf_sites.Site` and `tamrf_ls2s2.Ls2s2Site` are such."""

    @property
    def name(self) -> str:
        """Of the site."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns at 10 m."""

    def days(self, sensor: str) -> NDArray[np.int32]:
        """Of a sensor's images."""

    def between(self, first_day: int, last_day: int) -> "Source":
        """With the dates of a period only."""

    def crop(self, top: int, left: int, size: int) -> Site:
        """A square of it."""


@dataclass(frozen=True)
class Habits:
    """How squares are drawn.

    Attributes
    ----------
    size_px
        Of a square at 10 m; a multiple of 3.
    most_s2, most_l8, queries
        Dates of a step, input and target together, and days asked for.
    slice_days
        Between which the length of a period is drawn.
    shift_days
        Day 0 lies so far from the period's first day at most.
    band_dropout
        How often one sensor's bands are missing in part.
    simulated
        Share of hidden Sentinel-2 dates on which a Landsat image is simulated; 0: none.
    clear_only
        Whether clouds are left out of the input.
    """

    size_px: int = 30
    most_s2: int = 20
    most_l8: int = 10
    queries: int = 8
    slice_days: tuple[int, int] = (200, 540)
    shift_days: int = 180
    band_dropout: float = 0.15
    simulated: float = 0.4
    clear_only: bool = True


class Patch(NamedTuple):
    """One step's data.

    Attributes
    ----------
    strategy
        What hid the dates.
    inputs
        By sensor; `valid` is what the network may see.
    targets
        By sensor, observations of queried days; `valid` is clear and measured.
    cloudy
        By sensor (n, y, x), where a target was measured and is no ground.
    hidden
        By sensor (n,), targets that are no input.
    queries
        (q,), the days asked for; days count from the drawn day 0.
    """

    strategy: str
    inputs: Mapping[str, Observations]
    targets: Mapping[str, Observations]
    cloudy: Mapping[str, NDArray[np.bool_]]
    hidden: Mapping[str, NDArray[np.bool_]]
    queries: NDArray[np.int32]


def draw_patch(sites: Sequence[Source], habits: Habits, rng: np.random.Generator) -> Patch:
    """A square, a period and a strategy, all by chance.

    Raises
    ------
    InvalidParameter
        The sites are smaller than a square, or show too little ground.
    """
    for _ in range(MOST_TRIES):
        site = turned(square(one_of(sites, rng), habits, rng), rng)
        site = thinned(site, habits, rng)
        if sum(len(o.days) for o in site.observed.values()) >= LEAST_DATES:
            name, split = draw({s: o.days for s, o in site.observed.items()}, rng)
            return patch_of(site, name, split, habits, rng)
    raise InvalidParameter(
        f"in {MOST_TRIES} tries no square had {LEAST_DATES} clear dates; the sites "
        f"{[site.name for site in sites]} show too little ground for training"
    )


def one_of(sites: Sequence[Source], rng: np.random.Generator) -> Source:
    """A site by chance; one that both sensors saw twice as often as one that a single sensor saw."""
    seen = np.array([sum(len(site.days(s)) > 0 for s in SENSORS) for site in sites], float)
    return sites[int(rng.choice(len(sites), p=seen / seen.sum()))]


def square(site: Source, habits: Habits, rng: np.random.Generator) -> Site:
    """A square and a period of a site."""
    size = habits.size_px
    if min(site.shape) < size or size % UPSCALING:
        raise InvalidParameter(
            f"squares of {size} px, a multiple of {UPSCALING}, are wanted; {site.name} has {site.shape} px"
        )
    top, left = (int(rng.integers((side - size) // UPSCALING + 1)) * UPSCALING for side in site.shape)
    days = union({s: site.days(s) for s in SENSORS})
    length = int(rng.integers(*habits.slice_days, endpoint=True))
    first = int(rng.integers(days[0], max(days[-1] - length, days[0]) + 1))
    return site.between(first, first + length).crop(top, left, size)


def turned(site: Site, rng: np.random.Generator) -> Site:
    """Mirrored and transposed by chance, both sensors alike; where its 20 m pixels begin is forgotten."""
    turn = drawn_turn(rng)
    seen = {s: Observations(turn(o.values), turn(o.valid), o.days) for s, o in site.observed.items()}
    return Site(site.name, seen, {s: turn(c) for s, c in site.clear.items()})


def thinned(site: Site, habits: Habits, rng: np.random.Generator) -> Site:
    """Without dates that show nothing, and no more dates than wanted, chosen by chance."""
    kept = {}
    for sensor, most in (("l8", habits.most_l8), ("s2", habits.most_s2)):
        if sensor not in site.observed:
            continue
        shown = site.clear[sensor] if habits.clear_only else site.observed[sensor].valid.any(1)
        useful = np.flatnonzero(shown.mean((1, 2)) >= LEAST_CLEAR)
        count = min(len(useful), int(rng.integers(most // 2, most, endpoint=True)))
        kept[sensor] = np.isin(np.arange(shown.shape[0]), rng.choice(useful, count, replace=False))
    return site.on(kept)


def patch_of(site: Site, name: str, split: Split, habits: Habits, rng: np.random.Generator) -> Patch:
    """A square as a step sees it."""
    start = int(union({s: o.days for s, o in site.observed.items()})[0])
    zero = start + int(rng.integers(-habits.shift_days, habits.shift_days, endpoint=True))
    queries = chosen_queries(split, site, habits.queries, rng)
    inputs, targets, cloudy, hidden = {}, {}, {}, {}
    for sensor, o in site.observed.items():
        given, asked = split.inputs[sensor], np.isin(o.days, queries)
        clear = site.clear[sensor][:, None] & o.valid
        seen = clear if habits.clear_only else o.valid
        if given.any():
            inputs[sensor] = Observations(o.values[given], seen[given], o.days[given] - zero)
        if asked.any():
            targets[sensor] = Observations(o.values[asked], clear[asked], o.days[asked] - zero)
            cloudy[sensor] = ~site.clear[sensor][asked] & o.valid[asked].any(1)
            hidden[sensor] = ~given[asked]
    given_s2 = split.inputs.get("s2", np.zeros(0, np.bool_))
    chosen = ~given_s2 & (rng.random(given_s2.shape) < habits.simulated)
    if chosen.any():
        inputs["l8"] = joined(inputs.get("l8"), simulated_landsat(site, chosen, zero, rng))
    return Patch(name, dropped(inputs, habits, rng), targets, cloudy, hidden, queries - zero)


def chosen_queries(split: Split, site: Site, most: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Days asked for: hidden ones first, a quarter from what is given."""
    away = union({s: o.days[split.targets[s]] for s, o in site.observed.items()})
    given = np.setdiff1d(split.queries, away)
    few = min(len(given), max(most // 4, most - len(away)))
    taken = rng.permutation(away)[: most - few]
    return np.sort(np.concatenate([taken, rng.permutation(given)[:few]])).astype(np.int32)


def joined(one: Observations | None, other: Observations) -> Observations:
    """Two series of a sensor as one, in ascending order of days."""
    if one is None:
        return other
    order = np.argsort(np.concatenate([one.days, other.days]), kind="stable")
    values, valid, days = (np.concatenate(pair)[order] for pair in zip(one, other, strict=True))
    return Observations(values, valid, days)


def simulated_landsat(
    site: Site, chosen: NDArray[np.bool_], zero: int, rng: np.random.Generator
) -> Observations:
    """Sentinel-2 images (t,) as Landsat would see them: point spread, pixels, bands, another correction."""
    values, valid, days = (part[chosen] for part in site.observed["s2"])
    clear = torch.from_numpy(site.clear["s2"][chosen].copy())[:, None].float()
    whole: NDArray[np.bool_] = (F.avg_pool2d(clear, UPSCALING) > 0.99).numpy()[:, 0]
    count = len(days)
    stack = np.zeros((count, len(BANDS["l8"]), *values.shape[2:]), np.float32)
    known = np.zeros(stack.shape[:2], np.bool_)
    for band, (slope, offset) in TO_LANDSAT.items():
        place, source = BANDS["l8"].index(ALIKE[band]), BANDS["s2"].index(band)
        gain = slope * rng.normal(1, SIMULATED_GAIN, (count, 1, 1))
        shift = offset + rng.normal(0, SIMULATED_OFFSET, (count, 1, 1))
        stack[:, place] = values[:, source] * gain + shift
        known[:, place] = valid[:, source].all((1, 2))
    coarse = as_seen(torch.from_numpy(stack), "l8").numpy()
    seen = np.asarray(whole[:, None] & known[:, :, None, None])
    return Observations(np.where(seen, coarse, np.float32(0)), seen, (days - zero).astype(np.int32))


def dropped(
    inputs: Mapping[str, Observations], habits: Habits, rng: np.random.Generator
) -> dict[str, Observations]:
    """The inputs, by chance without some bands of a sensor on all its dates."""
    left = dict(inputs)
    if rng.random() < habits.band_dropout:
        sensor = str(rng.choice([*inputs]))
        values, valid, days = inputs[sensor]
        bands = rng.random((valid.shape[1],)) < rng.uniform(0.2, 0.8)
        left[sensor] = Observations(values, valid & bands[None, :, None, None], days)
    return left
