"""The card of SatFuseNet: what it says of the network, its training and its skill."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.satfusenet import OTHER, Config, SatFuseNet
from openeo_udf_fusion.training import model_card
from openeo_udf_fusion.training.model_card import About, raster_input, raster_output

NAME = "satfusenet"
SUPPORT_DAYS = 80
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
    """Write `satfusenet.safetensors` and `satfusenet.json` into a folder; returns the card's path."""
    facts = {"fusion:calibration": calibration, "fusion:training": training, "fusion:skill": skill}
    return model_card.write(model, about(model.config, facts), folder)


def recalibrate(folder: Path, calibration: Json) -> Path:
    """Put another calibration into the card of a folder; what was measured with the one before goes."""
    return change(folder, {"fusion:calibration": calibration, "fusion:skill": {}})


def change(folder: Path, properties: Json) -> Path:
    """Put other properties into the card of a folder; returns its path."""
    return model_card.change(NAME, folder, properties)


def about(config: Config, facts: Json) -> About:
    """What the card says of a network of this shape."""
    return About(
        name=NAME,
        title="SatFuseNet: MODIS and VIIRS surface reflectance",
        description=DESCRIPTION,
        citation=CITATION,
        architecture="shared-latent transformer over time",
        bands=[f"{sensor}_{band}" for sensor in OTHER for band in config.bands(sensor)],
        begins=datetime(2000, 2, 24, tzinfo=UTC),  # MODIS on Terra begins
        inputs=[structure(config, sensor) for sensor in OTHER],
        outputs=[result(config, sensor) for sensor in OTHER],
        hyperparameters=asdict(config),
        receptive_field_px=0,
        support_days=SUPPORT_DAYS,
        batch_size=64,
        facts=facts,
    )


def structure(config: Config, sensor: str) -> Json:
    """One input of the model."""
    text = (
        "Surface reflectance 0-1 with a mask of what is valid, and days since 1970-01-01 in "
        "any order; the sensor or some of its bands may be missing."
    )
    return raster_input(sensor, text, config.bands(sensor))


def result(config: Config, sensor: str) -> Json:
    """One output of the model."""
    text = (
        "Mean, standard deviation and quantiles of surface reflectance on the queried days, "
        f"within {config.lower}..{config.upper}."
    )
    return raster_output(sensor, text, config.bands(sensor))
