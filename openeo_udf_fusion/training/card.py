"""Write a trained network and its card: safetensors, and a STAC Item with the MLM extension."""

import hashlib
import json
import os
import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pystac
import torch
from safetensors.torch import save

from openeo_udf_fusion import __version__
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.cards import MLM_SCHEMA, SHA256_MULTIHASH
from openeo_udf_fusion.models.satfusenet import OTHER, Config, SatFuseNet

NAME = "satfusenet"
SUPPORT_DAYS = 80
EXTENSIONS = [
    MLM_SCHEMA,
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/scientific/v1.0.0/schema.json",
    "https://stac-extensions.github.io/version/v1.2.0/schema.json",
]
DESCRIPTION = (
    "MODIS and VIIRS surface reflectance of a pixel in one latent time series: either sensor's bands on any "
    "day, as a distribution. Trained on semi-real pairs: MODIS is measured (MCD43A4, 2012), VIIRS is made "
    "from it with measured and simulated spectra, the instruments' response functions and assumed noise. "
    "Skill on real VIIRS was not measured."
)
CITATION = (
    'Hamdi et al., poster "Shared-Latent-Space Transformer for Multi-Sensor Harmonization in EO" '
    "(the method; architecture sizes, masks, base and weights are this project's)"
)


def write(model: SatFuseNet, training: Json, calibration: Json, skill: Json, folder: Path) -> Path:
    """Write `satfusenet.safetensors` and `satfusenet.json` into a folder; returns the card's path.

    Both appear under their names only when whole, the weights first: a card never promises what is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = save({name: value.contiguous() for name, value in model.state_dict().items()})
    replace_bytes(folder / f"{NAME}.safetensors", content)
    return write_card(build(model, content, training, calibration, skill), folder)


def recalibrate(folder: Path, calibration: Json) -> Path:
    """Put another calibration into the card of a folder; what was measured with the one before goes."""
    return change(folder, {"fusion:calibration": calibration, "fusion:skill": {}})


def change(folder: Path, properties: Json) -> Path:
    """Put other properties into the card of a folder; returns its path."""
    card: Json = json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8"))
    card["properties"] |= properties
    return write_card(card, folder)


def write_card(card: Json, folder: Path) -> Path:
    """Write a card, a list of numbers to a line."""
    file = folder / f"{NAME}.json"
    text = json.dumps(card, indent=1, ensure_ascii=False)
    text = re.sub(r"\[\s+[-\d][^\[\]{}\"]*?\]", lambda numbers: "".join(numbers[0].split()), text)
    replace_bytes(file, (text + "\n").encode())
    cards.read.cache_clear()
    return file


def replace_bytes(file: Path, content: bytes) -> None:
    """Write under a temporary name, then rename."""
    temporary = file.with_suffix(file.suffix + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, file)


def build(model: SatFuseNet, content: bytes, training: Json, calibration: Json, skill: Json) -> Json:
    """The card of a network whose weight file has this content."""
    item = pystac.Item(
        id=NAME,
        geometry={
            "type": "Polygon",
            "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]],
        },
        bbox=[-180, -90, 180, 90],
        datetime=None,
        start_datetime=datetime(2000, 2, 24, tzinfo=UTC),  # MODIS on Terra begins
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


def properties(model: SatFuseNet, training: Json, calibration: Json, skill: Json) -> Json:
    """All that the card says apart from where the weights are."""
    config = model.config
    return {
        "title": "SatFuseNet: MODIS and VIIRS surface reflectance",
        "description": DESCRIPTION,
        "license": "Apache-2.0",
        "version": __version__,
        "sci:citation": CITATION,
        "bands": [{"name": f"{sensor}_{band}"} for sensor in OTHER for band in config.bands(sensor)],
        "mlm:name": NAME,
        "mlm:architecture": "shared-latent transformer over time",
        "mlm:framework": "PyTorch",
        "mlm:framework_version": torch.__version__.split("+")[0],
        "mlm:tasks": ["regression"],
        "mlm:total_parameters": sum(p.numel() for p in model.parameters()),
        "mlm:memory_size": sum(p.numel() * p.element_size() for p in model.state_dict().values()),
        "mlm:batch_size_suggestion": 64,
        "mlm:pretrained": True,
        "mlm:pretrained_source": None,
        "mlm:accelerator": None,
        "mlm:input": [structure(config, sensor) for sensor in OTHER],
        "mlm:output": [result(config, sensor) for sensor in OTHER],
        "mlm:hyperparameters": json.loads(json.dumps(asdict(config))),
        "fusion:receptive_field_px": 0,
        "fusion:support_days": SUPPORT_DAYS,
        "fusion:calibration": calibration,
        "fusion:training": training,
        "fusion:skill": skill,
    }


def structure(config: Config, sensor: str) -> Json:
    """One input of the model."""
    return {
        "name": sensor,
        "description": "Surface reflectance 0-1 with a mask of what is valid, and days since 1970-01-01 in "
        "any order; the sensor or some of its bands may be missing.",
        "bands": list(config.bands(sensor)),
        "input": {
            "shape": [-1, len(config.bands(sensor)), -1, -1],
            "dim_order": ["time", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": None,
        "resize_type": None,
    }


def result(config: Config, sensor: str) -> Json:
    """One output of the model."""
    return {
        "name": sensor,
        "description": "Mean, standard deviation and quantiles of surface reflectance on the queried days, "
        f"within {config.lower}..{config.upper}.",
        "tasks": ["regression"],
        "bands": list(config.bands(sensor)),
        "result": {
            "shape": [-1, len(config.bands(sensor)), -1, -1],
            "dim_order": ["time", "bands", "height", "width"],
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
        extra_fields={"mlm:entrypoint": "openeo_udf_fusion.models.satfusenet:SatFuseNet"},
    )
