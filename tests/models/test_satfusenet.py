import math

import numpy as np
import pytest
import torch

from openeo_udf_fusion.models.merging import FAR_DAYS, Grid, Merge, Translation, interpolate
from openeo_udf_fusion.models.satfusenet import Attention, Config, Reach, SatFuseNet


def random_grid(seed: int, share: float = 0.4, days: int = 60, bands: int = 7) -> Grid:
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand((3, days, bands), generator=generator) < share
    return Grid(torch.where(valid, torch.rand((3, days, bands), generator=generator), 0.0), valid)


def test_interpolation_equals_numpys():
    grid, query = random_grid(0), torch.tensor([5, 0, 33, 59, 33])
    found = interpolate(grid, query, torch.zeros(7)).estimate
    for pixel, band in np.ndindex(3, 7):
        days = np.flatnonzero(grid.valid[pixel, :, band])
        expected = np.interp(query, days, grid.values[pixel, days, band])
        np.testing.assert_allclose(found[pixel, :, band], expected, atol=1e-6)


def test_distances_to_the_nearest_observations():
    valid = torch.zeros(1, 30, 1, dtype=torch.bool)
    valid[0, [10, 20]] = True
    found = interpolate(Grid(valid.float(), valid), torch.tensor([3, 10, 14, 25]), torch.zeros(1))
    assert found.days_before[0, :, 0].tolist() == [FAR_DAYS, 0, 4, 5]
    assert found.days_after[0, :, 0].tolist() == [7, 0, 6, FAR_DAYS]


def test_a_band_never_seen_falls_back():
    grid = random_grid(1)
    grid.valid[..., 2] = False
    found = interpolate(grid, torch.arange(60), torch.full((7,), 0.7)).estimate
    assert (found[..., 2] == 0.7).all()


def test_translation_falls_back_band_by_band():
    translation = Translation(3, 2, (0, 2))
    translation.weight.copy_(torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]))
    translation.slope.copy_(torch.tensor([2.0, 3.0]))
    values = torch.tensor([[[0.1, 0.2, 0.3], [0.1, 0.0, 0.3]]])
    moved = translation(Grid(values, values > 0))
    torch.testing.assert_close(moved.values, torch.tensor([[[0.15, 0.25], [0.2, 0.9]]]))
    assert moved.valid.all()


@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_a_lasting_difference_between_the_sensors_is_taken_away(offset):
    merge = Merge(7, 7, tuple(range(7)))
    truth = random_grid(2, share=2.0).values
    own = Grid(torch.where(torch.arange(60)[None, :, None] < 30, truth, 0.0), torch.ones_like(truth) > 0)
    own.valid[:, 30:] = False
    other = Grid(truth + offset, torch.ones_like(own.valid))
    merged = merge(own, other)
    torch.testing.assert_close(merged.grid.values[:, :30], truth[:, :30])
    assert (merged.grid.values - truth)[:, 30:].abs().max() <= 0.15 * offset + 1e-6
    assert merged.grid.valid.all()
    assert merged.days_away[0, [0, 29, 35], 0].tolist() == [0, 0, 6]


def test_the_range_is_bent_monotonically_and_only_at_its_edges():
    model = SatFuseNet(Config(width=8, layers=0, heads=2, mlp=8, decoder=8))
    values = torch.linspace(-5, 5, 200_001)
    bent = model.into_range(values)
    assert (bent.diff() >= 0).all()
    assert float(bent.min()) >= np.float32(-0.01)
    assert float(bent.max()) <= np.float32(1.6)
    inner = (values > 0.02) & (values < 1.57)
    torch.testing.assert_close(bent[inner], values[inner], rtol=0, atol=1e-6)


def test_blocks_of_attention_equal_the_whole():
    config = Config(width=8, heads=2, reach_bins=5)
    generator = torch.Generator().manual_seed(3)
    z, seen = torch.randn((2, 37, 8), generator=generator), torch.rand((2, 37), generator=generator) < 0.6
    attention = Attention(config)
    q, k, v = attention.project(z).reshape(2, 37, 3, 2, 4).permute(2, 0, 3, 1, 4)
    bins = torch.arange(37)
    distance = (bins[:, None] - bins).abs()
    tau = torch.tensor([2.0, 365.0]) / config.bin_days
    scores = q @ k.transpose(-1, -2) / math.sqrt(4) - distance / tau[:, None, None]
    hidden = (distance > 5) | ~seen[:, None, None]
    scores = scores.masked_fill(hidden, -torch.inf)
    always = (q * attention.always[0]).sum(-1, keepdim=True) / math.sqrt(4)
    share = torch.cat([scores, always], -1).softmax(-1)
    mixed = share[..., :-1] @ v + share[..., -1:] * attention.always[1]
    expected = attention.out(mixed.permute(0, 2, 1, 3).reshape(2, 37, 8))
    torch.testing.assert_close(attention(z, Reach(seen, config)), expected, rtol=1e-4, atol=1e-5)


def test_cost_grows_linearly_with_time():
    config = Config()
    cells = [
        sum((rows.stop - rows.start) * (keys.stop - keys.start) for rows, keys, _ in reach.blocks)
        for reach in (Reach(torch.ones(1, bins, dtype=torch.bool), config) for bins in (920, 1840))
    ]
    assert cells[1] < 2.2 * cells[0]
