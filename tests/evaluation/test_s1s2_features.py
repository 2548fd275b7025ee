"""The code as features: laws of the probe, of neighbours, of smoothness, on made-up sites."""

import numpy as np
import pytest
import xarray as xr

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.evaluation import s1s2_features as features
from openeo_udf_fusion.evaluation import s1s2_picture
from openeo_udf_fusion.models import weights
from openeo_udf_fusion.models.series import Observations

from ..training.s1s2 import made_up, write

SHAPE = (48, 64)


@pytest.fixture(scope="module")
def labels():
    """Three classes in patches smaller than a block, some of them unknown."""
    coarse = np.random.default_rng(0).integers(0, 4, (12, 16))
    return np.kron(coarse, np.ones((4, 4), np.int64)) * 11


def noise(seed=0):
    return np.random.default_rng(seed).normal(0, 1, (SHAPE[0] * SHAPE[1], 5))


def telling(labels):
    return noise() + 4 * (labels.reshape(-1, 1) == np.array([11, 22, 33, 0, 0]))


def test_the_probe_finds_what_is_there_and_nothing_else(labels):
    found, nothing = features.probe(telling(labels), labels), features.probe(noise(), labels)
    assert found["classes"] == 3
    assert found["pixels"] == (labels != 0).sum()
    assert found["balanced_accuracy"] > 0.9
    assert abs(nothing["balanced_accuracy"] - 1 / 3) < 0.05


def test_the_probe_does_not_learn_a_place_by_heart(labels):
    """Coordinates tell a label within a patch; with patches in blocks of their own they tell nothing."""
    whole_blocks = np.kron(np.random.default_rng(1).integers(1, 4, (3, 4)), np.ones((16, 16), np.int64))
    own = np.eye(12)[features.blocks(SHAPE).ravel()] + 0.01 * np.random.default_rng(2).normal(
        0, 1, (3072, 12)
    )
    assert features.probe(own, whole_blocks)["accuracy"] < 0.7


def test_a_class_that_no_fold_could_learn_is_named():
    labels = np.full(SHAPE, 11)
    labels[:, 32:] = 22
    labels[4:12, 4:12] = 33  # within one block: held out whole, or learned whole
    found = features.probe(noise(), labels)
    assert found["never_learned"] == [33]
    assert found["recall"]["33"] == 0


def test_neighbours_lie_apart_from_the_own_block():
    """Two blocks: beyond the buffer the west finds only 22 and the east only 11, which the buffer has too."""
    labels = np.zeros(SHAPE, np.int64)
    labels[:16, :23] = 11
    labels[:16, 23:32] = 22
    place = np.indices(SHAPE).reshape(2, -1).T.astype(float)
    in_buffer = 7 * 16
    found = features.neighbours(place, labels)
    assert found["same_label"] == pytest.approx(in_buffer / (16 * 32), abs=1e-4)


def test_blocks_of_a_fold_are_apart_from_what_is_learned():
    held_out = features.fold_of(features.blocks(SHAPE)) == 0
    learned = features.apart_from(held_out)
    assert learned.any()
    far = np.argwhere(held_out)[:, None] - np.argwhere(learned)[None, ::7]
    assert np.abs(far).max(-1).min() > features.BUFFER_PX


def test_neighbours_are_alike_where_features_tell_and_by_chance_elsewhere(labels):
    found, nothing = features.neighbours(telling(labels), labels), features.neighbours(noise(), labels)
    assert found["same_label"] > 0.9
    assert abs(nothing["same_label"] - nothing["by_chance"]) < 0.03


def test_the_line_meets_what_was_seen_and_is_straight_between():
    days = np.array([10, 20], np.int32)
    values = np.array([0.1, 0.3], np.float32).reshape(2, 1, 1, 1) * np.ones((1, 1, 1, 2), np.float32)
    valid = np.ones_like(values, np.bool_)
    valid[..., 1] = False
    found = features.on_the_line(Observations(values, valid, days), np.array([10, 15, 25], np.int32))
    np.testing.assert_allclose(found[:, 0, 0, 0], [0.1, 0.2, 0.3], rtol=1e-6)
    assert np.isnan(found[:, 0, 0, 1]).all()


def test_a_jagged_code_goes_a_longer_way():
    smooth = np.linspace(0, 1, 40, dtype=np.float32).reshape(-1, 1, 1, 1)
    jagged = smooth + np.float32(0.1) * (np.arange(40) % 2).reshape(-1, 1, 1, 1)
    ratios = [features.way(c[7:-7]) / features.way(features.moving_mean(c, 15)) for c in (smooth, jagged)]
    assert ratios[0].item() == pytest.approx(1, abs=1e-4)
    assert ratios[1].item() > 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    write(made_up(y=32, x=32, days=620), folder)
    return folder


def write_labels(folder, shape):
    half = np.where(np.arange(shape[1]) % 8 < 4, 11, 13)
    xr.Dataset({"LC": (("y", "x"), np.broadcast_to(half, shape).astype(np.uint16))}).to_netcdf(
        folder / "OUTPUT.nc"
    )


def test_a_labelled_site_is_scored_whole(folder, capsys):
    with pytest.raises(InvalidCollection, match="has no labels"):
        features.evaluate(folder, weights.load_embedding(), "x")
    write_labels(folder, (32, 32))
    result = features.evaluate(folder, weights.load_embedding(), "x")
    assert {row["features"] for row in result["probe"]} >= {
        "code",
        "code, int8",
        "reflectance",
        "reflectance and backscatter",
    }
    for row in result["probe"]:
        recall = [row["recall"][str(label)] for label in (11, 13)]
        assert row["balanced_accuracy"] == pytest.approx(np.mean(recall), abs=1e-4)
        assert min(recall) <= row["accuracy"] <= max(recall)
    assert "anecdote" in features.lines(result)
    assert {"all", "days of s1", "days of s2", "other days"} == set(result["smoothness"]["step"])


def test_labels_on_another_grid_are_refused(folder, tmp_path):
    (tmp_path / "site").symlink_to(folder)
    write_labels(tmp_path, (30, 32))
    with pytest.raises(InvalidCollection, match="the site"):
        features.read_labels(tmp_path, made_up(y=32, x=32))


def test_the_picture_is_a_png(folder, tmp_path):
    s1s2_picture.draw(folder, weights.load_embedding(), tmp_path / "codes.png")
    assert (tmp_path / "codes.png").read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["codes.png"]


def test_colours_are_the_same_stretch_on_every_day():
    codes = np.random.default_rng(0).uniform(-1, 1, (5, 8, 6, 7)).astype(np.float32)
    colours = s1s2_picture.Colours(codes)
    np.testing.assert_array_equal(
        colours(codes[2])[2, 3],
        s1s2_picture.Colours(codes)(np.broadcast_to(codes[2][:, 2:3, 3:4], codes[2].shape))[0, 0],
    )
    assert colours(codes[0]).shape == (6, 7, 3)
    missing = codes[0].copy()
    missing[:, 1, 1] = np.nan
    assert (colours(missing)[1, 1] == np.float32(s1s2_picture.GREY)).all()
