import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.models import dsen2

SMALL = dsen2.Config(features=6, blocks=2, fill=tuple(0.1 + 0.02 * band for band in range(10)))
COARSE = SMALL.places_of_coarse


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(4)
    return dsen2.DSen2(SMALL).eval()


@pytest.fixture
def images():
    return np.random.default_rng(4).random((3, 10, 20, 22), np.float32)


def test_the_published_network_is_the_default():
    counted = sum(p.numel() for p in dsen2.DSen2(dsen2.Config()).parameters())
    assert counted == 9 * 128 * (10 + 12 * 128 + 6) + 13 * 128 + 6
    assert dsen2.Config().margin_px == 14


def test_what_is_made_is_added_to_what_came(images):
    model = dsen2.DSen2(SMALL)
    torch.nn.init.zeros_(model.last.weight)
    torch.nn.init.zeros_(model.last.bias)
    np.testing.assert_allclose(dsen2.sharpened(model, images), images, atol=1e-6)


def test_bands_of_ten_metres_come_back_untouched(model, images):
    found = dsen2.sharpened(model, images)
    fine = SMALL.places_of_fine
    assert [SMALL.bands[place] for place in fine] == ["B02", "B03", "B04", "B08"]
    np.testing.assert_array_equal(found[:, fine], images[:, fine])
    assert not np.array_equal(found[:, COARSE], images[:, COARSE])


def test_each_date_stands_alone(model, images):
    whole = dsen2.sharpened(model, images)
    np.testing.assert_array_equal(whole[::-1], dsen2.sharpened(model, images[::-1]))
    np.testing.assert_array_equal(whole[1:2], dsen2.sharpened(model, images[1:2]))


def test_a_tile_with_its_margin_equals_the_whole(model, images):
    margin = SMALL.margin_px
    tile = dsen2.sharpened(model, images[..., :, 2:])
    inside = np.s_[..., margin:]
    np.testing.assert_allclose(
        tile[inside], dsen2.sharpened(model, images)[..., 2 + margin :], rtol=0, atol=1e-6
    )


def test_nothing_farther_than_the_margin_matters(model, images):
    changed = images.copy()
    changed[0, :, 10, 11] += 1
    moved = np.abs(dsen2.sharpened(model, changed) - dsen2.sharpened(model, images))[0, COARSE].max(0) > 0
    rows, columns = np.nonzero(moved)
    away = max(np.abs(rows - 10).max(), np.abs(columns - 11).max())
    assert 1 <= away <= SMALL.margin_px


def test_what_is_missing_is_missing_and_no_more(model, images):
    images[0, 0, 3, 4] = np.nan  # of 10 m: nothing can be sharpened there
    images[1, 8, 5, 6] = np.nan  # of 20 m: itself
    found = dsen2.sharpened(model, images)
    expected = np.isnan(images)
    expected[0, COARSE, 3, 4] = True
    np.testing.assert_array_equal(np.isnan(found), expected)


def test_a_band_that_was_never_seen_enters_as_its_mean(model, images):
    without, mean = images.copy(), images.copy()
    without[:, 3], mean[:, 3] = np.nan, SMALL.fill[3]
    found, expected = dsen2.sharpened(model, without), dsen2.sharpened(model, mean)
    assert np.isnan(found[:, 3]).all()
    np.testing.assert_array_equal(np.delete(found, 3, 1), np.delete(expected, 3, 1))


def test_other_bands_are_refused(model, images):
    with pytest.raises(InvalidCube, match=r"\(t, 10, y, x\)"):
        dsen2.sharpened(model, images[:, :9])
