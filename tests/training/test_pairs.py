import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.training import pairs as module
from openeo_udf_fusion.training.spectra import BandLibrary

from .conftest import same


@pytest.fixture
def library() -> BandLibrary:
    """Surfaces whose VIIRS bands are a line in the MODIS ones plus what only the surface knows."""
    rng = np.random.default_rng(1)
    modis = rng.uniform(0.05, 0.6, (300, 7))
    viirs = modis[:, [0, 1, 2, 3, 0, 4, 5, 6]] * 1.05 + rng.normal(0, 0.02, (300, 8))
    return BandLibrary(modis, {"S-NPP": viirs, "NOAA-20": viirs + 0.1, "NOAA-21": viirs})


@pytest.fixture
def make_sample(library):
    """Make a sample of three pixels and forty days."""

    def make(seed=0, platform="S-NPP", product="nbar", valid=None) -> module.Pairs:
        rng = np.random.default_rng(2)
        modis = rng.uniform(0.1, 0.5, (3, 40, 7)).astype(np.float32)
        valid = np.broadcast_to(rng.uniform(size=(3, 40, 1)) < 0.7, modis.shape) if valid is None else valid
        modis = np.where(valid, modis, np.float32(0))
        likeness = module.alike(module.fill_bands(modis, valid), library)
        rng = np.random.default_rng(seed)
        return module.sample(modis, valid, np.arange(3), likeness, library, platform, product, rng)

    return make


def test_viirs_is_near_its_line_and_differs_between_draws(make_sample):
    one, other = make_sample(seed=0), make_sample(seed=1)
    both = one.viirs_valid[..., 1] & one.modis_valid[..., 1]
    error = (one.viirs[..., 1] - 1.05 * one.modis[..., 1])[both]
    assert 0.001 < np.abs(error).mean() < 0.03
    assert not np.array_equal(one.viirs, other.viirs)
    np.testing.assert_array_equal(one.modis, other.modis)


def test_viirs_is_known_only_where_modis_is_and_zero_elsewhere(make_sample):
    made = make_sample()
    assert (made.modis_valid[..., :1] | ~made.viirs_valid).all()
    assert not made.viirs[~made.viirs_valid].any()


def test_the_platform_is_the_one_asked_for(make_sample):
    one, other = make_sample(platform="S-NPP"), make_sample(platform="NOAA-20")
    assert other.viirs[other.viirs_valid].mean() - one.viirs[one.viirs_valid].mean() == pytest.approx(
        0.1, abs=0.02
    )
    assert set(other.platform) == {"NOAA-20"}


def test_a_directional_product_shows_both_sensors_otherwise(make_sample):
    nbar, seen = make_sample(product="nbar"), make_sample(product="directional")
    assert np.abs(seen.modis - nbar.modis)[seen.modis_valid].mean() > 0.005
    np.testing.assert_array_equal(seen.modis_valid, nbar.modis_valid)
    assert not seen.modis[~seen.modis_valid].any()


def test_a_missing_band_hides_its_partners_alone(make_sample):
    valid = np.ones((3, 40, 7), bool)
    valid[:, :, 0] = False
    seen = make_sample(valid=valid).viirs_valid
    np.testing.assert_array_equal(seen.any((0, 1)), [False, True, True, True, False, True, True, True])
    valid[:, :, 1] = False
    assert not make_sample(valid=valid).viirs_valid.any()


def test_joined_samples_come_apart_again(make_sample):
    one, other = make_sample(seed=0), make_sample(seed=1)
    joined = module.join([one, other])
    assert len(joined) == 6
    assert same(joined.take(np.arange(3)), one)
    np.testing.assert_array_equal(joined.of_pixels(np.array([2])).pixel, [2, 2])


def test_real_series_have_the_known_shape(shared_data):
    values, valid, fingerprints = module.read_series(shared_data)
    assert values.shape == (300, 366, 7)
    assert 0.75 < valid.mean() < 0.85
    assert 0 <= values.min() <= values.max() < 1.1
    assert len(set(fingerprints)) == 300


def test_series_without_the_needed_arrays_are_named(tmp_path):
    with pytest.raises(InvalidParameter, match="nbar_series"):
        module.read_series(tmp_path)
    (tmp_path / "nbar_series").mkdir()
    np.savez(tmp_path / "nbar_series" / "mine.npz", refl=np.zeros((1, 2, 7)))
    with pytest.raises(InvalidParameter, match=r"mine\.npz .* lack"):
        module.read_series(tmp_path)


def test_a_pixels_samples_do_not_depend_on_the_other_blocks(shared_data):
    pixels = np.arange(module.BLOCK_PIXELS + 2)
    blocks = list(module.simulate(shared_data, ("S-NPP",), 1, 3, pixels=pixels))
    assert [len(block) for block in blocks] == [module.BLOCK_PIXELS, 2]
    (alone,) = module.simulate(shared_data, ("S-NPP",), 1, 3, pixels=pixels[-2:])
    assert same(blocks[1], alone)
