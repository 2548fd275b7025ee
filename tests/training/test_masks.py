import numpy as np
import pytest

from openeo_udf_fusion.training import masks


def test_gap_lengths_follow_the_observed_law():
    lengths = masks.gap_lengths(np.random.default_rng(0), 50_000)
    assert lengths.min() >= 1
    np.testing.assert_allclose(np.quantile(lengths, [0.5, 0.75, 0.9, 0.99]), [6, 14, 45, 99], atol=2)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_block_gaps_cover_about_the_share_asked_for(share):
    rng = np.random.default_rng(1)
    covered = np.mean([masks.block_gaps(rng, 366, share).mean() for _ in range(200)])
    assert share * 0.6 <= covered <= share * 1.15 + 1e-9


def test_a_composite_has_one_day_in_each_period():
    rng = np.random.default_rng(2)
    for _ in range(20):
        days = np.flatnonzero(masks.sparse_days(rng, 366))
        assert 44 <= days.size <= 46
        assert np.diff(days).max() <= 15


def test_every_situation_occurs():
    rng = np.random.default_rng(3)
    drawn = [masks.visible_days(rng, 366) for _ in range(400)]
    lacking = [(not d["modis"].any(), not d["viirs"].any()) for d in drawn]
    assert {(True, False), (False, True), (False, False)} <= set(lacking)
    bands = [masks.visible_bands(rng) for _ in range(400)]
    shapes = {(int(b["modis"].sum()), int(b["viirs"].sum())) for b in bands}
    assert {(7, 8), (7, 2), (7, 6), (2, 8)} <= shapes
