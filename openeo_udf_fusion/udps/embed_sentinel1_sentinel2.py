"""The user-defined processes `embed_sentinel1_sentinel2` (area of interest) and its `_cube`."""

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes import embed_sentinel1_sentinel2 as process
from openeo_udf_fusion.udps import graph
from openeo_udf_fusion.udps.definition import Definition
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment
from openeo_udf_fusion.udps.graph import Described, given, optional
from openeo_udf_fusion.udps.sources import collection, load, load_flags, names, number

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
_DESCRIBED: dict[str, Described] = {
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
EMBED = Definition(
    id="embed_sentinel1_sentinel2",
    summary="Embed Sentinel-1 and Sentinel-2 into a few numbers per pixel and date, clouds or not",
    returns="A cube with the bands `e0` to `e7`, on request `B02` to `B12` with `<band>_sigma`, and "
    "`validity`: 0 nothing within reach, 1 Sentinel-1 alone, 2 Sentinel-2 alone, 3 both, 4 Sentinel-2 clear "
    'on this very day, 5 not clear on this day (with `dates="clear"` alone).',
    categories=["cubes", "embedding", "sensor fusion", "time series"],
    function=process.embed_sentinel1_sentinel2,
    described=_DESCRIBED,
)


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `embed_sentinel1_sentinel2_cube`, which works on a cube that the caller loaded and merged."""
    return EMBED.of_cube(deployment, _overlap_px())


def build(deployment: Deployment = PUBLISHED) -> Json:
    """Build `embed_sentinel1_sentinel2`, which loads both collections for an area and a period."""
    sources = _source_parameters(deployment)
    return EMBED.of_area(_both_sensors(deployment), deployment, _overlap_px(), after=sources)


def _overlap_px() -> int:
    return cards.read(process.MODEL).receptive_field_px


def _source_parameters(deployment: Deployment) -> list[Parameter]:
    """Return where each sensor is, how its numbers are stored, and what its bands are called."""
    found = []
    for sensor in SOURCES:
        source, called = deployment.sources[sensor], "The collection's"
        in_order = f"{called} names of {', '.join(source.bands)}, in this order."
        found += [
            collection(f"{sensor}_collection", f"Collection of Sentinel-{sensor[1]}.", source),
            number(f"{sensor}_scale", _stored(sensor), source.scale),
            number(f"{sensor}_offset", _stored(sensor), source.offset),
            names(f"{sensor}_bands", in_order, source.bands.values(), all_of_them=True),
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
            described = f"{called} name of {', '.join(source.flags)}."
            found.append(names(f"{sensor}_flags", described, source.flags.values(), all_of_them=True))
    return found


def _stored(sensor: str) -> str:
    unit = "Backscatter (in `s1_unit`)" if sensor == "s1" else "Reflectance"
    return f"{unit} of Sentinel-{sensor[1]} = stored value x scale + offset; 1 and 0 if it is that already."


def _both_sensors(deployment: Deployment) -> PGNode:
    """Load both sensors on the grid of Sentinel-2, by nearest neighbours as in the network's training.

    Interpolation would mix clouds into pixels whose flags say clear, and only the UDF reads the flags.
    """
    sources = deployment.sources
    optical = load("s2", sources["s2"])
    flags = load_flags("s2", list(sources["s2"].flags))
    radar = load("s1", sources["s1"], {ORBIT_PROPERTY: _equal_to("s1_orbit")})
    return graph.merged(
        optical, graph.on_grid_of(flags, optical, "near"), graph.on_grid_of(radar, optical, "near")
    )


def _equal_to(parameter: str) -> Json:
    """Build a filter by a property: backends take `eq` there, but no choice between it and no filter."""
    condition = PGNode("eq", x=given("value"), y=given(parameter))
    return {"process_graph": condition.flat_graph()}
