import pytest

from openeo_udf_fusion.errors import (
    ForbiddenPath,
    InvalidGraph,
    MissingParameter,
    UnknownParameter,
    UnknownProcess,
)
from openeo_udf_fusion.local.inline import inline
from tests.local.graphs import callback, given, load, node, of, process, udf


def parameter(name, **more):
    return {"name": name, "description": "", "schema": {}, **more}


def udp(*parameters, **nodes):
    return {**process(**nodes), "parameters": list(parameters)}


SCALE = udp(
    parameter("data"),
    parameter("factor", optional=True, default=2),
    scaled=node(
        "apply", data=given("data"), process=callback(m=node("multiply", x=given("x"), y=given("factor")))
    ),
)
TWICE = udp(
    parameter("data"),
    one=node("scale", data=given("data")),
    two=node("scale", data=of("one"), factor=5),
)
KNOWN = {"scale": SCALE, "twice": TWICE}


def flat(pg, known=KNOWN, **more):
    return inline(pg, lambda process_id, namespace: known.get(process_id), **more)


def factors(graph):
    return [
        n["arguments"]["process"]["process_graph"]["m"]["arguments"]["y"]
        for n in graph.values()
        if n["process_id"] == "apply"
    ]


def test_a_process_without_parameters_stays_as_it_is():
    pg = process(a=load("c"), b=node("ndvi", data=of("a")))
    assert flat(pg) == pg["process_graph"]


def test_nested_processes_are_expanded_with_their_defaults_and_named_apart():
    graph = flat(process(a=load("c"), b=node("twice", data=of("a")), c=node("ndvi", data=of("b"))))
    assert {n["process_id"] for n in graph.values()} == {"load_collection", "apply", "ndvi"}
    assert factors(graph) == [2, 5]
    assert graph["c"]["arguments"]["data"] == of("b")
    assert graph["b"]["arguments"]["data"] == of("b_one")
    assert graph["b_one"]["arguments"]["data"] == of("a")


def test_the_result_of_a_user_process_may_be_the_result_of_the_graph():
    graph = flat(process(a=load("c"), b=node("scale", data=of("a"), factor=3)))
    assert [name for name, n in graph.items() if n.get("result")] == ["b"]
    assert factors(graph) == [3]


def test_names_that_are_taken_get_a_number():
    graph = flat(process(b_one=load("c"), b=node("twice", data=of("b_one"))))
    assert set(graph) == {"b_one", "b", "b_one_2"}
    assert graph["b_one_2"]["arguments"]["data"] == of("b_one")


def test_top_level_parameters_are_substituted_everywhere():
    pg = process(
        a=load(given("id"), spatial_extent=given("box")),
        b=node("filter_bands", data=of("a"), bands=["x", given("band")]),
    )
    pg["parameters"] = [
        parameter("id", default="c"),
        parameter("box", optional=True),
        parameter("band", default="r"),
    ]
    graph = flat(pg)
    assert graph["a"]["arguments"]["id"] == "c"
    assert graph["a"]["arguments"]["spatial_extent"] is None
    assert graph["b"]["arguments"]["bands"] == ["x", "r"]
    assert flat(pg, arguments={"id": "d"})["a"]["arguments"]["id"] == "d"


def test_a_parameter_inside_the_context_reaches_the_udf():
    known = {
        "p": udp(
            parameter("data"),
            parameter("gain"),
            n=node(
                "apply",
                data=given("data"),
                process=udf("code", {"deep": [{"gain": given("gain")}]}, data="x"),
            ),
        )
    }
    graph = flat(process(a=load("c"), b=node("p", data=of("a"), gain=7)), known)
    run_udf = graph["b"]["arguments"]["process"]["process_graph"]["udf"]
    assert run_udf["arguments"]["context"] == {"deep": [{"gain": 7}]}


@pytest.mark.parametrize("name", ["x", "context"])
def test_parameters_of_a_callback_shadow_those_outside(name):
    pg = process(
        a=load("c"), b=node("apply", data=of("a"), process=callback(m=node("absolute", x=given(name))))
    )
    pg["parameters"] = [parameter(name, default=1)]
    assert flat(pg)["b"]["arguments"]["process"]["process_graph"]["m"]["arguments"]["x"] == given(name)


def test_a_parameter_that_the_callback_does_not_have_is_substituted():
    pg = process(
        a=load("c"), b=node("apply", data=of("a"), process=callback(m=node("absolute", x=given("data"))))
    )
    pg["parameters"] = [parameter("data", default=1)]  # `apply` gives its callback x, not data
    assert flat(pg)["b"]["arguments"]["process"]["process_graph"]["m"]["arguments"]["x"] == 1


