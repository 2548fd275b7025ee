import math

import pytest
import torch

from openeo_udf_fusion.training.s1s2_losses import reconstruction, similarity, spectral_angle

CENTRE, SPREAD = torch.full((4,), 0.2), torch.full((4,), 0.1)


@pytest.fixture
def images():
    torch.manual_seed(0)
    truth = torch.randn(2, 4, 16, 16)
    valid = (torch.rand(2, 1, 16, 16) < 0.7).expand_as(truth).clone()
    return truth + 0.3 * torch.randn_like(truth), truth, valid


def test_what_is_masked_does_not_count(images):
    guess, truth, valid = images
    expected = reconstruction(guess, truth, valid, CENTRE, SPREAD)
    spoilt = torch.where(valid, guess, 50.0)
    torch.testing.assert_close(reconstruction(spoilt, truth, valid, CENTRE, SPREAD), expected)


def test_nothing_to_compare_costs_nothing_but_texture(images):
    guess, truth, valid = images
    loss = reconstruction(guess.requires_grad_(), truth, torch.zeros_like(valid), CENTRE, SPREAD)
    loss.backward()
    assert float(guess.grad.abs().sum()) == 0


def test_the_truth_is_best_and_its_slope_finite(images):
    guess, truth, valid = images
    perfect = truth.clone().requires_grad_()
    best = reconstruction(perfect, truth, valid, CENTRE, SPREAD)
    best.backward()
    assert perfect.grad.isfinite().all()
    assert float(best.detach()) < 0.05 < float(reconstruction(guess, truth, valid, CENTRE, SPREAD))


def test_similarity_is_one_for_the_same_and_less_for_noise(images):
    guess, truth, valid = images
    assert float(similarity(truth, truth, valid)) == pytest.approx(1, abs=1e-5)
    assert 0.3 < float(similarity(guess, truth, valid)) < 0.97


def test_the_angle_ignores_brightness():
    spectrum = torch.tensor([0.1, 0.2, 0.4])[None, :, None, None]
    assert float(spectral_angle(spectrum, 3 * spectrum)) < 0.01
    right = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None]
    other = torch.tensor([0.0, 1.0, 0.0])[None, :, None, None]
    assert float(spectral_angle(right, other)) == pytest.approx(math.pi / 2)
