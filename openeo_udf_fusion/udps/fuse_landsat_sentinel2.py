"""The user-defined processes `fuse_landsat_sentinel2` (area of interest) and its `_cube`."""

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.processes.fuse_landsat_sentinel2 import fuse_landsat_sentinel2
from openeo_udf_fusion.udps import landsat_sentinel2 as shared
from openeo_udf_fusion.udps.definition import Definition
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment

FUSE = Definition(
    id="fuse_landsat_sentinel2",
    summary="Fuse Landsat and Sentinel-2: all bands of both at 10 m on any date",
    returns="A cube with `l8_B1` to `l8_B7`, `l8_LST` (kelvin), `s2_B02` to `s2_B12`, and `l8_provenance`, "
    "`s2_provenance`: 0 seen clear by this sensor on this day, 1 by the other, 2 interpolated, "
    "3 extrapolated, 4 refused. With one sensor labels have no prefix.",
    categories=["cubes", "reflectance", "temperature", "sensor fusion"],
    function=fuse_landsat_sentinel2,
    described={
        **shared.DESCRIBED,
        "dates": shared.FUSED_DATES,
        "precision": shared.PRECISION,
        "sensors": (
            "The sensors whose bands come out.",
            {
                "type": "array",
                "items": {"type": "string", "enum": ["l8", "s2"]},
                "minItems": 1,
                "uniqueItems": True,
            },
        ),
    },
)


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `fuse_landsat_sentinel2_cube`, which works on a cube that the caller loaded and merged."""
    return FUSE.of_cube(deployment, shared.overlap_px(), shared.TILE_PX)


def build(deployment: Deployment = PUBLISHED) -> Json:
    """Build `fuse_landsat_sentinel2`, which loads both collections for an area and a period."""
    sources, data = shared.source_parameters(deployment), shared.both_sensors(deployment)
    return FUSE.of_area(data, deployment, shared.overlap_px(), shared.TILE_PX, after=sources)
