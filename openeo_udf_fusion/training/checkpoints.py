"""Checkpoints of a training: written whole, and read back by the same training alone."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.tamrf_checkpoint import UNREADABLE
from openeo_udf_fusion.training.state import Network, State

PARTS = {"model", "average", "optimizer", "rng", "step", "best_score", "best_step", "best"}
"""What every checkpoint holds, beside what it is of."""


@dataclass(frozen=True)
class Identity:
    """What two trainings must share for one to go on from the other's checkpoint.

    Attributes
    ----------
    data
        What the data trained on are called: "samples", "sites".
    fingerprint
        Of these data.
    settings
        All other things that decide what comes out, by name, as `dataclasses.asdict` gives them.
    """

    data: str
    fingerprint: str
    settings: Json


def fingerprint(arrays: Iterable[ArrayLike]) -> str:
    """A hash of arrays in their order."""
    content = hashlib.sha256()
    for array in arrays:
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def save(state: State[Network], file: Path, identity: Identity) -> None:
    """Write all of the state under a temporary name, then rename: a crash leaves the old one whole."""
    content = identity.settings | {
        identity.data: identity.fingerprint,
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


def restore(state: State[Network], file: Path, identity: Identity) -> None:
    """Set the state to that of a checkpoint.

    Raises
    ------
    InvalidParameter
        The file is no checkpoint, or one of another training: of other data or other settings.
    """
    content = _read(file, next(state.model.parameters()).device)
    if content.get(identity.data) != identity.fingerprint:
        raise InvalidParameter(
            f"{file.name} was written by a training on other {identity.data}; "
            "train without --resume into another folder"
        )
    if any(content.get(name) != value for name, value in identity.settings.items()):
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


def best_weights(file: Path) -> dict[str, Tensor]:
    """The best weights that a checkpoint holds, or the averaged ones if none were scored yet, on the CPU.

    Raises
    ------
    InvalidParameter
        The file is no checkpoint.
    """
    content = _read(file, torch.device("cpu"))
    weights: dict[str, Tensor] = content["best"] or content["average"]
    return weights


def _read(file: Path, device: torch.device) -> Json:
    try:
        content = torch.load(file, weights_only=True, map_location=device)
    except UNREADABLE as error:
        raise InvalidParameter(
            f"{file} cannot be read as a checkpoint of a training ({type(error).__name__}): it is damaged or "
            "of something else; move it away, and train without --resume"
        ) from error
    lacking = sorted(PARTS - content.keys()) if isinstance(content, dict) else sorted(PARTS)
    if lacking:
        raise InvalidParameter(
            f"{file} is no checkpoint of a training, it lacks {lacking}; move it away, and train without "
            "--resume"
        )
    found: Json = content
    return found
