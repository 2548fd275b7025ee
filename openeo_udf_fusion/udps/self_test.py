"""The user-defined process `self_test_cube`, which tells an operator whether an installation works."""

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.udps.definition import Definition
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment

SELF_TEST = Definition(
    id="self_test",
    summary="Test whether this package works where the backend runs UDFs",
    returns="A cube with the dates and pixels of `data` and the bands `passed` (1 yes, 0 no), "
    "`checksum`, `expected`, `version`, `runtime`, `device` and `threads`, the same everywhere.",
    categories=["cubes", "testing"],
)


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `self_test_cube`; it needs no form for an area of interest, since it looks at no data."""
    return SELF_TEST.of_cube(deployment)
