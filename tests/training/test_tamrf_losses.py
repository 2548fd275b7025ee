import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from openeo_udf_fusion.errors import InvalidWeights
from openeo_udf_fusion.training import tamrf_losses, tamrf_perceptual
from openeo_udf_fusion.training.tamrf_losses import (
    best_mixture,
    detail,
    fidelity,
    from_clouds,
    ndvi,
    nearest_clear,
)


def images(n=2, bands=3, size=6, seed=0):
    return torch.randn(n, bands, size, size, generator=torch.Generator().manual_seed(seed))


# --- fidelity


def test_fidelity_is_the_smooth_l1_of_what_is_known():
    guess, truth = images(), images(seed=1)
    known = images(seed=2) > 0
    parts = []
    for band in range(3):
        apart = (guess - truth)[:, band][known[:, band]].abs().double().numpy()
        parts.append(np.where(apart < 0.1, apart**2 / 0.2, apart - 0.05).mean())
    assert fidelity(guess, truth, known).item() == pytest.approx(np.mean(parts), rel=1e-5)


def test_what_is_not_known_does_not_count_even_if_missing():
    guess, truth = images().requires_grad_(), images(seed=1)
    known = torch.ones_like(truth, dtype=torch.bool)
    known[:, 1], known[0, 0] = False, False
    holes = truth.clone()
    holes[~known] = torch.nan
    loss = fidelity(guess, holes, known)
    assert loss.item() == fidelity(guess, truth, known).item()
    loss.backward()
    assert torch.equal(guess.grad != 0, known)
    assert fidelity(guess, truth, torch.zeros_like(known)).item() == 0


def test_each_band_counts_alike_however_much_of_it_is_known():
    guess, truth = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    truth[:, 1] = 3
    known = torch.ones_like(truth, dtype=torch.bool)
    known[:, 1, 1:] = False
    assert fidelity(guess, truth, known).item() == pytest.approx((0.95 + 2.95) / 2)


def test_dates_need_half_of_their_pixels():
    clear = torch.zeros(3, 4, 4, dtype=torch.bool)
    clear[1, :2], clear[2] = True, True
    assert tamrf_losses.usable(clear).tolist() == [False, True, True]


def test_landsat_sees_cells_of_three_pixels_and_sentinel2_its_own_grid():
    flat = torch.full((2, 8, 24, 24), 0.3)
    seen = tamrf_losses.as_seen(flat, "l8")
    assert seen.shape == (2, 8, 8, 8)
    torch.testing.assert_close(seen, torch.full_like(seen, 0.3))
    fine = images(1, 10, 24)
    seen = tamrf_losses.as_seen(fine, "s2")
    assert torch.equal(seen[:, :3], fine[:, :3])
    sigma = np.sqrt(-np.log(0.3) / 2) / (np.pi * 0.5 / 2)
    blurred = gaussian_filter(fine[0, 9].double().numpy(), sigma)
    assert np.abs(seen[0, 9, 9:-9, 9:-9].numpy() - blurred[9:-9, 9:-9]).max() < 0.03


def test_margins_are_cut_off():
    whole = images(size=9)
    assert torch.equal(tamrf_losses.within_margin(whole, 2), whole[..., 2:7, 2:7])
    assert tamrf_losses.within_margin(whole, 0) is whole


# --- clouds


def test_predictions_like_the_ground_cost_nothing_and_like_the_cloud_much():
    ground, cloud = images(), images() + 5
    chosen = torch.ones(2, 6, 6, dtype=torch.bool)
    assert from_clouds(ground, cloud, ground, chosen).item() == 0
    assert from_clouds(cloud, cloud, ground, chosen).item() > 5
    assert from_clouds(cloud, cloud, ground, ~chosen).item() == 0


def test_only_chosen_pixels_are_drawn_from_the_cloud():
    guess = (images() + 5).requires_grad_()
    chosen = torch.zeros(2, 6, 6, dtype=torch.bool)
    chosen[0, 2, 3] = True
    from_clouds(guess, images() + 6, images(), chosen).backward()
    moved = (guess.grad != 0).any(1)
    assert torch.equal(moved, chosen)


