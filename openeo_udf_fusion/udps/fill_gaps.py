"""The user-defined processes `fill_gaps` (area of interest) and `fill_gaps_cube`."""

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.processes import fill_gaps as process
from openeo_udf_fusion.udps import graph
from openeo_udf_fusion.udps.definition import Definition
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment
from openeo_udf_fusion.udps.graph import given
from openeo_udf_fusion.udps.sources import collection, names, number

SENSOR = "modis"
"""Its collection is the default of the process for an area of interest."""
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
FILL_GAPS = Definition(
    id="fill_gaps",
    summary="Fill the gaps of any bands in time, with uncertainty and provenance",
    returns="A cube with the bands that came in, their uncertainty, and `provenance`: 0 observed, "
    "2 interpolated, 3 seasonal or extrapolated, 4 refused.",
    categories=["cubes", "gap filling", "time series"],
    function=process.fill_gaps,
    described=_DESCRIBED,
)


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `fill_gaps_cube`, which works on a cube that the caller loaded."""
    return FILL_GAPS.of_cube(deployment)


def build(deployment: Deployment = PUBLISHED) -> Json:
    """Build `fill_gaps`, which loads a collection and its QA for an area and a period of interest."""
    return FILL_GAPS.of_area(_loaded(), deployment, before=_source_parameters(deployment))


def _source_parameters(deployment: Deployment) -> list[Parameter]:
    source = deployment.sources[SENSOR]
    return [
        collection(
            "collection",
            "Where to load from; it has QA bands (one without goes through `fill_gaps_cube`).",
            source,
        ),
        names("bands", "The collection's names of the bands to fill.", source.bands.values()),
        names(
            "labels",
            "What `bands` are, in their order: `<sensor>_<band>` such as `s2_B04`; any other name for a band "
            "that is no sensor's, such as an index.",
            source.bands,
        ),
        names("flags", "The collection's names of its QA bands.", source.flags.values()),
        names(
            "flag_labels",
            "What `flags` are, in their order: `modis_state_1km`, `viirs_QF1`, `s2_SCL`, `l8_QA_PIXEL`, "
            "`<sensor>_quality_<band>`, `<sensor>_day_of_year`.",
            source.flags,
        ),
        number("scale", "Value = stored value x scale + offset.", source.scale),
        number("offset", "See `scale`.", source.offset),
    ]


def _loaded() -> PGNode:
    """Load the bands, and the flags on their grid by nearest neighbours: averaged bits mean nothing."""
    stored = graph.load(given("bands"), given("collection"), given("labels"))
    flags = graph.load(given("flags"), given("collection"), given("flag_labels"))
    measured = graph.scaled(stored, given("scale"), given("offset"))
    return graph.merged(measured, graph.on_grid_of(flags, measured, "near"))
