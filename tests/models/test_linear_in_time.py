import numpy as np
import pytest
import torch

from openeo_udf_fusion.models import linear_in_time as module
from openeo_udf_fusion.models.linear_in_time import linear_in_time

DAYS = torch.tensor([30, 4, 17, 55, 90, 41])
QUERY = torch.tensor([0, 4, 10, 41, 60, 60, 200, -5])
OTHERWISE = torch.tensor([7.0, 8.0])


@pytest.fixture
def series():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 2, 9, 5, generator=generator)
    valid = torch.rand(images.shape, generator=generator) > 0.5
    valid[:, 1, 2, 3] = False
    return images.where(valid, torch.nan), valid


def test_every_series_is_what_numpy_makes_of_it(series):
    images, valid = series
    made = linear_in_time(images, DAYS, valid, QUERY, OTHERWISE)
    assert made.shape == (8, 2, 9, 5)
    for place in np.ndindex(2, 9, 5):
        seen = valid[(slice(None), *place)].numpy()
        if seen.any():
            days = DAYS.numpy()[seen]
            order = np.argsort(days)
            known = images[(slice(None), *place)].numpy()[seen]
            expected = np.interp(QUERY.numpy(), days[order], known[order])
        else:
            expected = OTHERWISE[place[0]].item()
        np.testing.assert_allclose(made[(slice(None), *place)], expected, atol=1e-6)
    assert (made[:, 1, 2, 3] == 8).all()


def test_what_was_seen_on_a_queried_day_may_be_left_out(series):
    images, valid = series
    made = linear_in_time(images, DAYS, valid, QUERY, OTHERWISE, other_days=True)
    for place, day in enumerate(QUERY):
        others = day != DAYS
        left = linear_in_time(images[others], DAYS[others], valid[others], day[None], OTHERWISE)
        torch.testing.assert_close(made[place], left[0], rtol=0, atol=1e-6)
    assert not torch.equal(made[1], linear_in_time(images, DAYS, valid, QUERY, OTHERWISE)[1])


def test_strips_leave_no_seam(series, monkeypatch):
    images, valid = series
    whole = linear_in_time(images, DAYS, valid, QUERY, OTHERWISE)
    monkeypatch.setattr(module, "STRIP_ROWS", 2)
    assert torch.equal(linear_in_time(images, DAYS, valid, QUERY, OTHERWISE), whole)


def test_values_of_one_day_become_their_mean():
    images, days = torch.tensor([1.0, 3.0, 9.0, 0.0])[:, None, None, None], torch.tensor([5, 5, 5, 10])
    valid = torch.tensor([True, True, False, True])[:, None, None, None]
    made = linear_in_time(images, days, valid, torch.tensor([5, 8, 10]), torch.zeros(1))
    assert made.flatten().tolist() == pytest.approx([2, 0.8, 0])
