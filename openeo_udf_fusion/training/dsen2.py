"""Train DSen2: what it must do from 20 m to 10 m it learns from 40 m to 20 m, where the truth is known.

Lanaras et al. 2018, doi:10.1016/j.isprsjprs.2018.09.018, whose loss (L1) and degradation these are, but for
the point spread function, which is that of `models.psf` as in the rest of this package (MTF 0.3), and the
interpolation back, which is bicubic.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import psf
from openeo_udf_fusion.models.dsen2 import Config, DSen2, filled, sharpened
from openeo_udf_fusion.training import comparators, model_card
from openeo_udf_fusion.training.comparators import Schedule, Task, Words
from openeo_udf_fusion.training.losses import masked_mean
from openeo_udf_fusion.training.tamrf_losses import MTF
from openeo_udf_fusion.training.tamrf_ls2s2 import Ls2s2Site
from openeo_udf_fusion.training.tamrf_sites import Site, doubled, is_validation, training_part
from openeo_udf_fusion.training.turns import drawn_turn

Values = NDArray[np.float32]
NAME = "dsen2"
SCHEDULE = Schedule(steps=3000, learning_rate=1e-3)
SHAPE = Config(features=32, blocks=6)
"""Small enough for a processor; the published network has 128 features."""
FACTOR = 2
ROUNDS = 12
"""Of undoing an interpolation: each leaves about half of the error."""
WORDS = Words(
    title="DSen2 of a small size",
    purpose="Sentinel-2's bands of 20 m with the detail of those of 10 m, each date by itself",
    citation="Lanaras et al. 2018, doi:10.1016/j.isprsjprs.2018.09.018",
    architecture="convolutions with residual blocks and a skip of the interpolated bands",
    reads="Surface reflectance 0-1 on a 10 m grid, bands of 20 m by bicubic interpolation.",
    makes="The bands of 20 m at 10 m.",
)


@dataclass(frozen=True)
class Habits:
    """How samples are drawn: squares of so many pixels of 20 m, of which so much must be clear."""

    size_px: int = 30
    batch: int = 8
    least_clear: float = 0.25


class Pairs(NamedTuple):
    """Images at 20 m.

    Attributes
    ----------
    inputs
        (n, 10, y, x), one scale too coarse; NaN where missing.
    truth
        (n, 6, y, x), the bands of 20 m as they were measured; NaN where they or the input are missing.
    """

    inputs: Values
    truth: Values


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

    Parameters
    ----------
    sites
        Whole; what is held out of them is left out here.
    folder
        Of the checkpoint, weights and card; made if need be.
    schedule, config, habits
        How to train, what, and on which samples; the config's `fill` is set here.
    resume
        Go on from the checkpoint in `folder`, if there is one.

    Raises
    ------
    InvalidParameter
        The checkpoint is of another training, or the sites show too little.
    """
    habits = habits or Habits()
    whole = comparators.in_memory(sites, schedule.seed)
    seen = [training_part(site) for site in whole]
    config = replace(config, fill=comparators.centre_and_spread(seen)[0])
    learned, watched = split(seen, config, habits)
    task = Task(
        NAME,
        seen,
        asdict(config),
        asdict(habits),
        lambda model, rng: loss(model, batch(learned, habits, rng), config),
        lambda model: score(model, watched),
    )
    torch.manual_seed(schedule.seed)
    model, record = comparators.run(DSen2(config), task, schedule, folder, resume=resume)
    facts = {"fusion:training": comparators.described(task, record), "fusion:skill": skill(model, whole)}
    about = comparators.about(NAME, WORDS, config, config.coarse, facts, batch_size=8)
    return model_card.write(model, about, folder)


def split(sites: Sequence[Site], config: Config, habits: Habits) -> tuple[list[Pairs], list[Pairs]]:
    """Dates to learn from, and those to choose weights by; InvalidParameter where there are none."""
    learned, watched = [], []
    for site in sites:
        kept = is_validation(site, "s2")
        learned += usable(pairs(site, ~kept, config), habits)
        watched += usable(pairs(site, kept, config), habits)
    if not learned or not watched:
        raise InvalidParameter(
            f"the sites {[site.name for site in sites]} have {len(learned)} dates to learn from and "
            f"{len(watched)} to choose weights by that are clear enough; both are needed"
        )
    return learned, watched


# --- samples


