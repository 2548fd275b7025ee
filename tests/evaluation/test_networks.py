import shutil
from pathlib import Path

import numpy as np
import pytest

from openeo_udf_fusion.evaluation import networks
from openeo_udf_fusion.evaluation.networks import Network
from openeo_udf_fusion.models import cards

PIXELS = ["aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd"]


def network(name, seen):
    return Network(name, Path(), None if seen is None else frozenset(seen))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([[]], [0, 0, 0, 0]),
        ([PIXELS, PIXELS[1:], PIXELS[:1]], [1, 2, 2, 2]),
        ([PIXELS, PIXELS], [-1, -1, -1, -1]),
        ([None, PIXELS[:2]], [-1, -1, 1, 1]),
        ([PIXELS[:1], PIXELS[1:2]], [1, 0, 0, 0]),
    ],
)
def test_a_pixel_is_scored_by_the_first_network_that_did_not_see_it(seen, expected):
    trained = [network(str(place), each) for place, each in enumerate(seen)]
    np.testing.assert_array_equal(networks.assign(trained, PIXELS), expected)


def test_a_given_folder_brings_the_networks_of_its_folds(tmp_path):
    for folder in (tmp_path, tmp_path / "folds" / "1", tmp_path / "folds" / "0"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(cards.FOLDER / "satfusenet.json", folder)
    found = networks.given(tmp_path)
    assert [network.name for network in found] == ["given", "fold 0", "fold 1"]
    assert found[2].folder == tmp_path / "folds" / "1"


def test_the_shipped_network_comes_first():
    assert networks.available()[0].name == "shipped"
