"""Weights of comparators, loaded through their cards."""

from pathlib import Path

from safetensors.torch import load as load_tensors
from torch import Tensor

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights

FOLDER = Path(__file__).parent


def read(name: str, folder: Path) -> tuple[Json, dict[str, Tensor]]:
    """The arguments of a network's Config, and its tensors.

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
    return shape, load_tensors(content)
