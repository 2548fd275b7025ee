"""TAMRF from sites to files: train, measure on what was held out, write weights and card."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from openeo_udf_fusion.baselines.image_pairs import BANDS
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import tamrf
from openeo_udf_fusion.models.fuser import Fuser
from openeo_udf_fusion.models.tamrf_network import Tamrf
from openeo_udf_fusion.training import (
    model_card,
    tamrf_card,
    tamrf_detail,
    tamrf_start,
    tamrf_validation,
)
from openeo_udf_fusion.training.tamrf import SUPPORT_DAYS, Progress, train
from openeo_udf_fusion.training.tamrf_patches import Source
from openeo_udf_fusion.training.tamrf_perceptual import PerceptualDistance
from openeo_udf_fusion.training.tamrf_sites import (
    BELGIUM,
    BUFFER_DAYS,
    HELD_OUT,
    VALIDATION,
    Site,
    is_held_out,
    is_validation,
    training_part,
)
from openeo_udf_fusion.training.tamrf_start import CONFIGS, Schedule

OWN_WAYS = (
    "Smaller than the published network, and unlike it given clear pixels alone, it corrects each sensor's "
    "interpolation in time, to which it carries what the other sensor's images differ from it. "
)
NOTES = {
    BELGIUM: "its Landsat has no B1; its surface temperature is in whole kelvin",
    "romania_sentinel2": "Sentinel-2 alone, without B05, B06, B07 and B12",
}


def train_network(
    sites: Sequence[Source],
    out: Path,
    schedule: Schedule,
    distance: PerceptualDistance | None = None,
    *,
    resume: bool = False,
    told: Progress = lambda step, score: None,
) -> Path:
    """Train a network in a folder, write weights and card there, and return the card's path.

    Raises
    ------
    InvalidParameter
        As `tamrf.train` does.
    """
    model, record = train(sites, out, schedule, distance, resume=resume, told=told)
    training = describe(sites, schedule, distance is not None) | record
    if not schedule.sharpening_steps:
        return written(model, training, sites, out)
    return sharpened(model, training, sites, out, schedule, resume=resume)


def train_sharpening(
    start: Path, sites: Sequence[Source], out: Path, schedule: Schedule, *, resume: bool = False
) -> Path:
    """Give a network that was trained before, of the card in a folder, a new detail; returns the card's path.

    Raises
    ------
    InvalidParameter, InvalidWeights, CorruptWeights
        The schedule has no such steps, or the folder holds no such network.
    """
    model = tamrf.load(start / f"{tamrf_card.NAME}.safetensors")
    card: Json = json.loads((start / f"{tamrf_card.NAME}.json").read_text(encoding="utf-8"))
    return sharpened(model, card["properties"]["fusion:training"], sites, out, schedule, resume=resume)


def sharpened(
    model: Tamrf, training: Json, sites: Sequence[Source], out: Path, schedule: Schedule, *, resume: bool
) -> Path:
    """Write a network that has learned the detail of Sentinel-2's bands of 20 m as well."""
    own = replace(tamrf_detail.SCHEDULE, steps=schedule.sharpening_steps, seed=schedule.seed)
    model, record = tamrf_detail.learn(model, sites, out, own, resume=resume)
    return written(model, training | {"sharpening": record}, sites, out)


def written(model: Tamrf, training: Json, sites: Sequence[Source], out: Path) -> Path:
    """Write weights and card of a trained network; returns the card's path."""
    skill = held_out_skill(model, sites)
    if model.config.detailed:
        skill |= tamrf_detail.skill(model, [site for site in sites if isinstance(site, Site)])
    tamrf_card.write(model, training, skill, out, support_days=SUPPORT_DAYS)
    return model_card.change(tamrf_card.NAME, out, {"fusion:untrained": untrained(sites)})


