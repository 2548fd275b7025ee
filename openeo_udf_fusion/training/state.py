"""The state of a training, and what every step does: rate, update, running average, the best so far."""

import math
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from openeo_udf_fusion.jsontypes import Json

Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass
class State(Generic[Network]):
    """All that changes while training: a checkpoint is this, and nothing else."""

    model: Network
    average: Network
    optimizer: torch.optim.Optimizer
    rng: np.random.Generator
    step: int = 0
    best_score: float = math.inf
    best_step: int = 0
    best: dict[str, Tensor] | None = None

    def update(self, loss: Tensor, average: float, clip: float = 1.0) -> None:
        """Go down the gradient of a loss, and let the running average follow; it hurries at first.

        A gradient longer than `clip` is shortened to it.
        """
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.optimizer.step()
        self.step += 1
        keep = min(average, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)

    def keep_if_best(self, score: float) -> None:
        """Keep the averaged network's weights if its score is the lowest so far."""
        if score < self.best_score:
            self.best_score, self.best_step = score, self.step
            self.best = {name: value.clone() for name, value in self.average.state_dict().items()}

    def best_network(self) -> Network:
        """A copy of the averaged network as it was at its best, on the CPU and ready to predict."""
        best = deepcopy(self.average).cpu()
        if self.best is not None:
            best.load_state_dict(self.best)
        return best.eval()


def begin(
    model: Network, groups: list[Json], learning_rate: float, rng: np.random.Generator
) -> State[Network]:
    """A training that has not made a step; `groups` of parameters as `decay_groups` gives them."""
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))
    return State(model, deepcopy(model).requires_grad_(False), optimizer, rng)


def decay_groups(parameters: Iterable[torch.nn.Parameter], weight_decay: float) -> list[Json]:
    """Parameters in two groups: matrices decay, vectors (biases, norms) do not."""
    every = [*parameters]
    return [
        {"params": [p for p in every if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0},
    ]


def rate_at(step: int, steps: int, warmup_steps: int) -> float:
    """Share of the learning rate: it rises over the warm-up, and falls like a cosine to a fiftieth."""
    warm = min(1.0, (step + 1) / warmup_steps)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
