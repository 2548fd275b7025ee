import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidCube, InvalidGraph, InvalidParameter, UdfFailed, UnmetRequirement
from openeo_udf_fusion.local import executor, tiles
from tests.local.graphs import (
    NORTH,
    WEST,
    callback,
    code,
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
def cube(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return store(make_cube(), folder, "demo").assign_attrs(folder=folder)


def run(cube, **nodes):
    return executor.load(process(a=load("demo"), **nodes), workspace(cube.attrs["folder"]))


def neighborhood(text, context=None, overlap=None, parents=None, **size):
    return node(
        "apply_neighborhood",
        data=of("a"),
        process=udf(text, context),
        size=px(**{"y": 5, "x": 6, **size}),
        **({"overlap": overlap} if overlap else {}),
        **({"context": parents} if parents is not None else {}),
    )


# A UDF that writes down what it got as its (only) values: dims, dtype, coordinates, attributes.
def probe(expression, dims="keep"):
    return code(f"seen = float({expression})\nreturn xr.full_like(cube, seen)")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cube.dims == ('t', 'bands', 'y', 'x')", 1),
        ("cube.dtype == np.float32", 1),
        ("cube.sizes['t']", 4),
        ("cube.sizes['y'] * 100 + cube.sizes['x']", 5 * 100 + 6 + 2 * (100 * 2 + 3)),
        ("cube.x.dtype == np.float32 and cube.y.dtype == np.float32", 1),
        ("'spatial_ref' in cube.coords or len(cube.attrs)", 0),
        ("list(cube.bands.values) == ['red', 'nir']", 1),
        ("cube.t.dtype == np.dtype('datetime64[ns]')", 1),
    ],
)
def test_a_neighborhood_gets_chunks_as_promised(cube, expression, expected):
    result = run(cube, n=neighborhood(probe(expression), overlap=px(2, 3)))
    assert np.unique(result).tolist() == [expected]


def test_the_coordinates_of_a_chunk_are_those_of_its_pixels_overlap_included(cube):
    text = code(
        "return cube * 0 + cube.x.astype('float32') - cube.x.astype('float32') + (cube.y[0] - cube.y)"
    )
    rows = run(cube, n=neighborhood(text, overlap=px(2, 0))).isel(t=0, bands=0, x=0)
    # Row 0 of the core is row 2 of the chunk: 20 m below its first.
    seen = rows.values[~np.isnan(rows.values)]
    assert set(seen) <= {20.0, 30.0, 40.0, 50.0, 60.0}


@pytest.mark.parametrize("parent", ["apply", "apply_dimension", "reduce_dimension", "apply_neighborhood"])
def test_each_date_alone_comes_as_bands_y_x_with_its_date(cube, parent):
    text = code(
        "assert cube.dims == ('bands', 'y', 'x'), cube.dims\n"
        "assert cube.dtype == np.float32\n"
        "return xr.full_like(cube, cube.attrs['t'].dayofyear)[:1]"
    )
    arguments = {
        "apply": {"process": udf(text, data="x")},
        "apply_dimension": {"process": udf(text), "dimension": "bands"},
        "reduce_dimension": {"reducer": udf(text), "dimension": "bands"},
        "apply_neighborhood": {"process": udf(text), "size": px(5, 6, t="P1D")},
    }[parent]
    result = run(cube, n=node(parent, data=of("a"), **arguments))
    assert result.dims == (("t", "y", "x") if parent == "reduce_dimension" else ("t", "bands", "y", "x"))
    np.testing.assert_array_equal(result.t, cube.t)
    assert np.unique(result.isel(t=1)).tolist() == [15]


def test_along_t_a_udf_gets_all_dates_and_may_change_or_remove_them(cube):
    mean = code("assert cube.dims == ('t', 'bands', 'y', 'x')\nreturn cube.mean('t')")
    reduced = run(cube, n=node("reduce_dimension", data=of("a"), reducer=udf(mean), dimension="t"))
    np.testing.assert_allclose(reduced, cube.mean("t"), rtol=1e-6)
    assert reduced.dims == ("bands", "y", "x")
    two = code("return cube[:2].assign_coords(t=np.array(['2021-01-01', '2021-02-01'], 'datetime64[ns]'))")
    changed = run(cube, n=node("apply_dimension", data=of("a"), process=udf(two), dimension="t"))
    assert [str(date)[:10] for date in changed.t.values] == ["2021-01-01", "2021-02-01"]
    np.testing.assert_array_equal(changed.values, cube.values[:2])


