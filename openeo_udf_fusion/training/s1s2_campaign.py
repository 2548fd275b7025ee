"""One stage of the Sentinel-1/2 embedding from sites to files: train, calibrate, write weights and card."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.torch import load

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.embedder import Embedder, config_from_json
from openeo_udf_fusion.models.s1s2_embedding import S1S2Embedding, with_witness
from openeo_udf_fusion.training import s1s2_calibration, s1s2_card
from openeo_udf_fusion.training.s1s2_embedding import (
    LEVEL_DAYS,
    STEPS,
    WITNESS,
    Schedule,
    config_of,
    fingerprint,
    train,
)
from openeo_udf_fusion.training.s1s2_sites import (
    BUFFER_PX,
    CYCLE_DAYS,
    FOLD_DAYS,
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

    A network that sees one sensor alone goes into a folder below, `s2_alone`.

    Raises
    ------
    InvalidParameter
        As `train` does.
    """
    if schedule.stage == 1:
        train(sites, out, schedule, config_of(sites, code), resume=resume)
        return [out / "stage1.pt"]
    if schedule.stage == 3:
        return add_witness(sites, out, schedule, resume=resume)
    stage_1 = out / "stage1.pt"
    if len(schedule.sees) == 1:
        out = out / f"{schedule.sees[0]}_alone"
    model, record = train(sites, out, schedule, config_of(sites, code), stage_1=stage_1, resume=resume)
    # A network of one sensor is measured, never used: nobody reads its sigma.
    calibration = s1s2_calibration.fit(Embedder(model), sites) if len(schedule.sees) > 1 else {}
    card = s1s2_card.write(model, describe(sites, record, code), calibration, {}, out)
    return [card, card.with_suffix(".safetensors")]


def add_witness(sites: Sequence[Site], out: Path, schedule: Schedule, *, resume: bool = False) -> list[Path]:
    """Stage 3: go on from the weights and card in a folder, and write them anew.

    Raises
    ------
    InvalidParameter
        The network there has a witness already, or as `train` does.
    """
    before = cards.read(s1s2_card.NAME, out)
    base = S1S2Embedding(config_from_json(before.hyperparameters))
    # The loader would return what this process loaded from the folder before.
    base.load_state_dict(load(weights.verified(out / before.weights_file, before.sha256)))
    if base.config.pairs:
        raise InvalidParameter(
            f"stage 3 begins with the network of stage 2, and the one in {out} has been through stage 3; "
            "write that of stage 2 again: train --stage 2 --resume"
        )
    grown = with_witness(base, WITNESS, LEVEL_DAYS)
    model, record = train(sites, out, schedule, grown.config, base=grown, resume=resume)
    calibration = s1s2_calibration.fit(Embedder(model), sites)
    command = (
        f"openeo-udf-fusion train s1s2_embedding --stage 3 --data DIR --out OUT --steps {record['steps']}"
        + of_fold(sites)
    )
    told = before.training | {"commands": [*before.training["commands"], command], "stage_3": record}
    card = s1s2_card.write(model, told, calibration, {}, out)
    return [card, card.with_suffix(".safetensors")]


def describe(sites: Sequence[Site], record: Json, code: int) -> Json:
    """What the card says of the training."""
    seed = record["seed"]
    options = f"--data DIR --out OUT --code {code} --seed {seed}{of_fold(sites)}"
    seen = record["sees"]
    alone = f" --sensors {seen[0]}" if len(seen) == 1 else ""
    return {
        "kind": "real",
        "note": f"Trained on {len(sites)} site{'s' * (len(sites) > 1)}: "
        + "; ".join(summary(site) for site in sites)
        + ("." if len(sites) > 1 else ". One site is an anecdote: elsewhere train anew or fine-tune."),
        "commands": [
            f"openeo-udf-fusion train s1s2_embedding --stage 1 {options} --steps {STEPS[1]}",
            f"openeo-udf-fusion train s1s2_embedding --stage 2 {options} --steps {record['steps']}{alone}",
        ],
        "held_out": {
            "fold": sites[0].fold,
            "cycle_days": CYCLE_DAYS,
            "test_days": later(TEST_DAYS, sites[0].fold),
            "validation_days": later(VALIDATION_DAYS, sites[0].fold),
            "columns_in_the_east": [site.shape[1] - strip_start(site.shape[1]) for site in sites],
            "buffer_px": BUFFER_PX,
        },
        "sites_sha256": fingerprint(sites),
        "stage_2": record,
    }


def later(part: tuple[int, int], fold: int) -> list[int]:
    """Days of the cycle, as a fold moves them."""
    start = (part[0] + FOLD_DAYS * fold) % CYCLE_DAYS
    return [start, start + part[1] - part[0]]


def of_fold(sites: Sequence[Site]) -> str:
    """The option that holds the same days out."""
    return f" --fold {sites[0].fold}" if sites[0].fold else ""


def summary(site: Site) -> str:
    """A site's name, size and dates."""
    days = np.concatenate([o.days for o in site.observed.values()]).astype("datetime64[D]")
    frames = {s: len(o.days) for s, o in training_part(site).observed.items()}
    return (
        f"{site.name}, {site.shape[0]} x {site.shape[1]} px, {days.min()} to {days.max()}, "
        f"{frames['s1']} Sentinel-1 and {frames['s2']} usable Sentinel-2 dates outside those held out"
    )
