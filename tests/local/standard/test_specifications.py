import pytest

from openeo_udf_fusion.local.locality import PIXELWISE
from openeo_udf_fusion.local.standard.registry import implementations
from openeo_udf_fusion.local.standard.specifications import (
    EXECUTED_BY_NAME,
    callback_parameters,
    check_arguments,
    specifications,
    unknown_process,
)


def test_everything_that_is_offered_runs():
    assert set(specifications()) <= set(implementations()) | EXECUTED_BY_NAME
    assert set(specifications()) >= EXECUTED_BY_NAME | PIXELWISE


def test_specifications_are_those_of_the_processes():
    for id, spec in specifications().items():
        assert spec["id"] == id
        assert isinstance(spec["parameters"], list)
        assert "returns" in spec


@pytest.mark.parametrize(
    ("process_id", "argument", "names"),
    [
        ("apply", "process", {"x", "context"}),
        ("apply_neighborhood", "process", {"data", "context"}),
        ("merge_cubes", "overlap_resolver", {"x", "y", "context"}),
        ("filter_labels", "condition", {"value", "context"}),
    ],
)
def test_callbacks_have_the_parameters_of_the_specification(process_id, argument, names):
    assert callback_parameters(specifications()[process_id]["parameters"], argument) == names


def test_the_right_call_has_no_errors():
    parameters = specifications()["ndvi"]["parameters"]
    assert check_arguments("ndvi", {"data": {"from_node": "a"}, "nir": "n"}, parameters) == []
    assert len(check_arguments("ndvi", {"date": 1, "nri": "n"}, parameters)) == 3


def test_a_name_that_resembles_nothing_gets_no_hint():
    assert "did you mean" not in str(unknown_process("zzzzzz", None))
    assert "in namespace 'sam'" in str(unknown_process("zzzzzz", "sam"))