def test_the_nearest_clear_value_of_each_pixel_is_found_within_20_days():
    series = torch.arange(4.0)[:, None, None, None].expand(-1, 2, 1, 3)
    days = torch.tensor([0, 10, 12, 60])
    clear = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 0]], dtype=torch.bool)[:, None]
    values, near = nearest_clear(series, clear, days, torch.tensor([2, 3]))
    assert values[0, 0, 0, :2].tolist() == [1, 1]
    assert near[0, 0].tolist() == [True, True, False]
    assert values[1, 0, 0, :2].tolist() == [3, 3]
    _, near = nearest_clear(series, clear & (days != 60)[:, None, None], days, torch.tensor([3]))
    assert not near.any()


# --- detail


def test_a_linear_mixture_is_found_again_date_by_date():
    references = images(2, 4, 12)
    weights = torch.tensor([[1.0, -2, 0.5, 0], [0.3, 0, 0, 1.5]])
    image = (
        torch.einsum("nr,nryx->nyx", weights, references)[:, None]
        + torch.tensor([2.0, -1])[:, None, None, None]
    )
    torch.testing.assert_close(best_mixture(image, references), image, atol=0.01, rtol=0)


def test_mixtures_carry_gradients_of_the_references_alone():
    references, image = images(1, 4, 12).requires_grad_(), images(1, 1, 12, seed=3).requires_grad_()
    best_mixture(image, references).sum().backward()
    assert references.grad.abs().sum() > 0
    assert image.grad is None


class Squares(nn.Module):
    """A distance that keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, one, other):
        self.asked.append((one, other))
        return (one - other).square().mean()


def test_detail_compares_each_coarse_band_and_surface_temperature_by_a_tenth():
    made = {"l8": images(2, 8, 12), "s2": images(2, 10, 12, seed=1)}
    nir, red = torch.rand(2, 12, 12), torch.rand(2, 12, 12)
    each = [
        detail(made, Squares(), (nir, red), places).item()
        for places in ({"s2": [3]}, {"l8": [2]}, {"l8": [7]})
    ]
    both = detail(made, Squares(), (nir, red), {"s2": [3], "l8": [2, 7]}).item()
    assert both == pytest.approx((each[0] + each[1] + 0.1 * each[2]) / 2.1, rel=1e-5)


def test_only_surface_temperature_is_mixed_of_vegetation_too():
    made = {"l8": images(1, 8, 12), "s2": images(1, 10, 12, seed=1)}
    nir, red = torch.rand(1, 12, 12) * 0.5, torch.rand(1, 12, 12) * 0.2
    green = ndvi(nir, red)[:, None]
    made["l8"][:, 7:] = made["l8"][:, 2:3] = green
    distance = Squares()
    detail(made, distance, (nir, red), {"l8": [2, 7]})
    band, warm = (float((one - other).square().mean()) for one, other in distance.asked)
    assert warm < 1e-4 < 0.01 < band


def test_vegetation_needs_no_light_to_be_a_number():
    assert ndvi(torch.tensor([0.0, 0.4, -0.1]), torch.tensor([0.0, 0.1, 0.05])).tolist() == pytest.approx(
        [0, 0.6, -1]
    )


# --- the perceptual distance


def saved(folder, build):
    torch.manual_seed(0)
    layers, _ = build()
    file = folder / "network.pth"
    state = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, file)
    return file


@pytest.mark.parametrize(("build", "taps"), [(tamrf_perceptual.vgg16, 4), (tamrf_perceptual.alexnet, 5)])
def test_a_perceptual_distance_is_zero_for_the_same_and_grows(tmp_path, build, taps):
    distance = tamrf_perceptual.load(saved(tmp_path, build))
    one = images(1, 1, 48).requires_grad_()
    assert len(distance.features(one)) == taps
    assert distance(one, one).item() == 0
    little, much = (distance(one, one + by * images(1, 1, 48, seed=4)) for by in (0.05, 1))
    assert 0 < little < much
    much.backward()
    assert one.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in distance.parameters())


def test_vgg16_has_torchvisions_names():
    layers, _ = tamrf_perceptual.vgg16()
    numbers = {int(name.split(".")[0]) for name in layers.state_dict()}
    assert numbers == {0, 2, 5, 7, 10, 12, 14, 17, 19, 21}


@pytest.mark.parametrize("content", [{"features.0.weight": torch.zeros(3)}, torch.zeros(2), "text"])
def test_other_files_are_refused(tmp_path, content):
    file = tmp_path / "other.pth"
    if isinstance(content, str):
        file.write_text(content)
    else:
        torch.save(content, file)
    with pytest.raises(InvalidWeights, match=r"other\.pth"):
        tamrf_perceptual.load(file)
