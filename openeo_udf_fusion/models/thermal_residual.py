"""Put back into a sharpened temperature what the radiometer saw at its own resolution.

A network's temperature of 10 m, seen through the radiometer's point spread function, is not quite what the
radiometer measured. The difference, interpolated to 10 m, is added: Michel and Inglada 2025,
doi:10.1016/j.rse.2025.115159.
"""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray

from openeo_udf_fusion.models import psf

MTF = 0.2
SAMPLE_PX = 9
"""Of Landsat's thermal bands: the response at half the frequency of samples some 90 m apart."""
CELL_PX = 3
REACH_PX = SAMPLE_PX + 3 * CELL_PX
"""Farther than this a pixel's compensation depends on nothing."""


def compensate(prediction: NDArray[np.float32], observed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make a temperature agree, as the radiometer sees it, with what was measured on the same day.

    Parameters
    ----------
    prediction
        (day, y, x) at 10 m in kelvin; NaN where there is none.
    observed
        (day, y / 3, x / 3) in kelvin on cells of 30 m; NaN where nothing was measured, or a cloud was.

    Returns
    -------
    NDArray[np.float32]
        (day, y, x). Where nothing was measured the prediction stays, but for what the interpolation carries
        over from up to two cells away.
    """
    made = torch.from_numpy(prediction)[:, None]
    coarse = psf.blurred_known(made, MTF, SAMPLE_PX)[
        ..., 1::CELL_PX, 1::CELL_PX
    ]  # cubic interpolation to a third meets middle pixels
    missed = torch.nan_to_num(torch.from_numpy(observed)[:, None] - coarse, nan=0.0)
    finer = F.interpolate(missed, scale_factor=CELL_PX, mode="bicubic", align_corners=False)
    result: NDArray[np.float32] = (made + finer)[:, 0].numpy()
    return result
