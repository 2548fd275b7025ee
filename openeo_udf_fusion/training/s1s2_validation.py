"""Held-out Sentinel-2 frames under gaps made on purpose: what was there, a line in time, and a code."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import linear
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.embedder import Embedder, standardise
from openeo_udf_fusion.models.s1s2_embedding import Frames, S1S2Embedding
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.s1s2_sites import (
    BUFFER_PX,
    Site,
    is_test,
    is_validation,
    strip_start,
    without,
)

VALIDATION_GAPS = (15, 30)
LEAST_CLEAR = 0.1
"""Share of a frame's pixels that have to be clear for it to be asked for."""


class Case(NamedTuple):
    """One held-out frame: what may be seen, the day asked for, and what was there (b, y, x)."""

    seen: Mapping[str, Observations]
    day: int
    truth: NDArray[np.float32]
    valid: NDArray[np.bool_]


def cases(site: Site, asked: NDArray[np.bool_], hidden: NDArray[np.bool_], half_gap: int) -> Iterator[Case]:
    """Each of the asked frames (t,) of Sentinel-2, without the hidden and those within `half_gap` days."""
    s2 = site.observed["s2"]
    for frame in np.flatnonzero(asked):
        if s2.valid[frame].any(0).mean() < LEAST_CLEAR:
            continue
        gone = hidden | (np.abs(s2.days - s2.days[frame]) <= half_gap)
        seen = {**site.observed, "s2": without(s2, gone)}
        yield Case(seen, int(s2.days[frame]), s2.values[frame], s2.valid[frame])


def validation_cases(sites: Sequence[Site], half_gaps: Sequence[int] = VALIDATION_GAPS) -> Iterator[Case]:
    """The validation days of the part trained on; no held-out frame is ever seen."""
    for site in sites:
        west = site.crop(slice(0, strip_start(site.shape[1]) - BUFFER_PX))
        days = west.observed["s2"].days
        asked = is_validation(days, site.fold)
        for half_gap in half_gaps:
            yield from cases(west, asked, asked | is_test(days, site.fold), half_gap)


def validation_error(
    model: S1S2Embedding, sites: Sequence[Site], sees: Sequence[str] = ("s1", "s2"), *, own: bool = False
) -> float:
    """RMSE of the model's Sentinel-2 over that of the line in time, mean over the bands.

    Frames of the sensors in `sees` are shown; `own` scores Sentinel-2's own code instead of the fused one.

    Raises
    ------
    InvalidParameter
        There is no clear frame on the validation days.
    """
    squares: list[NDArray[np.float64]] = []
    for case in validation_cases(sites):
        line = interpolate(case)
        shown = case._replace(seen=with_sensors(case.seen, sees))
        guess = own_reconstruction(model, shown) if own else fused_reconstruction(model, shown)
        valid = case.valid & np.isfinite(line) & np.isfinite(guess)
        errors = [np.where(valid, estimate - case.truth, 0) for estimate in (guess, line)]
        squares.append(np.stack([np.square(e, dtype=np.float64).sum((1, 2)) for e in errors]))
    if not squares:
        raise InvalidParameter(
            f"the sites have no Sentinel-2 frame with {LEAST_CLEAR:.0%} clear pixels on validation days "
            "(7 of every 60), by which the best weights are chosen; give a longer period"
        )
    total = np.sum(squares, axis=0)
    return float(np.sqrt(total[0] / total[1]).mean())


def fused_reconstruction(model: S1S2Embedding, case: Case) -> NDArray[np.float32]:
    """Sentinel-2 (b, y, x) from the fused code."""
    embedded = Embedder(model).embed(case.seen, np.array([case.day]), reconstruct=["s2"])
    return np.asarray(embedded.reconstruction["s2"][0], np.float32)


def own_reconstruction(model: S1S2Embedding, case: Case, sensor: str = "s2") -> NDArray[np.float32]:
    """A sensor's bands (b, y, x) from its own code, that of stage 1; NaN where it saw nothing."""
    config, observed = model.config.sensor(sensor), case.seen[sensor]
    near = np.abs(observed.days - case.day) <= config.reach_days
    valid = torch.from_numpy(observed.valid[near])
    values = standardise(torch.from_numpy(observed.values[near]), valid, config)
    frames = Frames(values, valid, torch.from_numpy(observed.days[near] - case.day).float())
    with torch.inference_mode():
        told = model.tell({sensor: frames}, torch.zeros(1))[sensor]
        drawn = model.own_decoders[sensor](model.own_code(sensor, told))[0]
    lower, upper, centre, spread = (
        torch.tensor(getattr(config, name)) for name in ("lower", "upper", "centre", "spread")
    )
    bands = (centre + spread * drawn).clamp(lower, upper).masked_fill(~told.present[0][:, None], torch.nan)
    return np.asarray(bands.T.reshape(case.truth.shape).numpy(), np.float32)


def interpolate(case: Case) -> NDArray[np.float32]:
    """The line in time (b, y, x) between the nearest clear observations of each pixel."""
    line = linear.predict({"s2": case.seen["s2"]}, np.array([case.day], np.int32), "s2").mean[0]
    return np.asarray(line, np.float32)


def with_sensors(seen: Mapping[str, Observations], kept: Sequence[str]) -> dict[str, Observations]:
    """The same with every other sensor's frames left out, on the same grid of pixels."""
    return {
        s: o if s in kept else Observations(o.values[:0], o.valid[:0], o.days[:0]) for s, o in seen.items()
    }
