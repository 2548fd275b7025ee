import numpy as np
import pytest

from openeo_udf_fusion.training import directional

ZENITH = np.zeros(1)
ANGLES = np.deg2rad(np.array([[30.0, 45, 60], [0, 20, 50], [0, 60, 180]]))


def test_both_kernels_vanish_with_sun_and_view_at_the_zenith():
    for kernel in (directional.ross_thick, directional.li_sparse):
        assert kernel(ZENITH, ZENITH, ZENITH) == pytest.approx(0, abs=1e-12)


def test_both_kernels_are_reciprocal():
    sun, view, azimuth = ANGLES
    for kernel in (directional.ross_thick, directional.li_sparse):
        np.testing.assert_allclose(kernel(sun, view, azimuth), kernel(view, sun, azimuth), atol=1e-12)


def test_the_hot_spot_is_brighter_than_the_forward_side():
    sun = view = np.deg2rad(np.array([45.0]))
    for kernel in (directional.ross_thick, directional.li_sparse):
        assert kernel(sun, view, ZENITH) > kernel(sun, view, ZENITH + np.pi) + 0.2


def test_the_factor_is_one_straight_down_and_wanders_with_the_view():
    bands = np.array([470.0, 858.0])
    narrow = directional.directional_factor(50, 64, bands, 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(narrow, 1.0, atol=1e-9)
    wide = directional.directional_factor(200, 64, bands, 60.0, np.random.default_rng(0))
    assert 0.05 < wide.std() < 0.35
    assert abs(wide.mean() - 1) < 0.1


def test_the_sun_is_higher_in_summer():
    day = np.array([172, 355])
    north = directional.noon_sun_zenith(np.deg2rad(np.array([45.0])), day)
    np.testing.assert_allclose(np.rad2deg(north), [45 - 23.44, 45 + 23.44], atol=0.3)
