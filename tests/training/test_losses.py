import math

import numpy as np
import pytest
import scoringrules
import torch

from openeo_udf_fusion.training.losses import crps_normal


def test_crps_equals_the_oracle():
    rng = np.random.default_rng(0)
    observed, location = rng.normal(0.2, 0.2, (2, 500))
    sigma = np.exp(rng.uniform(-7, 0, 500))
    found = crps_normal(*(torch.from_numpy(a) for a in (observed, location, sigma))).numpy()
    np.testing.assert_allclose(
        found, scoringrules.crps_normal(observed, location, sigma), rtol=1e-9, atol=1e-12
    )


def test_the_derivatives_are_the_known_ones():
    observed = torch.linspace(-2, 3, 11, dtype=torch.float64)
    location, sigma = (torch.full_like(observed, value, requires_grad=True) for value in (0.3, 0.7))
    crps_normal(observed, location, sigma).sum().backward()
    z = (observed - 0.3) / 0.7
    normal = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(location.grad, 1 - 2 * normal.cdf(z))
    expected = 2 * normal.log_prob(z).exp() - 1 / math.sqrt(math.pi)
    torch.testing.assert_close(sigma.grad, expected)


@pytest.mark.parametrize("sigma", [0.01, 1.0])
def test_a_calibrated_forecast_scores_sigma_over_root_pi(sigma):
    observed = sigma * torch.from_numpy(np.random.default_rng(1).normal(size=200_000))
    score = crps_normal(observed, torch.zeros(()), torch.tensor(sigma)).mean()
    assert float(score) == pytest.approx(sigma / math.sqrt(math.pi), rel=0.01)
