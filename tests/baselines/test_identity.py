import numpy as np

from openeo_udf_fusion.baselines import identity
from openeo_udf_fusion.models.series import Observations


def test_the_partner_band_of_the_same_day_is_returned():
    values = np.arange(16, dtype=np.float32).reshape(2, 8, 1, 1) / 100
    valid = np.ones_like(values, bool)
    valid[1, 2] = False
    viirs = Observations(values, valid, np.array([4, 9], np.int32))
    found = identity.predict({"viirs": viirs}, np.array([9, 5, 4], np.int32), "modis")[..., 0, 0]
    np.testing.assert_allclose(found[2], values[0, [0, 1, 2, 3, 5, 6, 7], 0, 0])
    assert np.isnan(found[1]).all()
    assert np.isnan(found[0]).tolist() == [False, False, True, False, False, False, False]
