"""Graphs are parsed in a time that grows with their nodes, and results live until their last use."""

import pytest

from openeo_udf_fusion.local.evaluation import ParsedGraph
from tests.local.graphs import node, of

ADD = {"add": lambda x, y, **_: x + y}


def diamonds(count, first):
    """Each node adds the one before to itself."""
    graph = {"n0": first}
    for number in range(1, count + 1):
        graph[f"n{number}"] = node("add", x=of(f"n{number - 1}"), y=of(f"n{number - 1}"))
    graph[f"n{count}"]["result"] = True
    return graph


def evaluated(graph, seen):
    def run_node(name, process_id, arguments):
        seen.append(name)
        return arguments["process"]() if process_id == "apply" else ADD["add"](**arguments)

    return ParsedGraph(graph, ADD).evaluate(run_node, lambda user, used, result: result)


@pytest.mark.timeout(20)
def test_diamonds_of_references_are_walked_once():
    seen = []
    assert evaluated(diamonds(60, node("add", x=1, y=0)), seen) == 2**60
    assert seen == [f"n{number}" for number in range(61)]


@pytest.mark.timeout(20)
def test_diamonds_within_a_callback_are_walked_once():
    inner = {"process_graph": diamonds(60, node("add", x=1, y=0))}
    assert evaluated({"a": {**node("apply", process=inner), "result": True}}, []) == 2**60


def test_a_node_runs_right_before_its_first_use():
    """Two loads in a row would keep both in memory."""
    graph = {
        "load1": node("add", x=1, y=0),
        "load2": node("add", x=2, y=0),
        "less1": node("add", x=of("load1"), y=0),
        "less2": node("add", x=of("load2"), y=0),
        "not needed": node("add", x=of("load2"), y=0),
        "both": {**node("add", x=of("less1"), y=of("less2")), "result": True},
    }
    seen = []
    assert evaluated(graph, seen) == 3
    assert seen == ["load1", "less1", "load2", "less2", "both"]
