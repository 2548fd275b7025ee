"""The drop-in certificate: a GPP model trained on MODIS, fed with VIIRS in MODIS's place.

Semi-real: GPP and weather are measured at flux towers, HLS bands around them; what MODIS and VIIRS would have
seen is made from the HLS bands with spectra and response functions, VIIRS with assumed noise on top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import identity, ridge
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.evaluation import gpp_bands
from openeo_udf_fusion.evaluation.gpp_comparison import (
    AS_IT_IS,
    MARGIN,
    RESAMPLES,
    RETRAINED,
    RIDGE,
    SYNTHETIC,
    TRUTH,
    compare,
    rmse,
)
from openeo_udf_fusion.evaluation.gpp_figure import figure
from openeo_udf_fusion.evaluation.gpp_models import FOLDS
from openeo_udf_fusion.evaluation.gpp_summary import summary
from openeo_udf_fusion.evaluation.gpp_towers import Towers, read_towers
from openeo_udf_fusion.evaluation.methods import Predict
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.satfusenet import Config
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training import pairs
from openeo_udf_fusion.training.noise import Noise
from openeo_udf_fusion.training.spectra import Platform

__all__ = ["certify", "figure", "summary"]

Doubles = NDArray[np.float64]
NETWORK = "satfusenet"
PLATFORMS: tuple[Platform, ...] = ("NOAA-20", "NOAA-21")
RIDGE_PLATFORM: Platform = "S-NPP"
RIDGE_PIXELS = 100
INPUTS = {
    TRUTH: "MODIS, which the GPP model was trained on",
    AS_IT_IS: "VIIRS as it is: each MODIS band replaced by its partner",
    SYNTHETIC: "synthetic MODIS, made from VIIRS by SatFuseNet",
    RIDGE: "synthetic MODIS, made from VIIRS by the all-band ridge",
    RETRAINED: "VIIRS as it is, the GPP model trained on VIIRS anew (for reference)",
}
NOTE = (
    "Semi-real: tower GPP, MERRA-2 weather and the HLS bands around the towers are measured. MODIS and VIIRS "
    "are made from the HLS bands: mixtures of spectra that look like them, seen through each sensor's "
    "response functions, the same mixtures for both; MODIS B5 has no counterpart in HLS and comes from the "
    "spectra alone. VIIRS has assumed noise, MODIS has none. A tower's VIIRS series holds only the clear "
    "days that HLS saw, far fewer than VIIRS would see. Nothing was measured with real MODIS or VIIRS at "
    "these towers. The GPP model's own error is much larger than what any of the inputs adds, so that RMSE "
    "against the towers is a blunt test: look at the departures as well."
)
NOT_USED = {
    "flux_gpp": "FR-Pue 2007-2012 and US-AR1 2009-2012 have tower GPP and weather but no reflectance; "
    "FR-Pue's fAPAR is no band of either sensor, and HLS begins in 2013: there is nothing to feed a model "
    "of MODIS bands with"
}
SOURCES = (
    ("tower GPP with HLS and MERRA-2", "Szwarcman et al. 2024, Prithvi-EO-2.0", "10.48550/arXiv.2412.02732"),
    (
        "eddy-covariance fluxes",
        "Pastorello et al. 2020, FLUXNET2015 and ONEFlux",
        "10.1038/s41597-020-0534-3",
    ),
    ("HLS bands", "Claverie et al. 2018, Harmonized Landsat and Sentinel-2", "10.1016/j.rse.2018.09.002"),
    ("weather", "Gelaro et al. 2017, MERRA-2", "10.1175/JCLI-D-16-0758.1"),
    ("GPP model 'kernel ridge', sites left out", "Tramontana et al. 2016", "10.5194/bg-13-4291-2016"),
    ("GPP model 'light use': NIRv", "Badgley et al. 2017", "10.1126/sciadv.1602244"),
    ("GPP model 'light use': NIRv times light", "Dechant et al. 2022", "10.1016/j.rse.2021.112763"),
    ("all-band ridge", "Hoerl and Kennard 1970", "10.1080/00401706.1970.10488634"),
    ("intervals from whole places", "Field and Welsh 2007", "10.1111/j.1467-9868.2007.00593.x"),
)


def certify(data: Path, seed: int = 2018, draws: int = 12, weights_folder: Path = cards.FOLDER) -> Json:
    """Feed GPP models trained on MODIS with VIIRS as it is and with synthetic MODIS, and compare.

    Every number is of towers whose place the GPP model did not see in training. Differences are paired: the
    same towers, days, spectra and noise.

    Parameters
    ----------
    data
        Folder that holds `hls_gpp/`, `spectral_responses/` and `nbar_series/`.
    seed
        Of the folds, the spectra, the noise and the resampling.
    draws
        How often spectra and noise are drawn, by turns for NOAA-20 and NOAA-21; scores are means over them.
    weights_folder
        Of the card and the weights of the SatFuseNet that is certified; by default the shipped one.

    Returns
    -------
    Json
        Rows, GPP in gC m-2 d-1 throughout: `scores` (rmse, r2, bias per model and input), `differences`
        (of RMSE against the tower), `departures` (of GPP from that with MODIS), `departure_differences`,
        `verdicts`, `by_platform`, `by_plant_type`, `reflectance` (bands against MODIS's);
        `usable_without_retraining`, of SatFuseNet under every GPP model; what the certificate was made from
        and with, and what it cannot say (`note`).

    Raises
    ------
    InvalidParameter
        A file is missing or incomplete, or `draws` is less than one.
    CorruptWeights
        SatFuseNet's weights are not those of its card.
    """
    if draws < 1:
        raise InvalidParameter(f"the certificate needs at least one draw of spectra and noise, got {draws}")
    towers = read_towers(data)
    platforms = [PLATFORMS[draw % len(PLATFORMS)] for draw in range(draws)]
    spectra = gpp_bands.read_spectra(data, sorted(set(platforms)), seed)
    likeness = gpp_bands.alike(towers.hls, spectra)
    modis, viirs = draw_bands(towers, spectra, likeness, platforms, seed)
    methods: dict[str, Predict] = {
        AS_IT_IS: identity.predict,
        SYNTHETIC: weights.load(NETWORK, folder=weights_folder).predict,
        RIDGE: fit_ridge(data, seed).predict,
    }
    fed = {TRUTH: modis} | {name: translate(towers, viirs, method) for name, method in methods.items()}
    answered = np.all([np.isfinite(bands).all(axis=(0, 2)) for bands in fed.values()], axis=0)
    fed = {name: bands[:, answered] for name, bands in fed.items()}
    tables, of_draws = compare(towers.take(answered), fed, seed)
    card = cards.read(NETWORK, weights_folder)
    return {
        "title": "Drop-in certificate: VIIRS in the place of MODIS in a GPP model",
        "semi_real": True,
        "note": NOTE,
        "usable_without_retraining": usable(tables["verdicts"], SYNTHETIC),
        "inputs": INPUTS,
        "data": describe(towers)
        | {
            "rows_refused": int((~answered).sum()),
            "nearest_spectrum_rmse": float(np.median(likeness.nearest)),
        },
        "settings": settings(seed, platforms),
        "network": {"name": NETWORK, "version": card.version, "weights_sha256": card.sha256},
        **tables,
        "by_platform": by_platform(of_draws, platforms),
        "reflectance": reflectance(fed),
        "not_used": NOT_USED,
        "sources": [dict(zip(("for", "citation", "doi"), source, strict=True)) for source in SOURCES],
    }


def usable(verdicts: Sequence[Json], name: str) -> bool:
    """Whether an input stays within the margin under every GPP model."""
    return all(row["usable_without_retraining"] for row in verdicts if row["input"] == name)


def settings(seed: int, platforms: Sequence[Platform]) -> Json:
    """What the certificate was made with."""
    return {
        "seed": seed,
        "draws": len(platforms),
        "platforms": list(platforms),
        "folds": FOLDS,
        "resamples": RESAMPLES,
        "margin": MARGIN,
        "viirs_noise": asdict(Noise()),
        "spectra": "mixtures of the surfaces that are kept for tests",
        "ridge_fitted_to": f"{RIDGE_PLATFORM} pairs of {RIDGE_PIXELS} measured MODIS series of 2012",
    }


def describe(towers: Towers) -> Json:
    """What the towers are."""
    types = towers.plant_type[np.unique(towers.site, return_index=True)[1]]
    names, counts = np.unique(types, return_counts=True)
    first, last = np.array([towers.day.min(), towers.day.max()]).astype("datetime64[D]").astype(str)
    return {
        "rows": len(towers),
        "towers": len(towers.names),
        "places": len(np.unique(towers.place)),
        "first_day": str(first),
        "last_day": str(last),
        "towers_per_plant_type": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
    }


def draw_bands(
    towers: Towers,
    spectra: gpp_bands.Spectra,
    likeness: gpp_bands.Likeness,
    platforms: Sequence[Platform],
    seed: int,
) -> tuple[Doubles, Doubles]:
    """MODIS (d, n, 7) and noisy VIIRS (d, n, 8), a draw for each of the platforms given."""
    modis, viirs = [], []
    for draw, platform in enumerate(platforms):
        rng = np.random.default_rng([seed, draw])
        seen = gpp_bands.see(towers, spectra, likeness, platform, rng)
        modis.append(seen[0])
        viirs.append(gpp_bands.disturb(towers, seen[1], Noise(), rng))
    return np.stack(modis), np.stack(viirs)


def translate(towers: Towers, viirs: Doubles, method: Predict) -> Doubles:
    """MODIS (d, n, 7) by a method from VIIRS (d, n, 8): a tower's days in, the same days out."""
    made = np.empty((*viirs.shape[:2], len(Config().modis)))
    for site in np.unique(towers.site):
        rows = np.flatnonzero(towers.site == site)
        values = np.moveaxis(viirs[:, rows], 0, -1)[:, :, None, :].astype(np.float32)  # (t, 8, 1, draws)
        days = towers.day[rows]
        series = Observations(values, np.ones(values.shape, np.bool_), days)
        mean = method({"viirs": series}, days, "modis").mean  # (t, 7, 1, draws)
        made[:, rows] = np.moveaxis(mean[:, :, 0], -1, 0)
    return made


def fit_ridge(data: Path, seed: int) -> ridge.Ridge:
    """The all-band ridge, fitted to training pairs of another platform: no tower, none of these spectra."""
    pixels = np.random.default_rng(seed).permutation(len(pairs.read_series(data)[0]))[:RIDGE_PIXELS]
    source, target = [], []
    for block in pairs.simulate(data, [RIDGE_PLATFORM], 1, seed, "train", np.sort(pixels), directional=0.0):
        known = block.modis_valid.all(-1) & block.viirs_valid.all(-1)
        source.append(block.viirs[known])
        target.append(block.modis[known])
    return ridge.fit(np.concatenate(source), np.concatenate(target))


def by_platform(of_draws: Mapping[str, Json], platforms: Sequence[Platform]) -> list[Json]:
    """RMSE of each model and input over the draws of each platform."""
    rows = []
    for platform in sorted(set(platforms)):
        here = np.array(platforms) == platform
        for model, inputs in of_draws.items():
            rows += [
                {"platform": platform, "model": model, "input": name, "rmse": float(found[here].mean())}
                for name, found in inputs.items()
            ]
    return rows


def reflectance(fed: Mapping[str, Doubles]) -> list[Json]:
    """How far each input's bands are from MODIS: RMSE and bias in reflectance, over all rows and draws."""
    rows = []
    for name, bands in fed.items():
        error = np.moveaxis(bands - fed[TRUTH], -1, 0)
        rows += [
            {"input": name, "band": band, "rmse": float(rmse(one.ravel())), "bias": float(one.mean())}
            for band, one in zip(Config().modis, error, strict=True)
            if name != TRUTH
        ]
    return rows
