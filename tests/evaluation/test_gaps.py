import numpy as np
import pytest

from openeo_udf_fusion.evaluation.gaps import draw_gaps, hidden_days


@pytest.fixture
def valid():
    rng = np.random.default_rng(0)
    valid = rng.random((12, 120, 7)) < 0.5
    valid[:, :10], valid[:, 100:] = False, False
    valid[:, 10, 0], valid[:, 99, 0] = True, True
    valid[11] = False
    return valid


@pytest.mark.parametrize("length", [5, 40, 80])
def test_every_gap_lies_between_observations(valid, length):
    gaps = draw_gaps(valid, length, range(12))
    hidden = hidden_days(gaps, length, 120)
    assert (hidden.sum(axis=1) == length).all()
    assert not hidden[:, :11].any()
    assert not hidden[:, 99:].any()


def test_each_pixel_has_its_number_of_different_gaps_and_an_empty_one_has_none(valid):
    gaps = draw_gaps(valid, 20, range(12), repeats=6)
    np.testing.assert_array_equal(np.bincount(gaps.pixel, minlength=12), [6] * 11 + [0])
    assert all(len(set(gaps.start[gaps.pixel == pixel])) == 6 for pixel in range(11))


def test_the_same_seed_draws_the_same_gaps(valid):
    one, same, other = (draw_gaps(valid, 20, range(12), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.start, same.start)
    assert (one.start != other.start).any()


def test_a_pixels_gaps_do_not_depend_on_its_neighbours(valid):
    together = draw_gaps(valid, 20, range(12))
    alone = draw_gaps(valid[[4]], 20, [4])
    np.testing.assert_array_equal(together.start[together.pixel == 4], alone.start)


def test_a_span_too_short_for_the_gap_has_none(valid):
    assert draw_gaps(valid, 89, range(12)).pixel.size == 0
    assert draw_gaps(valid, 88, range(12)).pixel.size == 110
