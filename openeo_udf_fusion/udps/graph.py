"""The pieces that every process graph shares: load, scale, resample, merge, run a UDF on tiles."""

from collections.abc import Sequence

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode

from openeo_udf_fusion import udfs
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.udps.deployments import Deployment

TILE_PX = 64
"""A year of two daily sensors on such a tile takes 90 MB; production backends allow a UDF about 2 GB."""


def given(name: str) -> Json:
    """Refer to a parameter of the process."""
    return {"from_parameter": name}


def load(bands: JsonValue, collection: JsonValue, labels: JsonValue) -> PGNode:
    """Load bands of a collection for the area and period of interest, under this project's labels."""
    loaded = PGNode(
        "load_collection",
        id=collection,
        spatial_extent=given("spatial_extent"),
        temporal_extent=given("temporal_extent"),
        bands=bands,
    )
    return PGNode("rename_labels", data=loaded, dimension="bands", target=labels, source=bands)


def scaled(data: PGNode, scale: JsonValue, offset: JsonValue) -> PGNode:
    """Turn stored numbers into physical values."""
    product = PGNode("multiply", x=given("x"), y=scale)
    return PGNode("apply", data=data, process=_callback(PGNode("add", x=product, y=offset)))


def on_grid_of(data: PGNode, target: PGNode, method: str) -> PGNode:
    """Resample to another cube's grid, by openEO's name of the method: "near", "bilinear", ..."""
    return PGNode("resample_cube_spatial", data=data, target=target, method=method)


def merged(one: PGNode, *others: PGNode) -> PGNode:
    """Merge cubes of disjoint labels."""
    for other in others:
        one = PGNode("merge_cubes", cube1=one, cube2=other)
    return one


def run_udf_on_tiles(
    data: PGNode | Json, process: str, parameters: Sequence[str], deployment: Deployment, overlap_px: int
) -> PGNode:
    """Run a process's UDF on tiles that hold all dates, with the named parameters as its context.

    The context is set on both nodes: production backends read the outer one, local engines the inner one.
    """
    udf = PGNode(
        "run_udf",
        data=given("data"),
        udf=udfs.with_requirement(process, deployment.requirement),
        runtime="Python",
        context=given("context"),
    )
    return PGNode(
        "apply_neighborhood",
        data=data,
        process=_callback(udf),
        size=[{"dimension": dim, "value": TILE_PX, "unit": "px"} for dim in ("x", "y")],
        overlap=[{"dimension": dim, "value": overlap_px, "unit": "px"} for dim in ("x", "y")],
        context={name: given(name) for name in parameters},
    )


def _callback(result: PGNode) -> Json:
    return {"process_graph": result.flat_graph()}


def optional(name: str, description: str, schema: JsonValue, default: JsonValue) -> Parameter:
    """Describe a parameter that has a default."""
    return Parameter(name, description=description, schema=schema, default=default, optional=True)


SPATIAL_EXTENT = Parameter.spatial_extent(
    "spatial_extent",
    description="The area of interest: a bounding box, or polygons whose bounding box counts.",
)
TEMPORAL_EXTENT = Parameter.temporal_interval(
    "temporal_extent", description="The period of interest, left-closed: the end is excluded."
)
DATA = Parameter.raster_cube("data", description="The cube to work on.")
