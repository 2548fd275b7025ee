import pytest

from openeo_udf_fusion.local.standard.argument_types import type_errors


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"type": "string"}, ["t", None, {"from_parameter": "p"}, {"from_node": "n"}], [3, ["t"], {}, True]),
        ({"type": "object"}, [{"west": 1}, {"process_graph": {}}], [3, "x", []]),
        ({"type": ["number", "null"]}, [3, 0.5], ["3", True, []]),
        ({"type": "integer"}, [3, 3.0], [0.5, float("nan"), False]),
        ({"type": "boolean"}, [True], [1, "true"]),
        ([{"type": "array"}, {"type": "string"}], [[], "x"], [3, {}]),
        ([{"type": "array"}, {"title": "anything"}], [[], 3, {}], []),
        ({}, [3, "x", [], {}], []),
    ],
)
def test_the_outermost_type_counts(schema, right, wrong):
    parameters = [{"name": "p", "schema": schema}]
    assert [type_errors("f", {"p": value}, parameters) for value in right] == [[]] * len(right)
    assert [len(type_errors("f", {"p": value}, parameters)) for value in wrong] == [1] * len(wrong)


def test_the_error_names_process_parameter_types_and_value():
    (error,) = type_errors("save_result", {"options": 3}, [{"name": "options", "schema": {"type": "object"}}])
    assert str(error) == "save_result: 'options' must be of type object, got 3"


def test_a_parameter_without_schema_or_argument_is_fine():
    assert type_errors("f", {"a": 1}, [{"name": "a"}, {"name": "b", "schema": {"type": "string"}}]) == []
