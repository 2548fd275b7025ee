import numpy as np
import pytest

from openeo_udf_fusion.baselines import dms
from openeo_udf_fusion.baselines.image_pairs import BANDS, finer
from openeo_udf_fusion.errors import InvalidCube, InvalidParameter
from openeo_udf_fusion.models.series import Observations

CELLS = 18
ASKED = np.array([20], np.int32)


def smooth(rng, count):
    """Fields (count, y, x) at 10 m with structure from a few pixels upwards."""
    coarse = rng.random((count, 1, CELLS, CELLS)).astype(np.float32)
    return 0.7 * finer(coarse, "bicubic")[:, 0] + 0.3 * rng.random((count, 3 * CELLS, 3 * CELLS), np.float32)


def scene(temperature, seed=3):
    """Sentinel-2 on days 18 and 40, Landsat on day 20 as the mean of the true temperature; and that."""
    images = 0.05 + 0.4 * smooth(np.random.default_rng(seed), 10)
    truth = temperature(images).astype(np.float32)
    landsat = np.full((1, 8, CELLS, CELLS), np.nan, np.float32)
    landsat[0, dms.LST] = dms.cell_mean(truth[None])[0]
    s2 = np.stack([images, images[::-1]])
    observed = {
        "s2": Observations(s2, np.ones(s2.shape, bool), np.array([18, 40], np.int32)),
        "l8": Observations(landsat, np.isfinite(landsat), np.array([20], np.int32)),
    }
    return observed, truth


def by_vegetation(images):
    return 305 - 20 * (images[6] - images[2])


def sharpened(observed, days=ASKED):
    return dms.predict(observed, days).mean[:, dms.LST]


def error(found, truth):
    return float(np.sqrt(np.nanmean((found - truth) ** 2)))


def test_what_is_linear_in_reflectance_is_found_again():
    observed, truth = scene(by_vegetation)
    bicubic = finer(observed["l8"].values[:, dms.LST :], "bicubic")[0, 0]
    found = sharpened(observed)[0]
    assert error(found, truth) < 0.2 * error(bicubic, truth)


def test_trees_follow_what_no_line_does():
    observed, truth = scene(lambda images: np.where(images[2] > 0.25, 300 + 10 * images[6], 290))
    bicubic = finer(observed["l8"].values[:, dms.LST :], "bicubic")[0, 0]
    assert error(sharpened(observed)[0], truth) < 0.7 * error(bicubic, truth)


def test_cells_keep_their_temperature():
    rng = np.random.default_rng(5)
    observed, _ = scene(lambda images: 300 + 5 * rng.random(images.shape[1:]))  # unrelated to reflectance
    cells = observed["l8"].values[0, dms.LST]
    found = dms.cell_mean(sharpened(observed))[0]
    assert error(found, cells) < 0.5 * cells.std()


def test_a_constant_stays_one():
    observed, _ = scene(lambda images: np.full(images.shape[1:], 300.0))
    np.testing.assert_allclose(sharpened(observed), 300, atol=1e-3)


def test_only_temperature_on_landsats_days_is_answered():
    observed, _ = scene(by_vegetation)
    found = dms.predict(observed, np.array([20, 21], np.int32)).mean
    assert np.isfinite(found[0, dms.LST]).all()
    assert np.isnan(found[0, : dms.LST]).all()
    assert np.isnan(found[1]).all()
    assert found.shape == (2, len(BANDS["l8"]), 3 * CELLS, 3 * CELLS)


def test_what_was_not_valid_has_no_say():
    observed, _ = scene(by_vegetation)
    results = []
    for filler in (np.nan, 9.0):
        changed = {}
        for sensor, series in observed.items():
            values, valid = series.values.copy(), series.valid.copy()
            valid[0, :, 2:4, 3:7] = False
            values[~valid] = filler
            changed[sensor] = Observations(values, valid, series.days)
        results.append(sharpened(changed))
    np.testing.assert_array_equal(*results)
    unseen = np.zeros((CELLS, CELLS), bool)
    unseen[2:4, 3:7] = True
    np.testing.assert_array_equal(np.isnan(results[0][0]), dms.enlarged(unseen))


def test_the_order_of_dates_does_not_matter():
    observed, _ = scene(by_vegetation)
    s2 = observed["s2"]
    turned = Observations(s2.values[::-1], s2.valid[::-1], s2.days[::-1])
    np.testing.assert_array_equal(sharpened(observed), sharpened(observed | {"s2": turned}))


def test_answers_do_not_depend_on_what_else_is_asked():
    observed, _ = scene(by_vegetation)
    alone = sharpened(observed)
    np.testing.assert_array_equal(alone[0], sharpened(observed, np.array([3, 20, 20], np.int32))[2])


def test_the_nearest_clear_image_is_taken_and_its_gaps_are_filled():
    images = np.stack([np.full((10, 6, 6), level, np.float32) for level in (1, 2, 3)])
    days = np.array([0, 19, 30])
    images[1, :, :3] = np.nan  # too cloudy, though nearest
    images[2, :, 0, 0] = np.nan  # clear enough
    found = dms.nearest_clear(images, days, 20)
    expected = np.full((6, 6), 3.0)
    expected[0, 0] = 1  # where day 19 is cloudy too
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


def test_leaves_stay_near_what_they_have_seen():
    rows = np.linspace(0, 1, 50)[:, None]
    leaf = dms.leaf(rows, 10 * rows[:, 0])
    np.testing.assert_allclose(dms.answered(leaf, np.array([[-9.0], [9.0]])), [-2.5, 12.5])


def test_no_leaf_is_smaller_than_allowed():
    rng = np.random.default_rng(0)
    rows = rng.random((300, 3))

    def sizes(tree, rows):
        if isinstance(tree, dms.Leaf):
            return [len(rows)]
        below = rows[:, tree.band] <= tree.threshold
        return sizes(tree.below, rows[below]) + sizes(tree.above, rows[~below])

    found = sizes(dms.grown(rows, rng.random(300)), rows)
    assert len(found) > 1
    assert min(found) >= dms.MIN_LEAF


def test_sizes_must_fit_and_both_sensors_be_there():
    observed, _ = scene(by_vegetation)
    s2 = observed["s2"]
    cut = Observations(s2.values[..., 1:], s2.valid[..., 1:], s2.days)
    with pytest.raises(InvalidCube, match="3 pixels along one of l8"):
        dms.predict(observed | {"s2": cut}, ASKED)
    with pytest.raises(InvalidParameter, match="l8 are needed"):
        dms.predict({"s2": s2}, ASKED)
    with pytest.raises(InvalidParameter, match="answers 'l8' alone"):
        dms.predict(observed, ASKED, "s2")


def test_without_a_clear_image_there_is_no_answer():
    observed, _ = scene(by_vegetation)
    s2 = observed["s2"]
    assert np.isnan(sharpened(observed | {"s2": s2._replace(valid=np.zeros_like(s2.valid))})).all()