def test_the_context_of_the_parent_arrives_by_reference_alone(cube):
    text = code("return xr.full_like(cube, context.get('gain', -1))")
    parents = {"gain": 3}
    through = neighborhood(text, {"from_parameter": "context"}, parents=parents)
    own = neighborhood(text, {"gain": 5}, parents=parents)
    none = neighborhood(text, parents=parents)
    assert [run(cube, n=n).values.max() for n in (through, own, none)] == [3, 5, -1]


def test_bands_may_change_and_get_their_labels_from_apply_metadata(cube):
    text = (
        "from openeo.metadata import CollectionMetadata\n\n"
        "def apply_metadata(metadata: CollectionMetadata, context: dict) -> CollectionMetadata:\n"
        "    return metadata.rename_labels('bands', [b + '_x' for b in metadata.band_names] + ['more'])\n\n"
    ) + code("return xr.DataArray(np.concatenate([cube, cube[:, :1]], axis=1), dims=cube.dims)")
    text = text.replace(
        "metadata.rename_labels('bands', [b + '_x' for b in metadata.band_names] + ['more'])",
        "metadata.filter_bands(['red']).append_band(__import__('openeo').metadata.Band('b')).append_band("
        "__import__('openeo').metadata.Band('c'))",
    )
    assert run(cube, n=neighborhood(text)).bands.values.tolist() == ["red", "b", "c"]


def test_bands_that_contradict_apply_metadata_are_refused(cube):
    text = ("def apply_metadata(metadata, context):\n    return metadata.filter_bands(['nir'])\n\n") + code(
        "return cube.sel(bands=['red'])"
    )
    with pytest.raises(InvalidCube, match=r"promises the bands \['nir'\].*returned \['red'\]"):
        run(cube, n=neighborhood(text))


@pytest.mark.parametrize("overlap", [None, px(2, 2)])
def test_a_finer_result_gets_finer_coordinates(cube, overlap):
    text = code(
        "values = np.repeat(np.repeat(cube.values, 2, axis=2), 2, axis=3)\n"
        "return xr.DataArray(values, dims=cube.dims, coords={'t': cube.t, 'bands': cube.bands})"
    )
    result = run(
        cube,
        n=neighborhood(text, overlap=overlap),
        m=node("rename_labels", data=of("n"), dimension="bands", target=["r", "i"]),
    )
    np.testing.assert_array_equal(result.values, np.repeat(np.repeat(cube.values, 2, axis=2), 2, axis=3))
    assert result.x.values[:2].tolist() == [WEST + 2.5, WEST + 7.5]
    assert result.y.values[:2].tolist() == [NORTH - 2.5, NORTH - 7.5]
    assert result.rio.crs.to_epsg() == 32631


def test_a_coarser_result_gets_coarser_coordinates(cube):
    text = code("return cube.coarsen(y=2, x=2).mean().drop_vars(['y', 'x'])")
    result = run(cube, n=neighborhood(text, y=6, x=6))
    whole = cube.coarsen(y=2, x=2, boundary="pad").mean()
    assert result.shape == whole.shape
    np.testing.assert_allclose(result.values, whole.values, rtol=1e-5)
    np.testing.assert_allclose(result.x[:3], [WEST + 10, WEST + 30, WEST + 50])


FINER_BY_VALUE = code(
    "finer = {condition}\n"
    "values = np.repeat(np.repeat(cube.values, 2, axis=2), 2, axis=3) if finer else cube.values\n"
    "return xr.DataArray(values, dims=cube.dims, coords={{'t': cube.t, 'bands': cube.bands}})"
)


