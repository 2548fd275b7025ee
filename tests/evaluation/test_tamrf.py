"""The whole evaluation on a made-up site with untrained networks: who answers what, and what is written."""

import json

import numpy as np
import pytest
import torch

from openeo_udf_fusion.baselines.image_pairs import BANDS
from openeo_udf_fusion.evaluation import (
    tamrf,
    tamrf_comparators,
    tamrf_methods,
    tamrf_report,
    tamrf_tables,
    tamrf_wald,
)
from openeo_udf_fusion.evaluation.tamrf_methods import Fusion, Method
from openeo_udf_fusion.models import tamrf as network
from openeo_udf_fusion.models.fuser import Fuser
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.training.tamrf_losses import LST
from openeo_udf_fusion.training.tamrf_sites import BELGIUM, Site

from .fusion_site import BLOCK, made_up

SMALL = network.Config(
    features=8,
    growth=4,
    dense_blocks=1,
    time_code=8,
    sensor_code=4,
    layers=1,
    heads=2,
    mlp=16,
    clear_only=True,
    anchored=True,
)
SETTINGS = tamrf.Settings(resamples=50, blocks=(BLOCK,))


@pytest.fixture(scope="module")
def fuser():
    torch.manual_seed(0)
    model = network.Tamrf(SMALL)
    torch.nn.init.zeros_(model.decoder[-1].weight)
    torch.nn.init.zeros_(model.decoder[-1].bias)
    return Fuser(model, support_days=60)


@pytest.fixture(scope="module")
def data():
    site = made_up()
    s2 = Site(site.name, {"s2": site.observed["s2"]}, {"s2": site.clear["s2"]})
    return tamrf.Data(site, s2, s2)


@pytest.fixture(scope="module")
def evaluated(data, fuser):
    def sharpen(site, days, sensor):
        return tamrf_methods.of_baseline(tamrf_methods.naive_interpolation.predict)(site, days, sensor) + 0.01

    sharpener = Method("dsen2", "DSen2", sharpen, ("band_sharpening",), ("s2",))
    told = []
    result = tamrf.evaluate(data, {"tamrf": fuser}, [sharpener], SETTINGS, "the command", None, told.append)
    assert len(told) == 14
    return result


def of(result, **labels):
    return [row for row in result[0]["rows"] if labels.items() <= row.items()]


def methods(rows):
    return list(dict.fromkeys(row["method"] for row in rows))


@pytest.mark.parametrize(
    ("task", "strategy", "sensor", "expected"),
    [
        ("gap_filling", "GAPS", "s2", ["naive", "tamrf"]),
        ("gap_filling", "GAPS", "l8", ["naive", "tamrf"]),
        ("gap_filling", "NOHR", "s2", ["other_sensor", "tamrf"]),
        ("gap_filling", "NOLR", "l8", ["other_sensor", "tamrf"]),
        ("fusion", "CONJLR2HR", "s2", ["landsat", "tamrf"]),
        ("fusion", "HRNOCONJ2HR", "s2", ["naive", "tamrf"]),
        ("fusion", "LRuHRNOCONJ2HR", "s2", ["naive", "landsat", "stair", "sen2like", "tamrf"]),
        (
            "band_sharpening",
            "ALL",
            "s2",
            ["naive", "naive_compensated", "dsen2", "tamrf", "tamrf_compensated"],
        ),
        (
            "band_sharpening",
            "WALD",
            "s2",
            ["naive", "naive_compensated", "dsen2", "tamrf", "tamrf_compensated"],
        ),
        (
            "thermal_sharpening",
            "ALL",
            "l8",
            ["naive", "naive_compensated", "dms", "tamrf", "tamrf_compensated"],
        ),
    ],
)
def test_who_answers_what(evaluated, task, strategy, sensor, expected):
    assert methods(of(evaluated, task=task, strategy=strategy, sensor=sensor)) == expected


def test_bands_are_those_of_the_task(evaluated):
    assert {row["band"] for row in of(evaluated, task="thermal_sharpening")} == {"LST"}
    coarse = {"B05", "B06", "B07", "B8A", "B11", "B12"}
    assert {row["band"] for row in of(evaluated, task="band_sharpening")} == coarse
    assert "B1" not in {row["band"] for row in of(evaluated, sensor="l8")}


