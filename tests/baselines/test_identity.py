import numpy as np
import pytest

from openeo_udf_fusion.baselines import identity
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models.series import Observations


def viirs(days=(4, 9)):
    values = np.arange(8 * len(days), dtype=np.float32).reshape(len(days), 8, 1, 1) / 100
    return Observations(values, np.ones_like(values, bool), np.array(days, np.int32))


def test_the_partner_band_of_the_same_day_is_returned():
    series = viirs()
    series.valid[1, 2] = False
    found = identity.predict({"viirs": series}, np.array([9, 5, 4, 9], np.int32), "modis").mean[..., 0, 0]
    np.testing.assert_allclose(found[2], series.values[0, [0, 1, 2, 3, 5, 6, 7], 0, 0])
    assert np.isnan(found[1]).all()
    assert np.isnan(found[0]).tolist() == [False, False, True, False, False, False, False]
    np.testing.assert_array_equal(found[0], found[3])


def test_several_observations_of_a_day_count_as_their_mean():
    series = viirs((4, 4))
    found = identity.predict({"viirs": series}, np.array([4], np.int32), "modis").mean
    np.testing.assert_allclose(found[0, 0], series.values[:, 0].mean(0))


def test_it_claims_no_spread():
    found = identity.predict({"viirs": viirs()}, np.array([4], np.int32), "modis", (0.1,))
    assert np.isnan(found.sigma).all()
    assert found.quantiles.shape == (1, 1, 7, 1, 1)


def test_one_other_sensor_is_needed():
    with pytest.raises(InvalidParameter, match="one other sensor"):
        identity.predict({"modis": viirs()}, np.array([4], np.int32), "modis")
