"""Evaluate SatFuseNet: gaps, translation, intervals on real directional data, and verdicts on the gates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion import __version__
from openeo_udf_fusion.baselines import fluxneteo, linear, seasonal, whittaker
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.evaluation import (
    curves,
    directional,
    dropin,
    fits,
    gap_filling,
    networks,
    series,
    translation,
)
from openeo_udf_fusion.evaluation.gap_scores import MODEL, GapScores, with_viirs
from openeo_udf_fusion.evaluation.gaps import GAP_DAYS, REPEATS, SEED
from openeo_udf_fusion.evaluation.methods import Method, Predict, alike
from openeo_udf_fusion.evaluation.resampling import RESAMPLES
from openeo_udf_fusion.evaluation.series import SNOW_RULE, Series
from openeo_udf_fusion.evaluation.translation import PLATFORMS, PRODUCTS
from openeo_udf_fusion.evaluation.verdicts import verdicts
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.sensors import FUSED_BANDS
from openeo_udf_fusion.training.pairs import RESPONSES_FILE, SERIES_FOLDER

GAP_FILLERS: Mapping[str, Predict] = {
    "linear": linear.predict,
    "whittaker": whittaker.predict,
    "seasonal": seasonal.predict,
    "fluxneteo": fluxneteo.predict,
}
TOWERS_FOLDER = "hls_gpp"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes
    ----------
    gap_days, repeats, seed
        Lengths of the gaps, gaps of each length per pixel, and the seed of their places.
    resamples
        Of the paired bootstrap.
    pixels
        At most so many; None for all.
    parts
        In how many parts the fitted baselines are cross-fitted.
    directional_pixels
        Of the real directional scene.
    drop_in_draws
        Of spectra and noise for the drop-in certificate.
    """

    gap_days: tuple[int, ...] = GAP_DAYS
    repeats: int = REPEATS
    seed: int = SEED
    resamples: int = RESAMPLES
    pixels: int | None = None
    parts: int = 5
    directional_pixels: int = 3000
    drop_in_draws: int = 12


QUICK = Settings(repeats=2, resamples=2000, pixels=24, parts=2, directional_pixels=200, drop_in_draws=2)


def evaluate(
    data: Path,
    settings: Settings,
    command: str,
    progress: Progress = lambda _: None,
    trained: Sequence[networks.Network] | None = None,
) -> Json:
    """Measure everything on a data folder, each pixel with a network that has not seen it.

    Parameters
    ----------
    data
        Folder with `nbar_series/*.npz`; with `spectral_responses` translation is scored, and with
        `munich_modis` directional data.
    settings
        How much is measured.
    command
        What the reader can run to get the same.
    progress
        Is told what has been done.
    trained
        The networks to choose from, that which users get first; by default the shipped one and its folds.

    Returns
    -------
    Json
        The tables, the curves of the plots, and the verdicts on the gates. README and card quote it.

    Raises
    ------
    InvalidParameter
        The folder has no series, every network has seen all of them, or no network's card tells what it
        has seen.
    """
    trained = networks.available() if trained is None else trained
    whole = series.read(data)
    chosen = networks.assign(trained, list(whole.fingerprints))
    pixels = unseen(trained, chosen, settings)
    scored, chosen_of_scored = whole.take(pixels), chosen[pixels]
    model = networks.method(trained, chosen_of_scored)
    progress(f"{len(scored)} of {len(whole)} pixels")

    untouched = series.untouched(whole)
    gaps = GapScores(settings.resamples, None if untouched is None else untouched[pixels])
    fillers = {name: alike(predict, len(scored)) for name, predict in GAP_FILLERS.items()} | {MODEL: model}
    for length in settings.gap_days:
        found = gap_filling.fill(scored, fillers, length, settings.repeats, settings.seed, progress=progress)
        gaps.add(found, length, scored)
    result: Json = {
        "command": command,
        "package_version": __version__,
        "settings": asdict(settings),
        "networks": networks.report(trained, chosen_of_scored, int((chosen < 0).sum())),
        "data": describe(data, whole, scored, gaps),
        "gap_filling": gaps.filling,
        "gap_filling_by_surface": gaps.by_surface,
        "gap_ratio": gaps.ratio,
        "gap_ratio_mean": gaps.ratio_mean,
        "gap_ratio_mean_untouched": gaps.ratio_mean_untouched,
        "gap_coverage": gaps.coverage,
    }
    pictures: Json = {
        "distributions": gaps.distributions,
        "rmse_of_pixels": gaps.pixels,
        "scatter_gaps": gaps.scatter,
    }
    result |= translations(data, scored, model, settings, pictures, progress)
    shipped: dict[str, Predict] = {**GAP_FILLERS, MODEL: networks.method(trained[:1], chosen).predict[0]}
    result["real_directional"] = directional.evaluate(
        data, shipped, settings.directional_pixels, settings.resamples, settings.seed, progress
    )
    result["drop_in"] = None
    missing = [str(part) for part in (TOWERS_FOLDER, RESPONSES_FILE) if not (data / part).exists()]
    if missing:
        result["drop_in_not_evaluated"] = f"the data folder has no {' and no '.join(missing)}"
    else:
        users_get = trained[0].folder
        result["drop_in"] = dropin.certify(data, draws=settings.drop_in_draws, weights_folder=users_get)
        progress("drop-in certificate")
    result["curves"] = pictures
    result["verdicts"] = verdicts(result)
    return result


