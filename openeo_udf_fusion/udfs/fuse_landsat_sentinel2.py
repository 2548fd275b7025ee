# /// script
# dependencies = ["openeo-udf-fusion==0.1.0"]
# ///
"""Fuse Landsat and Sentinel-2; the context holds the parameters of the process."""

import xarray
from openeo.metadata import CubeMetadata
from openeo.udf import inspect

from openeo_udf_fusion.models import weights
from openeo_udf_fusion.processes import fuse_landsat_sentinel2 as process


def apply_metadata(metadata: CubeMetadata, context: dict) -> CubeMetadata:
    """Announce the bands of the result."""
    choices = {key: context[key] for key in ("sensors", "days_to_observation", "model") if key in context}
    return metadata.rename_labels("bands", target=process.output_bands(**choices))


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    """Return the fused bands; an unknown key in the context is an error that names it."""
    with weights.reporting(inspect):
        result = process.fuse_landsat_sentinel2(cube, **context)
    if warning := process.warning_of(result):
        inspect(message=warning, level="warning")
    return result
