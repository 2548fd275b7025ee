"""A whole training: the pairs, five networks that each leave a fifth of the places out, the one to ship."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from openeo_udf_fusion import __version__
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.satfusenet import SatFuseNet
from openeo_udf_fusion.training import composites, satfusenet_card, store
from openeo_udf_fusion.training.calibration import Residuals, fit, real_composites, residuals
from openeo_udf_fusion.training.folds import FOLDS, Split, blocks_of, split
from openeo_udf_fusion.training.noise import Noise, Sky
from openeo_udf_fusion.training.pairs import DIRECTIONAL_SHARE, Pairs, read_series, simulate
from openeo_udf_fusion.training.satfusenet import Schedule, train
from openeo_udf_fusion.training.spectra import Part, Platform

PLATFORMS: tuple[Platform, ...] = ("S-NPP",)
"""VIIRS instruments to train on; NOAA-20 and NOAA-21 are held out."""
VARIANTS = 12
SEED = 2012
MEMORY_BYTES = 4 * 2**30
SCENE_PIXELS = 800


def pairs_of(data: Path, folder: Path, variants: int = VARIANTS, seed: int = SEED) -> store.Store:
    """The pairs in a folder: `data` itself if it is a data set, else made of its series and kept in `folder`.

    Parameters
    ----------
    data
        A data set of pairs, or a folder with MODIS series and response functions.
    folder
        Where pairs made of series are kept; what is there is taken if it was made the same way.
    variants, seed
        How many VIIRS series per pixel, and of every draw.
    """
    if (data / store.SAMPLES_FILE).is_file():
        return store.open_store(data)
    record = semi_real_record(data, variants, seed)
    if (folder / store.SAMPLES_FILE).is_file():
        there = store.open_store(folder)
        if {key: there.record.get(key) for key in record} == record:
            return there
        raise InvalidParameter(
            f"{folder} holds pairs that were made otherwise than these, and networks beside it may have been "
            "trained on them; give another folder"
        )
    return store.write(simulate(data, PLATFORMS, variants, seed), folder, record)


def semi_real_record(
    data: Path, variants: int, seed: int, platforms: Sequence[Platform] = PLATFORMS, spectra: Part = "train"
) -> Json:
    """How semi-real pairs come about, as JSON has it."""
    _, _, fingerprints = read_series(data)
    noise = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(Sky()).items()}
    return {
        "kind": "semi-real",
        "modis": f"MCD43A4.061 of 2012, {len(fingerprints)} pixels all over the world, 366 days",
        "viirs": "made of the MODIS series: response functions over mixtures of earthlib and "
        "snowoptics spectra and simple water; no measured VIIRS",
        "viirs_noise": asdict(Noise()),
        "directional_share": DIRECTIONAL_SHARE,
        "directional_noise": noise,
        "platforms": list(platforms),
        "spectra": spectra,
        "made_by": f"openeo-udf-fusion {__version__}",
        "variants": variants,
        "seed": seed,
        "fingerprints": fingerprints,
    }


def split_of(pairs: store.Store, fold: int | None) -> Split:
    """Who is trained on, watched and tested in a fold; places in one block of 5 degrees stay together."""
    places = pairs.pixels()
    return split(places.pixel, blocks_of(places.longitude, places.latitude), fold)


def folder_of(out: Path, fold: int | None) -> Path:
    """Where a fold's network is; that of None, the one to ship, lies in the output folder itself."""
    return out if fold is None else out / "folds" / str(fold)


def samples_of(pairs: store.Store, fold: int | None, seed: int) -> tuple[store.Pool, Pairs]:
    """Samples to train a fold's network on, and those of the places that it is watched by."""
    parts = split_of(pairs, fold)
    return pairs.pool(parts.train, memory_bytes=MEMORY_BYTES, seed=seed), samples(pairs, parts.validation)


def train_network(
    pairs: store.Store,
    out: Path,
    fold: int | None,
    schedule: Schedule,
    command: str,
    *,
    resume: bool = False,
) -> Path:
    """Train the network of a fold or the one to ship, write it with its card, and return the card's path."""
    pool, watched = samples_of(pairs, fold, schedule.seed)
    folder = folder_of(out, fold)
    model, record = train(pool, watched, folder, schedule, resume=resume)
    training = training_record(pairs.record, split_of(pairs, fold), record, command)
    return satfusenet_card.write(model, training, {}, {}, folder)


