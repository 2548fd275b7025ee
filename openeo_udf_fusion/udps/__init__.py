"""The process graph of each published user-defined process."""

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.udps import fill_gaps, harmonize_modis_viirs, self_test
from openeo_udf_fusion.udps.deployments import EMBEDDED, PUBLISHED, Deployment, Source

__all__ = ["EMBEDDED", "PUBLISHED", "Deployment", "Source", "definitions"]


def definitions(deployment: Deployment = PUBLISHED) -> dict[str, Json]:
    """Return every process of this package by its id, as a deployment offers it."""
    modules = (harmonize_modis_viirs, fill_gaps)
    built = [build(deployment) for module in modules for build in (module.build, module.build_cube)]
    built.append(self_test.build_cube(deployment))
    return {process["id"]: process for process in built}
