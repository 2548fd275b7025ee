"""The card of a TAMRF network: what it says of the network, its training and its skill."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import tamrf
from openeo_udf_fusion.models.fuser import SENSORS
from openeo_udf_fusion.models.series import Precision
from openeo_udf_fusion.models.tamrf import Config, Tamrf
from openeo_udf_fusion.training import model_card
from openeo_udf_fusion.training.model_card import About, raster_input, raster_output

NAME = "tamrf"
PUBLISHED_NAME = "tamrf_published"
PUBLISHED_SUPPORT_DAYS = 90
"""The longest gap that the published training makes; beyond, its forecasts and backcasts alone reach."""
DESCRIPTION = (
    "All bands of Landsat-8/9, surface temperature too, and of Sentinel-2, at 10 m on any day, out of a "
    "series of images of either or both."
)
METHOD = (
    "Michel and Inglada 2025, Temporal attention multi-resolution fusion of satellite image time-series, "
    "applied to Landsat-8/9 and Sentinel-2: all bands, any time, at best spatial resolution, Remote Sensing "
    "of Environment, doi:10.1016/j.rse.2025.115159"
)
LARGEST_OF_BFLOAT16 = 5e-3
"""By so much of reflectance may it differ from float32 on generated images, to be offered."""


def write(
    model: Tamrf,
    training: Json,
    skill: Json,
    folder: Path,
    name: str = NAME,
    *,
    support_days: int,
    precisions: Sequence[Precision] = ("float32",),
) -> Path:
    """Write `NAME.safetensors` and `NAME.json` of a network trained here; returns the card's path.

    Parameters
    ----------
    model
        The network, on the CPU.
    training
        On what and how it was trained, with the command; a text `note` ends up in the description.
    skill
        What was measured, with the command.
    folder, name
        Where they go, and what they are called.
    support_days
        Farthest distance to an observation at which it was trained.
    precisions
        Those in which it was checked.
    """
    facts = {
        "fusion:precisions": list(precisions),
        "fusion:training": training,
        "fusion:skill": skill,
    }
    note = f"{DESCRIPTION} {training.get('note', '')}".strip()
    citation = f"{METHOD} (the method; this network's size, training and weights are this project's)"
    described = about(model.config, name, note, citation, support_days, facts)
    return model_card.write(model, described, folder)


def write_published(model: Tamrf, origin: Json, folder: Path, name: str = PUBLISHED_NAME) -> Path:
    """The same of the authors' weights; `origin` says which file they are from."""
    checked = bfloat16_beside_float32(model)
    fine = checked["largest_difference"] <= LARGEST_OF_BFLOAT16
    facts = {
        "license": "other",
        "mlm:pretrained_source": "https://doi.org/10.5281/zenodo.17474541",
        "fusion:precisions": ["float32", "bfloat16"] if fine else ["float32"],
        "fusion:training": {
            "kind": "published",
            "note": "The network and the weights are those of the authors, trained on LS2S2 "
            "(doi:10.5281/zenodo.15471890); nothing was trained or scored here.",
            "licence": "That of the weights is stated by their record, doi:10.5281/zenodo.17474541: see it "
            "before they are passed on.",
            "clouds": "They go in raw: the network was trained without masks, and finds clouds by itself.",
            "support": f"{PUBLISHED_SUPPORT_DAYS} days, the longest gap of its training; series of 365 days.",
            "checkpoint": origin,
        },
        "fusion:skill": {
            "parity": "This project's network gives the predictions of the authors' code within 1e-6 in "
            "float32: shown on a checkpoint of random weights and generated images, in this project's tests.",
            "bfloat16": checked,
        },
    }
    note = f"{DESCRIPTION} The published network with its published weights; it takes clouds as they are."
    described = about(model.config, name, note, METHOD, PUBLISHED_SUPPORT_DAYS, facts)
    return model_card.write(model, described, folder)


def bfloat16_beside_float32(model: Tamrf, seed: int = 0) -> Json:
    """How far predictions in bfloat16 are from those in float32, on generated images with its statistics."""
    generator = torch.Generator().manual_seed(seed)
    series = {}
    for sensor, dates, side in (("lr", 5, 8), ("hr", 8, 24)):
        mean, std = (model.get_buffer(f"{sensor}_{what}")[:, None, None] for what in ("mean", "std"))
        noise = torch.randn(dates, len(mean), side, side, generator=generator)
        series[sensor] = mean + std * noise
        series[f"{sensor}_days"] = torch.linspace(0, 364, dates).round().long()
    query = torch.arange(0, 365, 45)
    exact, coarse = (
        tamrf.predict(model, **series, query_days=query, precision=precision)
        for precision in ("float32", "bfloat16")
    )
    reflectance = [torch.cat([lr[:, :-1], hr], 1) for lr, hr in (exact, coarse)]
    away = (reflectance[0] - reflectance[1]).abs()
    return {
        "largest_difference": round(away.max().item(), 6),
        "rmse": round(away.square().mean().sqrt().item(), 7),
        "of": "reflectance, beside float32, on generated images; surface temperature stays in float32",
    }


def about(
    config: Config, name: str, description: str, citation: str, support_days: int, facts: Json
) -> About:
    """What the card says of a network of this shape."""
    bands = {sensor: config.bands(own) for sensor, own in SENSORS.items()}
    told = "clear" if config.clear_only else "measured, clouds included,"
    clouds = f"with a mask of what is {told}"
    days = f"and days since 1970-01-01 in any order, within {support_days} days of a queried day's year"
    texts = {
        "l8": f"Surface reflectance 0-1 and surface temperature in kelvin at 30 m {clouds} {days}.",
        "s2": f"Surface reflectance 0-1 at 10 m {clouds} {days}.",
    }
    drawn = "on the queried days at 10 m; NaN where nothing is valid."
    return About(
        name=name,
        title="TAMRF: Landsat-8/9 and Sentinel-2 in one",
        description=description,
        citation=citation,
        architecture="convolutions per date, attention between the dates of a pixel, queries by day",
        bands=[f"{sensor}_{band}" for sensor, labels in bands.items() for band in labels],
        begins=datetime(2013, 3, 18, tzinfo=UTC),  # Landsat-8's first images
        inputs=[raster_input(sensor, texts[sensor], labels) for sensor, labels in bands.items()],
        outputs=[
            raster_output(
                "l8", f"Surface reflectance and surface temperature in kelvin {drawn}", bands["l8"]
            ),
            raster_output("s2", f"Surface reflectance {drawn}", bands["s2"]),
        ],
        hyperparameters=asdict(config),
        receptive_field_px=config.receptive_field_px,
        support_days=support_days,
        facts=facts,
    )
