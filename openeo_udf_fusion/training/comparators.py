"""What the trainings of TAMRF's comparators share: sites, the loop over steps, and the card.

They see the same sites as TAMRF, without what is held out, and choose weights on the same validation dates.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from openeo_udf_fusion.baselines.image_pairs import BANDS
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.dsen2 import Config as Dsen2Config
from openeo_udf_fusion.models.utilise import Config as UtiliseConfig
from openeo_udf_fusion.training import checkpoints
from openeo_udf_fusion.training.model_card import About, raster_input, raster_output
from openeo_udf_fusion.training.state import Network, State, begin, decay_groups, rate_at
from openeo_udf_fusion.training.tamrf_ls2s2 import Ls2s2Site
from openeo_udf_fusion.training.tamrf_sites import (
    BELGIUM,
    BUFFER_DAYS,
    HELD_OUT,
    VALIDATION,
    Site,
    is_held_out,
)

Values = NDArray[np.float32]
SQUARES, SQUARE_PX = 4, 240
"""Read from a site that is too large for memory; the side is a multiple of 6."""


@dataclass(frozen=True)
class Schedule:
    """How long and how to train.

    Attributes
    ----------
    average
        Share of the running average of weights that each step keeps; the average is what is shipped.
    validate_every
        Steps between looks at the validation dates, after each of which there is a checkpoint.
    """

    steps: int
    learning_rate: float
    warmup_steps: int = 100
    weight_decay: float = 0.01
    average: float = 0.995
    validate_every: int = 100
    seed: int = 2018


@dataclass(frozen=True)
class Task:
    """What is trained, and how it is told how well it does.

    Attributes
    ----------
    name
        Of the network, its files and its checkpoint.
    sites
        All that the training may see.
    config, habits
        The shape of the network and how samples are drawn: a checkpoint is of these alone.
    loss
        Of the network on a sample that it draws.
    score
        Of the averaged network on validation dates; lower is better.
    """

    name: str
    sites: Sequence[Site]
    config: Json
    habits: Json
    loss: Callable[[torch.nn.Module, np.random.Generator], Tensor]
    score: Callable[[torch.nn.Module], float]


class Words(NamedTuple):
    """What a card says of a network in words.

    Attributes
    ----------
    purpose
        What it makes of what.
    citation
        Of the method.
    reads, makes
        The images that go in and come out.
    """

    title: str
    purpose: str
    citation: str
    architecture: str
    reads: str
    makes: str


def in_memory(sites: Sequence[Site | Ls2s2Site], seed: int) -> list[Site]:
    """The sites; of those on disk some squares."""
    rng, found = np.random.default_rng(seed), []
    for site in sites:
        if isinstance(site, Site):
            found.append(site)
            continue
        size = min(SQUARE_PX, *(side // 6 * 6 for side in site.shape))
        corners = [
            [int(rng.integers((side - size) // 6 + 1)) * 6 for side in site.shape] for _ in range(SQUARES)
        ]
        found += [site.crop(top, left, size) for top, left in corners]
    return found


def clear_images(site: Site) -> Values:
    """Sentinel-2's images (t, 10, y, x), NaN where not valid or not clear."""
    values, valid, _ = site.observed["s2"]
    return np.where(valid & site.clear["s2"][:, None], values, np.float32(np.nan))


