"""The networks that TAMRF is compared with, trained on the same dates: DSen2 and U-TILISE."""

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors

from openeo_udf_fusion.baselines.image_pairs import dated_images
from openeo_udf_fusion.baselines.stair import on_days
from openeo_udf_fusion.evaluation.tamrf_methods import Method, clear_only
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, dsen2, utilise, weights
from openeo_udf_fusion.training.tamrf_sites import Site

Network = TypeVar("Network", bound=torch.nn.Module)
Values = NDArray[np.float32]
Days = NDArray[np.int32]
FOLDER = Path(__file__).parent / "comparators"
NAMES = {"dsen2": "DSen2", "utilise": "U-TILISE"}


def trained(folder: Path = FOLDER) -> list[Method]:
    """Those of which there are weights.

    Raises
    ------
    CorruptWeights
        The weights are missing or not the bytes that the card promises.
    """
    there = {*cards.names(folder)}
    methods = []
    if "dsen2" in there:
        sharpener = loaded(dsen2.DSen2(dsen2.Config(**shape("dsen2", folder))), "dsen2", folder)

        def sharpen(site: Site, days: Days, sensor: str) -> Values:
            images, own = dated_images(site.observed, sensor)
            return dsen2.sharpened(sharpener, on_days(images, own, days))

        methods.append(Method("dsen2", NAMES["dsen2"], sharpen, ("band_sharpening",), ("s2",)))
    if "utilise" in there:
        filler = loaded(utilise.Utilise(utilise.Config(**shape("utilise", folder))), "utilise", folder)

        def fill(site: Site, days: Days, sensor: str) -> Values:
            images, own = dated_images(clear_only(site), sensor)
            return utilise.filled(filler, images, own, days.astype(np.int64))

        methods.append(Method("utilise", NAMES["utilise"], fill, ("gap_filling", "fusion"), ("s2",)))
    return methods


def shape(name: str, folder: Path) -> Json:
    """The arguments of a network's Config, as its card states them; JSON has no tuples."""
    values = cards.read(name, folder).hyperparameters
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def loaded(model: Network, name: str, folder: Path) -> Network:
    """A network with its weights."""
    card = cards.read(name, folder)
    model.load_state_dict(load_tensors(weights.verified(folder / card.weights_file, card.sha256)))
    return model.eval()
