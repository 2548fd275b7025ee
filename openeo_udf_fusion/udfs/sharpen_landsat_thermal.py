# /// script
# dependencies = ["openeo-udf-fusion==0.1.0"]
# ///
"""Sharpen Landsat's surface temperature to 10 m; the context holds the parameters of the process."""

import xarray
from openeo.metadata import CubeMetadata
from openeo.udf import inspect

from openeo_udf_fusion.models import weights
from openeo_udf_fusion.processes import sharpen_landsat_thermal as process


def apply_metadata(metadata: CubeMetadata, context: dict) -> CubeMetadata:
    """Announce the bands of the result."""
    choices = {key: context[key] for key in ("days_to_observation", "model") if key in context}
    return metadata.rename_labels("bands", target=process.output_bands(**choices))


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    """Return the sharpened temperature; an unknown key in the context is an error that names it."""
    with weights.reporting(inspect):
        return process.sharpen_landsat_thermal(cube, **context)
