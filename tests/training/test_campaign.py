import json
import shutil

import numpy as np
import pytest

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.training import calibration, campaign, store
from openeo_udf_fusion.training.folds import FOLDS
from openeo_udf_fusion.training.satfusenet import Schedule

QUICK = Schedule(steps=1, batch=2, warmup_steps=1, validate_every=1)


@pytest.fixture
def written(make_pairs, tmp_path) -> store.Store:
    """Twenty pixels on disk, with a fingerprint each."""
    prints = [f"{pixel:08x}" for pixel in range(20)]
    return store.write(
        [make_pairs(pixels=20)], tmp_path / "pairs", {"kind": "semi-real", "fingerprints": prints}
    )


def test_all_networks_are_trained_on_their_own_places_and_calibrated_by_the_others(
    written, tmp_path, monkeypatch
):
    for name, value in {"HIDDEN_DAYS": {5: 1}, "COMPOSITE_DAYS": (8,), "REPEATS": 1}.items():
        monkeypatch.setattr(calibration, name, value)
    out = tmp_path / "out"
    for fold in (*range(FOLDS), None):
        campaign.train_network(written, out, fold, QUICK, "command")
    untouched = cards.read("satfusenet", out / "folds" / "0")
    assert untouched.calibration == {}
    asked, fitted = spy_on(monkeypatch)
    assert len(campaign.calibrate(written, out, tmp_path)) == FOLDS + 1
    assert sorted(np.concatenate(asked).tolist()) == sorted(np.repeat(np.arange(20), 2).tolist())
    assert fitted == [[fold for fold in range(FOLDS) if fold != each] for each in range(FOLDS)] + [
        list(range(FOLDS))
    ]
    seen = {}
    for fold in (*range(FOLDS), None):
        card = cards.read("satfusenet", campaign.folder_of(out, fold))
        seen[fold] = set(card.training["pixels_sha256"])
        assert set(card.calibration["modis"]) == {"floor", "observed", *calibration.KINDS}
    assert len(seen[None]) == 20
    unseen = [set(seen[None]) - seen[fold] for fold in range(FOLDS)]
    assert sum(map(len, unseen)) == 20
    assert set.union(*unseen) == seen[None]
    loaded = weights.load("satfusenet", device="cpu", folder=out)
    assert loaded.network.calibration is not None


def spy_on(monkeypatch):
    """The pixels that each fold's network is asked about, and whose answers each network is calibrated by."""
    asked, answers, fitted = [], [], []

    def residuals(model, pairs):
        asked.append(pairs.pixel)
        answers.append(calibration.residuals(model, pairs))
        return answers[-1]

    def fit(model, others, *rest):
        fitted.append([next(k for k, a in enumerate(answers) if a is other) for other in others])
        return calibration.fit(model, others, *rest)

    monkeypatch.setattr(campaign, "residuals", residuals)
    monkeypatch.setattr(campaign, "fit", fit)
    return asked, fitted


def test_networks_of_other_pairs_are_not_calibrated(written, tmp_path):
    out = tmp_path / "out"
    one = campaign.train_network(written, tmp_path / "one", 0, QUICK, "c").parent
    for fold in (*range(FOLDS), None):
        shutil.copytree(one, campaign.folder_of(out, fold), dirs_exist_ok=True)
    with pytest.raises(InvalidParameter, match=r"fold 1 of .* leaves out"):
        campaign.calibrate(written, out, tmp_path)


def test_a_folder_without_networks_is_named_before_any_work(tmp_path):
    with pytest.raises(InvalidParameter, match=r"fold 0, .* the one to ship; train them first"):
        campaign.check_trained(tmp_path)


def test_pairs_made_once_are_taken_again_and_never_replaced(shared_data, make_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "simulate", lambda *_: [make_pairs()])
    first = campaign.pairs_of(shared_data, tmp_path / "pairs", variants=1, seed=0)
    changed = (tmp_path / "pairs").stat().st_ino
    assert first.record["modis"].startswith("MCD43A4")
    campaign.pairs_of(shared_data, tmp_path / "pairs", variants=1, seed=0)
    assert (tmp_path / "pairs").stat().st_ino == changed
    with pytest.raises(InvalidParameter, match="made otherwise"):
        campaign.pairs_of(shared_data, tmp_path / "pairs", variants=1, seed=1)


def test_the_command_trains_a_fold_on_pairs_of_ones_own(written, tmp_path, capsys):
    from openeo_udf_fusion.cli.main import main

    arguments = ["train", "satfusenet", "--data", str(written.folder), "--out", str(tmp_path / "mine")]
    assert main([*arguments, "--fold", "1", "--steps", "1", "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)["cards"]
    assert card == str(tmp_path / "mine" / "folds" / "1" / "satfusenet.json")
    training = cards.read("satfusenet", tmp_path / "mine" / "folds" / "1").training
    options = "--steps 1 --learning-rate 0.002 --ease 0.4 --seed 2012 --fold 1"
    assert training["command"] == f"openeo-udf-fusion train satfusenet --data DIR {options}"
    assert training["split"]["test"] == 4
