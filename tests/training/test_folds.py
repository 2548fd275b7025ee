import numpy as np
import pytest

from openeo_udf_fusion.training import folds

PIXELS = np.arange(300)


def test_every_place_is_tested_once():
    tested = np.concatenate([folds.split(PIXELS, PIXELS, fold).test for fold in range(folds.FOLDS)])
    np.testing.assert_array_equal(np.sort(tested), PIXELS)


@pytest.mark.parametrize("fold", [0, 3, None])
def test_the_parts_of_a_fold_are_disjoint_and_whole(fold):
    parts = folds.split(PIXELS, PIXELS, fold)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), PIXELS)
    assert len(parts.test) == (60 if fold is not None else 0)
    assert len(parts.validation) == (24 if fold is not None else 30)


def test_neighbours_stay_together():
    rng = np.random.default_rng(0)
    longitude, latitude = rng.uniform(0, 40, 400), rng.uniform(-20, 20, 400)
    blocks = folds.blocks_of(longitude, latitude)
    assert len(np.unique(blocks)) == 64
    for part in folds.split(np.arange(400), blocks, 1):
        outside = np.setdiff1d(np.arange(400), part)
        assert not np.intersect1d(blocks[part], blocks[outside]).size


def test_places_that_nobody_knows_stand_alone():
    unknown = np.full(5, np.nan)
    assert len(np.unique(folds.blocks_of(unknown, unknown))) == 5
