"""Train TAMRF: seeded, resumable, the best weights on held-out dates of the training sites kept.

Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159, with differences that let a small network learn from
few sites: it sees clear pixels alone and corrects the interpolation in time, to which the other sensor's
differences are carried (`models.tamrf_config.Config`); some Landsat images are simulated (`tamrf_patches`).
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.fuser import SENSORS, Fuser
from openeo_udf_fusion.models.tamrf_config import Config
from openeo_udf_fusion.models.tamrf_network import Tamrf
from openeo_udf_fusion.training import checkpoints, tamrf_shrinkage, tamrf_start, tamrf_validation
from openeo_udf_fusion.training.checkpoints import Identity
from openeo_udf_fusion.training.state import State, begin, rate_at
from openeo_udf_fusion.training.tamrf_patches import Habits, Source, draw_patch
from openeo_udf_fusion.training.tamrf_perceptual import PerceptualDistance
from openeo_udf_fusion.training.tamrf_sites import Site, is_validation, training_part
from openeo_udf_fusion.training.tamrf_start import CONFIGS, HABITS, Schedule
from openeo_udf_fusion.training.tamrf_steps import loss_of

CHECKPOINT = "tamrf.pt"
SUPPORT_DAYS = 120
"""Beside a year of queries: together about as long as the longest periods of training and their shift."""
WATCHED_SHARE = 10
"""Of the sites on disk one in so many, the last ones, is not trained on and chooses the weights."""
WATCHED_PX = 60

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class Run:
    """What stays the same throughout a training."""

    schedule: Schedule
    config: Config
    habits: Habits
    sites: Sequence[Source]
    trials: Sequence[tamrf_validation.Trial]
    distance: PerceptualDistance | None
    identity: Identity


def train(
    sites: Sequence[Source],
    folder: Path,
    schedule: Schedule,
    distance: PerceptualDistance | None = None,
    *,
    resume: bool = False,
    told: Progress = lambda step, score: None,
) -> tuple[Tamrf, Json]:
    """Train a network, and return the best one on the validation dates with a record of how it came about.

    Parameters
    ----------
    sites
        Whole; what is held out of them is left out here.
    folder
        Where the checkpoint is kept; made if need be.
    schedule
        How to train, and which size of network.
    distance
        Of the loss of detail; None: that loss is off.
    resume
        Go on from the checkpoint in the folder, which must be of the same sites and schedule.
    told
        Called with the step and its score after each validation.

    Raises
    ------
    InvalidParameter
        The sites show too little, or the checkpoint is of another training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = run_of(sites, schedule, distance)
    state = started(run, "cuda" if torch.cuda.is_available() else "cpu")
    file = folder / CHECKPOINT
    if resume and file.is_file():
        checkpoints.restore(state, file, run.identity)
    steps = range(state.step, schedule.steps)
    for step in tqdm(steps, initial=state.step, total=schedule.steps, unit="step", disable=None):
        one_step(state, run, step)
        if state.step % schedule.validate_every == 0 or state.step == schedule.steps:
            told(state.step, validate(state, run))
            checkpoints.save(state, file, run.identity)
    model, chosen = settled(state, run)
    return model, record(state, run) | chosen


def run_of(sites: Sequence[Source], schedule: Schedule, distance: PerceptualDistance | None) -> Run:
    """All that a training needs to know."""
    config, habits = CONFIGS[schedule.size], HABITS[schedule.size]
    own, watched = parted([training_part(site) if isinstance(site, Site) else site for site in sites])
    settings: Json = {"schedule": asdict(schedule), "config": asdict(config), "habits": asdict(habits)}
    settings = settings | {"detail": distance is not None}
    trials = tamrf_validation.trials(watched, is_validation, config.clear_only)
    return Run(schedule, config, habits, own, trials, distance, Identity("sites", fingerprint(own), settings))


