"""Train SatFuseNet on pairs: seeded, resumable, the best weights on held-out places kept."""

import hashlib
import math
import os
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.satfusenet import OTHER, Config, Grid, SatFuseNet
from openeo_udf_fusion.training.batches import BIN_DAYS, MARGIN_DAYS, Batch, draw, query_positions
from openeo_udf_fusion.training.losses import crps_normal
from openeo_udf_fusion.training.pairs import Pairs
from openeo_udf_fusion.training.translation import fit_translations

TRIAL_STEPS = 8
ROUND_STEPS = 500
"""As long as this a pool of samples that is larger than memory stays the same."""


class Samples(Protocol):
    """Where samples come from: a part of a data set that may change from round to round."""

    def at(self, round_: int, /) -> Pairs:
        """The samples of a round; the same whenever it is asked for."""


@dataclass(frozen=True)
class Schedule:
    """How long and how to train.

    Attributes
    ----------
    ease
        Each cell's score is relative to climatology's (0), to the model's own spread there (1), or to their
        weighted geometric mean: the higher, the more eagerly translations are learned, whose errors are a
        tenth of those within long gaps.
    squared_weight
        Of the squared error relative to the climatological variance: for a mean that is one.
    precision
        Of the network's forward pass.
    """

    steps: int = 7_500
    batch: int = 32
    learning_rate: float = 2e-3
    warmup_steps: int = 300
    weight_decay: float = 0.01
    average: float = 0.998
    visible_weight: float = 0.2
    ease: float = 0.4
    squared_weight: float = 1.0
    consistency_weight: float = 0.1
    validate_every: int = 250
    patience: int = 16
    seed: int = 2012
    precision: Literal["float32", "bfloat16"] = "float32"


@dataclass
class State:
    """All that changes while training: a checkpoint is this, and nothing else."""

    model: SatFuseNet
    average: SatFuseNet
    optimizer: torch.optim.Optimizer
    rng: np.random.Generator
    step: int = 0
    best_score: float = math.inf
    best_step: int = 0
    best: dict[str, Tensor] | None = None


def train(
    samples: Samples,
    watched: Pairs,
    folder: Path,
    schedule: Schedule,
    config: Config | None = None,
    *,
    resume: bool = False,
) -> tuple[SatFuseNet, Json]:
    """Train, and return the best network on the watched places with a record of how it came about.

    Parameters
    ----------
    samples
        To train on.
    watched
        Samples of other places, by which the best weights are chosen and training ends early.
    folder
        Where `checkpoint.pt` is kept; made if need be.
    schedule, config
        How to train, and what.
    resume
        Go on from the checkpoint in `folder`, if there is one; the outcome is that of an uninterrupted run.

    Raises
    ------
    InvalidParameter
        The checkpoint is of another run: other settings or other samples.
    """
    run = Run(samples, watched, schedule, config or Config())
    state = run.begin()
    checkpoint = folder / "checkpoint.pt"
    folder.mkdir(parents=True, exist_ok=True)
    if resume and checkpoint.is_file():
        restore(state, checkpoint, run)
    run.go_on(state, lambda: save_checkpoint(state, checkpoint, run))
    best = deepcopy(state.average).cpu()
    if state.best is not None:
        best.load_state_dict(state.best)
    record = asdict(schedule) | {"best_step": state.best_step, "validation_score": round(state.best_score, 5)}
    return best.eval(), record