def centre_and_spread(sites: Sequence[Site]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each band over all clear pixels.

    Raises
    ------
    InvalidParameter
        No site shows some band.
    """
    images = [clear_images(site) for site in sites if "s2" in site.observed]
    centre, spread = [], []
    for place, band in enumerate(BANDS["s2"]):
        known = [each[:, place][np.isfinite(each[:, place])] for each in images]
        if not sum(map(len, known)):
            raise InvalidParameter(
                f"training needs clear values of {band} outside the dates held out; the sites "
                f"{[site.name for site in sites]} have none"
            )
        pooled = np.concatenate(known)
        centre.append(round(float(pooled.mean()), 5))
        spread.append(round(float(pooled.std()), 5))
    return tuple(centre), tuple(spread)


def run(
    model: Network, task: Task, schedule: Schedule, folder: Path, *, resume: bool
) -> tuple[Network, Json]:
    """Train a network, and return it at its best on validation dates with a record of how it came about.

    Parameters
    ----------
    model, task, schedule
        What to train and how.
    folder
        Where the checkpoint `NAME.pt` is kept; made if need be.
    resume
        Go on from the checkpoint, if there is one; the outcome is that of an uninterrupted run.

    Raises
    ------
    InvalidParameter
        The checkpoint is of another training, or the network's score is not a number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"{task.name}.pt"
    settings = {"schedule": asdict(schedule), "config": task.config, "habits": task.habits}
    identity = checkpoints.Identity("sites", fingerprint(task.sites), settings)
    groups = decay_groups(model.parameters(), schedule.weight_decay)
    state = begin(model, groups, schedule.learning_rate, np.random.default_rng(schedule.seed))
    if resume and checkpoint.is_file():
        checkpoints.restore(state, checkpoint, identity)
    with tqdm(total=schedule.steps, initial=state.step, unit="step", mininterval=10) as bar:
        while state.step < schedule.steps:
            one_step(state, task, schedule)
            bar.update()
            if state.step % schedule.validate_every == 0 or state.step == schedule.steps:
                score = finite_score(task, state)
                state.keep_if_best(score)
                checkpoints.save(state, checkpoint, identity)
                bar.write(f"step {state.step}: {score:.5f} on validation dates", file=sys.stderr)
    record = asdict(schedule) | {"best_step": state.best_step, "validation_score": round(state.best_score, 5)}
    return state.best_network(), record


def finite_score(task: Task, state: State[Network]) -> float:
    """How well the averaged network does; InvalidParameter where that cannot be told."""
    score = task.score(state.average.eval())
    if not np.isfinite(score):
        diverged = not all(value.isfinite().all() for value in state.average.state_dict().values())
        raise InvalidParameter(
            f"{task.name} scores {score} on the validation dates after {state.step} steps: "
            + (
                "its weights are no longer finite; train with a lower learning rate"
                if diverged
                else "they show nothing that it answers; other sites, or other validation dates, are needed"
            )
        )
    return score


def one_step(state: State[Network], task: Task, schedule: Schedule) -> None:
    """One sample, one update."""
    rate = schedule.learning_rate * rate_at(state.step, schedule.steps, schedule.warmup_steps)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.model.train()
    state.update(task.loss(state.model, state.rng), schedule.average)


def fingerprint(sites: Sequence[Site]) -> str:
    """Of the data that a training sees."""
    return checkpoints.fingerprint(
        part for site in sites for part in (*site.observed["s2"], site.clear["s2"])
    )


def described(task: Task, record: Json) -> Json:
    """What a card says of the training."""
    places = " ".join(sorted({site.name for site in task.sites}))
    return {
        "kind": "real",
        "note": "Trained on a few small sites so that it can be compared with TAMRF trained on the same: not "
        "the published weights, nor as good as they may be.",
        "command": f"openeo-udf-fusion train tamrf --network {task.name} --data DIR "
        f"--steps {record['steps']} --learning-rate {record['learning_rate']} --seed {record['seed']}",
        "sites": places,
        "sites_sha256": fingerprint(task.sites),
        "held_out": {BELGIUM: HELD_OUT, "buffer_days": BUFFER_DAYS},
        "validation": dict(VALIDATION),
        "habits": task.habits,
        "schedule": record,
    }


def about(
    name: str,
    words: Words,
    config: Dsen2Config | UtiliseConfig,
    outputs: Sequence[str],
    facts: Json,
    *,
    support_days: int = 0,
    batch_size: int = 1,
) -> About:
    """What the card says of a network that makes some bands of Sentinel-2 out of all ten."""
    return About(
        name=name,
        title=words.title,
        description=f"{words.purpose}; a comparator. {facts['fusion:training']['note']}",
        citation=f"{words.citation} (the method; these weights are this project's)",
        architecture=words.architecture,
        bands=[f"s2_{band}" for band in config.bands],
        begins=datetime(2015, 6, 23, tzinfo=UTC),  # Sentinel-2A flies
        inputs=[raster_input("s2", words.reads, config.bands)],
        outputs=[raster_output("s2", words.makes, outputs)],
        hyperparameters=asdict(config),
        receptive_field_px=config.margin_px,
        support_days=support_days,
        batch_size=batch_size,
        facts=facts,
    )


def held_out(sites: Iterable[Site]) -> Iterator[tuple[Site, NDArray[np.bool_]]]:
    """The sites of which Sentinel-2's dates (t,) are held out, and which those are."""
    for site in sites:
        dates = is_held_out(site, "s2") if site.name == BELGIUM else np.zeros(0, bool)
        if dates.any():
            yield site, dates


def root_mean(squares: NDArray[np.floating], counts: NDArray[np.floating]) -> NDArray[np.floating]:
    """Root of the mean of squares that are added up over so many values; NaN where there are none."""
    mean = np.divide(squares, counts, out=np.full_like(squares, np.nan), where=counts > 0)
    root: NDArray[np.floating] = np.sqrt(mean)
    return root


def tables(methods: Sequence[str], errors: Sequence[NDArray[np.floating]], bands: Sequence[str]) -> Json:
    """Errors by method and band, for a card."""
    return {name: bands_table(own, bands) for name, own in zip(methods, errors, strict=True)}


def bands_table(errors: NDArray[np.floating], bands: Sequence[str]) -> Json:
    """Errors by band, for a card; None where there was nothing to compare."""
    return {
        band: None if np.isnan(error) else round(float(error), 5)
        for band, error in zip(bands, errors, strict=True)
    }