def parted(sites: Sequence[Source]) -> tuple[list[Source], list[Site]]:
    """What is trained on, and what chooses the weights.

    Of a site in memory that is some dates; of sites on disk it is the middle of the last ones, over their
    last year. A single site on disk is trained on whole, and then the last weights are the best.
    """
    on_disk = [site for site in sites if not isinstance(site, Site)]
    watched_on_disk = on_disk[len(on_disk) - -(-len(on_disk) // WATCHED_SHARE) :] if len(on_disk) > 1 else []
    own: list[Source] = []
    watched: list[Site] = []
    for site in sites:
        if isinstance(site, Site):
            own.append(site.on({s: ~is_validation(site, s) for s in site.observed}))
            watched.append(site)
        elif site in watched_on_disk:
            watched.append(middle_of_last_year(site))
        else:
            own.append(site)
    return own, watched


def middle_of_last_year(site: Source) -> Site:
    """A square of a site on disk."""
    last = max(int(site.days(s)[-1]) for s in SENSORS)
    size = min(WATCHED_PX, min(site.shape) // 3 * 3)
    top, left = ((side - size) // 2 // 3 * 3 for side in site.shape)
    return site.between(last - 364, last).crop(top, left, size)


def fingerprint(sites: Sequence[Source]) -> str:
    """Of the data trained on; of sites on disk their names and days."""
    arrays: list[NDArray[np.generic]] = []
    for site in sites:
        arrays += [np.frombuffer(site.name.encode(), np.uint8), *(site.days(s) for s in SENSORS)]
        if isinstance(site, Site):
            arrays += [part for s in sorted(site.observed) for part in (*site.observed[s], site.clear[s])]
    return checkpoints.fingerprint(arrays)


def started(run: Run, device: str) -> State[Tamrf]:
    """A training that has not made a step."""
    torch.manual_seed(run.schedule.seed)
    known = tamrf_start.statistics(run.sites, np.random.default_rng(run.schedule.seed))
    model = tamrf_start.network(run.config, known).to(device)
    groups: list[Json] = [{"params": [*model.parameters()], "weight_decay": 0.0}]
    rng = np.random.default_rng(run.schedule.seed)
    return begin(model, groups, run.schedule.learning_rate, rng)


def one_step(state: State[Tamrf], run: Run, step: int) -> None:
    """Draw a patch and learn from it; a patch on which nothing can be compared passes."""
    schedule = run.schedule
    for group in state.optimizer.param_groups:
        group["lr"] = schedule.learning_rate * rate_at(step, schedule.steps, schedule.warmup_steps)
    patch = draw_patch(run.sites, run.habits, state.rng)
    loss = loss_of(state.model, patch, schedule, run.distance)
    if loss is None:
        state.step += 1
    else:
        state.update(loss, schedule.average, schedule.clip)


def validate(state: State[Tamrf], run: Run) -> float:
    """Score the averaged network on the validation dates, and keep it if it is the best so far."""
    if not run.trials:
        return float("nan")
    fuser = Fuser(state.average.eval(), SUPPORT_DAYS, device=str(state.model.device))
    score = tamrf_validation.score(tamrf_validation.errors(fuser, run.trials), run.trials)
    state.keep_if_best(score)
    return score


def settled(state: State[Tamrf], run: Run) -> tuple[Tamrf, Json]:
    """The network to keep, and how it was chosen.

    An anchored one makes as much of its corrections as the validation dates bear out, and is the better one
    then of the last and of the best without that.
    """
    best = state.best_network()
    if not run.trials:
        return best, {"validation": "no site was left to choose the weights: these are the last ones"}
    candidates = {state.best_step: best}
    if run.config.anchored:
        candidates[state.step] = deepcopy(state.average).cpu().eval()
    found = []
    for step, model in candidates.items():
        share: Json = {}
        if run.config.anchored:
            share = tamrf_shrinkage.shares(model, run.trials, SUPPORT_DAYS)
            model = tamrf_shrinkage.shortened(model, share)
        told = validation_of(model, run)
        found.append(
            (told["score"], model, {"step": step, "share_of_corrections": share, "validation": told})
        )
    return min(found, key=lambda each: float(each[0]))[1:]


def record(state: State[Tamrf], run: Run) -> Json:
    """What the card says of the training itself."""
    return {
        "steps": state.step,
        "seed": run.schedule.seed,
        "schedule": asdict(run.schedule),
        "habits": asdict(run.habits),
        "sites_sha256": run.identity.fingerprint,
        "loss_of_detail": "on" if run.distance is not None else "off: no perceptual network was given",
    }


def validation_of(model: Tamrf, run: Run) -> Json:
    """How a network does on the dates that chose it."""
    found = tamrf_validation.errors(Fuser(model, SUPPORT_DAYS), run.trials)
    return {
        "score": round(tamrf_validation.score(found, run.trials), 4),
        "about": "RMSE, in reflectance and kelvin, on the dates that chose the weights",
        "trials": tamrf_validation.told(found, run.trials),
    }