def untrained(sites: Sequence[Source]) -> Json:
    """Bands by sensor of which no site has a clear value."""
    known = tamrf_start.statistics(sites, np.random.default_rng(0))
    missing = {
        sensor: [band for band, seen in zip(BANDS[sensor], found.seen, strict=True) if not seen]
        for sensor, found in known.items()
    }
    return {sensor: bands for sensor, bands in missing.items() if bands}


def held_out_skill(model: Tamrf, sites: Sequence[Source]) -> Json:
    """Errors on the dates held out, beside interpolation in time and Sen2Like."""
    whole = [site for site in sites if isinstance(site, Site) and site.name == BELGIUM]
    tried = tamrf_validation.trials(whole, is_held_out, model.config.clear_only)
    if not tried:
        return {"note": "nothing was held out of these sites: measure on sites of your own"}
    fuser = Fuser(model, SUPPORT_DAYS)
    found = tamrf_validation.errors(fuser, tried)
    return {
        "held_out": {
            "about": "RMSE, in reflectance and kelvin, on the dates held out of the Belgian site, all hidden "
            "at once, as the sensor sees them; score: the mean share of interpolation's error",
            "dates": [list(interval) for interval in HELD_OUT],
            "score": round(tamrf_validation.score(found, tried), 4),
            "trials": tamrf_validation.told(found, tried),
            "beside_sen2like": tamrf_validation.beside_sen2like(fuser, tried),
        }
    }


def describe(sites: Sequence[Source], schedule: Schedule, detail: bool) -> Json:
    """What the card says of the data and the command."""
    options = f"--size {schedule.size} --steps {schedule.steps} --learning-rate {schedule.learning_rate:g}"
    return {
        "kind": "real and semi-real",
        "note": (OWN_WAYS if CONFIGS[schedule.size].carried else "") + note(sites),
        "command": f"openeo-udf-fusion train tamrf --data DIR --out OUT {options} --seed {schedule.seed}"
        + " --perceptual FILE" * detail,
        "sites": [summary(site) for site in sites],
        "semi_real": "Some Landsat images of the input are simulated from Sentinel-2 of the same site, never "
        "those to be told, and never surface temperature.",
        "held_out": {
            "site": BELGIUM,
            "dates": [list(interval) for interval in HELD_OUT],
            "buffer_days": BUFFER_DAYS,
            "caution": "No weight and no setting was chosen by these dates; but that one sensor's "
            "differences are carried to the other was decided after errors on them had been seen.",
        },
        "validation_dates": {
            site.name: [list(interval) for interval in VALIDATION[site.name]]
            for site in sites
            if site.name in VALIDATION
        },
    }


def note(sites: Sequence[Source]) -> str:
    """One or two sentences for the description."""
    few = " So few places are an anecdote: elsewhere train anew, or take the published weights."
    bands = [f"{sensor}_{band}" for sensor, missing in untrained(sites).items() for band in missing]
    never = f" Never trained on {', '.join(bands)}." if bands else ""
    names = ", ".join(site.name for site in sites)
    return f"Trained on {len(sites)} place{'s' * (len(sites) > 1)}: {names}.{never}" + few * (len(sites) < 10)


def summary(site: Source) -> str:
    """A site's name, size and dates."""
    own = training_part(site) if isinstance(site, Site) else site
    days = np.concatenate([own.days(s) for s in BANDS]).astype("datetime64[D]")
    count = {s: len(own.days(s)) for s in BANDS}
    if isinstance(own, Site):
        count = {s: usable(own, s) for s in BANDS}
    remark = NOTES.get(site.name, "")
    return (
        f"{site.name}, {site.shape[0]} x {site.shape[1]} px, {days.min()} to {days.max()}, {count['l8']} "
        f"Landsat and {count['s2']} Sentinel-2 dates trained on" + f"; {remark}" * bool(remark)
    )


def usable(site: Site, sensor: str) -> int:
    """Dates of a sensor half of which is clear, without those that choose the weights."""
    if sensor not in site.observed:
        return 0
    clear = site.clear[sensor].mean((1, 2)) >= 0.5
    return int((clear & ~is_validation(site, sensor)).sum())
