"""Scores that a network can be trained on, and their mean over what is known."""

import math

import torch
from torch import Tensor


def crps_normal(observed: Tensor, location: Tensor, sigma: Tensor) -> Tensor:
    """Continuous ranked probability score of a normal distribution, elementwise.

    With z = (observed - location) / sigma the score is
    sigma * (z * (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)),
    doi:10.1198/016214506000001437. Unit: that of the observation; lower is better; NaN where an input is NaN.
    """
    z = (observed - location) / sigma
    density = torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return sigma * (z * torch.erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the mask; zero where it is empty."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)
