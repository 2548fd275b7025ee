import numpy as np

from openeo_udf_fusion.training.turns import drawn_turn


def test_all_eight_ways_are_drawn_and_arrays_turn_alike():
    square = np.arange(9).reshape(3, 3)
    rng, found = np.random.default_rng(0), set()
    for _ in range(100):
        turn = drawn_turn(rng)
        turned = turn(square)
        found.add(turned.tobytes())
        assert set(turned.flat) == set(square.flat)
        np.testing.assert_array_equal(turn(square[None, None] + 9), turned[None, None] + 9)
    assert len(found) == 8
