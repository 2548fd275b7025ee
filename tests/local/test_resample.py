"""Resampling gives a tile what it gives the whole."""

import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.local import executor
from tests.local.graphs import blur, load, node, of, process, read, store, workspace


@pytest.mark.parametrize("method", ["near", "bilinear", "average"])
def test_pixels_of_uneven_size_are_not_resampled(cube, tmp_path, method):
    store(cube, tmp_path, "demo")
    doubling = 500_000 + 2.0 ** np.arange(cube.sizes["x"])
    store(cube.assign_coords(x=doubling, bands=["a", "b"]), tmp_path, "uneven")
    resampled = node("resample_cube_spatial", data=of("u"), target=of("a"), method=method)
    with pytest.raises(InvalidCube, match="evenly spaced x"):
        executor.load(process(a=load("demo"), u=load("uneven"), r=resampled), workspace(tmp_path))
    merged = node("merge_cubes", cube1=of("a"), cube2=of("u"))
    with pytest.raises(InvalidCube, match="evenly spaced x"):
        executor.load(process(a=load("demo"), u=load("uneven"), m=merged), workspace(tmp_path))
    assert executor.load(process(u=load("uneven")), workspace(tmp_path)).shape == cube.shape


@pytest.mark.parametrize("method", ["near", "bilinear"])
def test_resampling_is_the_same_in_tiles(coarse, cube, folder, tmp_path, small_tiles, method):
    resampled = node("resample_cube_spatial", data=of("q"), target=of("a"), method=method)
    nodes = {"a": load("demo"), "q": load("coarse"), "r": resampled}
    tiled = read(executor.run(process(**nodes), workspace(folder), tmp_path))
    whole = executor.load(process(**nodes), workspace(folder))
    np.testing.assert_allclose(tiled.values, whole.values, rtol=0 if method == "near" else 1e-6)
    np.testing.assert_array_equal(whole.x, cube.x)
    if method == "bilinear":
        row = (coarse.y.values[0] - cube.y.values[4]) / 20
        column = (cube.x.values[7] - coarse.x.values[0]) / 20
        corners = coarse.values[0, 0, int(row) :, int(column) :][:2, :2]
        weights = np.outer([1 - row % 1, row % 1], [1 - column % 1, column % 1])
        expected = np.nansum(corners * weights) / weights[~np.isnan(corners)].sum()
        np.testing.assert_allclose(whole.values[0, 0, 4, 7], expected, rtol=1e-5)


@pytest.mark.parametrize(("projection", "resolution"), [(None, 25.0), (32630, 12.0), (4326, 0.0002)])
def test_resample_spatial_is_the_same_in_tiles(cube, folder, tmp_path, small_tiles, projection, resolution):
    resampled = node("resample_spatial", data=of("a"), resolution=resolution, projection=projection)
    nodes = {"a": load("demo"), "r": resampled, "b": blur("r", 4)}
    result = executor.run(process(**nodes), workspace(folder), tmp_path)
    assert result.metadata["epsg"] == (projection or 32631)
    np.testing.assert_allclose(read(result).values, executor.load(process(**nodes), workspace(folder)).values)
