"""The pieces that every process graph shares: load, scale, resample, merge, run a UDF on tiles."""

from collections.abc import Sequence
from typing import Any

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode

from openeo_udf_fusion import udfs
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.udps.deployments import Deployment

TILE_PX = 64
"""A year of two daily sensors and their flags on such a tile is 114 MB; backends allow a UDF some 2 GB."""


def given(name: str) -> Json:
    """Refer to a parameter of the process."""
    return {"from_parameter": name}


def load(
    bands: JsonValue, collection: JsonValue, labels: JsonValue, properties: Json | None = None
) -> PGNode:
    """Load bands of a collection for the area and period of interest, under this project's labels."""
    filters: dict[str, Any] = {"properties": properties} if properties else {}
    loaded = PGNode(
        "load_collection",
        id=collection,
        spatial_extent=given("spatial_extent"),
        temporal_extent=given("temporal_extent"),
        bands=bands,
        **filters,
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
    data: PGNode | Json,
    process: str,
    parameters: Sequence[str],
    deployment: Deployment,
    overlap_px: int,
    tile_px: int | None = None,
) -> PGNode:
    """Run a process's UDF on tiles that hold all dates, with the named parameters as its context.

    Tiles are of `TILE_PX` unless another size is given. The context is set on both nodes: production backends
    read the outer one, local engines the inner one.
    """
    udf = PGNode(
        "run_udf",
        data=given("data"),
        udf=_udf_text(process, deployment),
        runtime="Python",
        context=given("context"),
    )
    return PGNode(
        "apply_neighborhood",
        data=data,
        process=_callback(udf),
        size=[{"dimension": dim, "value": tile_px or TILE_PX, "unit": "px"} for dim in ("x", "y")],
        overlap=[{"dimension": dim, "value": overlap_px, "unit": "px"} for dim in ("x", "y")],
        context={name: given(name) for name in parameters},
    )


def _udf_text(process: str, deployment: Deployment) -> str:
    if deployment.archive_folder is not None:
        return udfs.with_archive(process, deployment.archive_folder)
    return udfs.with_requirement(process, deployment.requirement)


def _callback(result: PGNode) -> Json:
    return {"process_graph": result.flat_graph()}


def optional(name: str, description: str, schema: JsonValue, default: JsonValue) -> Parameter:
    """Describe a parameter that has a default."""
    return Parameter(name, description=description, schema=schema, default=default, optional=True)


_DATE = {"type": "string", "subtype": "date", "format": "date"}
_PERIOD = {"type": "string", "description": '"acquisition", or an ISO 8601 period such as "P8D" or "P1M".'}
Described = tuple[str, JsonValue]
RESULT_EXTENT: Described = (
    'The period of the result, left-closed. Needed unless `dates` is a list or "acquisition".',
    [Parameter.temporal_interval().schema, {"type": "null"}],
)
RESULT_DATES: Described = (
    "The dates of the result: `acquisition` for every date of the input, an ISO 8601 period (`P8D` "
    "restarts on 1 January, `P1M` is the 1st of each month), or a list of dates.",
    [_PERIOD, {"type": "array", "items": _DATE, "minItems": 1}],
)
UNCERTAINTY: Described = (
    "`sigma` adds one band `<band>_sigma` each, `quantiles` adds `<band>_q10`, `_q50` and `_q90`.",
    {"type": "string", "enum": ["none", "sigma", "quantiles"]},
)
DAYS_TO_OBSERVATION: Described = (
    "Add a band with the days to the nearest observation.",
    {"type": "boolean"},
)
"""Description and schema of parameters that processes share."""

SPATIAL_EXTENT = Parameter.spatial_extent(
    "spatial_extent",
    description="The area of interest: a bounding box, or polygons whose bounding box counts.",
)
TEMPORAL_EXTENT = Parameter.temporal_interval(
    "temporal_extent", description="The period of interest, left-closed: the end is excluded."
)
DATA = Parameter.raster_cube("data", description="The cube to work on.")
