"""The user-defined processes `embed_sentinel1_sentinel2` (area of interest) and its `_cube`."""

import inspect
from importlib import resources

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode
from openeo.rest.udp import build_process_dict

from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes import embed_sentinel1_sentinel2 as process
from openeo_udf_fusion.udps import graph
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment, Source
from openeo_udf_fusion.udps.graph import given, optional

ID = "embed_sentinel1_sentinel2"
SUMMARY = "Embed Sentinel-1 and Sentinel-2 into a few numbers per pixel and date, clouds or not"
SOURCES = ("s1", "s2")
ORBIT_PROPERTY = "sat:orbit_state"
_NAMED = {
    "type": "string",
    "description": '"clear", "acquisition", or an ISO 8601 period such as "P1D" or "P1M".',
}
_DATES = [
    _NAMED,
    {
        "type": "array",
        "items": {"type": "string", "subtype": "date", "format": "date"},
        "minItems": 1,
        "maxItems": process.MOST_DATES,
    },
]
_DESCRIBED: dict[str, tuple[str, JsonValue]] = {
    "temporal_extent": graph.RESULT_EXTENT,
    "dates": (
        "The dates of the result: an ISO 8601 period (`P1D` is every day, `P8D` restarts on 1 January), "
        "`clear` for the dates of Sentinel-2 with values only where it saw the ground, `acquisition` for "
        f"every date of the input, or a list of dates. At most {process.MOST_DATES}.",
        _DATES,
    ),
    "s1_unit": (
        "Whether Sentinel-1 is linear power or in decibels. It is not guessed; values that cannot be are an "
        "error.",
        {"type": "string", "enum": ["linear", "dB"]},
    ),
    "encoding": (
        "`float32` is -1 to 1; `int8` gives the whole numbers -127 to 127, of which the 127th part is the "
        "code.",
        {"type": "string", "enum": ["float32", "int8"]},
    ),
    "reconstruct": (
        "Add the cloud-free reflectance of Sentinel-2 drawn from the code alone, and `<band>_sigma`.",
        {"type": "boolean"},
    ),
    "days_to_observation": (
        "Add a band with the days to the nearest clear observation by Sentinel-2.",
        {"type": "boolean"},
    ),
    "margin_days": (
        "So many days at both ends of `temporal_extent` only serve the others and are not in the result; "
        "90 is as far as the network looks.",
        {"type": "integer", "minimum": 0},
    ),
}
_RETURNS = {
    "description": "A cube with the bands `e0` to `e7`, on request `B02` to `B12` with `<band>_sigma`, and "
    "`validity`: 0 nothing within reach, 1 Sentinel-1 alone, 2 Sentinel-2 alone, 3 both, 4 Sentinel-2 clear "
    'on this very day, 5 not clear on this day (with `dates="clear"` alone).',
    "schema": {
        "type": "object",
        "subtype": "datacube",
        "dimensions": [{"type": "spatial"}, {"type": "temporal"}],
    },
}


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `embed_sentinel1_sentinel2_cube`, which works on a cube that the caller loaded and merged."""
    own = _own_parameters()
    return _described(
        f"{ID}_cube", f"{SUMMARY} (from a cube)", [graph.DATA, *own], _run(given("data"), own, deployment)
    )


def build(deployment: Deployment = PUBLISHED) -> Json:
    """Build `embed_sentinel1_sentinel2`, which loads both collections for an area and a period."""
    own = [parameter for parameter in _own_parameters() if parameter.name != "temporal_extent"]
    run = _run(_both_sensors(deployment), [graph.TEMPORAL_EXTENT, *own], deployment)
    parameters = [graph.SPATIAL_EXTENT, graph.TEMPORAL_EXTENT, *own, *_source_parameters(deployment)]
    return _described(ID, SUMMARY, parameters, run)


def _own_parameters() -> list[Parameter]:
    """Return the parameters of the process's function, with its defaults."""
    signature = list(inspect.signature(process.embed_sentinel1_sentinel2).parameters.values())[1:]
    return [optional(own.name, *_DESCRIBED[own.name], own.default) for own in signature]


def _source_parameters(deployment: Deployment) -> list[Parameter]:
    """Return where each sensor is, how its numbers are stored, and what its bands are called."""
    found = []
    for sensor in SOURCES:
        source = deployment.sources[sensor]
        found += [
            optional(
                f"{sensor}_collection",
                f"Collection of Sentinel-{sensor[1]}.",
                {"type": "string", "subtype": "collection-id"},
                source.collection,
            ),
            *(_number(sensor, name, value) for name, value in _numbers(source).items()),
            _names(f"{sensor}_bands", f"names of {', '.join(source.bands)}, in this order.", source.bands),
        ]
        if sensor == "s1":
            found.append(
                optional(
                    "s1_orbit",
                    "The direction of Sentinel-1's orbits, as the catalogue's `sat:orbit_state` writes it: "
                    "the network knows ascending ones alone. For both, load the cube yourself.",
                    {"type": "string"},
                    "ASCENDING",
                )
            )
        if source.flags:
            found.append(_names(f"{sensor}_flags", f"name of {', '.join(source.flags)}.", source.flags))
    return found


def _numbers(source: Source) -> dict[str, float]:
    return {"scale": source.scale, "offset": source.offset}


def _number(sensor: str, name: str, value: float) -> Parameter:
    unit = "Backscatter (in `s1_unit`)" if sensor == "s1" else "Reflectance"
    described = (
        f"{unit} of Sentinel-{sensor[1]} = stored value x scale + offset; 1 and 0 if it is that already."
    )
    return optional(f"{sensor}_{name}", described, {"type": "number"}, value)


def _names(name: str, described: str, default: object) -> Parameter:
    labels: dict[str, str] = dict(default)  # type: ignore[call-overload]
    count = {"minItems": len(labels), "maxItems": len(labels)}
    schema = {"type": "array", "items": {"type": "string"}, **count}
    return optional(name, f"The collection's {described}", schema, list(labels.values()))


def _both_sensors(deployment: Deployment) -> PGNode:
    """Load both sensors on the grid of Sentinel-2, by nearest neighbours as in the network's training.

    Interpolation would mix clouds into pixels whose flags say clear, and only the UDF reads the flags.
    """
    sources = deployment.sources
    optical = _load("s2", sources["s2"])
    flags = graph.load(given("s2_flags"), given("s2_collection"), list(sources["s2"].flags))
    radar = _load("s1", sources["s1"])
    return graph.merged(
        optical, graph.on_grid_of(flags, optical, "near"), graph.on_grid_of(radar, optical, "near")
    )


def _load(sensor: str, source: Source) -> PGNode:
    properties = {ORBIT_PROPERTY: _equal_to("s1_orbit")} if sensor == "s1" else None
    names, collection = given(f"{sensor}_bands"), given(f"{sensor}_collection")
    stored = graph.load(names, collection, list(source.bands), properties)
    return graph.scaled(stored, given(f"{sensor}_scale"), given(f"{sensor}_offset"))


def _equal_to(parameter: str) -> Json:
    """Build a filter by a property: backends take `eq` there, but no choice between it and no filter."""
    condition = PGNode("eq", x=given("value"), y=given(parameter))
    return {"process_graph": condition.flat_graph()}


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
        categories=["cubes", "embedding", "sensor fusion", "time series"],
    )
    return built
