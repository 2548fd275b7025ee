"""Train the Sentinel-1/2 embedding in stages: seeded, resumable, the best weights on held-out days kept.

Stage 1 teaches each sensor's encoder to give its own frames back from its own code, across gaps. Stage 2
teaches fusion, one code and its decoders; the encoders go on learning, or stay as they are. Stage 3 makes
Sentinel-1 a witness of change (`models.s1s2_embedding.Contrast`), and teaches nothing but that: it begins
with a network that is whole without, and keeps it if nothing better comes on the validation days.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.s1s2_embedding import QUANTUM, Config, S1S2Embedding, SensorConfig, Told
from openeo_udf_fusion.training import checkpoints
from openeo_udf_fusion.training.s1s2_chips import Chip, Habits, Prepared, draw
from openeo_udf_fusion.training.s1s2_losses import reconstruction
from openeo_udf_fusion.training.s1s2_sites import S1_BANDS, S2_BANDS, Site, training_part
from openeo_udf_fusion.training.s1s2_validation import validation_error
from openeo_udf_fusion.training.state import State, begin, decay_groups, rate_at

LIMITS = {"s1": (-30.0, 5.0), "s2": (0.0, 1.0)}
"""Physical range in dB and in reflectance; arXiv 2511.11706 clips to the same."""
REACH_DAYS = {"s1": 45, "s2": 90}
WITNESS, LEVEL_DAYS = "s1", 24
OWN_CODE = {"s1": 4, "s2": 8}
Stage = Literal[1, 2, 3]
STEPS: dict[Stage, int] = {1: 1_600, 2: 2_800, 3: 600}
VALIDATE_EVERY: dict[Stage, int] = {1: 400, 2: 400, 3: 100}
DROPOUT: dict[Stage, float] = {1: 0.0, 2: 0.1, 3: 0.0}
RATE: dict[Stage, float] = {1: 1.5e-3, 2: 1.2e-3, 3: 2e-3}
"""By stage."""
BANDS = {"s1": S1_BANDS, "s2": S2_BANDS}


@dataclass(frozen=True)
class Schedule:
    """How long and how to train one stage.

    Attributes
    ----------
    weights
        Of each sensor's reconstruction: half of Sentinel-1's signal is speckle that no code can tell.
    encoder_rate
        In stage 2 the encoders learn at this share of the rate; 0 leaves them as stage 1 made them.
    own_weight
        In stage 2 of the sensors' own codes, which would drift away from their decoders else.
    sees
        In stage 1 the sensors whose encoders are taught, each by itself. In stage 2 those whose frames are
        shown: all, or one alone, to measure what fusion is worth; a sensor that is not shown is not asked for
        either, but for Sentinel-2, by which all are measured.
    """

    stage: Stage = 2
    steps: int = STEPS[2]
    learning_rate: float = RATE[2]
    dropout: float = DROPOUT[2]
    encoder_rate: float = 0.5
    warmup_steps: int = 200
    weight_decay: float = 0.02
    average: float = 0.998
    own_weight: float = 0.2
    weights: Mapping[str, float] = field(default_factory=lambda: {"s1": 0.25, "s2": 0.75})
    validate_every: int = VALIDATE_EVERY[2]
    sees: tuple[str, ...] = tuple(BANDS)
    seed: int = 2018

    @property
    def asked(self) -> dict[str, float]:
        """The weights of the sensors that are asked for."""
        return {s: self.weights.get(s, 1.0) for s in dict.fromkeys((*self.sees, "s2"))}


def schedule_of(
    stage: Stage,
    steps: int | None = None,
    seed: int = 2018,
    sees: Sequence[str] = tuple(BANDS),
) -> Schedule:
    """The schedule of a stage as the shipped network had it, but for what is given."""
    return Schedule(
        stage,
        steps or STEPS[stage],
        RATE[stage],
        DROPOUT[stage],
        validate_every=VALIDATE_EVERY[stage],
        sees=tuple(sees),
        seed=seed,
    )


def config_of(sites: Sequence[Site], code: int = 8) -> Config:
    """The network's shape, with each band's centre and spread over all sites' training parts.

    Raises
    ------
    InvalidParameter
        No site has a valid value of some band outside what is held out.
    """
    sensors = []
    for name, (lower, upper) in LIMITS.items():
        count = len(BANDS[name])
        known = [site.observed[name] for site in map(training_part, sites)]
        pooled = [
            np.concatenate([o.values[:, b][o.valid[:, b]] for o in known]).clip(lower, upper)
            for b in range(count)
        ]
        empty = [band for band, values in zip(BANDS[name], pooled, strict=True) if not values.size]
        if empty:
            raise InvalidParameter(
                f"training needs clear values of every {name} band outside the days and columns held out; "
                f"the sites {[site.name for site in sites]} have none of {empty}"
            )
        sensors.append(
            SensorConfig(
                id=name,
                bands=BANDS[name],
                centre=tuple(round(float(values.mean()), 5) for values in pooled),
                spread=tuple(round(float(values.std()), 5) for values in pooled),
                lower=(lower,) * count,
                upper=(upper,) * count,
                reach_days=REACH_DAYS[name],
                code=OWN_CODE[name],
            )
        )
    return Config(tuple(sensors), code=code)


def train(
    sites: Sequence[Site],
    folder: Path,
    schedule: Schedule,
    config: Config | None = None,
    habits: Habits | None = None,
    *,
    stage_1: Path | None = None,
    base: S1S2Embedding | None = None,
    resume: bool = False,
) -> tuple[S1S2Embedding, Json]:
    """Train one stage, and return the best network on the validation days with a record of how it came about.

    Parameters
    ----------
    sites
        Whole; what is held out of them is left out here.
    folder
        Where `stage1.pt` and `stage2.pt` are kept; made if need be. Stage 2 begins with the network of
        `stage1.pt`.
    schedule, config, habits
        How to train, what, and on which chips.
    stage_1
        The checkpoint that stage 2 begins with, if it lies elsewhere; or that stage 1 takes the encoders of
        the other sensors from, where it teaches that of a further one.
    base
        The network that stage 3 begins with.
    resume
        Go on from the stage's checkpoint in `folder`, if there is one; the outcome is that of an
        uninterrupted run.

    Raises
    ------
    InvalidParameter
        The checkpoint is of another run, or there is no stage 1 to begin with.
    """
    run = Run(sites, schedule, config or config_of(sites), habits or Habits())
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"stage{schedule.stage}.pt"
    state = run.begin()
    if resume and checkpoint.is_file():
        checkpoints.restore(state, checkpoint, run.identity)
    elif base is not None:
        for model in (state.model, state.average):
            model.load_state_dict(base.state_dict())
        run.validate(state)
    elif schedule.stage == 2 or stage_1:
        begin_with_stage_1(state, stage_1 or folder / "stage1.pt")
    run.go_on(state, checkpoint)
    record = asdict(schedule) | {"best_step": state.best_step, "validation_score": round(state.best_score, 5)}
    return state.best_network(), record


class Run:
    """What stays the same throughout a stage: sites, schedule and habits."""

    def __init__(self, sites: Sequence[Site], schedule: Schedule, config: Config, habits: Habits) -> None:
        self.schedule, self.config, self.habits = schedule, config, showing(habits, schedule.sees)
        self.whole = list(sites)
        self.sites = [Prepared.of(training_part(site), config) for site in sites]
        settings = {
            "schedule": asdict(schedule),
            "config": asdict(config),
            "habits": asdict(habits),
            "folds": [site.fold for site in sites],
        }
        self.identity = checkpoints.Identity("sites", fingerprint(sites), settings)
        self.scales = {s.id: (torch.tensor(s.centre), torch.tensor(s.spread)) for s in config.sensors}

    def begin(self) -> State[S1S2Embedding]:
        """A fresh network."""
        torch.manual_seed(self.schedule.seed)
        model = S1S2Embedding(self.config)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = self.schedule.dropout
        taught: tuple[tuple[torch.nn.Module, float], ...]
        taught = ((model.encoders, self.encoder_rate), (others(model), 1.0))
        if self.schedule.stage == 3:
            taught = ((model.fusion.contrasts, 1.0),)
            model.requires_grad_(False)
            model.fusion.contrasts.requires_grad_(True)
        groups = [
            group | {"share": rate}
            for part, rate in taught
            for group in decay_groups(part.parameters(), self.schedule.weight_decay)
        ]
        rng = np.random.default_rng(self.schedule.seed + self.schedule.stage)
        return begin(model, groups, self.schedule.learning_rate, rng)

    @property
    def encoder_rate(self) -> float:
        """Share of the learning rate that the encoders get."""
        return {1: 1.0, 2: self.schedule.encoder_rate, 3: 0.0}[self.schedule.stage]

    def go_on(self, state: State[S1S2Embedding], checkpoint: Path) -> None:
        """Train to the last step."""
        schedule = self.schedule
        with tqdm(total=schedule.steps, initial=state.step, unit="step", mininterval=10) as bar:
            while state.step < schedule.steps:
                self.step(state)
                bar.update()
                if state.step % schedule.validate_every == 0 or state.step == schedule.steps:
                    score = self.validate(state)
                    checkpoints.save(state, checkpoint, self.identity)
                    line = f"step {state.step}: {score:.4f} of the line's error on validation days"
                    bar.write(line, file=sys.stderr)

    def step(self, state: State[S1S2Embedding]) -> None:
        """One chip, one update of the network and of its running average."""
        schedule = self.schedule
        rate = rate_at(state.step, schedule.steps, schedule.warmup_steps)
        for group in state.optimizer.param_groups:
            group["lr"] = schedule.learning_rate * rate * group["share"]
        torch.manual_seed(schedule.seed + state.step)  # noise: the same after a restart
        state.model.train()
        state.update(self.loss(state.model, state), schedule.average)

    def loss(self, model: S1S2Embedding, state: State[S1S2Embedding]) -> Tensor:
        """Reconstruction of one chip: stage 1 by the sensors in turn, later from the fused code."""
        if self.schedule.stage == 1:
            only = self.schedule.sees[state.step % len(self.schedule.sees)]
            chip = draw(self.sites, self.config, self.habits, state.rng, only)
            return self.own_score(model, model.tell(chip.frames, chip.query)[only], chip, only)
        chip = draw(self.sites, self.config, self.habits, state.rng)
        while self.schedule.stage == 3 and len(chip.frames) < len(self.config.sensors):
            chip = draw(self.sites, self.config, self.habits, state.rng)  # one sensor has no witness
        weights, frozen = self.schedule.asked, self.encoder_rate == 0
        model.encoders.train(not frozen)
        with torch.set_grad_enabled(not frozen):
            known = model.encode(chip.frames, chip.query)
            told = {s: model.encoder(s)(features, chip.query) for s, features in known.items()}
        code = with_noise(model.fuse(known, told, chip.query))
        fused = [weights[s] * self.score(model.decode(code, s), chip, s) for s in weights]
        if frozen:
            return torch.stack(fused).sum()
        own = [weights[s] * self.own_score(model, told[s], chip, s) for s in told]
        return torch.stack(fused).sum() + self.schedule.own_weight * torch.stack(own).sum()

    def own_score(self, model: S1S2Embedding, told: Told, chip: Chip, sensor: str) -> Tensor:
        """The loss of a sensor's images from its own code."""
        return self.score(model.own_decoders[sensor](with_noise(model.own_code(sensor, told))), chip, sensor)

    def score(self, guess: Tensor, chip: Chip, sensor: str) -> Tensor:
        """The loss of one sensor's images (q, p, b)."""
        truth, valid = chip.truth[sensor]
        image = guess.transpose(1, 2).reshape(truth.shape)
        return reconstruction(image, truth, valid, *self.scales[sensor])

    def validate(self, state: State[S1S2Embedding]) -> float:
        """Score the averaged network on the validation days, and keep it if it is the best so far.

        What is scored is Sentinel-2; a stage 1 that does not teach its encoder goes on to its last step.
        """
        own, sees = self.schedule.stage == 1, self.schedule.sees
        if own and "s2" not in sees:
            return math.nan
        score = validation_error(state.average.eval(), self.whole, sees, own=own)
        state.keep_if_best(score)
        return score


