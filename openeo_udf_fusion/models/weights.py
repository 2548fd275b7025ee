"""Load a model's weights through its card: verified, once per process, in the precision asked for."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.series import Precision

if TYPE_CHECKING:
    from openeo_udf_fusion.models.embedder import Embedder
    from openeo_udf_fusion.models.pixelwise import Pixelwise
    from openeo_udf_fusion.models.satfusenet import Config


def load(
    name: str, *, precision: Precision = "float32", device: str | None = None, folder: Path = cards.FOLDER
) -> "Pixelwise":
    """Load a model, or return the one already loaded in this process.

    Parameters
    ----------
    name
        The model's name, that of its card.
    precision
        "float32", or "bfloat16" for the network alone: faster where the processor has it.
    device
        Where to compute; by default CUDA if there is one, else the CPU.
    folder
        Where card and weights lie.

    Raises
    ------
    CorruptWeights
        The weights are missing, or not the bytes that the card promises.
    InvalidParameter
        Unknown name or precision.
    """
    if precision not in ("float32", "bfloat16"):
        raise InvalidParameter(f"precision is 'float32' or 'bfloat16', got {precision!r}")
    return _load(name, precision, device, folder)


@lru_cache(maxsize=8)
def _load(name: str, precision: Precision, device: str | None, folder: Path) -> "Pixelwise":
    # Publishing a process reads this module's neighbours on machines without torch.
    import torch
    from safetensors.torch import load as load_tensors

    from openeo_udf_fusion.models.calibration import Calibration
    from openeo_udf_fusion.models.pixelwise import Pixelwise
    from openeo_udf_fusion.models.satfusenet import SatFuseNet

    card = cards.read(name, folder)
    content = verified(folder / card.weights_file, card.sha256)
    model = SatFuseNet(config_of(card))
    model.load_state_dict(load_tensors(content))
    calibration = Calibration.from_json(card.calibration) if card.calibration else None
    return Pixelwise(
        model, calibration, precision, device or ("cuda" if torch.cuda.is_available() else "cpu")
    )


def load_embedding(
    name: str = "s1s2_embedding", *, device: str | None = None, folder: Path = cards.FOLDER
) -> "Embedder":
    """Load an embedding, or return the one already loaded in this process.

    Parameters and errors are those of `load`; an embedding computes in float32.
    """
    return _load_embedding(name, device, folder)


@lru_cache(maxsize=4)
def _load_embedding(name: str, device: str | None, folder: Path) -> "Embedder":
    import torch
    from safetensors.torch import load as load_tensors

    from openeo_udf_fusion.models.embedder import Embedder, config_from_json
    from openeo_udf_fusion.models.s1s2_embedding import S1S2Embedding

    card = cards.read(name, folder)
    content = verified(folder / card.weights_file, card.sha256)
    model = S1S2Embedding(config_from_json(card.hyperparameters))
    model.load_state_dict(load_tensors(content))
    return Embedder(model, card.calibration, device or ("cuda" if torch.cuda.is_available() else "cpu"))


def verified(file: Path, sha256: str) -> bytes:
    """The bytes of a file, if they are those that were promised."""
    advice = "install the package again, or fetch the file anew"
    if not file.is_file():
        raise CorruptWeights(f"the weights {file.name} are missing from {file.parent}; {advice}")
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CorruptWeights(
            f"the weights {file.name} are not what the card promises: sha256 {sha256} was needed, "
            f"{found} came ({len(content)} bytes); the file is truncated or of another version: {advice}"
        )
    return content


def config_of(card: cards.Card) -> "Config":
    """The network's shape as the card states it; JSON has no tuples."""
    from openeo_udf_fusion.models.satfusenet import Config

    values: Json = {k: tuple(v) if isinstance(v, list) else v for k, v in card.hyperparameters.items()}
    return Config(**values)
