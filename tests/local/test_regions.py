from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from openeo_udf_fusion.local.grids import Grid
from openeo_udf_fusion.local.regions import Box, cut, refined, tiles, whole

BOXES = st.builds(
    lambda y, x, rows, columns: Box(y, y + rows, x, x + columns),
    *[st.integers(-50, 50)] * 2,
    *[st.integers(1, 50)] * 2,
)
SIZES = st.integers(1, 20)


@given(height=SIZES, width=SIZES, rows=SIZES, columns=SIZES)
def test_tiles_cover_every_pixel_once(height, width, rows, columns):
    count = np.zeros((height, width), int)
    for box in tiles((height, width), (rows, columns)):
        assert (box.y0 % rows, box.x0 % columns) == (0, 0)
        count[box.rows, box.columns] += 1
    assert (count == 1).all()


@given(box=BOXES, y=SIZES, x=SIZES)
def test_an_aligned_box_is_the_smallest_of_whole_steps(box, y, x):
    aligned = box.aligned(y, x)
    assert box.clipped(aligned) == box
    assert all(
        edge % step == 0
        for edge, step in ((aligned.y0, y), (aligned.y1, y), (aligned.x0, x), (aligned.x1, x))
    )
    assert aligned.shape[0] < box.shape[0] + 2 * y
    assert aligned.aligned(y, x) == aligned


@given(box=BOXES, outer=BOXES, y=SIZES, x=SIZES)
def test_boxes_move_grow_and_shrink_back(box, outer, y, x):
    assert box.grown(y, x).grown(-y, -x) == box
    assert box.relative_to(outer).shifted(outer.y0, outer.x0) == box
    assert box.union(outer).clipped(box) == box


@given(box=BOXES, ratio=st.sampled_from([Fraction(1, 3), Fraction(1, 2), Fraction(1), Fraction(3)]))
def test_a_scaled_box_covers_the_box(box, ratio):
    back = box.scaled(ratio).scaled(1 / ratio)
    assert back.clipped(box) == box


@pytest.mark.parametrize("ratio", [2, 3, Fraction(1, 2)])
def test_a_refined_grid_has_the_same_outline(ratio):
    grid = Grid(CRS(32631), 10.0 * np.arange(6) + 5, 100 - 10.0 * np.arange(4))
    fine = refined(grid, Fraction(ratio))
    assert fine.shape == (4 * ratio, 6 * ratio)
    np.testing.assert_allclose(fine.bounds(), grid.bounds(), atol=1e-9)


def test_a_cut_grid_keeps_the_size_of_its_pixels():
    grid = Grid(CRS(32631), 10.0 * np.arange(6), -20.0 * np.arange(4))
    assert cut(grid, whole(grid)).matches(grid)
    assert cut(grid, Box(1, 2, 3, 4)).resolution == (10.0, 20.0)
