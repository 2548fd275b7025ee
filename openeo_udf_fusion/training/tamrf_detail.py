"""Train the part of TAMRF that sharpens Sentinel-2 by the image itself: `models.tamrf_detail.Detail`.

What it must do from 20 m to 10 m it learns from 40 m to 20 m, where the truth is known, on the samples of
`training.dsen2`. The rest of the network is not touched, and neither is what it draws on days unseen.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.dsen2 import Config as SampleConfig
from openeo_udf_fusion.models.tamrf_config import COARSE
from openeo_udf_fusion.models.tamrf_detail import Detail
from openeo_udf_fusion.models.tamrf_network import Tamrf
from openeo_udf_fusion.training import comparators, dsen2, tamrf_losses
from openeo_udf_fusion.training.comparators import Schedule, Task
from openeo_udf_fusion.training.dsen2 import Habits, Pairs
from openeo_udf_fusion.training.tamrf_patches import Source
from openeo_udf_fusion.training.tamrf_sites import Site, training_part

NAME = "tamrf_detail"
STEPS = 2000
SCHEDULE = Schedule(STEPS, learning_rate=1e-3, validate_every=200)
GRADIENT_WEIGHT = 1.0
"""Of the differences between neighbours, beside the values themselves."""


def learn(
    model: Tamrf,
    sites: Sequence[Source],
    folder: Path,
    schedule: Schedule = SCHEDULE,
    *,
    resume: bool = False,
) -> tuple[Tamrf, Json]:
    """Give a trained network a `Detail` that was learned on what is not held out, and a record of it.

    Parameters
    ----------
    model
        Anchored, with Sentinel-2's ten bands, on the CPU; an older detail is replaced.
    sites
        Whole; what is held out of them is left out here.
    folder
        Of the checkpoint; made if need be.
    schedule
        How to train.
    resume
        Go on from the checkpoint in `folder`, if there is one.

    Raises
    ------
    InvalidParameter
        The checkpoint is of another training, or the sites show too little.
    """
    config, habits = replace(model.config, detailed=True), Habits()
    whole = comparators.in_memory(sites, schedule.seed)  # type: ignore[arg-type]
    seen = [training_part(site) for site in whole]
    learned, watched = dsen2.split(seen, samples_of(model), habits)
    torch.manual_seed(schedule.seed)
    made = Tamrf(config)
    made.load_state_dict(model.state_dict() | detail_of_nothing(made))
    task = Task(
        NAME,
        seen,
        asdict(config),
        asdict(habits),
        lambda detail, rng: loss(made, detail, dsen2.batch(learned, habits, rng)),
        lambda detail: float(np.nanmean(errors(made, detail, watched)[0])),
    )
    detail, record = comparators.run(cast(Detail, made.detail), task, schedule, folder, resume=resume)
    made.detail = detail
    return made.eval(), record | {
        "about": "the detail of Sentinel-2's bands of 20 m, learned from 40 m to 20 m after all other "
        "weights, which it leaves as they are; validation_score: RMSE of reflectance at 20 m",
        "validation_score_of_bicubic": round(float(np.nanmean(errors(made, detail, watched)[1])), 5),
        "habits": asdict(habits),
    }


def detail_of_nothing(model: Tamrf) -> dict[str, Tensor]:
    """The state of a detail that adds nothing yet."""
    detail = cast(Detail, model.detail)
    for part in (detail.last.weight, cast(Tensor, detail.last.bias)):
        torch.nn.init.zeros_(part)
    return {f"detail.{name}": value for name, value in detail.state_dict().items()}


def samples_of(model: Tamrf) -> SampleConfig:
    """Which bands samples have, in which order."""
    config = SampleConfig()
    if config.bands != model.config.hr or config.coarse != COARSE:
        raise InvalidParameter(
            f"detail is learned for the bands {list(config.bands)}; the network has {list(model.config.hr)}"
        )
    return config


def loss(model: Tamrf, detail: torch.nn.Module, pairs: Pairs) -> Tensor:
    """Smooth L1 of values and of differences between neighbours, standardised, where both are known."""
    guess, truth, known = standardised(model, detail, pairs)
    total = tamrf_losses.fidelity(guess, truth, known)
    for axis in (2, 3):
        steps = [each.diff(dim=axis) for each in (guess, truth)]
        pair = known.narrow(axis, 1, known.shape[axis] - 1) & known.narrow(axis, 0, known.shape[axis] - 1)
        total = total + GRADIENT_WEIGHT / 2 * tamrf_losses.fidelity(steps[0], steps[1], pair)
    return total


def standardised(model: Tamrf, detail: torch.nn.Module, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Guess, truth (n, 6, y, x) and where both are known."""
    places = model.config.coarse
    mean, std = (model.get_buffer(f"hr_{what}")[:, None, None] for what in ("mean", "std"))
    images = ((torch.from_numpy(pairs.inputs.copy()) - mean) / std).nan_to_num(0.0)
    truth = (torch.from_numpy(pairs.truth.copy()) - mean[places]) / std[places]
    known = truth.isfinite()
    return images[:, places] + detail(images), truth.nan_to_num(0.0), known


def errors(
    model: Tamrf, detail: torch.nn.Module, watched: Sequence[Pairs]
) -> tuple[dsen2.Values, dsen2.Values]:
    """Root mean square errors of reflectance (6,) of the detailed bands, and of bicubic ones."""
    places = model.config.coarse
    std = model.get_buffer("hr_std")[places].numpy()
    squares, counts = np.zeros((2, len(places))), np.zeros(len(places))
    for pair in watched:
        with torch.inference_mode():
            one = Pairs(*(part[None] for part in pair))
            guess, truth, known = standardised(model, detail, one)
            bare = standardised(model, lambda images: images[:, places] * 0, one)[0]  # type: ignore[arg-type]
        counts += known.sum((0, 2, 3)).numpy()
        for row, image in enumerate((guess, bare)):
            squares[row] += torch.where(known, (image - truth).square(), 0.0).sum((0, 2, 3)).numpy()
    found = comparators.root_mean(squares, counts) * std
    return found[0], found[1]


def skill(model: Tamrf, sites: Sequence[Site]) -> Json:
    """Errors on the dates held out of the Belgian site, beside those of bicubic interpolation."""
    rows: list[Json] = []
    for site, dates in comparators.held_out(sites):
        watched = dsen2.usable(dsen2.pairs(site, dates, samples_of(model)), Habits())
        both = errors(model, cast(Detail, model.detail), watched)
        found = comparators.tables(("tamrf", "bicubic"), both, COARSE)
        rows.append({"site": site.name, "dates": len(watched), "rmse_at_20m_from_40m": found})
    return {"sharpening_held_out": rows}
