"""Write the Sentinel-1/2 embedding and its card: safetensors, and a STAC Item with the MLM extension."""

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pystac
import torch
from safetensors.torch import save

from openeo_udf_fusion import __version__
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.cards import SHA256_MULTIHASH
from openeo_udf_fusion.models.s1s2_embedding import S1S2Embedding, SensorConfig
from openeo_udf_fusion.training.card import EXTENSIONS, lines_of_numbers, replace_bytes

NAME = "s1s2_embedding"
UNITS = {"s1": "Backscatter in dB", "s2": "Surface reflectance 0-1"}
DESCRIPTION = (
    "A few numbers per 10 m pixel and date out of Sentinel-1 and Sentinel-2, clouds or not, from which both "
    "sensors' bands can be drawn again."
)
CITATION = (
    "Peters et al. 2025, arXiv 2511.11706 (the method: a self-supervised encoder per sensor, fusion to a "
    "compact code; this network's architecture, masks and weights are this project's)"
)


def write(model: S1S2Embedding, training: Json, calibration: Json, skill: Json, folder: Path) -> Path:
    """Write `s1s2_embedding.safetensors` and `s1s2_embedding.json` into a folder; returns the card's path.

    Both appear under their names only when whole, the weights first: a card never promises what is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = save({name: value.contiguous() for name, value in model.state_dict().items()})
    replace_bytes(folder / f"{NAME}.safetensors", content)
    return write_card(build(model, content, training, calibration, skill), folder)


def change(folder: Path, properties: Json) -> Path:
    """Put other properties into the card of a folder; returns its path."""
    card: Json = json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8"))
    card["properties"] |= properties
    return write_card(card, folder)


def write_card(card: Json, folder: Path) -> Path:
    """Write a card, a list of numbers to a line."""
    file = folder / f"{NAME}.json"
    replace_bytes(file, (lines_of_numbers(card) + "\n").encode())
    cards.read.cache_clear()
    return file


def build(model: S1S2Embedding, content: bytes, training: Json, calibration: Json, skill: Json) -> Json:
    """The card of a network whose weight file has this content."""
    item = pystac.Item(
        id=NAME,
        geometry={
            "type": "Polygon",
            "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]],
        },
        bbox=[-180, -90, 180, 90],
        datetime=None,
        start_datetime=datetime(2015, 6, 23, tzinfo=UTC),  # Sentinel-2A flies
        end_datetime=datetime(9999, 12, 31, tzinfo=UTC),
        properties=properties(model, training, calibration, skill),
        stac_extensions=EXTENSIONS,
    )
    item.add_asset("weights", weights_asset(content))
    # STAC 1.1 allows bands in an item's properties, where MLM wants them, only if an asset has some too.
    item.assets["weights"].extra_fields["bands"] = item.properties["bands"]
    item.add_asset("code", code_asset())
    card: Json = item.to_dict(include_self_link=False, transform_hrefs=False)
    return card


def properties(model: S1S2Embedding, training: Json, calibration: Json, skill: Json) -> Json:
    """All that the card says apart from where the weights are."""
    config = model.config
    return {
        "title": "Sentinel-1 and Sentinel-2 embedding",
        "description": DESCRIPTION + " " + str(training.get("note", "")),
        "license": "Apache-2.0",
        "version": __version__,
        "sci:citation": CITATION,
        "bands": [{"name": f"{sensor.id}_{band}"} for sensor in config.sensors for band in sensor.bands],
        "mlm:name": NAME,
        "mlm:architecture": "convolutions per frame, learned kernels in time, fusion to a code",
        "mlm:framework": "PyTorch",
        "mlm:framework_version": torch.__version__.split("+")[0],
        "mlm:tasks": ["regression"],
        "mlm:total_parameters": sum(p.numel() for p in model.parameters()),
        "mlm:memory_size": sum(p.numel() * p.element_size() for p in model.state_dict().values()),
        "mlm:batch_size_suggestion": 1,
        "mlm:pretrained": True,
        "mlm:pretrained_source": None,
        "mlm:accelerator": None,
        "mlm:input": [structure(sensor) for sensor in config.sensors],
        "mlm:output": [code_output(config.code), *(drawn(sensor) for sensor in config.sensors)],
        "mlm:hyperparameters": json.loads(json.dumps(asdict(config))),
        "fusion:receptive_field_px": config.margin_px,
        "fusion:support_days": max(sensor.reach_days for sensor in config.sensors),
        "fusion:calibration": calibration,
        "fusion:training": training,
        "fusion:skill": skill,
    }


def structure(sensor: SensorConfig) -> Json:
    """One input of the model."""
    return {
        "name": sensor.id,
        "description": f"{UNITS[sensor.id]} on a 10 m grid with a mask of what is valid, and "
        f"days since 1970-01-01 in any order; frames within {sensor.reach_days} days of a queried day count. "
        "The sensor or some of its bands may be missing.",
        "bands": list(sensor.bands),
        "input": {
            "shape": [-1, len(sensor.bands), -1, -1],
            "dim_order": ["time", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": None,
        "resize_type": None,
    }


def code_output(numbers: int) -> Json:
    """The code itself."""
    return output("code", f"The embedding on the queried days: {numbers} numbers within -1..1.", [], numbers)


def drawn(sensor: SensorConfig) -> Json:
    """A reconstruction."""
    text = f"{UNITS[sensor.id]} on the queried days, from the code alone."
    return output(sensor.id, text, list(sensor.bands), len(sensor.bands))


def output(name: str, description: str, bands: list[str], channels: int) -> Json:
    """One output of the model."""
    return {
        "name": name,
        "description": description,
        "tasks": ["regression"],
        "bands": bands,
        "result": {
            "shape": [-1, channels, -1, -1],
            "dim_order": ["time", "bands" if bands else "channel", "height", "width"],
            "data_type": "float32",
        },
    }


def weights_asset(content: bytes) -> pystac.Asset:
    """Where the weights are, and what their bytes must be."""
    return pystac.Asset(
        href=f"./{NAME}.safetensors",
        title="Weights",
        media_type="application/octet-stream; application=safetensors",
        roles=["mlm:model", "mlm:weights"],
        extra_fields={
            "mlm:artifact_type": "safetensors.torch.save_file",
            "file:size": len(content),
            "file:checksum": SHA256_MULTIHASH + hashlib.sha256(content).hexdigest(),
        },
    )


def code_asset() -> pystac.Asset:
    """Where the network's code is."""
    return pystac.Asset(
        href=f"./{NAME}.py",
        title="Network",
        media_type="text/x-python",
        roles=["mlm:source_code", "code"],
        extra_fields={"mlm:entrypoint": "openeo_udf_fusion.models.s1s2_embedding:S1S2Embedding"},
    )
