from datetime import UTC, datetime

import pytest
import torch

from openeo_udf_fusion.errors import InvalidWeights
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.training import model_card
from openeo_udf_fusion.training.model_card import About, raster_input, raster_output


@pytest.fixture
def about():
    return About(
        name="a_line",
        title="A line",
        description="Of no use.",
        citation="nobody",
        architecture="a line",
        bands=["s2_B02", "s2_B03"],
        begins=datetime(2015, 6, 23, tzinfo=UTC),
        inputs=[raster_input("s2", "Surface reflectance.", ["B02", "B03"])],
        outputs=[raster_output("code", "Numbers.", [], 4)],
        hyperparameters={"sizes": (2, 4)},
        receptive_field_px=3,
        support_days=10,
        facts={"fusion:training": {"kind": "none"}, "fusion:skill": {}},
    )


def test_a_card_says_what_it_was_told_and_what_its_weights_are(about, tmp_path):
    file = model_card.write(torch.nn.Linear(2, 4), about, tmp_path)
    assert file == tmp_path / "a_line.json"
    read = cards.read("a_line", tmp_path)
    assert read.bands == {"s2": ("B02", "B03")}
    assert read.hyperparameters == {"sizes": [2, 4]}
    assert (read.receptive_field_px, read.support_days) == (3, 10)
    assert read.training == {"kind": "none"}
    assert {each.name for each in tmp_path.iterdir()} == {"a_line.json", "a_line.safetensors"}


def test_a_change_leaves_everything_else_alone(about, tmp_path):
    model_card.write(torch.nn.Linear(2, 4), about, tmp_path)
    before = cards.read("a_line", tmp_path)
    model_card.change("a_line", tmp_path, {"fusion:skill": {"rmse": 1.5}})
    after = cards.read("a_line", tmp_path)
    assert after.skill == {"rmse": 1.5}
    assert (after.sha256, after.training, after.bands) == (before.sha256, before.training, before.bands)


def test_the_weights_come_first(about, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_card, "write_card", full)
    with pytest.raises(OSError, match="space"):
        model_card.write(torch.nn.Linear(2, 4), about, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["a_line.safetensors"]


def test_a_network_that_diverged_is_not_written(about, tmp_path):
    model = torch.nn.Linear(2, 4)
    torch.nn.init.constant_(model.bias, torch.nan)
    with pytest.raises(InvalidWeights, match=r"1 tensors of a_line are not finite, such as 'bias'"):
        model_card.write(model, about, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_numbers_share_a_line(tmp_path):
    card = {"id": "any", "a": [1, 2, 3], "b": {"c": [[0.5, 1], [2, 3]]}}
    text = model_card.write_card(card, tmp_path).read_text()
    assert '"a": [1,2,3]' in text
    assert "[0.5,1]" in text
