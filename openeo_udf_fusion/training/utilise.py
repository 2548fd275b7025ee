"""Train U-TILISE: dates are hidden, whole or under clouds borrowed from others, and must be made again.

Stucker et al. 2023, doi:10.1109/TGRS.2023.3298877, whose loss (L1 over what is known, hidden or not) and
borrowed clouds these are; whole dates are hidden at random or for a time as TAMRF's training does.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openeo_udf_fusion.baselines import linear
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.models.utilise import Config, Utilise, filled
from openeo_udf_fusion.training import comparators, model_card
from openeo_udf_fusion.training import tamrf_strategies as strategies
from openeo_udf_fusion.training.comparators import Schedule, Task, Words
from openeo_udf_fusion.training.losses import masked_mean
from openeo_udf_fusion.training.tamrf_ls2s2 import Ls2s2Site
from openeo_udf_fusion.training.tamrf_sites import Site, is_validation, training_part
from openeo_udf_fusion.training.turns import drawn_turn

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]
Days = NDArray[np.int64]
NAME = "utilise"
SCHEDULE = Schedule(steps=1500, learning_rate=2e-3, validate_every=250)
SHAPE = Config(widths=(24, 32, 48))
"""Small enough for a processor; the published network has four sizes of pixel and up to 128 features."""
MOST_TRIES = 50
WATCHED_PX = 48
"""Weights are chosen on a square of this size in the middle of each site."""
WORDS = Words(
    title="U-TILISE of a small size",
    purpose="Sentinel-2 on the days of a series and between them, from its clear pixels",
    citation="Stucker et al. 2023, doi:10.1109/TGRS.2023.3298877",
    architecture="U-shaped convolutions per date, attention along time at its largest pixels",
    reads="Surface reflectance 0-1 on a 10 m grid with a mask of what is clear, one image a day, and its "
    "days.",
    makes="Surface reflectance on the queried days.",
)


@dataclass(frozen=True)
class Habits:
    """How samples are drawn.

    Attributes
    ----------
    size_px
        Of a square.
    most_dates
        Of a sample, chosen from those within one block and its support.
    hidden_queries, seen_queries
        Dates asked for that are hidden, and that are not.
    gaps
        How often dates are hidden for a time of 30 to 90 days, and not at random.
    borrowed
        How often a date is given under another's clouds.
    least_clear
        Share of the square that a date must show.
    """

    size_px: int = 32
    most_dates: int = 20
    hidden_queries: int = 6
    seen_queries: int = 2
    gaps: float = 0.35
    borrowed: float = 0.3
    least_clear: float = 0.05


class Series(NamedTuple):
    """A site's Sentinel-2.

    Attributes
    ----------
    images
        (t, 10, y, x), NaN where not clear.
    days
        (t,), ascending.
    watched
        (t,), what is never a target.
    """

    images: Values
    days: Days
    watched: Mask


class Sample(NamedTuple):
    """What `Utilise.forward` takes, and the images (q, 10, y, x) that it should make, NaN where unknown."""

    images: Tensor
    valid: Tensor
    days: Tensor
    queries: Tensor
    truth: Tensor


def train(
    sites: Sequence[Site | Ls2s2Site],
    folder: Path,
    schedule: Schedule = SCHEDULE,
    config: Config = SHAPE,
    habits: Habits | None = None,
    *,
    resume: bool = False,
) -> Path:
    """Train on what is not held out, and write weights and card; returns the card's path.

    Parameters and errors are those of `dsen2.train`; the config's `centre` and `spread` are set here.
    """
    habits = habits or Habits()
    whole = comparators.in_memory(sites, schedule.seed)
    seen = [training_part(site) for site in whole]
    centre, spread = comparators.centre_and_spread(seen)
    config = replace(config, centre=centre, spread=spread)
    series = [series_of(site, is_validation(site, "s2")) for site in seen]
    if not any(each.watched.any() for each in series):
        raise InvalidParameter(f"none of the sites {[site.name for site in seen]} has validation dates")
    task = Task(
        NAME,
        seen,
        asdict(config),
        asdict(habits),
        lambda model, rng: loss(model, draw(series, config, habits, rng), config),
        lambda model: score(model, [middle(each) for each in series]),
    )
    torch.manual_seed(schedule.seed)
    model, record = comparators.run(Utilise(config), task, schedule, folder, resume=resume)
    facts = {"fusion:training": comparators.described(task, record), "fusion:skill": skill(model, whole)}
    about = comparators.about(NAME, WORDS, config, config.bands, facts, support_days=config.support_days)
    return model_card.write(model, about, folder)


def series_of(site: Site, watched: Mask) -> Series:
    """A site's Sentinel-2."""
    return Series(comparators.clear_images(site), site.observed["s2"].days.astype(np.int64), watched)


