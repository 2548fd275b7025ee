"""The user-defined processes `harmonize_modis_viirs` (area of interest) and `harmonize_modis_viirs_cube`."""

import inspect
from collections.abc import Iterable
from importlib import resources

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode
from openeo.rest.udp import build_process_dict

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes import harmonize_modis_viirs as process
from openeo_udf_fusion.udps import graph
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment, Source
from openeo_udf_fusion.udps.graph import given, optional

ID = "harmonize_modis_viirs"
SUMMARY = "Harmonise MODIS and VIIRS surface reflectance into one gap-free series with its uncertainty"
_DESCRIBED = {
    "target": ("The sensor whose bands come out.", {"type": "string", "enum": ["modis", "viirs"]}),
    "temporal_extent": graph.RESULT_EXTENT,
    "dates": graph.RESULT_DATES,
    "uncertainty": graph.UNCERTAINTY,
    "smooth": (
        "Give the model's estimate on observed days too; by default good observations of the target survive.",
        {"type": "boolean"},
    ),
    "days_to_observation": graph.DAYS_TO_OBSERVATION,
    "precision": (
        "Precision of the network; bfloat16 is faster where the processor has it, and needs torch.",
        {"type": "string", "enum": ["float32", "bfloat16"]},
    ),
}
_KNOWN_FLAGS = {
    "modis": "`modis_state_1km`, `modis_day_of_year`, or for NBAR `modis_quality_B1`..`modis_quality_B7`",
    "viirs": "`viirs_QF1`, `viirs_QF2`, `viirs_QF7`, or for NBAR `viirs_quality_I1`..`viirs_quality_M11`",
}
_RETURNS = {
    "description": "A cube with the target's bands, their uncertainty, and `provenance`: 0 observed, "
    "1 translated on the same day, 2 interpolated, 3 seasonal or extrapolated, 4 refused.",
    "schema": {
        "type": "object",
        "subtype": "datacube",
        "dimensions": [{"type": "spatial"}, {"type": "temporal"}],
    },
}


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `harmonize_modis_viirs_cube`, which works on a cube that the caller loaded and merged."""
    own = _own_parameters()
    return _described(
        f"{ID}_cube", f"{SUMMARY} (from a cube)", [graph.DATA, *own], _run(given("data"), own, deployment)
    )


def build(deployment: Deployment = PUBLISHED) -> Json:
    """Build `harmonize_modis_viirs`, which loads both collections for an area and a period of interest."""
    own = [parameter for parameter in _own_parameters() if parameter.name != "temporal_extent"]
    numbers, names = _source_parameters(deployment)
    run = _run(_both_sensors(deployment), [graph.TEMPORAL_EXTENT, *own], deployment)
    return _described(ID, SUMMARY, [graph.SPATIAL_EXTENT, graph.TEMPORAL_EXTENT, *numbers, *own, *names], run)


def _own_parameters() -> list[Parameter]:
    """Return the parameters of the process's function, with its defaults."""
    signature = list(inspect.signature(process.harmonize_modis_viirs).parameters.values())[1:]
    return [optional(own.name, *_DESCRIBED[own.name], own.default) for own in signature]


def _source_parameters(deployment: Deployment) -> tuple[list[Parameter], list[Parameter]]:
    """Return what every caller may need (collections, scales, offsets), and the collections' band names."""
    sources = deployment.sources.items()
    numbers = [
        *(_collection(sensor, source) for sensor, source in sources),
        *(_number(sensor, "scale", source.scale) for sensor, source in sources),
        *(_number(sensor, "offset", source.offset) for sensor, source in sources),
    ]
    names = []
    for sensor, source in sources:
        own, labels, flags = "The collection's names of", list(source.bands), _KNOWN_FLAGS[sensor]
        names += [
            _names(f"{sensor}_bands", f"{own} {', '.join(labels)}, in this order.", source.bands.values()),
            _names(f"{sensor}_flags", f"{own} its QA bands.", source.flags.values()),
            _names(
                f"{sensor}_flag_labels", f"What `{sensor}_flags` are, in their order: {flags}.", source.flags
            ),
        ]
    return numbers, names


def _collection(sensor: str, source: Source) -> Parameter:
    schema = {"type": "string", "subtype": "collection-id"}
    return optional(f"{sensor}_collection", f"Collection of {sensor.upper()}.", schema, source.collection)


def _number(sensor: str, name: str, value: float) -> Parameter:
    described = (
        f"Reflectance of {sensor.upper()} = stored value x scale + offset; 1 and 0 if it is reflectance."
    )
    return optional(f"{sensor}_{name}", described, {"type": "number"}, value)


def _names(name: str, description: str, default: Iterable[str]) -> Parameter:
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    return optional(name, description, schema, list(default))


def _both_sensors(deployment: Deployment) -> PGNode:
    """Load both sensors on MODIS' grid.

    Nearest neighbours, for reflectance too: bilinear interpolation would mix clouds into pixels whose flags
    say clear, and only the UDF can read the flags' bits.
    """
    modis, modis_flags = _load("modis", deployment)
    viirs, viirs_flags = _load("viirs", deployment)
    return graph.merged(
        modis,
        graph.on_grid_of(modis_flags, modis, "near"),
        graph.on_grid_of(viirs, modis, "near"),
        graph.on_grid_of(viirs_flags, modis, "near"),
    )


def _load(sensor: str, deployment: Deployment) -> tuple[PGNode, PGNode]:
    source, collection = deployment.sources[sensor], given(f"{sensor}_collection")
    stored = graph.load(given(f"{sensor}_bands"), collection, list(source.bands))
    flags = graph.load(given(f"{sensor}_flags"), collection, given(f"{sensor}_flag_labels"))
    return graph.scaled(stored, given(f"{sensor}_scale"), given(f"{sensor}_offset")), flags


def _run(data: PGNode | Json, own: list[Parameter], deployment: Deployment) -> PGNode:
    overlap_px = cards.read(process.MODEL).receptive_field_px
    return graph.run_udf_on_tiles(data, ID, [parameter.name for parameter in own], deployment, overlap_px)


def _described(process_id: str, summary: str, parameters: list[Parameter], result: PGNode) -> Json:
    built: Json = build_process_dict(
        process_graph=result.flat_graph(),
        process_id=process_id,
        summary=summary,
        description=(resources.files("openeo_udf_fusion.udps") / f"{ID}.md").read_text(encoding="utf-8"),
        parameters=list(parameters),
        returns=_RETURNS,
        categories=["cubes", "reflectance", "sensor fusion"],
    )
    return built
