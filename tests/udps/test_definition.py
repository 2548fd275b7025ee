import pytest
from openeo.internal.graph_building import PGNode

from openeo_udf_fusion.udps import PUBLISHED, sources
from openeo_udf_fusion.udps.definition import Definition
from openeo_udf_fusion.udps.graph import RESULT_EXTENT


def fill_gaps(cube, temporal_extent=None, order=2):
    """Stand in for a process's function."""
    return cube, temporal_extent, order


@pytest.fixture
def definition():
    described = {"temporal_extent": RESULT_EXTENT, "order": ("Of the curve.", {"type": "integer"})}
    return Definition("fill_gaps", "Fill", "A cube.", ["cubes"], fill_gaps, described)


def named(process):
    return [parameter["name"] for parameter in process["parameters"]]


def context(process):
    return next(
        node["arguments"]["context"]
        for node in process["process_graph"].values()
        if node["process_id"] == "apply_neighborhood"
    )


def test_the_function_tells_parameters_and_defaults(definition):
    built = definition.of_cube(PUBLISHED)
    assert built["id"] == "fill_gaps_cube"
    assert named(built) == ["data", "temporal_extent", "order"]
    assert [parameter.get("default") for parameter in built["parameters"]] == [None, None, 2]
    assert list(context(built)) == ["temporal_extent", "order"]


def test_an_area_needs_its_period_and_takes_its_sources_on_either_side(definition):
    data = PGNode("load_collection", id="any")
    before, after = (sources.number(name, "A number.", 1.0) for name in ("scale", "offset"))
    built = definition.of_area(data, PUBLISHED, before=[before], after=[after])
    assert named(built) == ["spatial_extent", "temporal_extent", "scale", "order", "offset"]
    assert "default" not in built["parameters"][1]
    assert list(context(built)) == ["temporal_extent", "order"]


def test_a_parameter_that_nobody_described_is_an_error(definition):
    forgetful = Definition("fill_gaps", "Fill", "A cube.", [], fill_gaps, {})
    with pytest.raises(KeyError, match="temporal_extent"):
        forgetful.of_cube(PUBLISHED)


@pytest.mark.parametrize(
    ("all_of_them", "count"), [(False, {"minItems": 1}), (True, {"minItems": 2, "maxItems": 2})]
)
def test_how_many_names_a_source_takes(all_of_them, count):
    parameter = sources.names("bands", "Of the bands.", {"B1": 1, "B2": 2}, all_of_them=all_of_them)
    assert parameter.schema == {"type": "array", "items": {"type": "string"}, **count}
    assert parameter.default == ["B1", "B2"]
