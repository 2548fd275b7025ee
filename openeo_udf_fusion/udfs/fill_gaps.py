# /// script
# dependencies = ["openeo-udf-fusion==0.1.0"]
# ///
"""Fill the gaps of any bands in time; the context holds the parameters of the process."""

import xarray
from openeo.metadata import CubeMetadata
from openeo.udf import inspect

from openeo_udf_fusion.models import weights
from openeo_udf_fusion.processes import fill_gaps as process


def apply_metadata(metadata: CubeMetadata, context: dict) -> CubeMetadata:
    """Announce the bands of the result."""
    choices = {key: context[key] for key in ("uncertainty", "days_to_observation") if key in context}
    return metadata.rename_labels("bands", target=process.output_bands(metadata.band_names, **choices))


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    """Return the filled cube; an unknown key in the context is an error that names it."""
    with weights.reporting(inspect):
        return process.fill_gaps(cube, **context)
