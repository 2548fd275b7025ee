# /// script
# dependencies = ["openeo-udf-fusion==0.1.0"]
# ///
"""Test an installation: the data are not looked at; the log and the bands say what was found."""

import xarray
from openeo.metadata import CubeMetadata
from openeo.udf import inspect

from openeo_udf_fusion.processes import self_test as process


def apply_metadata(metadata: CubeMetadata, context: dict) -> CubeMetadata:
    """Announce the bands of the result."""
    return metadata.rename_labels("bands", target=process.output_bands())


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    """Return what the self-test found; an unknown key in the context is an error that names it."""
    result, found = process.self_test(cube, **context), process.report()
    verdict, level = ("passed", "info") if found.passed else ("FAILED", "error")
    inspect(data=found._asdict(), message=f"openeo_udf_fusion self-test {verdict}", level=level)
    return result
