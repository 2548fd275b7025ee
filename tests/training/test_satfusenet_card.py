import json

import torch

from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.satfusenet import SatFuseNet
from openeo_udf_fusion.training import satfusenet_card


def test_what_is_written_loads_again(tiny, tmp_path):
    model = SatFuseNet(tiny)
    satfusenet_card.write(model, {"kind": "semi-real"}, {}, {"command": "none"}, tmp_path)
    read = cards.read("satfusenet", tmp_path)
    assert weights.config_of(read) == tiny
    loaded = weights.load("satfusenet", device="cpu", folder=tmp_path).network.model.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded[name], value)
    assert {file.name for file in tmp_path.iterdir()} == {"satfusenet.json", "satfusenet.safetensors"}


def test_a_new_calibration_takes_the_skill_measured_with_the_old_one_away(tiny, tmp_path):
    file = satfusenet_card.write(SatFuseNet(tiny), {"kind": "semi-real"}, {}, {"command": "none"}, tmp_path)
    before = json.loads(file.read_text())["properties"]
    numbers = {"knots": [1, -2.5, 3e-05], "table": [[0.1, 0.2], [0.3, 0.4]], "text": "a, [b  c]", "none": []}
    satfusenet_card.recalibrate(tmp_path, numbers)
    after = json.loads(file.read_text())["properties"]
    assert after.pop("fusion:calibration") == numbers
    assert after.pop("fusion:skill") == {}
    assert after == {k: v for k, v in before.items() if k not in ("fusion:calibration", "fusion:skill")}


def test_the_card_tells_neither_paths_nor_secrets_of_the_machine():
    text = (cards.FOLDER / "satfusenet.json").read_text()
    assert "/work" not in text
    assert "/home" not in text
    training = json.loads(text)["properties"]["fusion:training"]
    assert training["kind"] == "semi-real"
    assert training["viirs_noise"]["daily"] > 0
