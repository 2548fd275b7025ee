"""One stage of the Sentinel-1/2 embedding from sites to files: train, calibrate, write weights and card."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.embedder import Embedder
from openeo_udf_fusion.training import s1s2_calibration, s1s2_card
from openeo_udf_fusion.training.s1s2_embedding import STEPS, Schedule, config_of, fingerprint, train
from openeo_udf_fusion.training.s1s2_sites import (
    BUFFER_PX,
    CYCLE_DAYS,
    TEST_DAYS,
    VALIDATION_DAYS,
    Site,
    strip_start,
    training_part,
)


def train_stage(
    sites: Sequence[Site], out: Path, schedule: Schedule, code: int, *, resume: bool = False
) -> list[Path]:
    """Train one stage in a folder, and return what it wrote: a checkpoint, or weights and card.

    Raises
    ------
    InvalidParameter
        As `train` does.
    """
    model, record = train(sites, out, schedule, config_of(sites, code), resume=resume)
    if schedule.stage == 1:
        return [out / "stage1.pt"]
    calibration = s1s2_calibration.fit(Embedder(model), sites)
    card = s1s2_card.write(model, describe(sites, record, code), calibration, {}, out)
    return [card, card.with_suffix(".safetensors")]


def describe(sites: Sequence[Site], record: Json, code: int) -> Json:
    """What the card says of the training."""
    seed = record["seed"]
    options = f"--data DIR --out OUT --code {code} --seed {seed}"
    return {
        "kind": "real",
        "note": f"Trained on {len(sites)} site{'s' * (len(sites) > 1)}: "
        + "; ".join(summary(site) for site in sites)
        + ("." if len(sites) > 1 else ". One site is an anecdote: elsewhere train anew or fine-tune."),
        "commands": [
            f"openeo-udf-fusion train s1s2_embedding --stage 1 {options} --steps {STEPS[1]}",
            f"openeo-udf-fusion train s1s2_embedding --stage 2 {options} --steps {record['steps']}",
        ],
        "held_out": {
            "cycle_days": CYCLE_DAYS,
            "test_days": list(TEST_DAYS),
            "validation_days": list(VALIDATION_DAYS),
            "columns_in_the_east": [site.shape[1] - strip_start(site.shape[1]) for site in sites],
            "buffer_px": BUFFER_PX,
        },
        "sites_sha256": fingerprint(sites),
        "stage_2": record,
    }


def summary(site: Site) -> str:
    """A site's name, size and dates."""
    days = np.concatenate([o.days for o in site.observed.values()]).astype("datetime64[D]")
    frames = {s: len(o.days) for s, o in training_part(site).observed.items()}
    return (
        f"{site.name}, {site.shape[0]} x {site.shape[1]} px, {days.min()} to {days.max()}, "
        f"{frames['s1']} Sentinel-1 and {frames['s2']} usable Sentinel-2 dates outside those held out"
    )