def test_an_anchored_network_that_corrects_nothing_is_the_interpolation(evaluated):
    rows = of(evaluated, task="gap_filling", strategy="GAPS", sensor="s2")
    errors = {m: [row["rmse"] for row in rows if row["method"] == m] for m in ("naive", "tamrf")}
    assert errors["tamrf"] == pytest.approx(errors["naive"], rel=1e-3)
    assert all(error > 1e-4 for error in errors["naive"])
    ratios = [r for r in evaluated[0]["comparison"] if (r["strategy"], r["band"]) == ("GAPS", "mean")]
    assert [r["ratio"] for r in ratios] == pytest.approx([1, 1], abs=1e-3)


def test_all_of_it_is_json_with_the_paper_apart(evaluated):
    result = json.loads(json.dumps(evaluated[0], allow_nan=False))
    assert result["models"] == ["tamrf", "tamrf_compensated"]
    assert all("other data" in row["source"] for row in result["paper"])
    assert any("utilise: not trained here" in note for note in result["notes"])
    assert not any("dsen2: not trained" in note for note in result["notes"])
    assert {row["brisque"] for row in result["rows"]} == {None}


def test_markdown_marks_the_best_and_what_is_the_papers(evaluated):
    text = tamrf_tables.markdown(evaluated[0])
    assert "| thermal sharpening, ALL, Landsat |" in text
    assert "the paper's" in text
    assert "**" in text
    assert text.rstrip().endswith("`the command`")


def test_markdown_unfolds_what_names_mean_and_all_ratios(evaluated):
    result = evaluated[0]
    text = tamrf_tables.markdown(result)
    shown = "".join(part.split("<details>")[0] for part in text.split("</details>"))
    assert all(f" {name} |" in shown for name in {row["method"] for row in result["rows"]} - {"observed"})
    for row in result["rows"]:
        assert f"| {row['strategy']} | {result['strategies'][row['strategy']]} |" in text
    assert text.count("<details>") == text.count("</details>") == 4
    assert tamrf_tables.ratios(result).caption not in shown


def test_the_page_shows_every_task(evaluated):
    html = tamrf_report.render(*evaluated)
    for words in (
        "gap filling, GAPS: Sentinel-2",
        "fusion, LRuHRNOCONJ2HR",
        "band sharpening, ALL",
        "Kelvin",
    ):
        assert f'<img alt="{words}' in html or words in html
    assert html.count("<img") == 2 + len(
        [s for s in evaluated[1] if (s.trial.task, s.trial.strategy) in tamrf_report.PICTURED]
    )


def test_the_card_gets_its_own_rows(evaluated):
    skill = tamrf_tables.for_card(evaluated[0], "tamrf")
    assert {*skill["rmse"]["gap filling, GAPS, Sentinel-2"]} == {"naive", "tamrf"}
    assert {*skill["kelvin"]["thermal sharpening, ALL, Landsat"]} >= {"dms", "tamrf_compensated"}
    assert {*skill["ratio"]["thermal sharpening, ALL, Landsat, LST"]} >= {
        "tamrf/dms",
        "tamrf_compensated/dms",
    }


# --- methods


def test_networks_trained_on_clear_pixels_see_no_clouds_and_others_do(data, fuser):
    site = data.site
    spoilt = {
        s: o._replace(values=np.where(site.clear[s][:, None], o.values, 7)) for s, o in site.observed.items()
    }
    other = Site(site.name, spoilt, site.clear)
    days = site.days("s2")[4:5]
    masked = [Fusion(fuser, int(days[0])).draw(each, days, "s2") for each in (site, other)]
    np.testing.assert_array_equal(*masked)
    torch.manual_seed(1)
    raw = Fuser(network.Tamrf(network.Config(**{**vars(SMALL), "clear_only": False})), 60)
    seen = [Fusion(raw, int(days[0])).draw(each, days, "s2") for each in (site, other)]
    assert not np.array_equal(*seen)


