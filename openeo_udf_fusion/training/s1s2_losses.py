"""The reconstruction loss of the Sentinel-1/2 embedding: amount, shape of the spectrum, and texture.

After Peters et al. 2025 (arXiv 2511.11706): .665 MAE + .315 SAM + .02 SSIM for Sentinel-2. Theirs weighs the
ring around a patch's centre pixel and the frames around its centre frame, a hundredth and a tenth of it;
here every pixel of a chip and every queried day has a code of its own and counts alike. Theirs lets clouds
into SSIM; here all three parts are under the mask.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from openeo_udf_fusion.training.losses import masked_mean

WINDOW_PX = 7
LEAST_SEEN = 0.5
"""Share of a window that has to be valid before its texture is compared."""
RANGE = 4.0
"""Of standardised values, for the constants of SSIM."""
MAE_WEIGHT, SAM_WEIGHT, SSIM_WEIGHT = 0.665, 0.315, 0.02


def reconstruction(guess: Tensor, truth: Tensor, valid: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    """Loss of standardised images (q, b, y, x) under a mask, in units of the bands' mean spread.

    The spectral angle is that of the physical values, `centre + spread * value`, and enters where all of
    three or more bands are valid; two bands have no shape of a spectrum, and amount takes its weight.
    """
    scale = spread.mean()
    amount = masked_mean((guess - truth).abs(), valid)
    texture = (1 - similarity(guess, truth, valid)) / scale
    if len(spread) < 3:
        return (MAE_WEIGHT + SAM_WEIGHT) * amount + SSIM_WEIGHT * texture * scale
    angle = spectral_angle(*(centre[:, None, None] + spread[:, None, None] * v for v in (guess, truth)))
    shape = masked_mean(angle, valid.all(1)) / scale
    return MAE_WEIGHT * amount + SAM_WEIGHT * shape + SSIM_WEIGHT * texture


def spectral_angle(first: Tensor, second: Tensor) -> Tensor:
    """Angle in radians (q, y, x) between spectra (q, b, y, x)."""
    cosine = F.cosine_similarity(first, second, dim=1, eps=1e-4)
    # The arc cosine's slope is infinite at one.
    return torch.acos(cosine.clamp(-1 + 1e-5, 1 - 1e-5))


def similarity(first: Tensor, second: Tensor, valid: Tensor) -> Tensor:
    """Mean structural similarity of images (q, b, y, x) from their valid pixels alone."""
    mask = valid.to(first)
    pad = WINDOW_PX // 2

    def box(image: Tensor) -> Tensor:
        return F.avg_pool2d(image, WINDOW_PX, stride=1, padding=pad)

    seen = box(mask)
    weight = seen.clamp(min=1e-3)
    a, b = first * mask, second * mask
    mean_a, mean_b = box(a) / weight, box(b) / weight
    var_a = (box(a * a) / weight - mean_a.square()).clamp(min=0)
    var_b = (box(b * b) / weight - mean_b.square()).clamp(min=0)
    cov = box(a * b) / weight - mean_a * mean_b
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    index = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    index = index / ((mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2))
    return masked_mean(index, valid & (seen >= LEAST_SEEN))
