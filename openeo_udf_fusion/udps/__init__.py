"""The process graph of each published user-defined process."""

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.udps import harmonize_modis_viirs
from openeo_udf_fusion.udps.deployments import EMBEDDED, PUBLISHED, Deployment, Source

__all__ = ["EMBEDDED", "PUBLISHED", "Deployment", "Source", "definitions"]


def definitions(deployment: Deployment = PUBLISHED) -> dict[str, Json]:
    """Return every process of this package by its id, as a deployment offers it."""
    built = (harmonize_modis_viirs.build(deployment), harmonize_modis_viirs.build_cube(deployment))
    return {process["id"]: process for process in built}
