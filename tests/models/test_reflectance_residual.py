"""Laws of compensation: what was seen at 20 m comes back, where it was seen, and nothing else."""

import numpy as np
import pytest
import torch

from openeo_udf_fusion.models import psf
from openeo_udf_fusion.models.reflectance_residual import MTF, REACH_PX, SAMPLE_PX, compensate


@pytest.fixture
def prediction():
    rng = np.random.default_rng(0)
    return (0.2 + rng.normal(0, 0.02, (2, 36, 42))).astype(np.float32)


def seen(images):
    """As a band of 20 m sees them."""
    return psf.blurred_known(torch.from_numpy(images)[:, None], MTF, SAMPLE_PX)[:, 0].numpy()


def missed(images, measured):
    return np.sqrt(np.nanmean((seen(images) - measured) ** 2))


def test_a_bias_is_taken_away(prediction):
    found = compensate(prediction + np.float32(0.03), seen(prediction))
    np.testing.assert_allclose(found, prediction, atol=1e-6)


def test_what_agrees_already_stays(prediction):
    np.testing.assert_allclose(compensate(prediction, seen(prediction)), prediction, atol=1e-6)


def test_seen_at_20_m_it_is_closer_to_what_was_measured(prediction):
    rows, columns = np.mgrid[:36, :42].astype(np.float32)
    wave = (0.05 * np.sin(rows / 4) * np.cos(columns / 5)).astype(np.float32)
    measured = seen(prediction + wave)
    found = compensate(prediction, measured)
    assert missed(found, measured) < 0.3 * missed(prediction, measured)
    assert np.abs(found - prediction - wave).mean() < 0.3 * np.abs(wave).mean()


def test_detail_that_20_m_cannot_see_stays(prediction):
    chequered = 0.02 * (np.indices((36, 42)).sum(0) % 2 * 2 - 1).astype(np.float32)
    added = compensate(prediction + chequered, seen(prediction)) - prediction
    inner = (..., slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(added[inner], np.broadcast_to(chequered, added.shape)[inner], atol=2e-3)


def test_nothing_changes_where_nothing_was_measured(prediction):
    measured = seen(prediction + np.float32(0.05))
    measured[:, :, 20:] = np.nan
    found = compensate(prediction, measured)
    np.testing.assert_array_equal(found[..., 20:], prediction[..., 20:])
    np.testing.assert_allclose(found[..., :20], prediction[..., :20] + 0.05, atol=1e-6)


def test_missing_predictions_stay_missing_and_have_no_weight():
    flat, measured = (np.full((1, 20, 30), value, np.float32) for value in (0.1, 0.3))
    flat[..., :10] = np.nan
    found = compensate(flat, measured)
    assert np.isnan(found[..., :10]).all()
    np.testing.assert_allclose(found[..., 10:], 0.3, atol=1e-6)


def test_it_reaches_as_far_as_it_says(prediction):
    measured = seen(prediction)
    changed = prediction.copy()
    changed[:, 18, 20] += 1
    away = np.argwhere((compensate(changed, measured) != compensate(prediction, measured))[0])
    assert np.abs(away - [18, 20]).max() == REACH_PX


@pytest.mark.parametrize("size", [1, 2, 5])
def test_small_images_are_compensated_too(size):
    flat, measured = (np.full((1, size, size), value, np.float32) for value in (0.1, 0.3))
    np.testing.assert_allclose(compensate(flat, measured), 0.3, atol=1e-6)