def test_residuals_put_back_bring_temperature_nearer_to_landsats(evaluated):
    rows = of(evaluated, task="thermal_sharpening")
    found = {row["method"]: row["rmse"] for row in rows}
    assert found["tamrf_compensated"] < 0.95 * min(found["tamrf"], found["naive"])


def test_stair_takes_images_a_day_apart_for_pairs(data):
    site = data.site
    (together,) = [day for day in site.days("l8") if day in site.days("s2")][:1]
    moved = dict(site.observed)
    days = site.days("s2").copy()
    days[days == together] += 1
    moved["s2"] = Observations(*site.observed["s2"][:2], days)
    asked = np.array([together + 8], np.int32)
    found = tamrf_methods.stair_with_neighbours(Site("moved", moved, site.clear), asked, "s2")
    assert np.isfinite(found[:, BANDS["s2"].index("B04")]).all()


@pytest.mark.parametrize(("sensor", "absent"), [("s2", "B08"), ("l8", "LST")])
def test_the_other_sensor_stands_in_band_by_band(data, sensor, absent):
    """The made-up ground is alike in all bands, and the day is one of both sensors."""
    site = data.site
    (day,) = sorted({*site.days("s2")} & {*site.days("l8")})[:1]
    asked = np.array([day], np.int32)
    found = tamrf_methods.other_sensor(site, asked, sensor)
    assert found.shape == (1, len(BANDS[sensor]), *site.shape)
    own = site.observed["s2"].values[site.days("s2") == day]
    band = {"s2": "B04", "l8": "B4"}[sensor]
    np.testing.assert_allclose(found[:, BANDS[sensor].index(band)], own[:, 2], atol=0.06)
    assert np.isnan(found[:, BANDS[sensor].index(absent)]).all()


def test_the_only_method_is_not_the_best():
    assert tamrf_tables.best_of({"tamrf": 0.1, "naive": None}) is None
    assert tamrf_tables.best_of({"tamrf": 0.1, "naive": 0.2}) == 0.1


def test_compensation_leaves_other_bands_alone(data, fuser):
    fusion, days = Fusion(fuser, int(data.site.days("l8")[0])), data.site.days("l8")[5:6]
    plain, changed = (draw(data.site, days, "l8") for draw in (fusion.draw, fusion.draw_compensated))
    np.testing.assert_array_equal(plain[:, :LST], changed[:, :LST])
    assert not np.array_equal(plain[:, LST], changed[:, LST])


def test_a_folder_without_weights_has_no_trained_comparator(tmp_path):
    assert tamrf_comparators.trained(tmp_path) == []


def test_whoever_sharpens_has_residuals_put_back_too():
    """Else TAMRF with its residuals would be compared with rivals without theirs."""
    tasks = {m.name: m.tasks for m in [*tamrf_methods.baselines(), *tamrf_comparators.trained()]}
    for name in ("naive", "dsen2"):
        assert "band_sharpening" in tasks[name]
        assert "band_sharpening" in tasks[f"{name}_compensated"]


def test_the_shipped_comparators_answer_in_the_shape_of_the_others(data):
    for method in tamrf_comparators.trained():
        days = data.site.days("s2")[5:7]
        drawn = method.draw(data.site, days, "s2")
        assert drawn.shape == (2, 10, *data.site.shape)
        assert np.isfinite(drawn).any()


# --- the real site


def test_wald_shows_bands_degraded_and_keeps_what_was_measured(shared_data):
    folder = shared_data / BELGIUM
    if not folder.is_dir():
        pytest.skip("the Belgian site is not here")
    shown, truth = tamrf_wald.sites(folder)
    assert shown.shape == truth.shape == (30, 30)
    one, other = (site.observed["s2"].values for site in (shown, truth))
    fine, coarse = list(tamrf_wald.FINE), list(tamrf_wald.COARSE)
    np.testing.assert_array_equal(one[:, fine], other[:, fine])
    clear = truth.clear["s2"].mean((1, 2)) > 0.95
    detail = [each[clear][:, coarse].std((2, 3)).mean() for each in (one, other)]
    assert detail[0] < detail[1]
    assert one[clear][:, coarse].mean() == pytest.approx(other[clear][:, coarse].mean(), rel=0.01)
