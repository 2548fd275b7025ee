import pickle

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from openeo_udf_fusion.errors import InvalidCube, InvalidWeights
from openeo_udf_fusion.evaluation import brisque


def scene():
    """A smooth scene and the same with noise, within 0-1."""
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=(64, 64)), 2)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return smooth, np.clip(smooth + rng.normal(0, 0.1, smooth.shape), 0, 1)


def write_model(folder, feature=0, gamma=0.5):
    """One support vector at -1 in every feature; ranges that map a feature of 0..1 to -1..1."""
    vector = " ".join(f"{place + 1}:-1" for place in range(36))
    header = f"svm_type epsilon_svr\nkernel_type rbf\ngamma {gamma}\nnr_class 2\ntotal_sv 1\nrho -10\nSV\n"
    (folder / "svm.txt").write_text(f"{header}2 {vector}\n")
    ranges = {"min_": [0.0] * 36, "max_": [1.0] * 36}
    (folder / "normalize.pickle").write_bytes(pickle.dumps(ranges))
    return folder


@pytest.mark.parametrize(("power", "drawn"), [(2, "normal"), (1, "laplace")])
def test_the_fit_finds_known_distributions(power, drawn):
    values = getattr(np.random.default_rng(3), drawn)(0, 1, 200_000)
    shape, mean, left, right = brisque.asymmetric_fit(values)
    assert shape == pytest.approx(power, rel=0.02)
    assert mean == pytest.approx(0, abs=0.02)
    assert left == pytest.approx(values.var(), rel=0.03)
    assert right == pytest.approx(values.var(), rel=0.03)


def test_the_fit_sees_which_side_is_wider():
    values = np.random.default_rng(4).normal(size=100_000)
    values = np.where(values < 0, values, 2 * values)
    _, mean, left, right = brisque.asymmetric_fit(values)
    assert right == pytest.approx(4 * left, rel=0.05)
    assert mean > 0


def test_what_is_constant_has_features_too():
    assert np.isfinite(brisque.features(np.full((32, 32), 0.5))).all()
    assert brisque.asymmetric_fit(np.zeros(9)) == [pytest.approx(10, abs=0.01), 0, 0, 0]


def test_features_hold_for_a_mirrored_image():
    """Mirroring left to right swaps the two diagonals and nothing else."""
    image = scene()[1]
    one, other = brisque.features_at(image), brisque.features_at(image[:, ::-1])
    swapped = np.r_[0:10, 14:18, 10:14]
    np.testing.assert_allclose(other[swapped], one, rtol=1e-9)


def test_a_made_up_model_scores_by_its_formula(tmp_path):
    model = brisque.read(write_model(tmp_path))
    image = scene()[0]
    away = ((2 * brisque.features(image) - 1 + 1) ** 2).sum()
    assert model.score(image) == pytest.approx(2 * np.exp(-0.5 * away) + 10)
    image[0, 0] = np.nan
    assert np.isnan(model.score(image))


def test_the_wheels_own_scores_come_out():
    """As `brisque.BRISQUE(url=False)` of brisque 0.2.0 scores the same features: 52.8843 and 64.4018."""
    model = brisque.find()
    if model is None:
        pytest.skip(f"the wheel's model is not here; {brisque.INSTALL}")
    smooth, noisy = scene()
    assert model.score(smooth) == pytest.approx(52.8843, abs=1e-3)
    assert model.score(noisy) == pytest.approx(64.4018, abs=1e-3)


def test_folders_without_a_model_are_refused(tmp_path):
    with pytest.raises(InvalidWeights, match="lacks"):
        brisque.find(tmp_path)
    write_model(tmp_path)
    (tmp_path / "svm.txt").write_text("svm_type c_svc\nkernel_type rbf\nSV\n")
    with pytest.raises(InvalidWeights, match="c_svc"):
        brisque.find(tmp_path)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    write_model(tmp_path)
    (tmp_path / "normalize.pickle").write_bytes(pickle.dumps({"min_": print, "max_": []}))
    with pytest.raises(InvalidWeights, match="more than names and numbers: STACK_GLOBAL"):
        brisque.read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b".",
        pickle.dumps([1, 2]),
        pickle.dumps({"min_": [0.0] * 36}),
        pickle.dumps({"min_": [0.0], "max_": [1.0]}),
        pickle.dumps({"min_": None, "max_": {}}),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path, content):
    write_model(tmp_path)
    (tmp_path / "normalize.pickle").write_bytes(content)
    with pytest.raises(InvalidWeights, match="cannot be read"):
        brisque.read(tmp_path)


def test_small_images_are_refused():
    with pytest.raises(InvalidCube, match="16 pixels"):
        brisque.features(np.zeros((15, 40)))