def test_a_later_tile_of_another_resolution_names_the_node_and_both_sizes(tmp_path, monkeypatch):
    """The first chunk comes back finer, those further south do not."""
    monkeypatch.setattr(tiles, "TILE_PX", 6)
    monkeypatch.setattr(tiles, "MINIMAL_TILE_PX", 4)
    store(make_cube(40, 40), tmp_path, "demo")
    text = FINER_BY_VALUE.format(condition=f"cube.y.values[0] > {NORTH - 60}")
    pg = process(a=load("demo"), n=neighborhood(text, y=6, x=6, overlap=px(1, 1)))
    with pytest.raises(InvalidCube, match=r"node 'n' .*16 x 16 pixels for one chunk of 8 x 8 and 8 x 8 for"):
        executor.run(pg, workspace(tmp_path), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_resolution_that_changes_with_every_attempt_is_refused(cube, tmp_path):
    seen = f"__import__('pathlib').Path('{tmp_path}/seen')"
    text = FINER_BY_VALUE.format(condition=f"not {seen}.exists()\n    {seen}.touch()")
    with pytest.raises(InvalidCube, match=r"node 'n' .* 64 x 64 pixels .* 32 x 32 and 32 x 32 for another"):
        run(cube, n=neighborhood(text, y=32, x=32))


def test_chunks_of_another_resolution_are_described_by_it(cube):
    text = FINER_BY_VALUE.format(condition=f"cube.y.values[0] > {NORTH - 30}")
    with pytest.raises(InvalidCube, match=r"1 x .* for one chunk and .* 2 x as many pixels a side"):
        run(cube, n=neighborhood(text))


def test_attributes_of_a_result_stay(cube):
    text = code("return cube.assign_attrs(process='p', band_attrs={'red': {'units': '1'}})")
    result = run(cube, n=neighborhood(text))
    assert result.attrs["process"] == "p"
    assert result.attrs["band_attrs"]["red"] == {"units": "1"}


def test_a_date_that_came_in_twice_may_go_out_twice(tmp_path):
    """Terra and Aqua on one day, which GeoTIFFs keep apart by a number."""
    cube = make_cube(dates=3)
    store(cube.isel(t=[0, 0, 1, 2, 2, 2]), tmp_path, "demo")
    pg = process(a=load("demo"), n=neighborhood(code("return cube * 2")))
    out = tmp_path / "out"
    files = executor.run(pg, workspace(tmp_path), out / "r.tif", format="GTiff").files
    assert [file.stem[12:] for file in files] == ["", "_2", "", "", "_2", "_3"]
    back = executor.load(process(a=load("out")), workspace(tmp_path))
    np.testing.assert_array_equal(back.t, cube.t[[0, 0, 1, 2, 2, 2]])
    np.testing.assert_allclose(back.values, 2 * cube.values[[0, 0, 1, 2, 2, 2]], rtol=1e-6)


def test_a_date_that_came_in_once_may_not_go_out_twice(tmp_path):
    store(make_cube(dates=3).isel(t=[0, 0, 1, 2]), tmp_path, "demo")
    n = neighborhood(code("return cube.isel(t=[0, 1, 2, 2])"))
    with pytest.raises(InvalidCube, match="only a date that its input has twice"):
        executor.load(process(a=load("demo"), n=n), workspace(tmp_path))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return cube.transpose('y', 'x', 'bands', 't')", "in this order"),
        ("return cube.rename(bands='band')", "production backend takes"),
        ("return cube[..., :3]", "both sides must change by one ratio"),
        ("return cube[:2].drop_vars('t')", "coordinate 't'"),
        ("return cube[::-1]", "ascending"),
        ("return xr.DataArray(cube.values[:, :1], dims=cube.dims)", "apply_metadata"),
    ],
)
def test_results_that_no_backend_takes_say_what_to_change(cube, body, message):
    with pytest.raises(InvalidCube, match=message):
        run(cube, n=neighborhood(code(body)))


def test_other_dates_in_another_chunk_are_refused(cube):
    text = code("return cube[: 2 + int(cube.x[0] > 500_050)]")
    with pytest.raises(InvalidCube, match=r"3 dates.*2 dates.*regular dates"):
        run(cube, n=neighborhood(text))


def test_a_udf_that_raises_shows_its_own_line(cube, tmp_path):
    log = []
    pg = process(a=load("demo"), n=neighborhood(code("print('so far')\nraise KeyError('mine')")))
    with pytest.raises(UdfFailed, match="KeyError: 'mine'") as failure:
        executor.run(pg, workspace(cube.attrs["folder"]), tmp_path, log=log.append)
    assert "in apply_datacube\n    raise KeyError('mine')" in str(failure.value)
    # Who runs it tells the error; said here as well it would be there twice.
    assert [(entry.level, entry.message) for entry in log] == [("info", "so far")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def apply_datacube(cube, context):\n    return cube\n", "with these very annotations"),
        ("from __future__ import annotations\n" + code("return cube"), "unquoted and without"),
        ("def broken(:\n", "SyntaxError"),
        (code("import os\nos._exit(3)"), "exit code 3"),
        (code("raise SystemExit(1)"), "SystemExit"),
    ],
)
def test_code_that_cannot_run_says_why(cube, text, message):
    with pytest.raises(UdfFailed, match=message):
        run(cube, n=neighborhood(text))


