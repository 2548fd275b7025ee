"""Read a model's card: a STAC Item with the MLM extension beside the weights. Needs no torch."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pystac

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter
from openeo_udf_fusion.jsontypes import Json

FOLDER = Path(__file__).parent
FOLDER_VARIABLE = "OPENEO_UDF_FUSION_MODELS"
"""The environment variable that names a folder of cards and weights which come before the package's own."""
MLM_SCHEMA = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
COMPUTATION = 2
"""Raised when the code makes something else of the same weights and calibration: older graphs are refused."""
SHA256_MULTIHASH = "1220"
"""How a SHA-256 begins as a multihash, the form of STAC's `file:checksum`."""


@dataclass(frozen=True)
class OnnxFile:
    """A network exported to ONNX.

    Attributes
    ----------
    file, sha256
        File name beside the card and the hash of its bytes.
    made_from
        The `fingerprint` that the card had then.
    """

    file: str
    sha256: str
    made_from: str


@dataclass(frozen=True)
class Card:
    """What a process may ask of a model before it loads it.

    Attributes
    ----------
    name, version
        As published.
    bands
        Band names per sensor in the model's order.
    receptive_field_px
        How many pixels around a pixel matter; 0 for a pixelwise model.
    support_days
        Farthest distance to an observation, in days, at which the model was trained and scored.
    weights_file, sha256
        File name beside the card and the hash of its bytes.
    hyperparameters
        The arguments of the model's Config.
    calibration
        How far to trust it, `models.calibration`; empty where that was not fitted.
    training, skill
        How it was trained and what was measured, each with its command.
    onnx
        The same network with its calibration for onnxruntime, if it was exported.
    precisions
        Those in which a network that has the choice may run, as they were checked.
    untrained
        Bands by sensor that no training showed the network, so that what it says of them means nothing.
    """

    name: str
    version: str
    bands: dict[str, tuple[str, ...]]
    receptive_field_px: int
    support_days: int
    weights_file: str
    sha256: str
    hyperparameters: Json
    calibration: Json
    training: Json
    skill: Json
    onnx: OnnxFile | None = None
    precisions: tuple[str, ...] = ("float32",)
    untrained: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides what comes out: weights, hyperparameters, calibration, and the code."""
        parts = [COMPUTATION, self.sha256, self.hyperparameters, self.calibration]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def names(folder: Path = FOLDER) -> list[str]:
    """Names of the models in a folder."""
    return sorted(file.stem for file in folder.glob("*.json"))


def folder_of(name: str) -> Path:
    """Where a model's card is: the folder that OPENEO_UDF_FUSION_MODELS names, if it has one, or the package.

    Raises
    ------
    InvalidParameter
        There is no such model in either; the message names those that there are.
    """
    folders = _folders()
    for folder in folders:
        if name in names(folder):  # a name may come from a user: it leads nowhere else
            return folder
    known = "; ".join(f"known in {folder} are {names(folder)}" for folder in folders)
    hint = "" if len(folders) > 1 else f"; {FOLDER_VARIABLE} may name a folder of more"
    raise InvalidParameter(f"there is no model {name!r}: {known}{hint}")


def all_names() -> list[str]:
    """Names of the models for which `folder_of` has a folder."""
    return sorted({name for folder in _folders() for name in names(folder)})


def _folders() -> list[Path]:
    own = os.environ.get(FOLDER_VARIABLE)
    return [*([Path(own)] if own else []), FOLDER]


@lru_cache
def read(name: str, folder: Path = FOLDER) -> Card:
    """Read the card of a model.

    Raises
    ------
    InvalidParameter
        There is no such model; the message names those that there are.
    CorruptWeights
        The file of this name is no card, or half of one.
    """
    file = folder / f"{name}.json"
    if not file.is_file():
        raise InvalidParameter(f"there is no model {name!r} in {folder}; known are {names(folder)}")
    try:
        return _card(pystac.Item.from_dict(json.loads(file.read_text(encoding="utf-8"))))
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        pystac.STACError,
        pystac.STACTypeError,
    ) as error:
        raise CorruptWeights(
            f"{file} is no card of a model, a STAC Item as this package writes it, or only part of one "
            f"({type(error).__name__}: {error}); write it anew, or move it out of the folder"
        ) from error


def _card(item: pystac.Item) -> Card:
    properties, asset = item.properties, item.assets["weights"]
    return Card(
        name=properties["mlm:name"],
        version=properties["version"],
        bands={model_input["name"]: tuple(model_input["bands"]) for model_input in properties["mlm:input"]},
        receptive_field_px=properties["fusion:receptive_field_px"],
        support_days=properties["fusion:support_days"],
        weights_file=Path(asset.href).name,
        sha256=_sha256_of(asset),
        hyperparameters=properties["mlm:hyperparameters"],
        calibration=properties.get("fusion:calibration", {}),
        training=properties["fusion:training"],
        skill=properties["fusion:skill"],
        onnx=_onnx_file(item.assets.get("onnx")),
        precisions=tuple(properties.get("fusion:precisions", ["float32"])),
        untrained={sensor: tuple(bands) for sensor, bands in properties.get("fusion:untrained", {}).items()},
    )


def _onnx_file(asset: pystac.Asset | None) -> OnnxFile | None:
    if asset is None:
        return None
    return OnnxFile(Path(asset.href).name, _sha256_of(asset), asset.extra_fields["fusion:made_from"])


def _sha256_of(asset: pystac.Asset) -> str:
    checksum: str = asset.extra_fields["file:checksum"]
    return checksum.removeprefix(SHA256_MULTIHASH)
