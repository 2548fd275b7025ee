import json

import pytest

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
    for name, value in {"HIDDEN_DAYS": (5,), "COMPOSITE_DAYS": (8,), "REPEATS": 1}.items():
        monkeypatch.setattr(calibration, name, value)
    out = tmp_path / "out"
    for fold in (*range(FOLDS), None):
        campaign.train_network(written, out, fold, QUICK, "command")
    untouched = cards.read("satfusenet", out / "folds" / "0")
    assert untouched.calibration == {}
    assert len(campaign.calibrate(written, out, tmp_path)) == FOLDS + 1
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
    assert loaded.calibration is not None


def test_pairs_made_once_are_taken_again_but_not_those_of_another_seed(
    shared_data, make_pairs, tmp_path, monkeypatch
):
    monkeypatch.setattr(campaign, "simulate", lambda *_: [make_pairs()])
    first = campaign.pairs_of(shared_data, tmp_path / "pairs", variants=1, seed=0)
    changed = (tmp_path / "pairs").stat().st_ino
    assert first.record["modis"].startswith("MCD43A4")
    campaign.pairs_of(shared_data, tmp_path / "pairs", variants=1, seed=0)
    assert (tmp_path / "pairs").stat().st_ino == changed
    campaign.pairs_of(shared_data, tmp_path / "pairs", variants=1, seed=1)
    assert (tmp_path / "pairs").stat().st_ino != changed


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
