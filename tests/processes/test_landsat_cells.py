"""Laws of cells: a window holds whole cells around all that was seen, and goes back to where it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_udf_fusion.processes.landsat_cells import (
    CELL_PX,
    cell_means,
    clear_cells,
    spread_cells,
    window_of,
)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 14),
    st.integers(1, 14),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.integers(0, 2**16),
)
def test_a_window_is_whole_cells_around_what_was_seen_and_goes_back(y, x, offset, seed):
    seen = np.random.default_rng(seed).random((y, x)) < 0.2
    window = window_of(seen, offset)
    if not seen.any():
        assert window is None
        return
    assert not any(size % CELL_PX for size in window.shape)
    assert (window.rows.start - window.top - offset[0]) % CELL_PX == 0
    assert (window.columns.start - window.left - offset[1]) % CELL_PX == 0
    numbers = np.arange(2 * y * x, dtype=np.float32).reshape(2, y, x)
    back = window.put_back(window.cut(numbers), (y, x))
    np.testing.assert_array_equal(back[:, seen], numbers[:, seen])
    assert np.isnan(back).sum() == 2 * (y * x - (~np.isnan(back[0])).sum())
    assert window.cut(seen).sum() == seen.sum()


def test_what_was_never_seen_at_the_sides_is_left_out():
    seen = np.zeros((20, 20), bool)
    seen[7:12, 4:9] = True
    window = window_of(seen, (1, 2))
    assert (window.rows, window.columns) == (slice(7, 13), slice(2, 11))


def test_a_window_of_the_whole_copies_nothing():
    values = np.ones((2, 6, 9), np.float32)
    window = window_of(np.ones((6, 9), bool), (0, 0))
    assert np.shares_memory(window.cut(values), values)
    assert window.put_back(values, (6, 9)) is values


def test_a_cell_is_the_mean_of_its_valid_pixels():
    values = np.arange(18, dtype=np.float32).reshape(1, 3, 6)
    valid = np.ones(values.shape, bool)
    valid[0, 0] = [True, True, True, False, False, False]
    valid[0, 1:, 3:] = False
    means, there = cell_means(np.where(valid, values, np.nan), valid)
    assert there.tolist() == [[[True, False]]]
    assert means[0, 0].tolist() == [values[0, :, :3].mean(), 0]


def test_a_cell_is_clear_if_all_of_it_that_was_measured_is():
    seen, clear = np.ones((2, 1, 3, 9), bool)
    seen[0, 0, 3:5] = False
    clear[0, 0, 3:5] = False
    clear[0, 2, 8] = False
    seen[0, :, :3] = False
    assert clear_cells(seen, clear).tolist() == [[[False, True, False]]]


@pytest.mark.parametrize("shape", [(1, 1), (2, 3)])
def test_spreading_is_undone_by_the_mean(shape):
    cells = np.random.default_rng(0).random((4, *shape)).astype(np.float32)
    spread = spread_cells(cells)
    assert spread.shape == (4, 3 * shape[0], 3 * shape[1])
    np.testing.assert_allclose(cell_means(spread, np.ones(spread.shape, bool))[0], cells, rtol=1e-6)
