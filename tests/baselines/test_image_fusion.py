import numpy as np
import pytest

from openeo_udf_fusion.baselines import naive_interpolation, sen2like, stair
from openeo_udf_fusion.baselines.image_pairs import ALIKE, BANDS, finer
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.series import Observations

WITH_LIKE = [BANDS["s2"].index(name) for name in ALIKE]
WITHOUT = sorted(set(range(10)) - set(WITH_LIKE))


def scene(level, rng_seed=1, size=12):
    """A fine image (10, y, x) with detail of no mean over 3 x 3 blocks, and Landsat's view of it."""
    rng = np.random.default_rng(rng_seed)
    noise = rng.normal(0, 0.02, (10, size, size)).astype(np.float32)
    blocks = noise.reshape(10, size // 3, 3, size // 3, 3)
    fine = (
        np.float32(level)
        + noise
        - np.broadcast_to(blocks.mean((2, 4), keepdims=True), blocks.shape).reshape(noise.shape)
    )
    coarse = np.full((8, size // 3, size // 3), np.float32(level))
    return fine, coarse


def observations(images, days, hidden=()):
    values = np.stack(images).astype(np.float32)
    valid = np.ones(values.shape, bool)
    for date in hidden:
        valid[date] = False
    return Observations(values, valid, np.array(days, np.int32))


@pytest.fixture
def growing():
    """A scene that brightens by 0.01 a day; its detail stays. Sentinel-2 misses day 20."""
    days = [0, 10, 20, 30]
    images = [scene(0.1 + 0.001 * day) for day in days]
    fine, coarse = zip(*images, strict=True)
    return {"s2": observations(fine, days, hidden=[2]), "l8": observations(coarse, days)}, np.stack(fine)


@pytest.mark.parametrize("method", [stair, sen2like])
def test_detail_and_landsats_level_come_together(growing, method):
    observed, truth = growing
    found = method.predict(observed, np.array([20], np.int32)).mean
    np.testing.assert_allclose(found[0, WITH_LIKE], truth[2, WITH_LIKE], atol=1e-5)


@pytest.mark.parametrize("method", [stair, sen2like])
def test_bands_of_no_like_and_days_without_landsat_stay_missing(growing, method):
    observed, _ = growing
    found = method.predict(observed, np.array([20, 21], np.int32)).mean
    assert np.isnan(found[0, WITHOUT]).all()
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize("method", [stair, sen2like])
def test_what_was_not_valid_has_no_say(growing, method):
    observed, _ = growing
    fine = observed["s2"]
    spoilt = fine.values.copy()
    spoilt[2] = 9.0
    other = observed | {"s2": fine._replace(values=spoilt)}
    asked = np.array([20], np.int32)
    np.testing.assert_array_equal(method.predict(observed, asked).mean, method.predict(other, asked).mean)


def test_sen2like_looks_back_alone(growing):
    observed, _ = growing
    fine = observed["s2"]
    later = fine.values.copy()
    later[3] += 0.5
    asked = np.array([20], np.int32)
    changed = observed | {"s2": fine._replace(values=later)}
    np.testing.assert_array_equal(
        sen2like.predict(observed, asked).mean, sen2like.predict(changed, asked).mean
    )
    assert not np.array_equal(
        stair.predict(observed, asked).mean, stair.predict(changed, asked).mean, equal_nan=True
    )


def test_naive_interpolation_is_linear_between_clear_dates(growing):
    observed, truth = growing
    found = naive_interpolation.predict(observed, np.array([20, 40], np.int32), "s2").mean
    np.testing.assert_allclose(found[0], truth[2], atol=1e-6)  # halfway between days 10 and 30
    np.testing.assert_allclose(found[1], truth[3], atol=1e-6)


def test_naive_interpolation_brings_landsat_to_ten_metres(growing):
    observed, _ = growing
    found = naive_interpolation.predict(observed, np.array([15], np.int32), "l8")
    assert found.mean.shape == (1, 8, 12, 12)
    assert found.sigma.shape == (1, 8, 12, 12)
    np.testing.assert_allclose(found.mean, 0.115, atol=1e-6)


@pytest.mark.parametrize("method", [stair, sen2like])
def test_both_sensors_are_needed(growing, method):
    observed, _ = growing
    with pytest.raises(InvalidParameter, match="l8 are needed"):
        method.predict({"s2": observed["s2"]}, np.array([20], np.int32))


@pytest.mark.parametrize("method", [stair, sen2like])
def test_landsat_is_not_answered(growing, method):
    observed, _ = growing
    with pytest.raises(InvalidParameter, match="answers 's2' alone, 'l8' was asked for"):
        method.predict(observed, np.array([20], np.int32), "l8")


def test_images_of_a_day_count_as_their_mean(growing):
    observed, _ = growing
    fine = observed["s2"]
    twice = Observations(
        np.concatenate([fine.values, fine.values[:1] + 0.02]),
        np.concatenate([fine.valid, fine.valid[:1]]),
        np.append(fine.days, fine.days[0]).astype(np.int32),
    )
    moved = Observations(np.concatenate([fine.values[:1] + 0.01, fine.values[1:]]), fine.valid, fine.days)
    asked = np.array([20], np.int32)
    one, other = (stair.predict(observed | {"s2": each}, asked).mean for each in (twice, moved))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_upsampling_keeps_a_constant_and_spreads_missing_values():
    images = np.full((1, 1, 4, 4), 0.3, np.float32)
    np.testing.assert_allclose(finer(images, "bicubic"), 0.3, atol=1e-6)
    images[0, 0, 0, 0] = np.nan
    assert np.isnan(finer(images, "bilinear")[0, 0, :3, :3]).all()
    assert np.isfinite(finer(images, "bilinear")[0, 0, 6:, 6:]).all()
