"""What TAMRF is trained by: fidelity to clear pixels, distance from clouds, detail like that of 10 m bands.

After Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159. Values are standardised, as the network's
encoders read them; images (n, b, y, x), masks alike.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from openeo_udf_fusion.models import psf
from openeo_udf_fusion.training.tamrf_perceptual import PerceptualDistance

MTF = MappingProxyType({"l8": (0.3,) * 7 + (0.2,), "s2": (1, 1, 1, 0.3, 0.3, 0.3, 1, 0.3, 0.3, 0.3)})
"""At half the sampling frequency, in the order of the bands; 1 where 10 m is the band's own grid."""
RATIO = MappingProxyType({"l8": (3,) * 7 + (9,), "s2": (1, 1, 1, 2, 2, 2, 1, 2, 2, 2)})
"""Pixels of 10 m along one of the band's own; surface temperature, seen at 100 m, is given at 90 m."""
BETA = 0.1
LEAST_CLEAR = 0.5
"""Share of clear pixels under which a date is no target."""
TRIPLET_MARGIN = 1e-5
NEAR_DAYS = 20
RIDGE = 1e-3
LST = 7
"""Place of the surface temperature among Landsat's bands."""
TEMPERATURE_WEIGHT = 0.1
RED, NIR = 2, 6
REFERENCES = (0, 1, 2, 6)
"""Places of Sentinel-2's 10 m bands."""


def as_seen(images: Tensor, sensor: str) -> Tensor:
    """Predictions at 10 m as the sensor would see them: its point spread function, Landsat on its own grid.

    Sentinel-2's 20 m bands stay on the 10 m grid, on which their measurements lie interpolated.
    """
    seen = psf.blurred(images, MTF[sensor], RATIO[sensor])
    return psf.coarser(seen, 3) if sensor == "l8" else seen


def within_margin(images: Tensor, margin_px: int) -> Tensor:
    """Without the pixels beside the border; the margin is in pixels of these images."""
    if margin_px == 0:
        return images
    return images[..., margin_px:-margin_px, margin_px:-margin_px]


def usable(clear: Tensor) -> Tensor:
    """Dates (n,) of which enough is clear; `clear` (n, y, x)."""
    return clear.float().mean((1, 2)) >= LEAST_CLEAR


def fidelity(guess: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Smooth L1 over the values that are known, each band of equal weight; 0 where none is.

    Parameters
    ----------
    guess, truth
        (n, b, y, x) on the sensor's own grid.
    known
        (n, b, y, x) bool: clear, measured and asked for.
    """
    apart = F.smooth_l1_loss(guess, torch.where(known, truth, 0), beta=BETA, reduction="none")
    apart = torch.where(known, apart, 0)
    count = known.sum((0, 2, 3))
    bands = apart.sum((0, 2, 3)) / count.clamp(min=1)
    return bands.sum() / (count > 0).sum().clamp(min=1)


# --- away from clouds


def from_clouds(guess: Tensor, cloudy: Tensor, nearest: Tensor, chosen: Tensor) -> Tensor:
    """Triplet loss that draws predictions under clouds to the ground and away from the cloud.

    Parameters
    ----------
    guess
        (n, b, y, x), the predictions.
    cloudy
        (n, b, y, x), what was measured instead.
    nearest
        (n, b, y, x), the pixel's nearest clear values in time.
    chosen
        (n, y, x) bool: cloudy, and with a clear value near in time.
    """
    if not bool(chosen.any()):
        return guess.sum() * 0
    anchor, positive, negative = (each.movedim(1, -1)[chosen] for each in (guess, nearest, cloudy))
    return F.triplet_margin_loss(anchor, positive, negative, margin=TRIPLET_MARGIN, swap=True)


def nearest_clear(images: Tensor, clear: Tensor, days: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Each pixel's clear values nearest in time to some of the dates, and where one lies near enough.

    Parameters
    ----------
    images, clear, days
        (t, b, y, x), (t, y, x) and (t,).
    wanted
        (n,), places of the dates.

    Returns
    -------
    values, near : Tensor
        (n, b, y, x) and (n, y, x).
    """
    apart = (days[wanted][:, None] - days).abs().to(images.dtype)  # (n, t)
    away = apart[:, :, None, None].where(clear, torch.inf)  # (n, t, y, x)
    least, place = away.min(1)
    index = place[:, None].expand(-1, images.shape[1], -1, -1)
    return images.gather(0, index), least <= NEAR_DAYS


# --- detail


def detail(
    guess: Mapping[str, Tensor],
    distance: PerceptualDistance,
    nir_red: tuple[Tensor, Tensor],
    bands: Mapping[str, Sequence[int]],
) -> Tensor:
    """How unlike the 10 m bands' best linear mixture each band looks that its sensor sees more coarsely.

    Parameters
    ----------
    guess
        By sensor (n, b, y, x) at 10 m.
    distance
        The perceptual distance of two images (n, 1, y, x).
    nir_red
        Reflectance (n, y, x) of B08 and B04, un-standardised with each band's own mean and deviation.
    bands
        By sensor, the places of the bands compared.
    """
    references = guess["s2"][:, REFERENCES]
    warm = torch.cat([references, ndvi(*nir_red)[:, None]], 1)
    total, weights = guess["s2"].new_zeros(()), 0.0
    for sensor, places in bands.items():
        for place in places:
            is_lst = sensor == "l8" and place == LST
            weight = TEMPERATURE_WEIGHT if is_lst else 1.0
            image = guess[sensor][:, place : place + 1]
            mixed = best_mixture(image, warm if is_lst else references)
            total = total + weight * distance(image, mixed)
            weights += weight
    return total / max(weights, 1e-9)


def ndvi(nir: Tensor, red: Tensor) -> Tensor:
    """The normalised difference of reflectances (n, y, x), within -1..1."""
    return ((nir - red) / (nir + red).clamp(min=1e-3)).clamp(-1, 1)


def best_mixture(image: Tensor, references: Tensor) -> Tensor:
    """Ridge regression with bias of references (n, r, y, x) onto an image (n, 1, y, x), date by date.

    The coefficients carry no gradient; the references do.
    """
    x = references.flatten(2).transpose(1, 2).float()  # (n p r)
    x = torch.cat([x, torch.ones_like(x[..., :1])], -1)
    with torch.no_grad():
        y = image.flatten(2).transpose(1, 2).float()
        gram = x.transpose(1, 2) @ x / x.shape[1]
        gram = gram + RIDGE * torch.eye(x.shape[-1], device=x.device)
        weights = torch.linalg.solve(gram, x.transpose(1, 2) @ y / x.shape[1])
    mixed: Tensor = (x @ weights).transpose(1, 2).reshape(image.shape)
    return mixed
