"""Laws of compensation: what the radiometer saw comes back, where it saw it, and nothing else."""

import numpy as np
import pytest
import torch

from openeo_udf_fusion.models import psf
from openeo_udf_fusion.models.thermal_residual import MTF, REACH_PX, SAMPLE_PX, compensate


@pytest.fixture
def prediction():
    rng = np.random.default_rng(0)
    return (300 + rng.normal(0, 2, (2, 48, 60))).astype(np.float32)


def seen(images):
    """As the radiometer sees them, on cells of 30 m."""
    blurred = psf.blurred(torch.from_numpy(images)[:, None], [MTF], [SAMPLE_PX])
    return psf.coarser(blurred, 3)[:, 0].numpy()


def test_a_bias_is_taken_away(prediction):
    found = compensate(prediction + np.float32(3), seen(prediction))
    inner = (..., slice(20, -20), slice(20, -20))
    np.testing.assert_allclose(found[inner], prediction[inner], atol=1e-3)


def test_what_agrees_already_stays(prediction):
    found = compensate(prediction, seen(prediction))
    inner = (..., slice(18, -18), slice(18, -18))
    np.testing.assert_allclose(found[inner], prediction[inner], atol=1e-3)


def test_smooth_patterns_that_were_missed_come_back(prediction):
    rows = np.arange(48, dtype=np.float32)[:, None]
    wave = np.broadcast_to(4 * np.sin(rows / 8), prediction.shape).astype(np.float32)
    found = compensate(prediction, seen(prediction + wave))
    left = (found - prediction - wave)[..., 15:-15, 15:-15]
    assert np.sqrt((left**2).mean()) < 0.4 * np.sqrt((wave**2).mean())


def test_nothing_changes_where_nothing_was_measured(prediction):
    measured = seen(prediction + np.float32(5))
    measured[:, :, 10:] = np.nan
    found = compensate(prediction, measured)
    np.testing.assert_array_equal(found[..., 36:], prediction[..., 36:])
    np.testing.assert_array_equal(compensate(prediction, np.full_like(measured, np.nan)), prediction)


def test_missing_predictions_stay_missing_and_have_no_weight(prediction):
    measured = seen(np.full_like(prediction, 300))
    flat = np.full_like(prediction, 290)
    flat[:, :, :20] = np.nan
    found = compensate(flat, measured)
    assert np.isnan(found[..., :20]).all()
    np.testing.assert_allclose(found[..., 30:], 300, atol=1e-2)


def test_it_reaches_as_far_as_it_says(prediction):
    measured = seen(prediction)
    changed = prediction.copy()
    changed[:, 24, 30] += 50
    away = np.argwhere(np.abs(compensate(changed, measured) - compensate(prediction, measured))[0] > 1e-4)
    assert np.abs(away - [24, 30]).max() <= REACH_PX


@pytest.mark.parametrize("size", [3, 9, 12])
def test_small_images_are_compensated_too(size):
    flat = np.full((1, size, size), 290, np.float32)
    found = compensate(flat, np.full((1, size // 3, size // 3), 300, np.float32))
    np.testing.assert_allclose(found, 300, atol=1e-3)
