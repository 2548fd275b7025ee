"""`evaluate tamrf` on a made-up site with an untrained network."""

import json

import pytest
import torch

from openeo_udf_fusion.evaluation import tamrf
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models import tamrf as network
from openeo_udf_fusion.training import tamrf_card
from openeo_udf_fusion.training.tamrf_sites import Site

from ..evaluation.fusion_site import made_up
from ..evaluation.test_tamrf import SMALL


def write_card(folder, name):
    torch.manual_seed(0)
    tamrf_card.write(network.Tamrf(SMALL).eval(), {"note": "Untrained."}, {}, folder, name, support_days=60)


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    write_card(folder, "tamrf")
    monkeypatch.setenv("OPENEO_UDF_FUSION_MODELS", str(folder))
    return folder


@pytest.fixture
def site(monkeypatch):
    whole = made_up(24)
    s2 = Site(whole.name, {"s2": whole.observed["s2"]}, {"s2": whole.clear["s2"]})
    monkeypatch.setattr(tamrf, "read", lambda folder: tamrf.Data(whole, s2, s2))


def test_one_object_of_json_and_a_page(command, models, site, tmp_path):
    file = tmp_path / "new" / "report.html"
    done = command("evaluate", "tamrf", "--fast", "--json", "--report", file)
    assert done.status == 0, done.stderr
    result = json.loads(done.stdout)
    assert {row["task"] for row in result["rows"]} == {
        "gap_filling",
        "fusion",
        "band_sharpening",
        "thermal_sharpening",
    }
    assert {*result["rows"][0]} >= {
        "strategy",
        "sensor",
        "band",
        "method",
        "rmse",
        "fr_db",
        "brisque",
        "cells",
    }
    assert result["command"] == "openeo-udf-fusion evaluate tamrf --data DIR --json --quick"
    assert file.read_text().count("<img") > 5


def test_the_skill_goes_into_the_card_of_the_default_weights(command, models, site, tmp_path):
    write_card(tmp_path / "others", "tamrf_other")
    done = command("evaluate", "tamrf", "--card", "--models", tmp_path / "others", "--markdown")
    assert done.status == 0, done.stderr
    assert "tamrf_other" in done.stdout
    skill = cards.read("tamrf", models).skill["evaluation"]
    assert skill["command"] == "openeo-udf-fusion evaluate tamrf --data DIR --json --models DIR"
    assert not [name for line in skill["ratio"].values() for name in line if "tamrf_other" in name]
    assert cards.read("tamrf_other", tmp_path / "others").skill == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("satfusenet", "--models", "x"), "is for tamrf"),
        (("s1s2_embedding", "--brisque", "x"), "is for tamrf"),
        (("tamrf", "--features"), "is for s1s2_embedding"),
        (("tamrf", "--weights", "x"), "by --models"),
        (("tamrf", "--models", "nowhere"), "has no card"),
        (("tamrf", "--brisque", "nowhere"), "lacks"),
    ],
)
def test_options_that_do_not_fit_are_refused(command, models, arguments, words):
    done = command("evaluate", *arguments)
    assert done.status != 0
    assert words in done.stderr
    assert done.stdout == ""