def test_what_a_udf_prints_and_inspects_is_logged(cube, tmp_path):
    body = "from openeo.udf import inspect\nimport sys\nprint('out')\nprint('err', file=sys.stderr)\n"
    body += "inspect(data=[1], message='seen', level='warning')\nreturn cube"
    log = []
    pg = process(a=load("demo"), n=neighborhood(code(body), y=32, x=32))
    executor.run(pg, workspace(cube.attrs["folder"]), tmp_path, log=log.append)
    assert [(entry.level, entry.message) for entry in log] == [
        ("info", "out"),
        ("warning", "err"),
        ("warning", "seen [1]"),
    ]


def test_unmet_requirements_are_named_and_nothing_runs(cube):
    block = '# /// script\n# dependencies = ["numpy>=1", "xarray<1", "no-such-thing==3"]\n# ///\n'
    with pytest.raises(
        UnmetRequirement, match=r"'xarray<1', installed is xarray .*'no-such-thing==3'.*not installed"
    ) as e:
        run(cube, n=neighborhood(block + code("raise RuntimeError")))
    assert "numpy" not in str(e.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": px(3, 8)}, "at least 4 px"),
        ({"size": px(8, 8)[:1]}, "along x must be a whole number of pixels"),
        (
            {"size": [{"dimension": "x", "value": 8}, *px(8, 8)[:1]]},
            "along x must be a whole number of pixels",
        ),
        ({"overlap": px(9, 1)}, "shift the result silently"),
        ({"size": px(8, 8, t="P2D")}, "'P2D'"),
        ({"overlap": px(1, 1, t="P1D")}, "overlap in time"),
        ({"size": px(8, 8, bands=1)}, "dimensions x, y and t"),
        ({"size": None}, "must be a list"),
        ({"context": 3, "process": udf("", {"from_parameter": "context"})}, "must be an object"),
        ({}, "runtime must be 'Python'"),
    ],
)
def test_neighborhoods_that_no_backend_takes_are_refused(cube, change, message):
    arguments = {"process": udf(code("return cube")), "size": px(8, 8), **change}
    pg = process(a=load("demo"), n=node("apply_neighborhood", data=of("a"), **arguments))
    pg["process_graph"]["n"]["arguments"]["process"]["process_graph"]["udf"]["arguments"].update(
        {"runtime": "R"} if "runtime" in message else {}
    )
    (error,) = executor.check(pg, workspace(cube.attrs["folder"]))
    assert isinstance(error, InvalidParameter)
    assert message in str(error)
    with pytest.raises(InvalidParameter):
        executor.load(pg, workspace(cube.attrs["folder"]))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"n": node("run_udf", data=of("a"), udf="", runtime="Python")}, "on a whole data cube"),
        (
            {"n": node("aggregate_temporal_period", data=of("a"), period="month", reducer=udf(""))},
            "may stand in the callback of",
        ),
        (
            {
                "n": node(
                    "apply",
                    data=of("a"),
                    process=callback(
                        u=node("run_udf", data={"from_parameter": "x"}, udf="", runtime="Python"),
                        m=node("multiply", x=of("u"), y=2),
                    ),
                )
            },
            "a run_udf and nothing else",
        ),
        (
            {
                "n": node(
                    "apply_neighborhood",
                    data=of("a"),
                    size=px(8, 8),
                    process=callback(m=node("mean", data={"from_parameter": "data"})),
                )
            },
            "a run_udf and nothing else",
        ),
        ({"n": node("apply", data=of("a"), process=udf(None, data="x"))}, "a literal string"),
    ],
)
def test_udfs_in_the_wrong_place_are_refused(cube, nodes, message):
    with pytest.raises(InvalidGraph, match=message):
        run(cube, **nodes)
