"""The user-defined processes `sharpen_sentinel2` (area of interest) and `sharpen_sentinel2_cube`."""

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.processes.sharpen_sentinel2 import COMPENSATION_PX, sharpen_sentinel2
from openeo_udf_fusion.udps import landsat_sentinel2 as shared
from openeo_udf_fusion.udps.definition import Definition
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment

SHARPEN = Definition(
    id="sharpen_sentinel2",
    summary="Sharpen the 20 m bands of Sentinel-2 to 10 m on its own dates",
    returns="A cube with `B02` to `B12` and `provenance`: 0 seen clear on this day, 1 by Landsat alone, "
    "2 interpolated, 3 extrapolated, 4 refused. What was seen clear in the bands of 10 m is unchanged.",
    categories=["cubes", "reflectance", "sharpening"],
    function=sharpen_sentinel2,
    described={
        **shared.DESCRIBED,
        "dates": shared.acquisition_dates("Sentinel-2"),
        "precision": shared.PRECISION,
    },
)


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `sharpen_sentinel2_cube`, which works on a cube that the caller loaded."""
    return SHARPEN.of_cube(deployment, shared.overlap_px(COMPENSATION_PX), shared.TILE_PX)


def build(deployment: Deployment = PUBLISHED) -> Json:
    """Build `sharpen_sentinel2`, which loads both collections for an area and a period."""
    sources, data = shared.source_parameters(deployment), shared.both_sensors(deployment)
    overlap_px = shared.overlap_px(COMPENSATION_PX)
    return SHARPEN.of_area(data, deployment, overlap_px, shared.TILE_PX, after=sources)