class Run:
    """What stays the same throughout a training: data, schedule, scales and validation batches."""

    def __init__(self, samples: Samples, watched: Pairs, schedule: Schedule, config: Config) -> None:
        self.samples, self.schedule, self.config = samples, schedule, config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.pairs, self.round = samples.at(0), 0
        self.fingerprint = fingerprint(self.pairs)
        rng = np.random.default_rng(schedule.seed + 1)
        self.validation = [
            draw(watched, 3 * schedule.batch, rng, vary=False).to(self.device) for _ in range(2)
        ]
        self.climate = {
            "modis": climate(self.pairs.modis, self.pairs.modis_valid).to(self.device),
            "viirs": climate(self.pairs.viirs, self.pairs.viirs_valid).to(self.device),
        }
        """CRPS and variance (b,) of each sensor's climatology."""

    def begin(self) -> State:
        """A network with calibrated translations and everything else fresh."""
        torch.manual_seed(self.schedule.seed)
        model = SatFuseNet(self.config)
        fit_translations(model, self.pairs)
        model.to(self.device)
        decayed = [p for p in model.parameters() if p.ndim >= 2]
        others = [p for p in model.parameters() if p.ndim < 2]
        groups = [
            {"params": decayed, "weight_decay": self.schedule.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.schedule.learning_rate, betas=(0.9, 0.98))
        rng = np.random.default_rng(self.schedule.seed)
        return State(model, deepcopy(model).requires_grad_(False), optimizer, rng)

    def go_on(self, state: State, save: Callable[[], None]) -> None:
        """Train to the last step, or until validation has not improved for `patience` rounds."""
        schedule = self.schedule
        with tqdm(total=schedule.steps, initial=state.step, unit="step", mininterval=5) as bar:
            while state.step < schedule.steps and not self.is_hopeless(state):
                loss = self.step(state)
                bar.update()
                if state.step % schedule.validate_every == 0 or state.step == schedule.steps:
                    self.validate(state)
                    save()
                    bar.set_postfix(loss=f"{loss:.4f}", best=f"{state.best_score:.4f}")

    def is_hopeless(self, state: State) -> bool:
        """Whether validation has not improved for so long that training ends."""
        return state.step - state.best_step > self.schedule.patience * self.schedule.validate_every

    def step(self, state: State) -> float:
        """One batch, one update of the network and of its running average."""
        schedule = self.schedule
        done = state.step / schedule.steps
        warm = min(1.0, (state.step + 1) / schedule.warmup_steps)
        for group in state.optimizer.param_groups:
            rate = warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            group["lr"] = schedule.learning_rate * rate
        if state.step // ROUND_STEPS != self.round:
            self.round = state.step // ROUND_STEPS
            self.pairs = self.samples.at(self.round)
        batch = draw(self.pairs, schedule.batch, state.rng).to(self.device)
        days = query_positions(self.pairs.modis.shape[1]).numpy()
        query = torch.from_numpy(np.sort(state.rng.permutation(days)[: len(days) // 2])).to(self.device)
        state.model.train()
        loss = self.loss(state.model, batch, query)
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
        state.optimizer.step()
        state.step += 1
        keep = min(schedule.average, state.step / (state.step + 10))
        with torch.no_grad():
            for mean, now in zip(state.average.parameters(), state.model.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)
        return float(loss.detach())

    def loss(self, model: SatFuseNet, batch: Batch, query: Tensor) -> Tensor:
        """Normalised CRPS of hidden cells, a little of the visible ones', and agreement of the latents."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.schedule.precision == "bfloat16"):
            z, centres = model.encode(batch.inputs, batch.first_day)
            scores = []
            for sensor in OTHER:
                hidden, visible = self.scores(model, z, centres, batch, query, sensor)
                scores.append(hidden + self.schedule.visible_weight * visible)
            return sum(scores) / len(scores) + self.schedule.consistency_weight * self.disagreement(
                model, batch, z
            )

    def scores(
        self,
        model: SatFuseNet,
        z: Tensor,
        centres: dict[str, Tensor],
        batch: Batch,
        query: Tensor,
        sensor: str,
    ) -> tuple[Tensor, Tensor]:
        """Mean relative CRPS of the sensor's hidden and of its visible cells."""
        normal = model.decode(z, centres, batch.inputs, query, sensor)
        truth = batch.truth[sensor]
        values, location = truth.values[:, query], model.into_range(normal.location)
        score = crps_normal(values, location, normal.sigma)
        ease, (climate_crps, climate_variance) = self.schedule.ease, self.climate[sensor]
        score = score / (climate_crps ** (1 - ease) * normal.sigma.detach() ** ease)
        score = score + self.schedule.squared_weight * (values - location).square() / climate_variance
        seen = batch.inputs[sensor].valid[:, query]
        hidden = truth.valid[:, query] & ~seen
        return masked_mean(score, hidden), masked_mean(score, seen)

    def disagreement(self, model: SatFuseNet, batch: Batch, z: Tensor) -> Tensor:
        """How far the latents are from those that see everything, on a quarter of the batch."""
        some = max(1, len(z) // 4)
        everything = {s: Grid(*(a[:some] for a in grid)) for s, grid in batch.truth.items()}
        with torch.no_grad():
            target, _ = model.encode(everything, batch.first_day[:some])
        known = torch.nn.functional.rms_norm(target.float(), target.shape[-1:])
        guess = torch.nn.functional.rms_norm(z[:some].float(), z.shape[-1:])
        return (guess - known).square().mean()

    @torch.no_grad()
    def validate(self, state: State) -> None:
        """Score the averaged network on the validation pixels, and keep it if it is the best so far."""
        model, scores = state.average.eval(), []
        for batch in self.validation:
            z, centres = model.encode(batch.inputs, batch.first_day)
            query = torch.arange(MARGIN_DAYS, z.shape[1] * BIN_DAYS - MARGIN_DAYS, device=z.device)
            scores += [float(self.scores(model, z, centres, batch, query, s)[0]) for s in OTHER]
        score = float(np.mean(scores))
        if score < state.best_score:
            state.best_score, state.best_step = score, state.step
            state.best = {name: value.clone() for name, value in model.state_dict().items()}


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the mask; zero where it is empty."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def climate(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> Tensor:
    """CRPS and variance (2, b) of each band's climatology; the former is half the mean difference of values.

    A band that was never seen has those of a uniform variable: it has no say in the training.
    """
    rng, scores, variances = np.random.default_rng(0), [], []
    for band in range(values.shape[-1]):
        known = values[..., band][valid[..., band]].astype(np.float64)
        known = known if known.size > 1 else np.linspace(0, 1, 100)
        scores.append(np.abs(rng.permutation(known) - known).mean() / 2)
        variances.append(known.var())
    return torch.tensor(np.array([scores, variances])).float()


def fingerprint(pairs: Pairs) -> str:
    """Of the samples that a training starts with: another run's checkpoint has another."""
    content = hashlib.sha256()
    for name in ("pixel", "first_day", "modis", "viirs"):
        content.update(np.ascontiguousarray(getattr(pairs, name)).tobytes())
    return content.hexdigest()


def save_checkpoint(state: State, file: Path, run: Run) -> None:
    """Write all of the state under a temporary name, then rename: a crash leaves the old one whole."""
    content = {
        "schedule": asdict(run.schedule),
        "config": asdict(run.config),
        "samples": run.fingerprint,
        "model": state.model.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "rng": state.rng.bit_generator.state,
        "step": state.step,
        "best_score": state.best_score,
        "best_step": state.best_step,
        "best": state.best,
    }
    temporary = file.with_suffix(".tmp")
    torch.save(content, temporary)
    os.replace(temporary, file)


def restore(state: State, file: Path, run: Run) -> None:
    """Set the state to that of a checkpoint of the same run."""
    content = torch.load(file, weights_only=True, map_location=run.device)
    if content.get("samples") != run.fingerprint:
        raise InvalidParameter(
            f"{file.name} was written by a training on other samples; "
            "train without --resume into another folder"
        )
    if content["schedule"] != asdict(run.schedule) or content["config"] != asdict(run.config):
        raise InvalidParameter(
            f"{file.name} was written with other settings than these; "
            "train with the same ones, or without --resume into another folder"
        )
    state.model.load_state_dict(content["model"])
    state.average.load_state_dict(content["average"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.rng.bit_generator.state = content["rng"]
    state.step, state.best_score = content["step"], content["best_score"]
    state.best_step, state.best = content["best_step"], content["best"]


def steps_within(minutes: float, samples: Samples, watched: Pairs, schedule: Schedule) -> Schedule:
    """The schedule with as many steps as this machine makes in so many minutes, by a short trial."""
    run = Run(samples, watched, schedule, Config())
    state = run.begin()
    run.step(state)
    started = time.perf_counter()
    for _ in range(TRIAL_STEPS):
        run.step(state)
    seconds = (time.perf_counter() - started) / TRIAL_STEPS
    return replace(schedule, steps=max(1, int(minutes * 60 / seconds)))
