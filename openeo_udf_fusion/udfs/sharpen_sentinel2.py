# /// script
# dependencies = ["openeo-udf-fusion==0.1.0"]
# ///
"""Sharpen Sentinel-2 to 10 m; the context holds the parameters of the process."""

import xarray
from openeo.metadata import CubeMetadata
from openeo.udf import inspect

from openeo_udf_fusion.models import weights
from openeo_udf_fusion.processes import sharpen_sentinel2 as process


def apply_metadata(metadata: CubeMetadata, context: dict) -> CubeMetadata:
    """Announce the bands of the result."""
    choices = {key: context[key] for key in ("days_to_observation", "model") if key in context}
    return metadata.rename_labels("bands", target=process.output_bands(**choices))


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    """Return the sharpened bands; an unknown key in the context is an error that names it."""
    with weights.reporting(inspect):
        result = process.sharpen_sentinel2(cube, **context)
    if warning := process.warning_of(result):
        inspect(message=warning, level="warning")
    return result