def training_record(made: Json, parts: Split, schedule: Json, command: str) -> Json:
    """What the card tells about the training."""
    fingerprints = made.get("fingerprints")
    seen = np.sort(np.concatenate([parts.train, parts.validation]))
    known = {key: value for key, value in made.items() if key not in ("fingerprints", "version", "scale")}
    return {
        **known,
        "command": command,
        "split": {
            "unit": "block of 5 degrees where places are known, else pixel",
            "train": len(parts.train),
            "validation": len(parts.validation),
            "test": len(parts.test),
        },
        "pixels_sha256": [fingerprints[pixel] for pixel in seen] if fingerprints else None,
        "loss": "CRPS of a normal distribution, relative to climatology and spread, and squared error",
        "schedule": schedule,
    }


def calibrate(pairs: store.Store, out: Path, data: Path) -> list[Path]:
    """Calibrate every network on what others left out, and write that into their cards.

    The shipped network's tables come of all folds' networks, each on the places it did not see; those of a
    fold's network of the other folds alone, so that its own places stay untouched for scoring. Where `data`
    has a real directional scene, half of its squares set the floor of the spread.

    Raises
    ------
    InvalidParameter
        A fold's network has seen places that it should have left out: it belongs to other pairs.
    """
    for fold in range(FOLDS):
        check_left_out(pairs, out, fold)
    scene = composites.read(data)
    withheld = composites.withhold(scene, "calibrate", SCENE_PIXELS, SEED) if scene else None
    parts = {fold: split_of(pairs, fold) for fold in range(FOLDS)}
    left_out = {
        fold: residuals(network(folder_of(out, fold)), samples(pairs, parts[fold].test))
        for fold in range(FOLDS)
    }
    written = []
    for fold in (*range(FOLDS), None):
        others: list[Residuals] = [rows for each, rows in left_out.items() if each != fold]
        seen = samples(pairs, np.concatenate(split_of(pairs, fold)[:2]))
        folder = folder_of(out, fold)
        model = network(folder)
        real = real_composites(model, withheld) if withheld else []
        written.append(satfusenet_card.recalibrate(folder, fit(model, others, seen, real)))
    return written


def check_trained(out: Path) -> None:
    """Refuse a folder in which not all networks of a campaign are trained."""
    missing = [
        fold
        for fold in (*range(FOLDS), None)
        if not (folder_of(out, fold) / f"{satfusenet_card.NAME}.json").is_file()
    ]
    if missing:
        names = ["the one to ship" if fold is None else f"fold {fold}" for fold in missing]
        raise InvalidParameter(
            f"{out} lacks trained networks: {', '.join(names)}; train them first: "
            "openeo-udf-fusion train satfusenet --folds --out ..."
        )


def check_left_out(pairs: store.Store, out: Path, fold: int) -> None:
    """Refuse a network that has seen the places of its fold."""
    fingerprints = pairs.record.get("fingerprints")
    if fingerprints is None:
        return
    seen = cards.read(satfusenet_card.NAME, folder_of(out, fold)).training["pixels_sha256"] or []
    tested = {fingerprints[pixel] for pixel in split_of(pairs, fold).test}
    if tested & set(seen) or not seen:
        raise InvalidParameter(
            f"the network in {folder_of(out, fold)} has seen places that fold {fold} of {pairs.folder} "
            "leaves out: it was trained on other pairs; train it anew, or give the pairs it was trained on"
        )


def samples(pairs: store.Store, pixels: NDArray[np.int64]) -> Pairs:
    """All samples of some places."""
    return pairs.read(np.isin(pairs.samples.pixel, pixels))


def network(folder: Path) -> SatFuseNet:
    """A trained network as it is, without calibration."""
    written = cards.read(satfusenet_card.NAME, folder)
    model = SatFuseNet(weights.config_of(written))
    model.load_state_dict(load_file(folder / written.weights_file))
    return model.eval()