def pairs(site: Site, dates: NDArray[np.bool_], config: Config) -> Pairs:
    """Some dates (t,) of a site degraded, with what they were."""
    values, valid, _ = site.observed["s2"]
    sides = [
        2 * FACTOR * ((side - start) // (2 * FACTOR))
        for side, start in zip(site.shape, site.corner_20m, strict=True)
    ]
    rows, columns = (slice(start, start + side) for start, side in zip(site.corner_20m, sides, strict=True))
    images, known = values[dates, :, rows, columns], valid[dates, :, rows, columns]
    clear = whole_cells(known & site.clear["s2"][dates, None, rows, columns])
    fine, coarse = config.places_of_fine, config.places_of_coarse
    own = np.where(whole_cells(known)[:, coarse], native(images[:, coarse]), np.float32(np.nan))
    inputs = np.full(clear.shape, np.float32(np.nan))
    inputs[:, fine] = degraded(np.where(known, images, np.float32(np.nan))[:, fine])
    inputs[:, coarse] = np.stack([doubled(band) for band in degraded(own).swapaxes(0, 1)], 1)
    inputs[~clear] = np.nan
    there = np.isfinite(inputs)
    learnable = there[:, coarse] & np.logical_and.reduce(there[:, fine], axis=1)[:, None]
    return Pairs(inputs, np.where(learnable, own, np.float32(np.nan)))


def degraded(images: Values) -> Values:
    """Images (t, b, y, x) with pixels twice as large, through the point spread function of those."""
    bands, response = images.shape[1], MTF["s2"][SHAPE.places_of_coarse[0]]
    seen = psf.blurred(torch.from_numpy(images), [response] * bands, [FACTOR] * bands)
    made: Values = psf.coarser(seen, FACTOR).numpy()
    return made


def native(images: Values) -> Values:
    """Bands of 20 m (t, b, y, x) as they were before `doubled` put them on the grid of 10 m."""
    means = cell_means(images)
    found = means.copy()
    for _ in range(ROUNDS):
        again = np.stack([doubled(band) for band in found.swapaxes(0, 1)], 1)
        found += means - cell_means(again)
    return found


def cell_means(images: Values) -> Values:
    """Means over 2 x 2 pixels."""
    means: Values = images.reshape(in_cells(images)).mean((3, 5))
    return means


def whole_cells(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where all of 2 x 2 pixels are known."""
    whole: NDArray[np.bool_] = np.logical_and.reduce(known.reshape(in_cells(known)), axis=(3, 5))
    return whole


def in_cells(images: NDArray[np.generic]) -> tuple[int, ...]:
    """The shape (t, b, y, 2, x, 2) of images (t, b, 2 y, 2 x)."""
    *others, y, x = images.shape
    return *others, y // FACTOR, FACTOR, x // FACTOR, FACTOR


def usable(pairs: Pairs, habits: Habits) -> list[Pairs]:
    """Each date by itself, without those that show too little."""
    share = np.isfinite(pairs.truth).any(1).mean((1, 2))
    return [Pairs(*(part[at] for part in pairs)) for at in np.flatnonzero(share >= habits.least_clear)]


def batch(learned: Sequence[Pairs], habits: Habits, rng: np.random.Generator) -> Pairs:
    """Squares of some dates, mirrored and transposed by chance; sites too small for one are padded."""
    drawn = [
        square(learned[int(rng.integers(len(learned)))], habits.size_px, rng) for _ in range(habits.batch)
    ]
    return Pairs(*(np.stack(parts) for parts in zip(*drawn, strict=True)))


def square(pair: Pairs, size: int, rng: np.random.Generator) -> Pairs:
    """A square of one date."""
    corner = [int(rng.integers(max(side - size, 0) + 1)) for side in pair.truth.shape[1:]]
    turn = drawn_turn(rng)

    def cut(image: Values) -> Values:
        part = image[:, corner[0] : corner[0] + size, corner[1] : corner[1] + size]
        missing = [(0, 0), *((0, size - side) for side in part.shape[1:])]
        return turn(np.pad(part, missing, constant_values=np.nan))

    return Pairs(cut(pair.inputs), cut(pair.truth))


# --- how well it does


def loss(model: torch.nn.Module, pairs: Pairs, config: Config) -> Tensor:
    """Mean absolute error over what is known, in the network's unit."""
    truth = torch.from_numpy(pairs.truth)
    known = truth.isfinite()
    apart = (model(filled(config, pairs.inputs)) - truth.nan_to_num()).abs() / config.divisor
    return masked_mean(apart, known)


def score(model: torch.nn.Module, watched: Sequence[Pairs]) -> float:
    """Mean over the bands of the root mean square error of reflectance."""
    return float(np.nanmean(errors(model, watched)[0]))


def errors(model: torch.nn.Module, watched: Sequence[Pairs]) -> tuple[Values, Values]:
    """Root mean square errors (6,) of the network, and of the interpolation that it begins with."""
    if not isinstance(model, DSen2):
        raise InvalidParameter(f"a DSen2 was needed, got {type(model).__name__}")
    coarse = model.config.places_of_coarse
    squares, counts = np.zeros((2, len(coarse))), np.zeros(len(coarse))
    for inputs, truth in watched:
        known = np.isfinite(truth)
        counts += known.sum((1, 2))
        for place, guess in enumerate((sharpened(model, inputs[None])[0], inputs)):
            apart = np.where(known, guess[coarse] - truth, 0.0)
            squares[place] += np.square(apart).sum((1, 2))
    found = comparators.root_mean(squares, counts)
    return found[0], found[1]


def skill(model: DSen2, sites: Sequence[Site]) -> Json:
    """Errors on the dates held out of the Belgian site, beside those of the interpolation."""
    rows: list[Json] = []
    for site, dates in comparators.held_out(sites):
        watched = usable(pairs(site, dates, model.config), Habits())
        found = comparators.tables(("dsen2", "bicubic"), errors(model, watched), model.config.coarse)
        rows.append({"site": site.name, "dates": len(watched), "rmse_at_20m_from_40m": found})
    return {"held_out": rows}
