import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from openeo_udf_fusion.local import executor
from openeo_udf_fusion.local.regions import Box, tiles
from openeo_udf_fusion.local.tiles import TILE_BYTES, TILE_PX, ahead, tile_size
from tests.local.graphs import (
    callback,
    code,
    given,
    load,
    make_cube,
    node,
    of,
    process,
    px,
    store,
    udf,
    workspace,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    store(make_cube(), folder, "demo")
    return folder


def survey_of(folder, **nodes):
    return executor.prepare(process(**nodes), workspace(folder)).survey({})


def chunks(name, y, x):
    return node("apply_neighborhood", data=of(name), process=udf(code("return cube")), size=px(y, x))


@pytest.mark.parametrize(
    ("nodes", "bytes_per_pixel", "expected"),
    [
        ({}, 8, (TILE_PX, TILE_PX)),
        ({"b": chunks("a", 64, 128)}, 8, (256, 256)),
        ({"b": chunks("a", 100, 90)}, 8, (200, 180)),
        ({"b": chunks("a", 600, 32)}, 8, (600, 256)),
        ({"b": chunks("a", 32, 64)}, TILE_BYTES // 64**2, (64, 64)),
        ({"b": chunks("a", 128, 128)}, TILE_BYTES // 64**2, (128, 128)),
        ({"b": chunks("a", 32, 48), "c": chunks("b", 48, 32)}, 8, (192, 192)),
    ],
)
def test_tiles_are_whole_chunks_that_fit_into_memory(folder, nodes, bytes_per_pixel, expected):
    survey = survey_of(folder, a=load("demo"), **nodes)
    assert tile_size(survey, bytes_per_pixel) == expected


def test_results_come_in_order_and_no_more_than_the_limit_wait():
    started = []
    taken = threading.Event()

    def work(box):
        started.append(box.x0)
        return box.x0

    boxes = tiles((1, 20), (1, 1))
    with ThreadPoolExecutor(2) as pool:
        results = ahead(pool, work, boxes, lambda: 3)
        first = next(results)
        assert len(started) <= 3
        taken.set()
        assert [first[1], *(value for _, value in results)] == list(range(20))


def test_an_error_ends_the_rest():
    def work(box):
        if box.x0 == 3:
            raise ValueError("here")
        return box.x0

    done = []
    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="here"):
        done.extend(value for _, value in ahead(pool, work, tiles((1, 100), (1, 1)), lambda: 3))
    assert len(done) <= 3


def needs_of(folder, box, **nodes):
    survey = survey_of(folder, a=load("demo"), **nodes)
    return survey.needs(box).results["a"]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ({}, Box(4, 6, 8, 10)),
        ({"b": chunks("a", 5, 6)}, Box(0, 10, 6, 12)),
        (
            {
                "b": node("apply", data=of("a"), process=callback(m=node("absolute", x=given("x")))),
                "c": chunks("b", 4, 4),
            },
            Box(4, 8, 8, 12),
        ),
        (
            {
                "b": node(
                    "apply_neighborhood",
                    data=of("a"),
                    process=udf(code("return cube")),
                    size=px(4, 4),
                    overlap=px(2, 3),
                )
            },
            Box(2, 10, 5, 15),
        ),
        ({"b": node("resample_spatial", data=of("a"), resolution=5.0, method="bilinear")}, Box(0, 6, 1, 8)),
    ],
)
def test_a_tile_needs_its_pixels_and_those_around_them(folder, nodes, expected):
    assert needs_of(folder, Box(4, 6, 8, 10), **nodes) == expected
