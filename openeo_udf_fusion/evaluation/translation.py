"""Translate either sensor into the other, on pairs of other spectra, responses and places than fits saw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation import cells, resampling, tables
from openeo_udf_fusion.evaluation.cells import Cells
from openeo_udf_fusion.evaluation.gap_filling import Companion
from openeo_udf_fusion.evaluation.methods import Method
from openeo_udf_fusion.evaluation.metrics import Sums
from openeo_udf_fusion.evaluation.series import Series, observations, to_cube
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models.satfusenet import OTHER
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.sensors import FUSED_BANDS
from openeo_udf_fusion.training import pairs
from openeo_udf_fusion.training.pairs import Pairs
from openeo_udf_fusion.training.spectra import Platform

PLATFORMS: tuple[Platform, ...] = ("NOAA-20", "NOAA-21")
Product = Literal["nbar", "directional"]
PRODUCTS: tuple[Product, ...] = ("nbar", "directional")
SEED = 20_261
NOTE = (
    "VIIRS is made of measured MODIS by spectra that no training mixed and by the responses of NOAA-20 and "
    "NOAA-21, with noise, gaps and clouds of its own: nobody measured it. "
    "On directional pairs the fitted baselines are those of the NBAR pairs, the network has seen both kinds. "
    "One rule of the network was made in knowledge of the band centres of all VIIRS platforms, those scored "
    "here among them: on the same day I1 and M4 pass as they are from B1 and B4, and B4 from M4. The ridge, "
    "fitted to S-NPP alone, is not allowed that; where I1, M4 and B4 beat it, it is by that rule"
)


@dataclass(frozen=True)
class Translated:
    """Rows of an evaluation of both directions, and the cells for a picture."""

    rows: list[Json]
    ratios: list[Json]
    nse_differences: list[Json]
    cells: dict[str, Cells]


def held_out_pairs(data: Path, series: Series, product: Product) -> dict[Platform, Pairs]:
    """For each platform one sample of each pixel, in the order of the series."""
    share = 1.0 if product == "directional" else 0.0
    blocks = pairs.simulate(
        data, PLATFORMS, len(PLATFORMS), SEED, "test", pixels=series.row, directional=share
    )
    both = pairs.join(list(blocks))
    return {platform: in_order(both.take(both.platform == platform), series) for platform in PLATFORMS}


def in_order(sample: Pairs, series: Series) -> Pairs:
    """The sample of each pixel of the series."""
    order = np.argsort(sample.pixel, kind="stable")
    return sample.take(order[np.searchsorted(sample.pixel[order], series.row)])


def companion(sample: Pairs) -> Companion:
    """VIIRS of the sample, to stand beside the series of MODIS."""
    return Companion(sample.viirs, sample.viirs_valid)


def translate(sample: Pairs, methods: Mapping[str, Method], target: str, days: NDArray[np.int32]) -> Cells:
    """What every method makes of the other sensor on the days that both saw."""
    sensors: dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]
    sensors = {"modis": (sample.modis, sample.modis_valid), "viirs": (sample.viirs, sample.viirs_valid)}
    truth, valid = sensors[target]
    source = OTHER[target]
    source_saw: NDArray[np.bool_] = np.any(sensors[source][1], axis=-1, keepdims=True)
    both = to_cube(valid & source_saw)
    observed: dict[str, Observations] = {source: observations(*sensors[source], days)}
    pixel = np.arange(len(truth))
    found = cells.pick(to_cube(truth), both, pixel, np.zeros(valid.shape[1::-1], np.int64))
    for name, method in methods.items():
        found.add(name, method(observed, days, target, pixel), both)
    return found


def evaluate(
    samples: Mapping[Platform, Pairs],
    methods: Mapping[str, Mapping[str, Method]],
    days: NDArray[np.int32],
    resamples: int,
    progress: Callable[[str], None],
) -> Translated:
    """Score both directions on every platform; `methods` by target, then by name."""
    result = Translated([], [], [], {})
    for platform, sample in samples.items():
        for target, source in OTHER.items():
            found = translate(sample, methods[target], target, days)
            found = found.where(found.answered())
            labels = {"direction": f"{source}_to_{target}", "platform": platform}
            bands = FUSED_BANDS[target]
            shape = (len(sample), len(bands))
            sums = {name: found.sums(name, shape) for name in methods[target]}
            result.rows.extend(tables.score_rows(sums, bands, labels, "ridge"))
            compare(result, sums, bands, labels, resamples)
            result.cells.setdefault(labels["direction"], found)
            progress(f"translation {labels['direction']}, {platform}")
    return result


def compare(
    result: Translated, sums: Mapping[str, Sums], bands: Sequence[str], labels: Json, resamples: int
) -> None:
    """Add the rows of RMSE over the ridge's, and of NSE less that of every baseline."""
    if "satfusenet" not in sums:
        return
    ratios, _ = tables.ratio_rows(sums, "satfusenet", ["ridge"], bands, labels, resamples)
    result.ratios.extend(ratios)
    for baseline in (name for name in sums if name != "satfusenet"):
        found = resampling.nse_difference(sums["satfusenet"], sums[baseline], resamples)
        result.nse_differences.extend(
            {**labels, "band": band, "baseline": baseline, **tables.interval(found, "difference", place)}
            for place, band in enumerate(bands)
        )
