"""What is loaded: extents, polygons and STAC select pixels and dates of the data folder alone."""

import numpy as np
import pandas as pd
import pystac
import pytest

from openeo_udf_fusion.errors import ForbiddenPath
from openeo_udf_fusion.local import executor
from tests.local.graphs import load, make_cube, node, of, process, read, store, workspace


def test_extents_select_pixel_centres_and_left_closed_intervals(cube, folder):
    box = {"west": 500_020, "east": 500_070, "south": 5_649_900, "north": 5_649_960, "crs": "EPSG:32631"}
    dates = [str(cube.t.values[1])[:10], str(cube.t.values[3])[:10]]
    loaded = executor.load(process(a=load("demo", dates, box)), workspace(folder))
    inside = cube.isel(t=slice(1, 3)).sel(x=slice(500_020, 500_070), y=slice(5_649_960, 5_649_900))
    np.testing.assert_array_equal(loaded.values, inside.values)
    filtered = process(
        a=load("demo"),
        b=node("filter_bbox", data=of("a"), extent=box),
        c=node("filter_temporal", data=of("b"), extent=dates),
    )
    np.testing.assert_array_equal(executor.load(filtered, workspace(folder)).values, inside.values)


def test_stac_is_loaded_from_the_data_folder_alone(tmp_path):
    cube = make_cube(dates=1)
    folder = tmp_path / "data"
    (folder / "stac").mkdir(parents=True)
    store(cube, folder / "stac", "pixels")
    item = pystac.Item("item", None, None, pd.Timestamp("2020-01-05").to_pydatetime(), {})
    item.add_asset("data", pystac.Asset("./pixels.nc", media_type="application/x-netcdf", roles=["data"]))
    item.save_object(dest_href=str(folder / "stac" / "item.json"), include_self_link=False)
    loaded = executor.load(
        process(a=node("load_stac", url="stac/item.json", bands=["nir"])), workspace(folder)
    )
    np.testing.assert_array_equal(loaded, cube.sel(bands=["nir"]))
    for url in ("https://example.org/item.json", "../../etc/passwd"):
        with pytest.raises(ForbiddenPath):
            executor.load(process(a=node("load_stac", url=url)), workspace(folder))


def test_polygons_select_the_pixels_inside(cube, folder, tmp_path, small_tiles):
    corners = [[500_000, 5_650_000], [500_175, 5_650_000], [500_000, 5_649_825], [500_000, 5_650_000]]
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    polygon = {
        "type": "Feature",
        "properties": {},
        "crs": crs,
        "geometry": {"type": "Polygon", "coordinates": [corners]},
    }
    loaded = read(executor.run(process(a=load("demo", None, polygon)), workspace(folder), tmp_path))
    y, x = np.meshgrid(cube.y, cube.x, indexing="ij")
    below = (x - 500_000) + (5_650_000 - y) < 175
    expected = np.where(below, cube.values, np.nan)
    np.testing.assert_array_equal(loaded.values, expected)
    masked = process(a=load("demo"), b=node("mask_polygon", data=of("a"), mask=polygon))
    np.testing.assert_array_equal(executor.load(masked, workspace(folder)).values, expected)
