"""The networks that TAMRF is compared with, trained on the same dates: DSen2 and U-TILISE."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation.comparators import dsen2, stored, utilise
from openeo_udf_fusion.evaluation.tamrf_methods import COMPENSATED, Method, compensated, of_baseline
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.training.tamrf_sites import Site

NAMES = {dsen2.NAME: "DSen2, trained on the same sites", utilise.NAME: "U-TILISE, trained on the same sites"}


def trained(folder: Path = stored.FOLDER) -> list[Method]:
    """Those of which a folder has weights.

    Raises
    ------
    CorruptWeights
        Weights are missing beside their card, or not the bytes that it promises.
    """

    def sharpen(site: Site, days: NDArray[np.int32], sensor: str) -> NDArray[np.float32]:
        # It sees each image by itself, so what is beside a cloud does not suffer from it.
        return dsen2.predict(site.observed, days, sensor, folder=folder).mean

    def sharpen_and_compensate(site: Site, days: NDArray[np.int32], sensor: str) -> NDArray[np.float32]:
        return compensated(sharpen(site, days, sensor), site, days, sensor)

    with_residuals = f"{dsen2.NAME}{COMPENSATED}", f"{NAMES[dsen2.NAME]}, residuals put back"
    methods = [
        Method(dsen2.NAME, NAMES[dsen2.NAME], sharpen, ("band_sharpening",), ("s2",)),
        Method(*with_residuals, sharpen_and_compensate, ("band_sharpening",), ("s2",)),
        Method(
            utilise.NAME,
            NAMES[utilise.NAME],
            of_baseline(partial(utilise.predict, folder=folder)),
            ("gap_filling", "fusion"),
            ("s2",),
        ),
    ]
    there = {*cards.names(folder)}
    return [method for method in methods if method.name.removesuffix(COMPENSATED) in there]
