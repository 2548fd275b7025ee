"""`aggregate_spatial`: what comes out at points and in polygons is what is in the array there."""

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import xarray as xr

from openeo_udf_fusion.errors import InvalidParameter, NoDataAvailable, UnsupportedFormat
from openeo_udf_fusion.local import executor
from tests.local.graphs import callback, given, load, make_cube, node, of, process, store, workspace


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("zonal")


@pytest.fixture(scope="module")
def cube(folder):
    """13 x 17 pixels of 10 m, 4 dates, 2 bands."""
    return store(make_cube(), folder, "scene")


def features(shapes) -> dict:
    """Geometries in the cube's CRS as GeoJSON in EPSG:4326."""
    series = gpd.GeoSeries(shapes, crs=32631).to_crs(4326)
    return gpd.GeoDataFrame(geometry=series).__geo_interface__


def sampled(geometries: dict, reducer: str = "mean", format: str = "Parquet") -> dict:
    reduced = callback(reduce=node(reducer, data=given("data")))
    return process(
        load=load("scene"),
        sample=node("aggregate_spatial", data=of("load"), geometries=geometries, reducer=reduced),
        save=node("save_result", data=of("sample"), format=format),
    )


def run(folder, tmp_path, graph):
    result = executor.run(graph, workspace(folder), tmp_path)
    (file,) = result.files
    return file, result.metadata


def read(file) -> xr.Dataset:
    rows = pq.read_table(file).to_pandas()
    return rows.set_index(["t", "feature_index"]).to_xarray()


ROWS, COLUMNS = [3, 0, 12, 3], [5, 0, 16, 5]


@pytest.fixture(scope="module")
def points(cube):
    """Points anywhere in four pixels, two of them the same; and one that is off the cube."""
    random = np.random.default_rng(1)
    shapes = [
        shapely.Point(cube.x.values[column] + dx, cube.y.values[row] + dy)
        for row, column, (dx, dy) in zip(ROWS, COLUMNS, random.uniform(-4.9, 4.9, (4, 2)), strict=True)
    ]
    return features([*shapes, shapely.Point(400_000, 5_650_000)])


@pytest.mark.parametrize("reducer", ["mean", "first", "median", "max"])
def test_points_get_the_pixel_they_are_in(folder, cube, points, tmp_path, reducer):
    file, metadata = run(folder, tmp_path, sampled(points, reducer))
    found = read(file)
    truth = cube.values[:, :, ROWS, COLUMNS]
    for band, name in enumerate(("red", "nir")):
        np.testing.assert_array_equal(found[name].values[:, :4], truth[:, band].astype(np.float32))
        assert np.isnan(found[name].values[:, 4]).all()
    assert metadata["bands"] == ["red", "nir"]
    assert metadata["shape"] == {"t": 4, "bands": 2, "geometry": 5}
    assert [date[5:10] for date in metadata["dates"]] == ["01-05", "01-15", "01-25", "02-04"]


def test_netcdf_holds_the_same(folder, points, tmp_path):
    file, _ = run(folder, tmp_path, sampled(points, format="netCDF"))
    other, _ = run(folder, tmp_path, sampled(points))
    with xr.open_dataset(file) as found:
        np.testing.assert_array_equal(found["nir"], read(other)["nir"])
        longitude = [feature["geometry"]["coordinates"][0] for feature in points["features"]]
        np.testing.assert_allclose(found["longitude"], longitude)


def test_polygons_get_the_pixels_whose_centre_is_inside(folder, cube, tmp_path):
    x, y = cube.x.values, cube.y.values
    rectangle = shapely.box(x[2] - 1, y[6] - 1, x[5] + 1, y[4] + 1)
    beyond = shapely.box(x[14] - 1, y[12] - 500, x[16] + 500, y[11] + 1)
    sliver = shapely.box(x[2] + 1, y[2] + 1, x[2] + 2, y[2] + 2)
    off = shapely.box(0, 0, 10, 10)
    shapes = features([rectangle, beyond, sliver, off, shapely.Point(x[1], y[1])])
    found = read(run(folder, tmp_path, sampled(shapes))[0])["red"].values
    red = cube.sel(bands="red").values
    np.testing.assert_allclose(found[:, 0], np.nanmean(red[:, 4:7, 2:6], axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found[:, 1], np.nanmean(red[:, 11:, 14:], axis=(1, 2)), rtol=1e-5)
    assert np.isnan(found[:, 2:4]).all()
    np.testing.assert_array_equal(found[:, 4], red[:, 1, 1])


def test_points_that_are_all_elsewhere_are_refused(folder, cube, tmp_path):
    with pytest.raises(NoDataAvailable, match="none of the 1 points is on the cube"):
        run(folder, tmp_path, sampled(features([shapely.Point(0, 0)])))


def test_lines_are_refused(folder, cube, tmp_path):
    line = features([shapely.LineString([(500_000, 5_650_000), (500_100, 5_650_000)])])
    with pytest.raises(InvalidParameter, match="needed are points or polygons, got"):
        run(folder, tmp_path, sampled(line))


def test_formats_for_rasters_alone_are_refused(folder, cube, points, tmp_path):
    with pytest.raises(UnsupportedFormat, match="GTiff holds no vector cubes"):
        run(folder, tmp_path, sampled(points, format="GTiff"))
    assert list(tmp_path.iterdir()) == []


def test_it_is_valid(folder, cube, points):
    assert executor.check(sampled(points), workspace(folder)) == []
