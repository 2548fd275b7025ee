"""Grids: bounds, windows, CRS texts, and how a coarse grid lies under a fine one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from openeo_udf_fusion.errors import InvalidCollection, InvalidCube, InvalidParameter, NoDataAvailable
from openeo_udf_fusion.local.grids import (
    MODIS_SINUSOIDAL,
    WGS84,
    Grid,
    nearest_index,
    parse_crs,
    regular_axis,
)

UTM = CRS.from_epsg(32631)


def grid(rows: int, columns: int, size: float = 10.0, crs: CRS = UTM, *, south_up: bool = False) -> Grid:
    x = 500_000 + size * (np.arange(columns) + 0.5)
    y = 5_600_000 - size * (np.arange(rows) + 0.5)
    return Grid(crs, x, y[::-1] if south_up else y)


@pytest.mark.parametrize("south_up", [False, True])
def test_window_takes_the_centres_inside(south_up: bool):
    here = grid(8, 6, south_up=south_up)
    box = {"west": 500_014, "east": 500_036, "south": 5_599_955, "north": 5_599_976, "crs": 32631}
    rows, columns = here.window(box)
    assert here.x[columns].tolist() == [500_015, 500_025, 500_035]
    assert sorted(here.y[rows]) == [5_599_955, 5_599_965, 5_599_975]


@pytest.mark.parametrize("crs", [UTM, MODIS_SINUSOIDAL, CRS.from_epsg(3035)])
def test_the_bbox_selects_the_whole_grid(crs: CRS):
    here = grid(20, 30, 463.3, crs)
    west, south, east, north = here.bbox()
    window = here.window({"west": west, "south": south, "east": east, "north": north})
    assert window == (slice(0, 20), slice(0, 30))


@given(st.floats(-20, 20), st.floats(40, 60), st.floats(0.05, 0.3))
def test_a_sinusoidal_window_misses_no_pixel_of_the_box(west: float, south: float, size: float):
    x, y = Transformer.from_crs(WGS84, MODIS_SINUSOIDAL, always_xy=True).transform(west, south)
    here = Grid(MODIS_SINUSOIDAL, x + 2000.0 * np.arange(-20, 40), y + 2000.0 * np.arange(40, -20, -1))
    rows, columns = here.window({"west": west, "south": south, "east": west + size, "north": south + size})
    back = Transformer.from_crs(MODIS_SINUSOIDAL, WGS84, always_xy=True)
    longitude, latitude = back.transform(*np.meshgrid(here.x, here.y))
    inside = (
        (longitude >= west) & (longitude <= west + size) & (latitude >= south) & (latitude <= south + size)
    )
    inside[rows, columns] = False
    assert not inside.any()


def test_the_bbox_of_the_whole_earth_stays_on_it():
    whole = Grid(MODIS_SINUSOIDAL, np.linspace(-2e7, 2e7, 36), np.linspace(1e7, -1e7, 18))
    assert whole.bbox() == (-180, -90, 180, 90)


@pytest.mark.parametrize(
    ("extent", "message"),
    [
        ({"west": 1, "south": 2, "east": 3}, "north"),
        ({"west": 3, "south": 2, "east": 1, "north": 4}, "west <= east"),
        ({"west": "a", "south": 2, "east": 1, "north": 4}, "numbers"),
        ({"west": 1, "south": 2, "east": 3, "north": 4, "crs": "EPSG:1"}, "EPSG:1"),
    ],
)
def test_a_malformed_extent_is_named(extent: dict[str, object], message: str):
    with pytest.raises(InvalidParameter, match=message):
        grid(4, 4).window(extent)


def test_an_extent_elsewhere_tells_where_the_data_are():
    with pytest.raises(NoDataAvailable, match=r"50\.5"):
        grid(4, 4).window({"west": 100, "south": 0, "east": 101, "north": 1})


@pytest.mark.parametrize(
    "text",
    [
        "MODIS sinusoidal R=6371007.181 m",
        "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +a=6371007.181 +b=6371007.181 +units=m +no_defs",
        MODIS_SINUSOIDAL.to_wkt("WKT1_GDAL"),
        MODIS_SINUSOIDAL,
    ],
)
def test_every_spelling_of_modis_sinusoidal_is_one_crs(text: object):
    assert parse_crs(text) == MODIS_SINUSOIDAL


@pytest.mark.parametrize("text", ["EPSG:32631", 32631, "32631", "+init=epsg:32631", UTM.to_wkt("WKT1_ESRI")])
def test_every_spelling_of_an_epsg_code_is_one_crs(text: object):
    assert parse_crs(text) == UTM


@pytest.mark.parametrize("text", ["", "somewhere", "+proj=nonsense"])
def test_nonsense_is_no_crs(text: str):
    assert parse_crs(text) is None


@given(st.integers(2, 4), st.integers(1, 6), st.integers(1, 6))
def test_whole_multiples_lie_in_blocks(ratio: int, rows: int, columns: int):
    under = nearest_index(grid(rows, columns, 10.0 * ratio), grid(rows * ratio, columns * ratio))
    assert under is not None
    assert under[0].tolist() == [row // ratio for row in range(rows * ratio)]
    assert under[1].tolist() == [column // ratio for column in range(columns * ratio)]


def test_a_common_outline_need_not_be_a_whole_multiple():
    fine, coarse = grid(57, 57, 464.259), grid(29, 29, 464.259 * 57 / 29)
    under = nearest_index(coarse, fine)
    assert under is not None
    assert abs(coarse.x[under[1]] - fine.x).max() <= coarse.resolution[0] / 2


def test_a_coarse_grid_that_leaves_pixels_uncovered_does_not_fit():
    assert nearest_index(grid(3, 3, 20.0), grid(8, 8)) is None
    assert nearest_index(grid(4, 4, 20.0, CRS.from_epsg(32632)), grid(8, 8)) is None


@pytest.mark.parametrize("values", [[1.0, 1.0, 2.0], [0.0, np.nan], [1.0, 3.0, 2.0], [[1.0], [2.0]]])
def test_axes_are_monotonic(values: list[float]):
    with pytest.raises(InvalidCollection, match=r"swath\.nc"):
        regular_axis(np.array(values), "swath.nc", "x")


@pytest.mark.parametrize("axis", ["x", "y"])
def test_uneven_coordinates_are_refused_where_pixels_are_counted(axis: str):
    doubling = 500_000 + np.array([0.0, 1, 2, 4, 8, 16])
    axes = {"x": np.arange(6.0), "y": np.arange(6.0), axis: doubling}
    with pytest.raises(InvalidCube, match=rf"evenly spaced {axis} .* 1 to 8; bring .* onto an even grid"):
        Grid(UTM, **axes).require_even("resampling")


@pytest.mark.parametrize(
    "values",
    [
        np.array([3.0]),
        np.array([3.0, 1.0]),
        np.arange(2400) / 3,
        np.arange(2400)[::-1] * 10.0 + np.random.default_rng(0).uniform(-0.05, 0.05, 2400),
        (179.9 + np.arange(900) / 9000).astype(np.float32).astype(np.float64),
    ],
    ids=["one", "two", "thirds", "jitter", "float32"],
)
def test_even_coordinates_may_be_rounded(values: np.ndarray):
    Grid(UTM, values, values).require_even("resampling")
