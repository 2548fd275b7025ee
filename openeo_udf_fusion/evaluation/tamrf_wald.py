"""Wald's protocol: Sentinel-2 at twice its pixel size, so that what was measured at 20 m is the truth.

After Wald, Ranchin and Mangolini 1997 (Photogrammetric Engineering and Remote Sensing 63, 691-699): bands of
10 m are degraded to 20 m and those of 20 m to 40 m; what a method makes of the latter is compared with the
former. It asks whether a method works one scale further up than where it is used.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines.image_pairs import BANDS, UPSCALING
from openeo_udf_fusion.evaluation.tamrf_scores import COARSE, FINE
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.dsen2 import FACTOR, degraded
from openeo_udf_fusion.training.s1s2_sites import band_of
from openeo_udf_fusion.training.tamrf_sites import BELGIUM, Site, doubled, open_part, sentinel2

Values = NDArray[np.float32]


def sites(folder: Path) -> tuple[Site, Site]:
    """The Belgian Sentinel-2 series as methods are shown it, and the truth: both with pixels of 20 m.

    Raises
    ------
    InvalidCollection
        A file of Sentinel-2 is missing.
    """
    cubes = [open_part(folder, f"S2_L2A_{gsd}m.nc", "s2") for gsd in (10, 20)]
    fine = sentinel2(BELGIUM, cubes)
    values, valid, days = fine.observed["s2"]
    size = min(fine.shape) // FACTOR
    truth = np.full((len(days), len(BANDS["s2"]), size, size), np.nan, np.float32)
    truth[:, FINE] = degraded(np.where(valid, values, np.float32(np.nan))[:, FINE])[..., :size, :size]
    for place in COARSE:
        found = band_of(cubes, BANDS["s2"][place], cubes[1])
        if found is not None:
            truth[:, place] = found[..., :size, :size]
    shown = truth.copy()
    for place in COARSE:
        shown[:, place] = doubled(degraded(truth[:, place : place + 1])[:, 0])
    clear = fine.clear["s2"][:, ::FACTOR, ::FACTOR][..., :size, :size]
    made = [Site(BELGIUM, {"s2": series(each, days)}, {"s2": clear}) for each in (shown, truth)]
    return tuple(each.crop(0, 0, size // UPSCALING * UPSCALING) for each in made)  # type: ignore[return-value]


def series(values: Values, days: NDArray[np.int32]) -> Observations:
    """Observations of what is finite."""
    valid = np.isfinite(values)
    return Observations(np.where(valid, values, np.float32(0)), valid, days)
