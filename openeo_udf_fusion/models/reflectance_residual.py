"""Put back into sharpened reflectance what the instrument saw at its own resolution.

A network's reflectance of 10 m, seen through the point spread function of a band of 20 m, is not quite what
was measured in it. The difference, through that function once more, is added: a step of an iterative back
projection (Irani and Peleg 1991, doi:10.1016/1049-9652(91)90045-L). It needs no grid of 20 m, of which a
cube on a grid of 10 m does not tell where it begins, and so it is the same in every tile.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from openeo_udf_fusion.models import psf

MTF = 0.3
SAMPLE_PX = 2
"""Of Sentinel-2's bands of 20 m: the response at half the frequency of their samples."""
REACH_PX = 2 * SAMPLE_PX
"""Farther than this a pixel's compensation depends on nothing."""


def compensate(prediction: NDArray[np.float32], observed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make reflectance agree better, as a band of 20 m sees it, with what was measured on the same day.

    Parameters
    ----------
    prediction
        (n, y, x) at 10 m; NaN where there is none.
    observed
        (n, y, x), the band of 20 m interpolated to 10 m; NaN where nothing was measured, or a cloud was.

    Returns
    -------
    NDArray[np.float32]
        (n, y, x). Where nothing was measured the prediction stays.
    """
    made, measured = (torch.from_numpy(part)[:, None] for part in (prediction, observed))
    missed = measured - psf.blurred_known(made, MTF, SAMPLE_PX)
    added = psf.blurred_known(missed, MTF, SAMPLE_PX).nan_to_num(0.0)
    result: NDArray[np.float32] = (made + added)[:, 0].numpy()
    return result
