"""What the processes that fuse Landsat and Sentinel-2 share: parameters, sources, grids, tiles."""

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode

from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes import landsat_sentinel2 as shared
from openeo_udf_fusion.processes.landsat_cells import CELL_PX
from openeo_udf_fusion.udps import graph
from openeo_udf_fusion.udps.deployments import Deployment, Source
from openeo_udf_fusion.udps.graph import Described, given
from openeo_udf_fusion.udps.sources import collection, load, load_flags, names, number

TILE_PX = 96
"""Whole cells of Landsat. With its margins such a tile of a year of both sensors is some 200 MB."""
CELL_M = 30
LST = "l8_lst"
"""Landsat's surface temperature among the sources: it has a scale of its own, or a collection."""
PLATFORMS = ("landsat-8", "landsat-9")
"""As catalogues of `landsat-c2-l2` write them; other Landsats give the same numbers to other bands."""
_NAMED_DATES = {
    "type": "string",
    "description": '"twice_monthly", "acquisition", or an ISO 8601 period such as "P8D" or "P1M".',
}
_LISTED_DATES = {
    "type": "array",
    "items": {"type": "string", "subtype": "date", "format": "date"},
    "minItems": 1,
    "maxItems": shared.MOST_DATES,
}
_EXTENT: Described = (
    "The period of the result, left-closed; the network counts days from its start. Needed unless `dates` is "
    "a list.",
    graph.RESULT_EXTENT[1],
)
FUSED_DATES: Described = (
    "The dates of the result: `twice_monthly` for the 1st and 15th of each month, an ISO 8601 period (`P8D` "
    "restarts on 1 January, `P1M` is the 1st of each month), `acquisition` for every date of the input, or a "
    f"list of dates. At most {shared.MOST_DATES}.",
    [_NAMED_DATES, _LISTED_DATES],
)
_DISTANCES: Described = (
    "Add bands with the days to the nearest clear observation, by the sensor itself and by either.",
    {"type": "boolean"},
)
PRECISION: Described = (
    "Precision of the network; bfloat16 is faster where the processor has it, for Sentinel-2's bands alone, "
    "and where the model's card says that it was checked.",
    {"type": "string", "enum": ["float32", "bfloat16"]},
)
_MODEL: Described = (
    "Name of the network's card: one of the package, or of the folder that the operator of the backend "
    "set up.",
    {"type": "string"},
)
_OFFSET: Described = (
    "Row and column, 0 to 2, of the cube's pixel at which a cell of Landsat's 30 m begins, where Landsat was "
    "repeated onto the grid of 10 m.",
    {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 2}, "minItems": 2, "maxItems": 2},
)
DESCRIBED: dict[str, Described] = {
    "temporal_extent": _EXTENT,
    "days_to_observation": _DISTANCES,
    "model": _MODEL,
    "landsat_cell_offset_px": _OFFSET,
}
"""Parameters of all three processes."""


def acquisition_dates(sensor: str) -> Described:
    """Describe dates that are a sensor's own, or listed."""
    return (
        f"The dates of the result: `acquisition` for those of {sensor}, or a list of dates. At most "
        f"{shared.MOST_DATES}.",
        [{"type": "string", "enum": ["acquisition"]}, _LISTED_DATES],
    )


def overlap_px(beyond_px: int = 0) -> int:
    """Return the overlap of tiles: what the network sees and what is done with its answer, in whole cells."""
    seen = cards.read(shared.MODEL).receptive_field_px + beyond_px
    return -(-seen // CELL_PX) * CELL_PX


# --- where both sensors are


def source_parameters(deployment: Deployment) -> list[Parameter]:
    """Return where each sensor is, how its numbers are stored, and what its bands are called."""
    optical, landsat, thermal = (deployment.sources[name] for name in ("s2", "l8", LST))
    called = "The collection's"
    return [
        *_stored("s2", "Sentinel-2", "Reflectance", optical),
        names("s2_bands", _in_order(optical), optical.bands.values(), all_of_them=True),
        names("s2_flags", f"{called} name of s2_SCL.", optical.flags.values(), all_of_them=True),
        *_stored("l8", "Landsat's reflectance", "Reflectance", landsat),
        names("l8_bands", f"{called} names of Landsat's bands of reflectance.", landsat.bands.values()),
        names("l8_labels", "What `l8_bands` are, in their order: `l8_B1`..`l8_B7`.", landsat.bands),
        names("l8_flags", f"{called} names of Landsat's QA bands.", landsat.flags.values()),
        names(
            "l8_flag_labels",
            "What `l8_flags` are, in their order: `l8_QA_PIXEL`, `l8_pixel_qa`.",
            landsat.flags,
        ),
        *_stored(LST, "Landsat's surface temperature", "Kelvin", thermal),
        names(f"{LST}_bands", f"{called} name of l8_LST.", thermal.bands.values(), all_of_them=True),
        names(
            "l8_platforms",
            "What Landsat is loaded, as the catalogue's `platform` writes it. Bands of Landsat 4 to 7 have "
            "the same names and other wavelengths.",
            PLATFORMS,
        ),
    ]


def _stored(name: str, of: str, unit: str, source: Source) -> list[Parameter]:
    described = f"{unit} of {of} = stored value x scale + offset; 1 and 0 if it is that already."
    return [
        collection(f"{name}_collection", f"Collection of {of}.", source),
        number(f"{name}_scale", described, source.scale),
        number(f"{name}_offset", described, source.offset),
    ]


def _in_order(source: Source) -> str:
    return f"The collection's names of {', '.join(source.bands)}, in this order."


def both_sensors(deployment: Deployment) -> PGNode:
    """Load both sensors on the grid of Sentinel-2, Landsat on cells of 30 m that begin at its corner.

    Landsat's own grid lies half a pixel beside: bilinear interpolation onto those cells moves it, and its
    clouds, whose flags reach beyond them. Then each cell is repeated on its 3 x 3 pixels. Sentinel-2's flags
    are not interpolated, nor are bands under its clouds mixed into clear ones here.
    """
    optical = load("s2", deployment.sources["s2"])
    cells = PGNode("resample_spatial", data=optical, resolution=CELL_M, method="near", align="upper-left")

    def on_cells(data: PGNode, method: str) -> PGNode:
        return graph.on_grid_of(graph.on_grid_of(data, cells, method), optical, "near")

    chosen = {"platform": _one_of("l8_platforms")}
    stored = graph.load(given("l8_bands"), given("l8_collection"), given("l8_labels"), chosen)
    reflectance = _scaled("l8", stored)
    thermal = load(LST, deployment.sources[LST], chosen)
    return graph.merged(
        optical,
        graph.on_grid_of(load_flags("s2", list(deployment.sources["s2"].flags)), optical, "near"),
        on_cells(reflectance, "bilinear"),
        on_cells(thermal, "bilinear"),
        on_cells(load_flags("l8", given("l8_flag_labels"), chosen), "near"),
    )


def _scaled(name: str, stored: PGNode) -> PGNode:
    scale: JsonValue = given(f"{name}_scale")
    return graph.scaled(stored, scale, given(f"{name}_offset"))


def _one_of(parameter: str) -> Json:
    """Build a filter by a property that backends take: `eq`, `lte`, `gte` and `array_contains`, no more."""
    condition = PGNode("array_contains", data=given(parameter), value=given("value"))
    return {"process_graph": condition.flat_graph()}
