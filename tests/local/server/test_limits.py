"""Limits as an operator writes them."""

from dataclasses import replace

import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local.graph_limits import GraphLimits
from openeo_udf_fusion.local.server.limits import Limits, parse_limits


def test_what_is_named_is_changed_and_nothing_else():
    assert parse_limits([]) == Limits()
    changed = parse_limits(["jobs_per_user=50", "graph.nodes=2000", "body_seconds=0.5", "graph.depth=20"])
    graph = replace(GraphLimits(), nodes=2000, depth=20)
    assert changed == replace(Limits(), jobs_per_user=50, body_seconds=0.5, graph=graph)


@pytest.mark.parametrize("text", ["job=5", "graph=5", "graph.x=5", "=5", "", "nodes=5"])
def test_an_unknown_name_is_told_the_known_ones(text):
    with pytest.raises(InvalidParameter, match=r"jobs_per_user.*graph\.nodes"):
        parse_limits([text])


@pytest.mark.parametrize(
    "text",
    [
        "jobs_per_user",
        "jobs_per_user=",
        "jobs_per_user=0",
        "jobs_per_user=-1",
        "jobs_per_user=1.5",
        "jobs_per_user=x",
        "body_seconds=nan",
        "body_seconds=inf",
        "body_seconds=0",
    ],
)
def test_a_limit_is_a_number_above_zero(text):
    with pytest.raises(InvalidParameter, match="above 0"):
        parse_limits([text])


def test_no_graph_is_so_deep_that_the_stack_ends():
    with pytest.raises(InvalidParameter, match="at most 200"):
        parse_limits(["graph.depth=201"])