def showing(habits: Habits, sees: Sequence[str]) -> Habits:
    """The habits with the frames of those sensors alone."""
    if len(sees) > 1:
        return habits
    return replace(habits, without_s1=float("s1" not in sees), without_s2=float("s2" not in sees))


def others(model: S1S2Embedding) -> torch.nn.ModuleList:
    """Everything but the encoders."""
    return torch.nn.ModuleList([model.own_decoders, model.fusion, model.decoders])


def with_noise(code: Tensor) -> Tensor:
    """A code with the error of its storage as int8."""
    return code + (torch.rand_like(code) - 0.5) * QUANTUM


def fingerprint(sites: Sequence[Site]) -> str:
    """Of the data that a training sees: another run's checkpoint has another."""
    series = (site.observed[name] for site in sites for name in sorted(site.observed))
    return checkpoints.fingerprint(part for each in series for part in each)


def begin_with_stage_1(state: State[S1S2Embedding], file: Path) -> None:
    """Take over encoders and their decoders from the checkpoint of stage 1."""
    if not file.is_file():
        raise InvalidParameter(f"stage 2 begins with stage 1, and {file} is missing; train --stage 1 first")
    kept = {
        k: v
        for k, v in checkpoints.best_weights(file).items()
        if k.startswith(("encoders.", "own_decoders."))
    }
    for model in (state.model, state.average):
        try:
            model.load_state_dict(model.state_dict() | kept)
        except RuntimeError as error:
            raise InvalidParameter(
                f"{file.name} is of a network of another shape; train --stage 1 anew"
            ) from error
