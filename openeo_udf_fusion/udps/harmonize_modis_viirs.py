"""The user-defined processes `harmonize_modis_viirs` (area of interest) and `harmonize_modis_viirs_cube`."""

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.processes import harmonize_modis_viirs as process
from openeo_udf_fusion.sensors import FUSED_BANDS
from openeo_udf_fusion.udps import graph
from openeo_udf_fusion.udps.definition import Definition
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment
from openeo_udf_fusion.udps.graph import given
from openeo_udf_fusion.udps.sources import collection, load, load_flags, names, number

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
HARMONIZE = Definition(
    id="harmonize_modis_viirs",
    summary="Harmonise MODIS and VIIRS surface reflectance into one gap-free series with its uncertainty",
    returns="A cube with the target's bands, their uncertainty, and `provenance`: 0 observed, "
    "1 translated on the same day, 2 interpolated, 3 seasonal or extrapolated, 4 refused.",
    categories=["cubes", "reflectance", "sensor fusion"],
    function=process.harmonize_modis_viirs,
    described=_DESCRIBED,
)


def build_cube(deployment: Deployment = PUBLISHED) -> Json:
    """Build `harmonize_modis_viirs_cube`, which works on a cube that the caller loaded and merged."""
    return HARMONIZE.of_cube(deployment, _overlap_px())


def build(deployment: Deployment = PUBLISHED) -> Json:
    """Build `harmonize_modis_viirs`, which loads both collections for an area and a period of interest."""
    numbers, labels = _source_parameters(deployment)
    data = _both_sensors(deployment)
    return HARMONIZE.of_area(data, deployment, _overlap_px(), before=numbers, after=labels)


def _overlap_px() -> int:
    return cards.read(process.MODEL).receptive_field_px


def _source_parameters(deployment: Deployment) -> tuple[list[Parameter], list[Parameter]]:
    """Return what every caller may need (collections, scales, offsets), and the collections' band names."""
    sources = [(sensor, deployment.sources[sensor]) for sensor in FUSED_BANDS]
    numbers = [
        *(
            collection(f"{name}_collection", f"Collection of {name.upper()}.", source)
            for name, source in sources
        ),
        *(number(f"{name}_scale", _stored(name), source.scale) for name, source in sources),
        *(number(f"{name}_offset", _stored(name), source.offset) for name, source in sources),
    ]
    labels = []
    for name, source in sources:
        own, flags = "The collection's names of", f"What `{name}_flags` are, in their order"
        labels += [
            names(f"{name}_bands", f"{own} {', '.join(source.bands)}, in this order.", source.bands.values()),
            names(f"{name}_flags", f"{own} its QA bands.", source.flags.values()),
            names(f"{name}_flag_labels", f"{flags}: {_KNOWN_FLAGS[name]}.", source.flags),
        ]
    return numbers, labels


def _stored(sensor: str) -> str:
    return f"Reflectance of {sensor.upper()} = stored value x scale + offset; 1 and 0 if it is reflectance."


def _both_sensors(deployment: Deployment) -> PGNode:
    """Load both sensors on MODIS' grid.

    Nearest neighbours, for reflectance too: bilinear interpolation would mix clouds into pixels whose flags
    say clear, and only the UDF can read the flags' bits.
    """
    modis, viirs = (load(sensor, deployment.sources[sensor]) for sensor in ("modis", "viirs"))
    modis_flags, viirs_flags = (load_flags(s, given(f"{s}_flag_labels")) for s in ("modis", "viirs"))
    return graph.merged(
        modis,
        graph.on_grid_of(modis_flags, modis, "near"),
        graph.on_grid_of(viirs, modis, "near"),
        graph.on_grid_of(viirs_flags, modis, "near"),
    )
