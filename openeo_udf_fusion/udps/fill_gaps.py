"""The user-defined processes `fill_gaps` (area of interest) and `fill_gaps_cube`."""

import inspect
from importlib import resources

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode
from openeo.rest.udp import build_process_dict

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.processes import fill_gaps as process
from openeo_udf_fusion.udps import graph
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment
from openeo_udf_fusion.udps.graph import given, optional

ID = "fill_gaps"
SENSOR = "modis"
"""Its collection is the default of the process for an area of interest."""
SUMMARY = "Fill the gaps of any bands in time, with uncertainty and provenance"
_DESCRIBED = {
    "method": (
        "`linear`, `whittaker`, `seasonal` and `fluxneteo` fill any band from its own series; `satfusenet` "
        "fills bands of MODIS or VIIRS from all bands of the sensor.",
        {"type": "string", "enum": [*process.FILLERS, process.MODEL]},
    ),
    "temporal_extent": graph.RESULT_EXTENT,
    "dates": graph.RESULT_DATES,
    "uncertainty": graph.UNCERTAINTY,
    "smooth": (
        "Give the method's estimate on observed days too; by default good observations survive.",
        {"type": "boolean"},
    ),
    "days_to_observation": graph.DAYS_TO_OBSERVATION,
    "support_days": (
        "A value is refused where its band was not observed within so many days.",
        {"type": "integer", "minimum": 1},
    ),
}
_RETURNS = {
    "description": "A cube with the bands that came in, their uncertainty, and `provenance`: 0 observed, "
    "2 interpolated, 3 seasonal or extrapolated, 4 refused.",
    "schema": {
        "type": "object",
        "subtype": "datacube",
        "dimensions": [{"type": "spatial"}, {"type": "temporal"}],
    },
}
_NAMES = {"type": "array", "items": {"type": "string"}, "minItems": 1}


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `fill_gaps_cube`, which works on a cube that the caller loaded."""
    own = _own_parameters()
    return _described(
        f"{ID}_cube", f"{SUMMARY} (from a cube)", [graph.DATA, *own], _run(given("data"), own, deployment)
    )


def build(deployment: Deployment = PUBLISHED) -> Json:
    """Build `fill_gaps`, which loads a collection and its QA for an area and a period of interest."""
    own = [parameter for parameter in _own_parameters() if parameter.name != "temporal_extent"]
    run = _run(_loaded(), [graph.TEMPORAL_EXTENT, *own], deployment)
    parameters = [graph.SPATIAL_EXTENT, graph.TEMPORAL_EXTENT, *_source_parameters(deployment), *own]
    return _described(ID, SUMMARY, parameters, run)


def _own_parameters() -> list[Parameter]:
    """Return the parameters of the process's function, with its defaults."""
    signature = list(inspect.signature(process.fill_gaps).parameters.values())[1:]
    return [optional(own.name, *_DESCRIBED[own.name], own.default) for own in signature]


def _source_parameters(deployment: Deployment) -> list[Parameter]:
    source = deployment.sources[SENSOR]
    return [
        optional(
            "collection",
            "Where to load from; it has QA bands (one without goes through `fill_gaps_cube`).",
            {"type": "string", "subtype": "collection-id"},
            source.collection,
        ),
        optional(
            "bands", "The collection's names of the bands to fill.", _NAMES, list(source.bands.values())
        ),
        optional(
            "labels",
            "What `bands` are, in their order: `<sensor>_<band>` such as `s2_B04`; any other name for a band "
            "that is no sensor's, such as an index.",
            _NAMES,
            list(source.bands),
        ),
        optional("flags", "The collection's names of its QA bands.", _NAMES, list(source.flags.values())),
        optional(
            "flag_labels",
            "What `flags` are, in their order: `modis_state_1km`, `viirs_QF1`, `s2_SCL`, `l8_QA_PIXEL`, "
            "`<sensor>_quality_<band>`, `<sensor>_day_of_year`.",
            _NAMES,
            list(source.flags),
        ),
        optional("scale", "Value = stored value x scale + offset.", {"type": "number"}, source.scale),
        optional("offset", "See `scale`.", {"type": "number"}, source.offset),
    ]


def _loaded() -> PGNode:
    """Load the bands, and the flags on their grid by nearest neighbours: averaged bits mean nothing."""
    stored = graph.load(given("bands"), given("collection"), given("labels"))
    flags = graph.load(given("flags"), given("collection"), given("flag_labels"))
    measured = graph.scaled(stored, given("scale"), given("offset"))
    return graph.merged(measured, graph.on_grid_of(flags, measured, "near"))


def _run(data: PGNode | Json, own: list[Parameter], deployment: Deployment) -> PGNode:
    return graph.run_udf_on_tiles(data, ID, [parameter.name for parameter in own], deployment, overlap_px=0)


def _described(process_id: str, summary: str, parameters: list[Parameter], result: PGNode) -> Json:
    built: Json = build_process_dict(
        process_graph=result.flat_graph(),
        process_id=process_id,
        summary=summary,
        description=(resources.files("openeo_udf_fusion.udps") / f"{ID}.md").read_text(encoding="utf-8"),
        parameters=list(parameters),
        returns=_RETURNS,
        categories=["cubes", "gap filling", "time series"],
    )
    return built
