import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.evaluation.frequency_restoration import frequency_restoration


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    return 0.2 + 0.02 * rng.normal(size=(51, 51)) + 0.1 * gaussian_filter(rng.normal(size=(51, 51)), 4)


def test_an_image_restores_itself_whatever_its_level_and_contrast(image):
    assert frequency_restoration(image, image) == 0
    assert frequency_restoration(3 * image + 0.1, image) == pytest.approx(0, abs=1e-9)


def test_it_is_antisymmetric(image):
    other = gaussian_filter(image, 0.5)
    assert frequency_restoration(image, other) == pytest.approx(-frequency_restoration(other, image))


def test_the_more_blur_the_less_is_restored(image):
    found = [frequency_restoration(gaussian_filter(image, sigma), image) for sigma in (0.4, 0.8, 1.6)]
    assert 0 > found[0] > found[1] > found[2]


def test_noise_counts_as_detail(image):
    smooth = gaussian_filter(image, 1.5)
    noisy = smooth + np.random.default_rng(1).normal(0, 0.01, image.shape)
    assert frequency_restoration(noisy, smooth) > 1


def test_a_known_slope_of_power():
    """White noise filtered to a tenth of its amplitude has -20 dB in every annulus but the first."""
    noise = np.random.default_rng(2).normal(size=(256, 256))
    frequency = np.fft.fftfreq(256)
    amplitude = np.where(np.hypot(frequency[:, None], frequency) < 0.02, 1, 0.1)
    filtered = np.fft.ifft2(np.fft.fft2(noise) * amplitude).real
    assert frequency_restoration(filtered, noise) == pytest.approx(-20, abs=1.5)


def test_missing_values_and_flat_images_have_none(image):
    holed = image.copy()
    holed[3, 3] = np.nan
    assert np.isnan(frequency_restoration(holed, image))
    assert np.isnan(frequency_restoration(image * 0, image))


@pytest.mark.parametrize("shape", [(51, 50), (4, 4), (51,)])
def test_other_shapes_are_refused(image, shape):
    with pytest.raises(InvalidCube, match="of one shape"):
        frequency_restoration(np.zeros(shape), image)
