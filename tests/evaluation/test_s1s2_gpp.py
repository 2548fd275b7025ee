"""GPP from the embedding at towers left out, on generated towers."""

import numpy as np
import pandas as pd
import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.evaluation import s1s2_gpp as gpp
from openeo_udf_fusion.models import weights

from ..training.s1s2 import FIRST, made_up, write

TOWERS = 9


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """Towers whose GPP follows the greenness of the pixel in the middle, each greener than the last."""
    folder = tmp_path_factory.mktemp("towers")
    table = []
    for number in range(TOWERS):
        name = f"XX-T{number}"
        site = made_up(y=16, x=16, days=300, seed=number)
        write(site, folder / name)
        optical = site.observed["s2"]
        seen = optical.valid[:, 6, 8, 8]
        days = FIRST + np.arange(100, 300, 8)
        nir = np.interp(days, optical.days[seen], optical.values[seen, 6, 8, 8])
        table += [
            (name, str(np.datetime64(int(day), "D")), 40 * (value - 0.2))
            for day, value in zip(days, nir, strict=True)
        ]
    pd.DataFrame(table, columns=gpp.COLUMNS).to_csv(folder / gpp.TABLE, index=False)
    return folder


def test_greenness_is_found_at_towers_left_out(towers):
    said = []
    result = gpp.evaluate(towers, weights.load_embedding(), "x", said.append)
    scores = {row["features"]: row for row in result["gpp"]}
    assert set(scores) == set(gpp.FEATURES)
    assert len(result["towers"]) == TOWERS
    assert result["days"] == TOWERS * 25
    assert scores["code"]["rmse"] < scores["day of year"]["rmse"]
    assert len(said) == TOWERS
    assert f"{TOWERS} towers" in gpp.lines(result)


def test_a_tower_left_out_has_no_say_in_its_own_estimate():
    rng = np.random.default_rng(0)
    site = np.repeat(np.arange(4), 30)
    features, truth = rng.normal(0, 1, (120, 3)), rng.uniform(0, 10, 120)
    fold = gpp.folds_of(site, seed=0)
    changed = truth.copy()
    changed[site == 2] += 100
    before, after = (gpp.held_out(features, each, site, fold) for each in (truth, changed))
    np.testing.assert_array_equal(before[site == 2], after[site == 2])
    assert not np.allclose(before[site != 2], after[site != 2])


def test_the_ridge_finds_a_line_and_knows_no_negative_gpp():
    x = np.linspace(-1, 1, 50)[:, None]
    found = gpp.ridge(x, 3 + 2 * x[:, 0], np.array([[0.5], [-4.0]]), 1e-9)
    np.testing.assert_allclose(found, [4, 0], atol=1e-5)


def test_features_of_a_day_do_not_hang_on_the_other_days_asked_for(towers):
    site = made_up(y=18, x=18, days=300)
    model = weights.load_embedding()
    alone = gpp.features_of(site.observed, model, np.array([FIRST + 150], np.int32))
    among = gpp.features_of(site.observed, model, FIRST + np.array([260, 150, 120], np.int32))
    for name in ("code", "reflectance and backscatter"):
        np.testing.assert_allclose(alone[name][0], among[name][1], atol=1e-5)


@pytest.mark.parametrize(
    ("write_table", "message"),
    [
        (None, "gpp.csv"),
        ("site,date\nA,2020-01-01\n", "lacks the columns"),
        ("site,date,gpp\nA,2020-01-01,1\n", "3 or more were needed"),
    ],
)
def test_what_is_missing_is_named(tmp_path, write_table, message):
    if write_table:
        (tmp_path / gpp.TABLE).write_text(write_table)
    with pytest.raises(InvalidParameter, match=message):
        gpp.evaluate(tmp_path, weights.load_embedding(), "x")
