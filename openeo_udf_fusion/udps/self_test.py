"""The user-defined process `self_test_cube`, which tells an operator whether an installation works."""

from importlib import resources

from openeo.rest.udp import build_process_dict

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.udps import graph
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment
from openeo_udf_fusion.udps.graph import given

ID = "self_test"
SUMMARY = "Test whether this package works where the backend runs UDFs"
_RETURNS = {
    "description": "A cube with the dates and pixels of `data` and the bands `passed` (1 yes, 0 no), "
    "`checksum`, `expected`, `version`, `runtime`, `device` and `threads`, the same everywhere.",
    "schema": {
        "type": "object",
        "subtype": "datacube",
        "dimensions": [{"type": "spatial"}, {"type": "temporal"}],
    },
}


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `self_test_cube`; it needs no form for an area of interest, since it looks at no data."""
    result = graph.run_udf_on_tiles(given("data"), ID, [], deployment, overlap_px=0)
    built: Json = build_process_dict(
        process_graph=result.flat_graph(),
        process_id=f"{ID}_cube",
        summary=SUMMARY,
        description=(resources.files("openeo_udf_fusion.udps") / f"{ID}.md").read_text(encoding="utf-8"),
        parameters=[graph.DATA],
        returns=_RETURNS,
        categories=["cubes", "testing"],
    )
    return built