def middle(series: Series) -> Series:
    """A square in the middle of a site."""
    corner = [max((side - WATCHED_PX) // 2, 0) for side in series.images.shape[2:]]
    rows, columns = (slice(start, start + WATCHED_PX) for start in corner)
    return series._replace(images=series.images[:, :, rows, columns])


# --- samples


def draw(sites: Sequence[Series], config: Config, habits: Habits, rng: np.random.Generator) -> Sample:
    """A square and a time of one site, some dates of it hidden.

    Raises
    ------
    InvalidParameter
        The sites show too little.
    """
    for _ in range(MOST_TRIES):
        part = turned(square(sites[int(rng.integers(len(sites)))], config, habits, rng), rng)
        if len(part.days) > 1:
            days = {"s2": part.days.astype(np.int32)}
            hide = strategies.gaps if rng.random() < habits.gaps else strategies.random_masking
            hidden = ~hide(days, rng).inputs["s2"]
            if (hidden & ~part.watched).any() and not hidden.all():
                return sample_of(part, hidden, config, habits, rng)
    raise InvalidParameter(f"in {MOST_TRIES} tries no square had dates to hide and dates to give")


def square(site: Series, config: Config, habits: Habits, rng: np.random.Generator) -> Series:
    """Some dates of a square, within a block of days and its support."""
    length = config.block_days + 2 * config.support_days
    earliest, latest = site.days[0] - config.support_days, site.days[-1] + config.support_days - length
    first = int(rng.integers(earliest, max(latest, earliest) + 1))
    near = np.flatnonzero((site.days >= first) & (site.days < first + length))
    top, left = (int(rng.integers(max(side - habits.size_px, 0) + 1)) for side in site.images.shape[2:])
    images = site.images[near, :, top : top + habits.size_px, left : left + habits.size_px]
    share = np.isfinite(images).any(1).mean((1, 2))
    useful = np.flatnonzero(share >= habits.least_clear)
    chosen = np.sort(rng.permutation(useful)[: habits.most_dates])
    ragged = [(0, 0), (0, 0), *((0, habits.size_px - side) for side in images.shape[2:])]
    padded = np.pad(images[chosen], ragged, constant_values=np.nan)
    return Series(padded, site.days[near][chosen] - first, site.watched[near][chosen])


def turned(part: Series, rng: np.random.Generator) -> Series:
    """Mirrored and transposed by chance."""
    return part._replace(images=drawn_turn(rng)(part.images))


def sample_of(part: Series, hidden: Mask, config: Config, habits: Habits, rng: np.random.Generator) -> Sample:
    """A square as a step sees it: hidden dates are empty, and there only if they are asked for."""
    told = np.flatnonzero(hidden & ~part.watched), np.flatnonzero(~hidden & ~part.watched)
    wanted = np.concatenate(
        [
            rng.permutation(each)[:most]
            for each, most in zip(told, (habits.hidden_queries, habits.seen_queries), strict=True)
        ]
    )
    truth = part.images[wanted]
    valid = np.isfinite(part.images)
    clouds = ~np.logical_or.reduce(valid, axis=1)
    for date in np.flatnonzero(rng.random(len(hidden)) < habits.borrowed):
        left = valid[date] & ~clouds[rng.integers(len(clouds))]
        if left.any():
            valid[date] = left
    valid[hidden] = False
    kept = ~hidden
    kept[wanted] = True
    return Sample(
        torch.from_numpy(np.nan_to_num(part.images[kept])),
        torch.from_numpy(valid[kept]),
        torch.from_numpy(part.days[kept]),
        torch.from_numpy((np.cumsum(kept) - 1)[wanted]),
        torch.from_numpy(truth.copy()),
    )


# --- how well it does


def loss(model: torch.nn.Module, sample: Sample, config: Config) -> Tensor:
    """Mean absolute error over what is known, each band in its spread."""
    known = sample.truth.isfinite()
    made = model(sample.images, sample.valid, sample.days, sample.queries)
    spread = torch.tensor(config.spread)[:, None, None]
    apart = (made - sample.truth.nan_to_num()).abs() / spread
    return masked_mean(apart, known)


def score(model: torch.nn.Module, series: Sequence[Series]) -> float:
    """Mean over sites and bands of the root mean square error of reflectance on the watched dates, hidden."""
    return float(np.nanmean([errors(model, each)[0] for each in series if each.watched.any()]))


def errors(model: torch.nn.Module, series: Series) -> tuple[Values, Values]:
    """Root mean square errors (10,) on the watched dates: of the network, and of a line in time."""
    if not isinstance(model, Utilise):
        raise InvalidParameter(f"a Utilise was needed, got {type(model).__name__}")
    images, days, watched = series
    truth = images[watched]
    made = filled(model, images[~watched], days[~watched], days[watched])
    given = Observations(images[~watched], np.isfinite(images[~watched]), days[~watched].astype(np.int32))
    line = linear.predict({"s2": given}, days[watched].astype(np.int32), "s2").mean
    known = np.isfinite(truth) & np.isfinite(made) & np.isfinite(line)
    counts = known.sum((0, 2, 3))
    squares = [np.where(known, np.square(each - truth), 0.0).sum((0, 2, 3)) for each in (made, line)]
    found = comparators.root_mean(np.array(squares, np.float64), counts)
    return found[0], found[1]


def skill(model: Utilise, sites: Sequence[Site]) -> Json:
    """Errors on the dates held out of the Belgian site, all hidden, beside those of a line in time."""
    rows: list[Json] = []
    for site, dates in comparators.held_out(sites):
        both = errors(model, series_of(site, dates))
        found = comparators.tables(("utilise", "linear"), both, model.config.bands)
        rows.append({"site": site.name, "dates": int(dates.sum()), "rmse": found})
    return {"held_out": rows}
