from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.training import checkpoints
from openeo_udf_fusion.training.checkpoints import Identity, fingerprint
from openeo_udf_fusion.training.state import begin, decay_groups

RUN = Identity("sites", fingerprint([np.arange(3)]), {"schedule": {"steps": 3, "seed": 1}})


@pytest.fixture
def make_state():
    def make(seed=0, steps=0):
        torch.manual_seed(seed)
        model = torch.nn.Linear(2, 1)
        state = begin(model, decay_groups(model.parameters(), 0.1), 0.1, np.random.default_rng(seed))
        for _ in range(steps):
            state.update(model(torch.ones(1, 2)).square().sum(), 0.9)
        return state

    return make


def test_what_was_saved_is_what_is_restored(make_state, tmp_path):
    first, second = make_state(steps=3), make_state(seed=1)
    first.keep_if_best(0.5)
    first.rng.normal()
    checkpoints.save(first, tmp_path / "any.pt", RUN)
    checkpoints.restore(second, tmp_path / "any.pt", deepcopy(RUN))
    assert (second.step, second.best_score, second.best_step) == (3, 0.5, 3)
    assert second.rng.normal() == first.rng.normal()
    for one, other in ((first.model, second.model), (first.average, second.average)):
        torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(checkpoints.best_weights(tmp_path / "any.pt"), first.best, rtol=0, atol=0)
    assert [file.name for file in tmp_path.iterdir()] == ["any.pt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": fingerprint([np.arange(4)])}, "other sites"),
        ({"data": "samples"}, "other samples"),
        ({"settings": {"schedule": {"steps": 4, "seed": 1}}}, "other settings"),
        ({"settings": RUN.settings | {"habits": {}}}, "other settings"),
    ],
)
def test_another_training_is_refused_and_nothing_is_touched(make_state, tmp_path, change, message):
    checkpoints.save(make_state(steps=2), tmp_path / "any.pt", RUN)
    state, fresh = make_state(seed=1), make_state(seed=1)
    with pytest.raises(InvalidParameter, match=rf"any\.pt .*{message}.*without --resume into another folder"):
        checkpoints.restore(state, tmp_path / "any.pt", replace(RUN, **change))
    torch.testing.assert_close(state.model.state_dict(), fresh.model.state_dict(), rtol=0, atol=0)


def test_a_crash_leaves_the_old_one_whole(make_state, tmp_path, monkeypatch):
    file = tmp_path / "any.pt"
    checkpoints.save(make_state(), file, RUN)
    before = file.read_bytes()

    def half(_content, temporary):
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="space"):
        checkpoints.save(make_state(steps=1), file, RUN)
    assert file.read_bytes() == before


def test_until_one_is_scored_the_averaged_weights_are_the_best(make_state, tmp_path):
    state = make_state(steps=2)
    checkpoints.save(state, tmp_path / "any.pt", RUN)
    found = checkpoints.best_weights(tmp_path / "any.pt")
    torch.testing.assert_close(found, dict(state.average.state_dict()), rtol=0, atol=0)


def test_order_and_values_of_the_data_matter():
    one, other = np.arange(3), np.arange(4)
    assert fingerprint([one, other]) != fingerprint([other, one])
    assert fingerprint([one]) == fingerprint([one.copy()])
    assert fingerprint([np.asfortranarray(np.eye(2) * 2)]) == fingerprint([np.eye(2) * 2])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:500]),
        lambda file: file.write_text("no checkpoint"),
        lambda file: torch.save({"model": {}}, file),
        lambda file: torch.save([1], file),
    ],
)
def test_what_is_no_checkpoint_is_refused(make_state, tmp_path, spoil):
    file = tmp_path / "any.pt"
    checkpoints.save(make_state(), file, RUN)
    spoil(file)
    for read in (
        lambda: checkpoints.restore(make_state(), file, RUN),
        lambda: checkpoints.best_weights(file),
    ):
        with pytest.raises(InvalidParameter, match=r"any\.pt .*checkpoint of a training.*without --resume"):
            read()


def test_a_checkpoint_is_what_its_reader_expects(make_state, tmp_path):
    checkpoints.save(make_state(), tmp_path / "any.pt", RUN)
    content = torch.load(tmp_path / "any.pt", weights_only=True)
    assert content.keys() == checkpoints.PARTS | RUN.settings.keys() | {RUN.data}


def test_weights_are_read_onto_the_processor_wherever_they_were_trained(make_state, tmp_path, monkeypatch):
    checkpoints.save(make_state(), tmp_path / "any.pt", RUN)
    asked, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: asked.append(k["map_location"]) or load(*a, **k))
    checkpoints.best_weights(tmp_path / "any.pt")
    assert asked == [torch.device("cpu")]
