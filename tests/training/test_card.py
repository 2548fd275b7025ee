import json

import torch

from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.satfusenet import SatFuseNet
from openeo_udf_fusion.training import card


def test_what_is_written_loads_again(tiny, tmp_path):
    model = SatFuseNet(tiny)
    card.write(model, {"kind": "semi-real"}, {"command": "none"}, tmp_path)
    read = cards.read("satfusenet", tmp_path)
    assert weights.config_of(read) == tiny
    loaded = weights.load("satfusenet", device="cpu", folder=tmp_path).model.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded[name], value)
    assert {file.name for file in tmp_path.iterdir()} == {"satfusenet.json", "satfusenet.safetensors"}


def test_the_card_tells_neither_paths_nor_secrets_of_the_machine():
    text = (cards.FOLDER / "satfusenet.json").read_text()
    assert "/work" not in text
    assert "/home" not in text
    training = json.loads(text)["properties"]["fusion:training"]
    assert training["split"]["test"] == 60
    assert training["viirs_noise"]["daily"] > 0
