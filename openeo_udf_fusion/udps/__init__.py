"""The process graph of each published user-defined process."""

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.udps import (
    embed_sentinel1_sentinel2,
    fill_gaps,
    fuse_landsat_sentinel2,
    harmonize_modis_viirs,
    self_test,
    sharpen_landsat_thermal,
    sharpen_sentinel2,
)
from openeo_udf_fusion.udps.deployments import EMBEDDED, PUBLISHED, Deployment, Source

__all__ = ["EMBEDDED", "PUBLISHED", "Deployment", "Source", "definitions"]


def definitions(deployment: Deployment = PUBLISHED) -> dict[str, Json]:
    """Return every process of this package by its id, as a deployment offers it."""
    modules = (
        harmonize_modis_viirs,
        fill_gaps,
        embed_sentinel1_sentinel2,
        fuse_landsat_sentinel2,
        sharpen_sentinel2,
        sharpen_landsat_thermal,
    )
    built = [build(deployment) for module in modules for build in (module.build, module.build_cube)]
    built.append(self_test.build_cube(deployment))
    return {process["id"]: process for process in built}
