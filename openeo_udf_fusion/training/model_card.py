"""Write a network and its card: safetensors, and a STAC Item with the MLM extension."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pystac
import torch
from safetensors.torch import save

from openeo_udf_fusion import __version__
from openeo_udf_fusion.errors import InvalidWeights
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.cards import MLM_SCHEMA, SHA256_MULTIHASH

EXTENSIONS = [
    MLM_SCHEMA,
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/scientific/v1.0.0/schema.json",
    "https://stac-extensions.github.io/version/v1.2.0/schema.json",
]


@dataclass(frozen=True)
class About:
    """What a card says of a network beside what the network itself tells.

    Attributes
    ----------
    name
        Of the model, and of its files.
    bands
        Sensor and band of all that it reads, `s2_B02`.
    begins
        The day from which there are data for it.
    inputs, outputs
        As `raster_input` and `raster_output` give them.
    hyperparameters
        The network's shape, as `dataclasses.asdict` gives it.
    receptive_field_px, support_days
        How far around a pixel and a queried day the network looks.
    batch_size
        How many samples at once are a good start.
    facts
        All other properties, each with its prefix: `fusion:training`.
    """

    name: str
    title: str
    description: str
    citation: str
    architecture: str
    bands: Sequence[str]
    begins: datetime
    inputs: Sequence[Json]
    outputs: Sequence[Json]
    hyperparameters: Json
    receptive_field_px: int
    support_days: int
    batch_size: int = 1
    facts: Json = field(default_factory=dict)


def write(model: torch.nn.Module, about: About, folder: Path) -> Path:
    """Write `NAME.safetensors` and `NAME.json` into a folder; returns the card's path.

    Both appear under their names only when whole, the weights first: a card never promises what is not there,
    and an older card refuses newer weights until its own successor is there.

    Raises
    ------
    InvalidWeights
        Some weights are not finite: the training diverged.
    """
    broken = [name for name, value in model.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise InvalidWeights(
            f"{len(broken)} tensors of {about.name} are not finite, such as {broken[0]!r}: its training "
            "diverged, and nothing was written; train with a lower learning rate"
        )
    folder.mkdir(parents=True, exist_ok=True)
    content = save({name: value.contiguous() for name, value in model.state_dict().items()})
    replace_bytes(folder / f"{about.name}.safetensors", content)
    return write_card(build(model, content, about), folder)


def change(name: str, folder: Path, properties: Json) -> Path:
    """Put other properties into a card of a folder; returns its path."""
    card: Json = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    card["properties"] |= properties
    return write_card(card, folder)


def write_card(card: Json, folder: Path) -> Path:
    """Write a card under its own id; returns its path."""
    file = folder / f"{card['id']}.json"
    replace_bytes(file, (lines_of_numbers(card) + "\n").encode())
    cards.read.cache_clear()
    return file


def lines_of_numbers(card: Json) -> str:
    """A card as text, a list of numbers to a line."""
    text = json.dumps(card, indent=1, ensure_ascii=False)
    return re.sub(r"\[\s+[-\d][^\[\]{}\"]*?\]", lambda numbers: "".join(numbers[0].split()), text)


def replace_bytes(file: Path, content: bytes) -> None:
    """Write under a temporary name, then rename."""
    temporary = file.with_suffix(file.suffix + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, file)


def build(model: torch.nn.Module, content: bytes, about: About) -> Json:
    """The card of a network whose weight file has this content."""
    item = pystac.Item(
        id=about.name,
        geometry={
            "type": "Polygon",
            "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]],
        },
        bbox=[-180, -90, 180, 90],
        datetime=None,
        start_datetime=about.begins,
        end_datetime=datetime(9999, 12, 31, tzinfo=UTC),
        properties=properties(model, about),
        stac_extensions=EXTENSIONS,
    )
    item.add_asset("weights", weights_asset(about.name, content))
    # STAC 1.1 allows bands in an item's properties, where MLM wants them, only if an asset has some too.
    item.assets["weights"].extra_fields["bands"] = item.properties["bands"]
    item.add_asset("code", code_asset(type(model)))
    card: Json = item.to_dict(include_self_link=False, transform_hrefs=False)
    return card


def properties(model: torch.nn.Module, about: About) -> Json:
    """All that the card says apart from where the weights are."""
    return {
        "title": about.title,
        "description": about.description,
        "license": "Apache-2.0",
        "version": __version__,
        "sci:citation": about.citation,
        "bands": [{"name": band} for band in about.bands],
        "mlm:name": about.name,
        "mlm:architecture": about.architecture,
        "mlm:framework": "PyTorch",
        "mlm:framework_version": torch.__version__.split("+")[0],
        "mlm:tasks": ["regression"],
        "mlm:total_parameters": sum(p.numel() for p in model.parameters()),
        "mlm:memory_size": sum(p.numel() * p.element_size() for p in model.state_dict().values()),
        "mlm:batch_size_suggestion": about.batch_size,
        "mlm:pretrained": True,
        "mlm:pretrained_source": None,
        "mlm:accelerator": None,
        "mlm:input": list(about.inputs),
        "mlm:output": list(about.outputs),
        "mlm:hyperparameters": json.loads(json.dumps(about.hyperparameters)),
        "fusion:receptive_field_px": about.receptive_field_px,
        "fusion:support_days": about.support_days,
        **about.facts,
    }


def raster_input(name: str, description: str, bands: Sequence[str]) -> Json:
    """One input of the model: a series of rasters of any length and size."""
    return {
        "name": name,
        "description": description,
        "bands": list(bands),
        "input": {
            "shape": [-1, len(bands), -1, -1],
            "dim_order": ["time", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": None,
        "resize_type": None,
    }


def raster_output(name: str, description: str, bands: Sequence[str], channels: int | None = None) -> Json:
    """One output of the model: a series of rasters of bands, or of so many channels that are no bands."""
    return {
        "name": name,
        "description": description,
        "tasks": ["regression"],
        "bands": list(bands),
        "result": {
            "shape": [-1, len(bands) if channels is None else channels, -1, -1],
            "dim_order": ["time", "bands" if bands else "channel", "height", "width"],
            "data_type": "float32",
        },
    }


def weights_asset(name: str, content: bytes) -> pystac.Asset:
    """Where the weights are, and what their bytes must be."""
    return pystac.Asset(
        href=f"./{name}.safetensors",
        title="Weights",
        media_type="application/octet-stream; application=safetensors",
        roles=["mlm:model", "mlm:weights"],
        extra_fields={
            "mlm:artifact_type": "safetensors.torch.save_file",
            "file:size": len(content),
            "file:checksum": SHA256_MULTIHASH + hashlib.sha256(content).hexdigest(),
        },
    )


def code_asset(network: type[torch.nn.Module]) -> pystac.Asset:
    """Where the network's code is, beside the cards that the package ships."""
    return pystac.Asset(
        href=f"./{network.__module__.rpartition('.')[2]}.py",
        title="Network",
        media_type="text/x-python",
        roles=["mlm:source_code", "code"],
        extra_fields={"mlm:entrypoint": f"{network.__module__}:{network.__qualname__}"},
    )
