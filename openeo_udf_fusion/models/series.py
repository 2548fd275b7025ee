"""What goes into a temporal model and what comes out of it: numpy arrays, one tuple a sensor."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Precision = Literal["float32", "bfloat16"]
"""Of a network's own arithmetic; what goes in and comes out is float32."""


class Observations(NamedTuple):
    """One sensor's observations, in the model's band order.

    Attributes
    ----------
    values : NDArray[np.float32]
        (t, bands, y, x), surface reflectance; the content where not valid is ignored and may be NaN.
    valid : NDArray[np.bool_]
        (t, bands, y, x), true where `values` holds a usable measurement.
    days : NDArray[np.int32]
        (t,), or (t, y, x) where a composite knows the acquisition day of each pixel: days since
        1970-01-01, in any order, with repetitions.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    days: NDArray[np.int32]


class Prediction(NamedTuple):
    """A distribution per query day, band and pixel; NaN for a pixel without any observation.

    Attributes
    ----------
    mean : NDArray[np.float32]
        (query, bands, y, x), surface reflectance: the centre of the distribution.
    sigma : NDArray[np.float32]
        (query, bands, y, x), its standard deviation before it is bent into the physical range.
    quantiles : NDArray[np.float32]
        (level, query, bands, y, x), one slice per requested level; level may be 0.
    strangeness : NDArray[np.float32] or None
        (y, x), how unlike the pixels of its training a model finds a pixel: above 1 it is beyond all of
        them. None from a method that does not tell.
    """

    mean: NDArray[np.float32]
    sigma: NDArray[np.float32]
    quantiles: NDArray[np.float32]
    strangeness: NDArray[np.float32] | None = None
