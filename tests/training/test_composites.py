import numpy as np
import pytest

from openeo_udf_fusion.models.satfusenet import SatFuseNet
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training import composites
from openeo_udf_fusion.training.calibration import real_composites


@pytest.fixture
def scene() -> Observations:
    """Twelve composites of 8 days; each pixel and step has its own value and its own day."""
    rng = np.random.default_rng(0)
    shape = (12, 7, 25, 23)
    days = 18_000 + 8 * np.arange(12)[:, None, None] + rng.integers(0, 8, (12, 25, 23))
    valid = np.broadcast_to(rng.uniform(size=(12, 1, 25, 23)) < 0.7, shape).copy()
    return Observations(rng.uniform(0.1, 0.5, shape).astype(np.float32), valid, days.astype(np.int32))


def test_a_third_of_what_was_seen_is_withheld(scene):
    found = composites.withhold(scene, "test", 100, seed=1)
    assert found.observed.values.shape == found.hidden.shape == (12, 7, 1, 100)
    assert not (found.hidden & found.observed.valid).any()
    seen = (found.hidden | found.observed.valid)[:, 0, 0].sum(0)
    np.testing.assert_array_equal(found.hidden[:, 0, 0].sum(0), np.round(seen / 3))


def test_the_parts_of_the_chessboard_have_no_square_in_common(scene):
    parts = [composites.withhold(scene, part, 10_000, seed=1) for part in ("calibrate", "test")]
    assert sum(part.hidden.shape[-1] for part in parts) == 25 * 23
    assert not np.intersect1d(*(part.square for part in parts)).size


def test_what_is_asked_for_is_what_was_withheld(scene, tiny):
    withheld = composites.withhold(scene, "calibrate", 30, seed=2)
    rows = real_composites(SatFuseNet(tiny), withheld)
    for band, found in enumerate(rows):
        hidden = withheld.hidden[:, band]
        np.testing.assert_array_equal(
            np.sort(found.truth), np.sort(withheld.observed.values[:, band][hidden])
        )
        assert (found.gap > 0).all()


def test_the_real_scene_is_read_with_its_own_days(shared_data):
    scene = composites.read(shared_data)
    assert scene.values.shape == (46, 7, 108, 110)
    assert scene.days.shape == (46, 108, 110)


def test_without_a_scene_there_is_none(tmp_path):
    assert composites.read(tmp_path) is None
