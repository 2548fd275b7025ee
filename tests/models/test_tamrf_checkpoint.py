"""A checkpoint from anywhere is read as numbers, whatever it was made to do."""

import zipfile

import pytest
import torch

from openeo_udf_fusion.errors import InvalidWeights
from openeo_udf_fusion.models import tamrf_checkpoint

KEY, STD = "the_modules.decoder.query_sensor_token", "hr_std"


@pytest.fixture
def write(tmp_path):
    def write(state):
        file = tmp_path / "some.ckpt"
        torch.save({"state_dict": {KEY: torch.ones(8), STD: torch.ones(10)} | state}, file)
        return file

    return write


def test_numbers_come_under_our_names_in_float32(write):
    found = tamrf_checkpoint.read(write({KEY: torch.arange(8).half(), "cca_loss_instance.x": torch.ones(2)}))
    assert sorted(found) == ["hr_std", "query_code"]
    assert found["query_code"].dtype == torch.float32
    assert found["query_code"].tolist() == list(range(8))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({KEY: torch.zeros(1).expand(10**6, 10**7)}, r"no tensor of stored .*shape \(1000000, 10000000\)"),
        ({KEY: torch.eye(8).to_sparse()}, "no tensor of stored real numbers.*sparse"),
        ({KEY: torch.zeros(8, device="meta")}, "no tensor of stored real numbers"),
        ({KEY: torch.zeros(8, dtype=torch.complex64)}, "complex64"),
        ({KEY: torch.zeros(8, dtype=torch.int8)}, "int8"),
        ({KEY: torch.full((8,), torch.inf)}, "not finite, in 'query_code'"),
        ({STD: torch.zeros(10)}, "'hr_std' that are not above 0"),
        ({KEY.replace("decoder.", "decoder._orig_mod."): torch.ones(8)}, "twice, compiled and not"),
    ],
)
def test_what_is_no_plain_number_is_refused(write, state, words):
    with pytest.raises(InvalidWeights, match=words):
        tamrf_checkpoint.read(write(state))


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(write, tmp_path, monkeypatch):
    whole, packed = write({"x": torch.zeros(10**6)}), tmp_path / "packed.ckpt"
    with zipfile.ZipFile(whole) as one, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as other:
        for name in one.namelist():
            other.writestr(name, one.read(name))
    assert packed.stat().st_size < 10**5
    assert tamrf_checkpoint.read(packed)["x"].shape == (10**6,)
    monkeypatch.setattr(tamrf_checkpoint, "LARGEST_BYTES", 10**5)
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("it was read"))
    with pytest.raises(InvalidWeights, match=r"unpacks to 4.* bytes, more than the 100000"):
        tamrf_checkpoint.read(packed)
