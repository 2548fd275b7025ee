"""`train tamrf` from the command line."""

import json

import numpy as np
import pytest
import torch

from openeo_udf_fusion.models import cards, tamrf
from tests.training.test_tamrf_sites import write_ls2s2


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ls2s2")
    dates = [(str(np.datetime64("2022-03-01") + 12 * number), True) for number in range(12)]
    for name in ("one", "other"):
        write_ls2s2(folder / name, 36, dates)
    return folder


def test_a_training_on_ls2s2_and_its_continuation(command, sites, tmp_path):
    options = ("train", "tamrf", "--data", sites, "--out", tmp_path, "--steps", 2)
    options += ("--sharpening-steps", 2)
    first = command(*options, "--json")
    assert first.status == 0, first.stderr
    assert json.loads(first.stdout) == {"card": str(tmp_path / "tamrf.json")}
    assert "the loss of detail is off" in first.stderr
    card = cards.read("tamrf", tmp_path)
    assert card.untrained == {}
    assert str(tmp_path) not in json.dumps(card.training)
    assert tamrf.load(tmp_path / "tamrf.safetensors").config.carried
    again = command(*options, "--resume", "--seed", 5)
    assert again.status == 1
    assert "other settings" in again.stderr


def test_a_folder_without_sites_is_refused(command, tmp_path):
    done = command("train", "tamrf", "--data", tmp_path, "--out", tmp_path / "out")
    assert done.status == 1
    assert "holds no site" in done.stderr


@pytest.mark.parametrize(
    "option", [("--size", "full"), ("--perceptual", "vgg16.pth"), ("--sharpening-of", "models")]
)
def test_what_is_tamrfs_alone_is_refused_for_a_comparator(command, sites, tmp_path, option):
    done = command("train", "tamrf", "--network", "dsen2", "--data", sites, "--out", tmp_path, *option)
    assert done.status == 1
    assert "not of dsen2" in done.stderr


def test_a_file_that_is_no_perceptual_network_is_refused(command, sites, tmp_path):
    file = tmp_path / "network.pth"
    file.write_text("nothing")
    done = command("train", "tamrf", "--data", sites, "--out", tmp_path, "--perceptual", file)
    assert done.status == 1
    assert "network.pth" in done.stderr
