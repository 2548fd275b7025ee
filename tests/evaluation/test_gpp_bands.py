import numpy as np
import pytest

from openeo_udf_fusion.evaluation import gpp_bands
from openeo_udf_fusion.evaluation.gpp_bands import Spectra
from openeo_udf_fusion.evaluation.gpp_towers import Towers
from openeo_udf_fusion.training.noise import Noise

STILL = Noise(0, 0, 0, 0, 8, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def spectra() -> Spectra:
    """Sensors that are mixtures of hidden surfaces; MODIS's first bands are HLS's own."""
    rng = np.random.default_rng(0)
    hidden = rng.dirichlet(np.ones(9), 3000) @ rng.uniform(0.05, 0.6, (9, 14))
    hls = hidden[:, :6]
    modis = np.concatenate([hls, hidden[:, 6:7]], axis=1)
    return Spectra(hls, modis, {"NOAA-20": hidden[:, 6:]})


@pytest.fixture(scope="module")
def towers(spectra) -> Towers:
    site = np.repeat(np.arange(4), 10)
    return Towers(
        site=site,
        names=np.array(list("ABCD")),
        place=site,
        day=np.tile(np.arange(17_600, 17_800, 20), 4).astype(np.int32),
        hls=spectra.hls[:40],
        weather=np.ones((40, 10)),
        plant_type=np.full(40, "GRA"),
        gpp=np.ones(40),
    )


def test_a_spectrum_of_the_library_is_its_own_nearest(towers, spectra):
    found = gpp_bands.alike(towers.hls, spectra)
    np.testing.assert_array_equal(found.index[:, 0], np.arange(40))
    np.testing.assert_allclose(found.nearest, 0, atol=1e-12)


def test_what_the_bands_share_survives(towers, spectra):
    rng = np.random.default_rng(0)
    modis, viirs = gpp_bands.see(towers, spectra, gpp_bands.alike(towers.hls, spectra), "NOAA-20", rng)
    assert modis.shape == (40, 7)
    assert viirs.shape == (40, 8)
    np.testing.assert_allclose(modis[:, :6], towers.hls, atol=1e-3)


def test_both_sensors_see_one_surface(towers, spectra):
    rng = np.random.default_rng(0)
    modis, viirs = gpp_bands.see(towers, spectra, gpp_bands.alike(towers.hls, spectra), "NOAA-20", rng)
    np.testing.assert_allclose(modis[:, 6], viirs[:, 0], atol=1e-9)  # a band that both have, and HLS has not


def test_without_noise_nothing_changes(towers, spectra):
    viirs = spectra.viirs["NOAA-20"][:40]
    seen = gpp_bands.disturb(towers, viirs, STILL, np.random.default_rng(0))
    np.testing.assert_allclose(seen, viirs, atol=1e-6)


def test_a_footprint_lasts_as_long_as_its_tower(towers, spectra):
    viirs = spectra.viirs["NOAA-20"][:40]
    noise = Noise(0.1, 0, 0, 0, 8, 0, 0, 0, 0)
    factor = gpp_bands.disturb(towers, viirs, noise, np.random.default_rng(0)) / viirs
    for site in range(4):
        np.testing.assert_allclose(factor[towers.site == site], factor[towers.site == site][0, 0], rtol=1e-5)
    assert np.std(factor[:, 0]) > 0.01
