"""Cubes of a single pixel, for the tests of cubes."""

import numpy as np
import xarray as xr

DIMS = ("t", "bands", "y", "x")


def small(values, labels, dates=("2022-01-01",)):
    """A cube of one pixel: values (t, bands)."""
    array = np.array(values, np.float32)[:, :, None, None]
    coords = {"t": np.array(dates, "datetime64[ns]"), "bands": list(labels), "y": [0.0], "x": [0.0]}
    return xr.DataArray(array, dims=DIMS, coords=coords)
