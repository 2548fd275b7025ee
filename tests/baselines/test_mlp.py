"""What the network is judged by while it is trained: whole groups that it does not see."""

import numpy as np

from openeo_udf_fusion.baselines import mlp


def grouped(groups=60, per_group=20):
    """A source without any information, and a target that is the same throughout a group."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(groups), per_group)
    source = rng.uniform(0.1, 0.2, (groups, 3))[group]
    target = rng.normal(0.3, 0.1, (groups, 2))[group]
    return source, target, np.full(len(group), 100), group


def test_the_spread_is_that_of_groups_never_seen():
    source, target, day, group = grouped()
    by_row = mlp.fit(source, target, day, epochs=120)
    by_group = mlp.fit(source, target, day, groups=group, epochs=120)
    # Other rows of the same group give the answer away.
    assert (by_group.sigma > 1.5 * by_row.sigma).all()


def test_the_best_epoch_is_kept():
    source, target, day, group = grouped()
    error = []
    for epochs in (1, 120):
        fitted = mlp.fit(source, target, day, groups=group, epochs=epochs)
        rows = mlp.features(source, fitted.centre, fitted.scale, day.astype(float), None)
        held_back = mlp._hold_back(group.astype(float), 0)
        assert len(np.unique(group[held_back])) == 6
        error.append(((fitted.translate(rows) - target)[held_back] ** 2).mean())
    assert error[1] <= 1.2 * error[0]  # the last of 120 epochs has learnt the other groups by heart


def test_rows_that_are_incomplete_take_their_group_along():
    source, target, day, group = grouped()
    source[group == 3, 0] = np.nan
    whole = group != 3
    one = mlp.fit(source, target, day, groups=group, epochs=2)
    other = mlp.fit(source[whole], target[whole], day[whole], groups=group[whole], epochs=2)
    np.testing.assert_array_equal(one.sigma, other.sigma)


def test_a_single_group_is_trained_on_as_a_whole():
    source, target, day, group = grouped(1)
    fitted = mlp.fit(source, target, day, groups=group, epochs=2)
    assert np.isfinite(fitted.sigma).all()
