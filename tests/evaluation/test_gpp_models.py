import numpy as np
import pytest

from openeo_udf_fusion.evaluation.gpp_models import (
    MODELS,
    fit_kernel_ridge,
    fit_light_use,
    folds_of,
    held_out,
)
from openeo_udf_fusion.evaluation.gpp_towers import places


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    bands = rng.uniform(0.02, 0.5, (120, 7))
    weather = rng.uniform(0, 300, (120, 10))
    ndvi = (bands[:, 1] - bands[:, 0]) / (bands[:, 1] + bands[:, 0])
    return bands, weather, np.maximum(0.2 * ndvi * bands[:, 1] * 0.45 * weather[:, 7] + 1, 0)


@pytest.mark.parametrize("seed", range(20))
def test_a_place_is_in_one_fold_and_folds_hold_equally_many_places(seed):
    place = np.random.default_rng(seed).integers(0, 26, 300)
    fold = folds_of(place, seed)
    per_place = [set(fold[place == each]) for each in np.unique(place)]
    assert all(len(found) == 1 for found in per_place)
    counts = np.bincount([found.pop() for found in per_place])
    assert counts.max() - counts.min() <= 1


def test_folds_depend_on_the_seed_alone():
    place = np.repeat(np.arange(12), 3)
    np.testing.assert_array_equal(folds_of(place, 1), folds_of(place, 1))
    assert (folds_of(place, 1) != folds_of(place, 2)).any()


def test_a_place_holds_the_towers_that_tiles_link():
    site = np.array([0, 0, 1, 2, 3, 3])
    tile = np.array(["A", "B", "B", "C", "D", "C"])
    np.testing.assert_array_equal(places(site, tile), [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("name", MODELS)
def test_a_fold_is_predicted_without_its_own_gpp(name, rows):
    bands, weather, gpp = rows
    fold = np.arange(len(gpp)) % 4
    spoilt = np.where(fold == 2, 1e3, gpp)
    first = held_out(MODELS[name], bands, {"a": bands}, weather, gpp, fold)["a"]
    second = held_out(MODELS[name], bands, {"a": bands}, weather, spoilt, fold)["a"]
    np.testing.assert_array_equal(first[fold == 2], second[fold == 2])
    assert (first[fold != 2] != second[fold != 2]).any()


def test_light_use_finds_its_own_law(rows):
    bands, weather, gpp = rows
    kept = gpp > 0
    model = fit_light_use(bands[kept], weather[kept], gpp[kept])
    assert model.slope == pytest.approx(0.2)
    assert model.offset == pytest.approx(1)


def test_kernel_ridge_solves_its_normal_equations_whatever_the_units(rows):
    bands, weather, gpp = rows
    model = fit_kernel_ridge(bands, weather, gpp)
    residual = gpp - gpp.mean() - (np.maximum(model.predict(bands, weather), 0) - gpp.mean())
    inside = model.predict(bands, weather) > 0
    np.testing.assert_allclose(residual[inside], 0.1 * model.weight[inside], atol=1e-8)
    other = fit_kernel_ridge(100 * bands, weather - 273, gpp)
    np.testing.assert_allclose(other.predict(100 * bands, weather - 273), model.predict(bands, weather))


@pytest.mark.parametrize("fit", MODELS.values(), ids=list(MODELS))
def test_gpp_is_never_negative(fit, rows):
    bands, weather, gpp = rows
    assert (fit(bands, weather, gpp - 5).predict(bands, weather) >= 0).all()
