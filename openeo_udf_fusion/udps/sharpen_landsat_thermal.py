"""The user-defined processes `sharpen_landsat_thermal` (area of interest) and its `_cube`."""

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.processes.sharpen_landsat_thermal import COMPENSATION_PX, sharpen_landsat_thermal
from openeo_udf_fusion.udps import landsat_sentinel2 as shared
from openeo_udf_fusion.udps.definition import Definition
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment

SHARPEN = Definition(
    id="sharpen_landsat_thermal",
    summary="Sharpen the surface temperature of Landsat to 10 m on its own dates",
    returns="A cube with `LST` in kelvin and its `provenance`: 0 seen clear on this day, 1 by Sentinel-2 "
    "alone, 2 interpolated, 3 extrapolated, 4 refused.",
    categories=["cubes", "temperature", "sharpening"],
    function=sharpen_landsat_thermal,
    described={**shared.DESCRIBED, "dates": shared.acquisition_dates("Landsat")},
)


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `sharpen_landsat_thermal_cube`, which works on a cube that the caller loaded and merged."""
    return SHARPEN.of_cube(deployment, shared.overlap_px(COMPENSATION_PX), shared.TILE_PX)


def build(deployment: Deployment = PUBLISHED) -> Json:
    """Build `sharpen_landsat_thermal`, which loads both collections for an area and a period."""
    sources, data = shared.source_parameters(deployment), shared.both_sensors(deployment)
    overlap_px = shared.overlap_px(COMPENSATION_PX)
    return SHARPEN.of_area(data, deployment, overlap_px, shared.TILE_PX, after=sources)