def test_user_processes_inside_callbacks_are_expanded():
    known = {"square": udp(parameter("v"), s=node("multiply", x=given("v"), y=given("v")))}
    pg = process(a=load("c"), b=node("apply", data=of("a"), process=callback(m=node("square", v=given("x")))))
    inner = flat(pg, known)["b"]["arguments"]["process"]["process_graph"]["m"]
    assert inner == {
        "process_id": "multiply",
        "arguments": {"x": given("x"), "y": given("x")},
        "result": True,
    }


def test_a_callback_can_be_an_argument_of_a_user_process():
    known = {
        "p": udp(parameter("data"), parameter("f"), n=node("apply", data=given("data"), process=given("f")))
    }
    doubling = callback(m=node("multiply", x=given("x"), y=2))
    assert (
        flat(process(a=load("c"), b=node("p", data=of("a"), f=doubling)), known)["b"]["arguments"]["process"]
        == doubling
    )


def test_a_users_process_hides_a_standard_one():
    known = {"ndvi": udp(parameter("data"), n=node("filter_bands", data=given("data"), bands=["mine"]))}
    assert (
        flat(process(a=load("c"), b=node("ndvi", data=of("a"))), known)["b"]["process_id"] == "filter_bands"
    )


@pytest.mark.parametrize(
    "answer", [{"id": "far", **SCALE}, {"processes": [{"id": "other"}, {"id": "far", **SCALE}]}]
)
def test_a_namespace_that_is_a_url_is_fetched(answer):
    asked = []
    call = {**node("far", data=of("a")), "namespace": "https://example.org/far.json"}
    graph = flat(process(a=load("c"), b=call), fetch=lambda url: asked.append(url) or answer)
    assert asked == ["https://example.org/far.json"]
    assert factors(graph) == [2]
    assert "namespace" not in graph["b"]


def test_without_fetch_a_url_is_refused():
    call = {**node("far", data=of("a")), "namespace": "https://example.org/far.json"}
    with pytest.raises(ForbiddenPath, match=r"example\.org"):
        flat(process(a=load("c"), b=call))


def test_a_cycle_of_processes_names_its_way():
    known = {
        "p": udp(parameter("data"), n=node("q", data=given("data"))),
        "q": udp(parameter("data"), n=node("p", data=given("data"))),
    }
    with pytest.raises(InvalidGraph, match="p -> q -> p"):
        flat(process(a=load("c"), b=node("p", data=of("a"))), known)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, MissingParameter, "'data'"),
        ({"data": of("a"), "facter": 3}, UnknownParameter, "'facter'.*data, factor"),
    ],
)
def test_arguments_of_user_processes_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        flat(process(a=load("c"), b=node("scale", **arguments)))


def test_a_parameter_without_value_is_an_error_unless_allowed():
    pg = process(a=load(given("id")))
    pg["parameters"] = [parameter("id")]
    with pytest.raises(MissingParameter, match="'id'"):
        flat(pg)
    assert flat(pg, allow_unresolved=True)["a"]["arguments"]["id"] == given("id")


def test_an_unknown_process_brings_its_neighbours_to_mind():
    with pytest.raises(UnknownProcess, match=r"'ndwi'.*ndvi"):
        flat(process(a=load("c"), b=node("ndwi", data=of("a"))))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({}, "non-empty"),
        ({"a": {"process_id": "ndvi"}}, "exactly one node"),
        ({"a": {**load("c"), "result": True}, "b": {**load("c"), "result": True}}, "'a' and 'b'"),
        ({"a": {**node("ndvi", data=of("z")), "result": True}}, "'z', which does not exist"),
        ({"a": {**node("ndvi", data=of("b")), "result": True}, "b": node("ndvi", data=of("a"))}, "cycle"),
        ({"a": {"arguments": {}, "result": True}}, "needs a 'process_id'"),
        ({"a": {"process_id": "ndvi", "arguments": [], "result": True}}, "must be an object"),
    ],
)
def test_broken_graphs_say_what_is_broken(graph, message):
    with pytest.raises(InvalidGraph, match=message):
        flat({"process_graph": graph})


def doubling(levels):
    """Processes each of which uses the one before twice."""
    known = {"p0": udp(parameter("x"), n=node("add", x=given("x"), y=1))}
    for level in range(1, levels + 1):
        inner = f"p{level - 1}"
        known[f"p{level}"] = udp(parameter("x"), a=node(inner, x=given("x")), b=node(inner, x=of("a")))
    return known


def test_doubling_processes_end_before_memory_does():
    pg = process(n=node("p20", x=1))
    with pytest.raises(InvalidGraph, match=r"more than 10000 nodes .* -> "):
        flat(pg, doubling(60))
    assert len(flat(process(n=node("p8", x=1)), doubling(8))) == 2**8


def test_doubling_processes_within_a_callback_end_too():
    pg = process(a=load("c"), b=node("apply", data=of("a"), process=callback(n=node("p20", x=given("x")))))
    with pytest.raises(InvalidGraph, match="more than 10000 nodes"):
        flat(pg, doubling(60))
