import numpy as np
import pytest

from openeo_udf_fusion.training import spectra


def test_a_flat_spectrum_is_seen_alike_by_every_band(shared_data):
    import pandas as pd

    table = pd.read_csv(shared_data / "spectral_responses" / "srf_1nm_400_2500.csv.gz")
    flat = np.full((1, spectra.WAVELENGTHS_NM.size), 0.3)
    bands = [name for name in table.columns if name != "wavelength_nm"]
    np.testing.assert_allclose(spectra.integrate(flat, table, bands), 0.3)


def test_snow_is_bright_in_the_visible_and_dark_in_the_shortwave_infrared():
    snow = spectra.snow()
    at = {nm: snow[:, nm - 400] for nm in (550, 1640)}
    assert np.median(at[550]) > 0.8
    assert at[1640].max() < 0.35


def test_water_is_dark_beyond_the_visible():
    water = spectra.water()
    assert water.min() >= 0
    assert np.median(water[:, 1000:]) < 0.02


def test_mixtures_stay_reflectances():
    members = {name: np.full((3, spectra.WAVELENGTHS_NM.size), 0.5) for name in spectra.CLASS_SHARES}
    mixed = spectra.mix(members, 50, np.random.default_rng(0))
    assert mixed.shape == (50, spectra.WAVELENGTHS_NM.size)
    assert mixed.min() >= 0.22
    assert mixed.max() == pytest.approx(0.55, abs=0.01)
