"""The card of the Sentinel-1/2 embedding: what it says of the network, its training and its skill."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.s1s2_embedding import Config, S1S2Embedding, SensorConfig
from openeo_udf_fusion.training import model_card
from openeo_udf_fusion.training.model_card import About, raster_input, raster_output

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
    """Write `s1s2_embedding.safetensors` and `s1s2_embedding.json` into a folder; returns the card's path."""
    facts = {"fusion:calibration": calibration, "fusion:training": training, "fusion:skill": skill}
    return model_card.write(model, about(model.config, facts), folder)


def change(folder: Path, properties: Json) -> Path:
    """Put other properties into the card of a folder; returns its path."""
    return model_card.change(NAME, folder, properties)


def about(config: Config, facts: Json) -> About:
    """What the card says of a network of this shape."""
    return About(
        name=NAME,
        title="Sentinel-1 and Sentinel-2 embedding",
        description=DESCRIPTION + " " + str(facts["fusion:training"].get("note", "")),
        citation=CITATION,
        architecture="convolutions per frame, learned kernels in time, contrasts, fusion to a code",
        bands=[f"{sensor.id}_{band}" for sensor in config.sensors for band in sensor.bands],
        begins=datetime(2015, 6, 23, tzinfo=UTC),  # Sentinel-2A flies
        inputs=[structure(sensor, config) for sensor in config.sensors],
        outputs=[code_output(config.code), *(drawn(sensor) for sensor in config.sensors)],
        hyperparameters=asdict(config),
        receptive_field_px=config.margin_px,
        support_days=max(config.support_days(sensor.id) for sensor in config.sensors),
        facts=facts,
    )


def structure(sensor: SensorConfig, config: Config) -> Json:
    """One input of the model."""
    own, support = sensor.reach_days, config.support_days(sensor.id)
    compared = f", and within {support} days for its change since another's" if support > own else ""
    text = (
        f"{UNITS[sensor.id]} on a 10 m grid with a mask of what is valid, and "
        f"days since 1970-01-01 in any order; frames within {own} days of a queried day count{compared}. "
        "The sensor or some of its bands may be missing."
    )
    return raster_input(sensor.id, text, sensor.bands)


def code_output(numbers: int) -> Json:
    """The code itself."""
    return raster_output(
        "code", f"The embedding on the queried days: {numbers} numbers within -1..1.", [], numbers
    )


def drawn(sensor: SensorConfig) -> Json:
    """A reconstruction."""
    return raster_output(
        sensor.id, f"{UNITS[sensor.id]} on the queried days, from the code alone.", sensor.bands
    )
