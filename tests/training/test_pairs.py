import numpy as np
import pytest

from openeo_udf_fusion.training import pairs as module
from openeo_udf_fusion.training.spectra import BandLibrary


def test_the_split_is_disjoint_and_stable():
    parts = module.split_pixels(300)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [200, 40, 60]
    assert len(np.unique(np.concatenate(list(parts.values())))) == 300
    np.testing.assert_array_equal(parts["test"], module.split_pixels(300)["test"])


def test_ridge_finds_the_line():
    rng = np.random.default_rng(0)
    source = rng.uniform(size=(500, 3))
    true = np.array([[1.0, 0], [0.5, -1], [0, 2]])
    weight, bias = module.ridge(source, source @ true + 0.1, penalty=1e-9)
    np.testing.assert_allclose(weight, true, atol=1e-5)
    np.testing.assert_allclose(bias, 0.1, atol=1e-5)


@pytest.fixture
def library() -> BandLibrary:
    """Surfaces whose VIIRS bands are a line in the MODIS ones plus what only the surface knows."""
    rng = np.random.default_rng(1)
    modis = rng.uniform(0.05, 0.6, (300, 7))
    viirs = modis[:, [0, 1, 2, 3, 0, 4, 5, 6]] * 1.05 + rng.normal(0, 0.02, (300, 8))
    return BandLibrary(modis, {"S-NPP": viirs, "NOAA-20": viirs + 0.01, "NOAA-21": viirs})


def test_viirs_is_near_its_line_differs_between_variants_and_keeps_gaps(library):
    rng = np.random.default_rng(2)
    modis = rng.uniform(0.1, 0.5, (3, 40, 7)).astype(np.float32)
    valid = np.broadcast_to(rng.uniform(size=(3, 40, 1)) < 0.7, modis.shape).copy()
    made = module.make_pairs(modis, valid, library, ("S-NPP",), variants=2, seed=0)
    assert made.viirs.shape == (2, 3, 40, 8)
    np.testing.assert_array_equal(made.viirs_valid, np.broadcast_to(valid[..., :1], made.viirs_valid.shape))
    assert (made.viirs[:, ~made.viirs_valid] == 0).all()
    error = (made.viirs[0][..., 1] - 1.05 * modis[..., 1])[made.viirs_valid[..., 1]]
    assert 0.001 < np.abs(error).mean() < 0.03
    assert not np.allclose(made.viirs[0], made.viirs[1])


def test_platforms_take_turns(library):
    modis = np.full((2, 10, 7), 0.3, np.float32)
    made = module.make_pairs(modis, np.ones_like(modis, bool), library, ("S-NPP", "NOAA-20"), 2, 0)
    assert made.viirs[1].mean() - made.viirs[0].mean() == pytest.approx(0.01, abs=0.006)


def test_a_missing_band_hides_its_partners_alone(library):
    modis = np.full((1, 10, 7), 0.3, np.float32)
    valid = np.ones_like(modis, bool)
    valid[:, 4, 0] = False
    valid[:, 7, :3] = False
    seen = module.make_pairs(modis, valid, library, ("S-NPP",), 1, 0).viirs_valid[0]
    np.testing.assert_array_equal(seen[4], [False, True, True, True, False, True, True, True])
    assert not seen[7].any()


def test_real_series_have_the_known_shape(shared_data):
    from openeo_udf_fusion.training.satfusenet import SERIES_FILE

    values, valid = module.read_series(shared_data / SERIES_FILE)
    assert values.shape == (300, 366, 7)
    assert 0.75 < valid.mean() < 0.85
    assert 0 <= values.min() <= values.max() < 1.1
