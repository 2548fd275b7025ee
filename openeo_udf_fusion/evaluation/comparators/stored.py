"""Weights of comparators, loaded through their cards."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load as load_tensors

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights

Network = TypeVar("Network", bound=torch.nn.Module)
FOLDER = Path(__file__).parent


def network(name: str, folder: Path, build: Callable[[Json], Network]) -> Network:
    """A trained network, to predict with; `build` makes it out of the arguments of its Config.

    Raises
    ------
    InvalidParameter
        There is no such card.
    CorruptWeights
        The weights are missing, or not the bytes that the card promises.
    """
    card = cards.read(name, folder)
    content = weights.verified(folder / card.weights_file, card.sha256)
    shape: Json = {k: tuple(v) if isinstance(v, list) else v for k, v in card.hyperparameters.items()}
    model = build(shape)
    model.load_state_dict(load_tensors(content))
    return model.eval()