def unseen(
    trained: Sequence[networks.Network], chosen: NDArray[np.int64], settings: Settings
) -> NDArray[np.int64]:
    """The pixels that some network may score, or as many of them as the settings want."""
    pixels = np.flatnonzero(chosen >= 0)
    if not any(network.seen is not None for network in trained):
        raise InvalidParameter(
            "an evaluation needs a network that tells which pixels it has seen, by `pixels_sha256` in the "
            f"training of its card; those of {', '.join(network.name for network in trained)} have none, as "
            "after a training on pairs without fingerprints: train on pairs made of nbar_series, or add the "
            "networks of the cross-validation"
        )
    if not pixels.size:
        raise InvalidParameter(
            f"all networks have seen every one of the {len(chosen)} pixels; give other pixels, or add the "
            "networks of the cross-validation"
        )
    if settings.pixels is not None:
        pixels = np.sort(np.random.default_rng(settings.seed).permutation(pixels)[: settings.pixels])
    return pixels


def describe(data: Path, whole: Series, scored: Series, gaps: GapScores) -> Json:
    """What was scored, and what was not."""
    seen = scored.valid.any(axis=(1, 2))
    return {
        "files": sorted(file.name for file in (data / SERIES_FOLDER).glob("*.npz")),
        "pixels": len(whole),
        "pixels_scored": len(scored),
        "pixels_without_any_observation": int((~seen).sum()),
        "days": int(whole.values.shape[1]),
        "gaps": "one hidden at a time, all bands, with an observation before and after it in the same series",
        "cells_without_value": gaps.left_out,
        "gap_lengths_left_out": gaps.lengths_left_out,
        "snow_rule": SNOW_RULE,
        "viirs": translation.NOTE,
        "fitted_baselines": fits.NOTE,
    }


def translations(
    data: Path, scored: Series, model: Method, settings: Settings, pictures: Json, progress: Progress
) -> Json:
    """Both directions, and MODIS gaps with VIIRS at hand; nothing but a reason without response functions."""
    empty: Json = {name: [] for name in ("translation", "translation_ratio", "translation_nse_difference")}
    empty |= {"translation_directional": [], "gap_filling_with_viirs": []}
    if not (data / RESPONSES_FILE).is_file():
        return empty | {"translation_not_evaluated": f"the data folder has no {RESPONSES_FILE}"}
    known = fits.training_pairs(data, scored)
    if not fits.whole_days(known).any():
        return empty | {"translation_not_evaluated": "on no day do both sensors have all their bands"}
    fitted = fits.fit(known, scored, settings.parts)
    progress("fitted the translators")
    methods = {target: {**each, MODEL: model} for target, each in fitted.items()}

    samples = {product: translation.held_out_pairs(data, scored, product) for product in PRODUCTS}
    nbar, swath = (
        translation.evaluate(samples[product], methods, scored.days, settings.resamples, progress)
        for product in PRODUCTS
    )
    for direction, cells in nbar.cells.items():
        target = direction.rpartition("_")[2]
        rows = curves.scatter(cells, MODEL, FUSED_BANDS[target], {"direction": direction})
        pictures.setdefault("scatter_translation", []).extend(rows)
        pictures["distributions"].append(curves.distribution(cells, MODEL, {"direction": direction}))
    beside = translation.companion(samples["nbar"][PLATFORMS[0]])
    helped = {"linear": alike(linear.predict, len(scored)), **methods["modis"]}
    rows = []
    for length in settings.gap_days:
        found = gap_filling.fill(scored, helped, length, settings.repeats, settings.seed, beside, progress)
        rows += with_viirs(found, length, len(scored))
    return {
        "translation": nbar.rows,
        "translation_ratio": nbar.ratios,
        "translation_nse_difference": nbar.nse_differences,
        "translation_directional": swath.rows,
        "gap_filling_with_viirs": rows,
    }
