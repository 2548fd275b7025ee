"""Small networks of TAMRF and seeded series of images for them, and how near two results are."""

from dataclasses import replace

import torch

from openeo_udf_fusion.models import tamrf

SMALL = tamrf.Config(
    features=8, growth=4, dense_blocks=1, time_code=8, sensor_code=4, layers=1, heads=2, mlp=16
)


def anchored(**more):
    torch.manual_seed(4)
    return tamrf.Tamrf(replace(SMALL, clear_only=True, anchored=True, **more)).eval()


def images(sensor, dates, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(dates, len(SMALL.bands(sensor)), size, size, generator=generator)


def given(size=12, hr_dates=4, lr_dates=3):
    return {
        "hr": images("hr", hr_dates, size),
        "hr_days": torch.tensor([3, 40, 90, 200])[:hr_dates],
        "lr": images("lr", lr_dates, size // 3, seed=1),
        "lr_days": torch.tensor([10, 60, 150])[:lr_dates],
        "query_days": torch.tensor([0, 77, 300]),
    }


def masks(series, share=0.4):
    """What is valid where some bands of some pixels are missing on every date."""
    generator = torch.Generator().manual_seed(5)
    return {
        f"{sensor}_valid": torch.rand(series[sensor].shape, generator=generator) > share
        for sensor in tamrf.SENSORS
    }


def far(one, other):
    return (one - other).abs().max().item()


def close(one, other, tolerance=1e-5):
    return all(far(a, b) < tolerance for a, b in zip(one, other, strict=True))


def alike(one, other, tolerance=1e-6):
    """Missing where the other is, and close where it is not."""
    same = all(torch.equal(a.isnan(), b.isnan()) for a, b in zip(one, other, strict=True))
    return same and close([a.nan_to_num() for a in one], [b.nan_to_num() for b in other], tolerance)
