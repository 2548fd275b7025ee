"""`weights import-tamrf`: the authors' checkpoint becomes a model of this project, and nothing else does."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from openeo_udf_fusion.models import cards, tamrf, weights

NAME = "tamrf_published"


@pytest.fixture
def parity(shared_data):
    return shared_data / "tamrf_parity"


@pytest.fixture
def checkpoint(parity):
    return parity / "random_s1t3.ckpt"


def test_a_checkpoint_becomes_a_model(command, checkpoint, tmp_path):
    done = command("weights", "import-tamrf", checkpoint, "--out", tmp_path, "--json")
    assert done.status == 0
    about = json.loads(done.stdout)["imported"]
    assert (about["name"], about["parameters"]) == (NAME, 2_329_250)
    assert about["checkpoint"]["file"] == "random_s1t3.ckpt"
    fuser = weights.load_fusion(NAME, device="cpu", folder=tmp_path)
    again, direct = tamrf.load(tmp_path / f"{NAME}.safetensors"), tamrf.load(checkpoint).state_dict()
    for model in (fuser.model, again):
        assert all(torch.equal(tensor, direct[name]) for name, tensor in model.state_dict().items())
    assert cards.read(NAME, tmp_path).receptive_field_px == 60
    assert [file.name for file in tmp_path.iterdir() if ".tmp" in file.name] == []


def test_it_predicts_as_the_checkpoint_did(command, checkpoint, parity, tmp_path):
    assert command("weights", "import-tamrf", checkpoint, "--out", tmp_path, "--name", "x").status == 0
    with np.load(parity / "io.npz") as archive:
        io = {name: torch.from_numpy(archive[name][0]) for name in archive}
    lr, hr = tamrf.predict(
        tamrf.load(tmp_path / "x.safetensors"),
        hr=io["hr_dn"].float() / 1e4,
        hr_days=io["hr_doy"],
        lr=io["lr_dn"].float() / 1e4,
        lr_days=io["lr_doy"],
        query_days=io["query_doy"],
    )
    assert (lr - io["pred_lr"]).abs().max() < 1e-6
    assert (hr - io["pred_hr"]).abs().max() < 1e-6


def test_lists_show_it_and_tell_how_to_run_it(command, checkpoint, tmp_path, monkeypatch):
    done = command("weights", "import-tamrf", checkpoint, "--out", tmp_path)
    assert f"OPENEO_UDF_FUSION_MODELS={tmp_path}" in done.stdout
    assert NAME not in command("weights", "list").stdout
    assert NAME in command("weights", "list", "--folder", tmp_path).stdout
    monkeypatch.setenv("OPENEO_UDF_FUSION_MODELS", str(tmp_path))
    models = json.loads(command("weights", "verify", "--json").stdout)["models"]
    assert models[NAME]["folder"] == str(tmp_path)
    assert models["satfusenet"]["folder"] == str(cards.FOLDER)
    assert models[NAME]["files"][0]["state"] == "present"


def test_a_model_that_is_there_is_not_replaced_unasked(command, checkpoint, tmp_path):
    (tmp_path / f"{NAME}.json").write_text("mine")
    done = command("weights", "import-tamrf", checkpoint, "--out", tmp_path)
    assert (done.status, "--overwrite" in done.stderr) == (1, True)
    assert (tmp_path / f"{NAME}.json").read_text() == "mine"
    assert command("weights", "import-tamrf", checkpoint, "--out", tmp_path, "--overwrite").status == 0
    assert cards.read(NAME, tmp_path).name == NAME


def test_a_name_is_no_path(command, checkpoint, tmp_path):
    done = command("weights", "import-tamrf", checkpoint, "--out", tmp_path / "out", "--name", "../x")
    assert (done.status, "letters, digits" in done.stderr) == (1, True)
    assert not list(tmp_path.iterdir())


def test_what_is_no_folder_is_named(command, checkpoint, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = command("weights", "import-tamrf", checkpoint, "--out", tmp_path / "file")
    assert (done.status, "give another with --out" in done.stderr) == (1, True)
    assert (tmp_path / "file").read_text() == "mine"


class Evil:
    """What runs code as soon as it is unpickled without care."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def altered(checkpoint, change):
    content = torch.load(checkpoint, weights_only=True)
    change(content["state_dict"])
    return content


KEY = "the_modules.decoder.query_sensor_token"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda f, c: torch.save({"state_dict": Evil(f.parent / "ran")}, f), "which is code, and none of it"),
        (lambda f, c: f.write_bytes(c.read_bytes()[:100_000]), "its end is missing or damaged"),
        (lambda f, c: f.write_bytes(b""), "cannot be read"),
        (lambda f, c: f.write_text("hello"), "cannot be read"),
        (lambda f, c: None, "there is no file"),
        (lambda f, c: save_file({"weight": torch.zeros(3)}, f), "a Lightning checkpoint of TAMRF-SITS"),
        (lambda f, c: torch.save({"state_dict": {1: torch.zeros(3)}}, f), "no dict of tensors 'state_dict'"),
        (lambda f, c: torch.save(altered(c, lambda s: s.pop(KEY)), f), "1 of its tensors differ"),
        (lambda f, c: torch.save(altered(c, lambda s: s.update(x=torch.ones(1))), f), "1 of its tensors"),
        (
            lambda f, c: torch.save(altered(c, lambda s: s.update({KEY: s[KEY].repeat(2)})), f),
            r"must have shape \(8,\)",
        ),
        (lambda f, c: torch.save(altered(c, lambda s: s[KEY].fill_(torch.nan)), f), "not finite"),
    ],
)
def test_anything_else_is_refused_and_nothing_written(command, checkpoint, tmp_path, make, words):
    file = tmp_path / "other.ckpt"
    make(file, checkpoint)
    done = command("weights", "import-tamrf", file, "--out", tmp_path / "out")
    assert done.status == 1
    assert re.search(words, done.stderr), done.stderr
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "ran").exists()
