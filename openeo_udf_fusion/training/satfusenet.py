"""Train SatFuseNet on pairs: seeded, resumable, the best weights on held-out places kept."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.merging import Grid
from openeo_udf_fusion.models.satfusenet import OTHER, Config, SatFuseNet
from openeo_udf_fusion.training import checkpoints
from openeo_udf_fusion.training.batches import BIN_DAYS, MARGIN_DAYS, Batch, draw, query_positions
from openeo_udf_fusion.training.losses import crps_normal, masked_mean
from openeo_udf_fusion.training.pairs import Pairs
from openeo_udf_fusion.training.state import State, begin, decay_groups, rate_at
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
        checkpoints.restore(state, checkpoint, run.identity)
    run.go_on(state, lambda: checkpoints.save(state, checkpoint, run.identity))
    record = asdict(schedule) | {"best_step": state.best_step, "validation_score": round(state.best_score, 5)}
    return state.best_network(), record


class Run:
    """What stays the same throughout a training: data, schedule, scales and validation batches."""

    def __init__(self, samples: Samples, watched: Pairs, schedule: Schedule, config: Config) -> None:
        self.samples, self.schedule, self.config = samples, schedule, config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.pairs, self.round = samples.at(0), 0
        settings = {"schedule": asdict(schedule), "config": asdict(config)}
        self.identity = checkpoints.Identity("samples", fingerprint(self.pairs), settings)
        rng = np.random.default_rng(schedule.seed + 1)
        self.validation = [
            draw(watched, 3 * schedule.batch, rng, vary=False).to(self.device) for _ in range(2)
        ]
        self.climate = {
            "modis": climate(self.pairs.modis, self.pairs.modis_valid).to(self.device),
            "viirs": climate(self.pairs.viirs, self.pairs.viirs_valid).to(self.device),
        }
        """CRPS and variance (b,) of each sensor's climatology."""

    def begin(self) -> State[SatFuseNet]:
        """A network with calibrated translations and everything else fresh."""
        torch.manual_seed(self.schedule.seed)
        model = SatFuseNet(self.config)
        fit_translations(model, self.pairs)
        model.to(self.device)
        groups = decay_groups(model.parameters(), self.schedule.weight_decay)
        return begin(model, groups, self.schedule.learning_rate, np.random.default_rng(self.schedule.seed))

    def go_on(self, state: State[SatFuseNet], save: Callable[[], None]) -> None:
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

    def is_hopeless(self, state: State[SatFuseNet]) -> bool:
        """Whether validation has not improved for so long that training ends."""
        return state.step - state.best_step > self.schedule.patience * self.schedule.validate_every

    def step(self, state: State[SatFuseNet]) -> float:
        """One batch, one update of the network and of its running average."""
        schedule = self.schedule
        rate = rate_at(state.step, schedule.steps, schedule.warmup_steps)
        for group in state.optimizer.param_groups:
            group["lr"] = schedule.learning_rate * rate
        if state.step // ROUND_STEPS != self.round:
            self.round = state.step // ROUND_STEPS
            self.pairs = self.samples.at(self.round)
        batch = draw(self.pairs, schedule.batch, state.rng).to(self.device)
        days = query_positions(self.pairs.modis.shape[1]).numpy()
        query = torch.from_numpy(np.sort(state.rng.permutation(days)[: len(days) // 2])).to(self.device)
        state.model.train()
        loss = self.loss(state.model, batch, query)
        state.update(loss, schedule.average)
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
    def validate(self, state: State[SatFuseNet]) -> None:
        """Score the averaged network on the validation pixels, and keep it if it is the best so far."""
        model, scores = state.average.eval(), []
        for batch in self.validation:
            z, centres = model.encode(batch.inputs, batch.first_day)
            query = torch.arange(MARGIN_DAYS, z.shape[1] * BIN_DAYS - MARGIN_DAYS, device=z.device)
            scores += [float(self.scores(model, z, centres, batch, query, s)[0]) for s in OTHER]
        state.keep_if_best(float(np.mean(scores)))


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
    return checkpoints.fingerprint(getattr(pairs, name) for name in ("pixel", "first_day", "modis", "viirs"))


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
