"""Whichever runtime a worker has: the same values, and a refusal where it cannot give them."""

import importlib
import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import onnxruntime
import pytest
import torch
from openeo.udf import inspect

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter, UnmetRequirement
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.series import Blocks, Observations
from openeo_udf_fusion.training import onnx_trials

FIRST = 18_000
LEVELS = (0.1, 0.5, 0.9)
TARGETS = pytest.mark.parametrize("target", ["modis", "viirs"])


@pytest.fixture
def both():
    return [weights.load("satfusenet", device="cpu", runtime=runtime) for runtime in ("torch", "onnx")]


@pytest.fixture
def copied(tmp_path):
    """Card and files in a folder of their own."""
    for suffix in ("json", "safetensors", "onnx"):
        shutil.copy(cards.FOLDER / f"satfusenet.{suffix}", tmp_path)
    return tmp_path


@pytest.fixture
def without(monkeypatch):
    """Make modules impossible to import."""

    def hide(*names):
        def import_module(name):
            if name in names:
                raise ImportError(f"No module named {name!r}")
            return importlib.import_module(name)

        monkeypatch.setattr(weights, "import_module", import_module)

    return hide


@TARGETS
@pytest.mark.parametrize(
    ("days", "share", "sensors"),
    [
        (1, 1.0, ("modis", "viirs")),
        (9, 0.3, ("viirs",)),
        (120, 0.5, ("modis", "viirs")),
        (120, 0.5, ("modis",)),
        (800, 0.05, ("modis", "viirs")),
    ],
)
def test_both_give_the_same(both, make_observed, target, days, share, sensors):
    observed = {s: o for s, o in make_observed(days=days, share=share).items() if s in sensors}
    query = np.arange(FIRST - 30, FIRST + days + 30, 2, dtype=np.int32)
    expected, found = (model.predict(observed, query, target, LEVELS) for model in both)
    for wanted, got in zip(expected, found, strict=True):
        assert np.isfinite(wanted).any()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


@pytest.mark.gpu
@TARGETS
def test_cuda_gives_the_same(both, make_observed, target):
    cuda = weights.load("satfusenet")
    assert cuda.network.runtime.device == "cuda"
    query = np.arange(FIRST - 30, FIRST + 150, 2, dtype=np.int32)
    expected, found = (
        model.predict(make_observed(y=9, x=9), query, target, LEVELS) for model in (both[0], cuda)
    )
    for wanted, got in zip(expected, found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4)


@TARGETS
def test_both_distrust_the_same_strangers(both, make_observed, target):
    observed = make_observed()
    values = np.random.default_rng(3).uniform(-3, 5, observed["modis"].values.shape).astype(np.float32)
    strange = observed | {"modis": Observations(values, observed["modis"].valid, observed["modis"].days)}
    query = np.arange(FIRST, FIRST + 120, dtype=np.int32)
    expected, found = (model.predict(strange, query, target, LEVELS) for model in both)
    assert (expected.strangeness > 1).any()
    for wanted, got in zip(expected, found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


@TARGETS
def test_both_agree_where_a_pixel_begins_to_be_strange(both, target):
    """Their strangenesses differ by rounding: some pixels are beyond 1 in one runtime alone."""
    observed = onnx_trials.at_the_edge(both[0])
    query = np.arange(FIRST - 10, FIRST + 40, 2, dtype=np.int32)
    expected, found = (model.predict(observed, query, target, LEVELS) for model in both)
    assert ((expected.strangeness > 1) != (found.strangeness > 1)).any()
    for wanted, got in zip(expected, found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("bins", [3, 50, 94, 137, 138, 300, 1000])
def test_blocks_hold_every_bin_once_and_all_within_reach(bins):
    blocks = Blocks.of(bins, 46)
    rows = blocks.rows.ravel()
    assert rows[:bins].tolist() == list(range(bins))
    assert (rows[bins:] == bins - 1).all()
    for own, seen in zip(*blocks, strict=True):
        assert len(set(seen)) == len(seen)
        within = set(range(max(0, own.min() - 46), min(bins, own.max() + 47)))
        assert within <= set(seen.tolist()) <= set(range(bins))


def test_cost_grows_linearly_with_time():
    cells = [rows.size * keys.shape[1] for rows, keys in (Blocks.of(bins, 46) for bins in (920, 1840))]
    assert cells[1] < 2.2 * cells[0]


# --- what is shipped


def test_the_shipped_graph_is_that_of_the_shipped_weights():
    card = cards.read("satfusenet")
    assert card.onnx.made_from == card.fingerprint
    assert len(weights.verified_onnx(card, cards.FOLDER)) < 2_000_000


def test_the_shipped_graph_tells_nothing_of_the_machine_that_made_it():
    content = (cards.FOLDER / "satfusenet.onnx").read_bytes()
    for word in (b"/work", b"/home", b"/root", b"/usr", b".py"):
        assert word not in content


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""]
)
def test_a_damaged_graph_is_refused(copied, damage):
    file = copied / "satfusenet.onnx"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CorruptWeights, match=r"satfusenet\.onnx are not what the card promises: sha256"):
        weights.load("satfusenet", runtime="onnx", folder=copied)


def test_a_graph_of_another_calibration_is_refused(copied):
    file = copied / "satfusenet.json"
    card = json.loads(file.read_text())
    card["properties"]["fusion:calibration"]["pixels"]["limit"] *= 2
    file.write_text(json.dumps(card))
    with pytest.raises(CorruptWeights, match=r"another calibration than the card's.*; run: .* export-onnx"):
        weights.load("satfusenet", runtime="onnx", folder=copied)


def test_a_graph_of_an_older_computation_is_refused(copied, monkeypatch):
    monkeypatch.setattr(cards, "COMPUTATION", cards.COMPUTATION + 1)
    with pytest.raises(CorruptWeights, match=r"an older version of this package; run: .* export-onnx"):
        weights.load("satfusenet", runtime="onnx", folder=copied)


def test_a_card_without_a_graph_says_how_to_make_one(copied):
    file = copied / "satfusenet.json"
    card = json.loads(file.read_text())
    del card["assets"]["onnx"]
    file.write_text(json.dumps(card))
    with pytest.raises(CorruptWeights, match="names no ONNX file; run: openeo-udf-fusion weights export"):
        weights.load("satfusenet", runtime="onnx", folder=copied)


# --- which runtime


def test_torch_is_preferred(copied):
    assert weights.load("satfusenet", folder=copied).network.runtime.name == "torch"


@pytest.mark.parametrize("module", ["torch", "einops", "safetensors"])
def test_without_torch_it_is_onnx(copied, without, module):
    without(module)
    runtime = weights.load("satfusenet", folder=copied).network.runtime
    assert (runtime.name, runtime.device, runtime.precision) == ("onnx", "cpu", "float32")


def test_with_the_graph_alone_it_is_onnx(copied):
    (copied / "satfusenet.safetensors").unlink()
    assert weights.load("satfusenet", folder=copied).network.runtime.name == "onnx"


def test_a_damaged_file_is_no_reason_to_take_the_other(copied):
    (copied / "satfusenet.safetensors").write_bytes(b"")
    with pytest.raises(CorruptWeights, match="safetensors are not what"):
        weights.load("satfusenet", folder=copied)


def test_without_any_runtime_the_error_says_what_to_install(copied, without):
    without("torch", "onnxruntime")
    with pytest.raises(
        UnmetRequirement,
        match=r"torch lacks torch \(No module.*onnx lacks onnxruntime.*pip install .*\[onnx\].*\[torch\]",
    ):
        weights.load("satfusenet", folder=copied)


@pytest.mark.parametrize(("runtime", "module"), [("torch", "einops"), ("onnx", "onnxruntime")])
def test_a_runtime_asked_for_is_not_replaced(copied, without, runtime, module):
    without(module)
    with pytest.raises(UnmetRequirement, match=f"runtime '{runtime}' needs {module}"):
        weights.load("satfusenet", runtime=runtime, folder=copied)


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"precision": "bfloat16"}, "precision 'bfloat16' needs torch"), ({"device": "cuda"}, "'cuda' needs")],
)
def test_what_onnxruntime_cannot_do_is_refused(copied, without, asked, message):
    without("torch")
    with pytest.raises(InvalidParameter, match=f"{message}.*float32|{message}.*CPU"):
        weights.load("satfusenet", folder=copied, **asked)


def test_an_unknown_runtime_is_refused():
    with pytest.raises(InvalidParameter, match=r"\['torch', 'onnx'\] or None, got 'jax'"):
        weights.load("satfusenet", runtime="jax")


def test_every_run_in_a_process_is_told_the_runtime_once(copied, caplog):
    def run():
        with weights.reporting(inspect):
            for runtime in ("torch", "onnx", "torch"):
                weights.load("satfusenet", device="cpu", runtime=runtime, folder=copied)

    with caplog.at_level(logging.INFO):
        run()
        first = [record.message for record in caplog.records]
        run()
        weights.load("satfusenet", device="cpu", runtime="onnx", folder=copied)  # nobody asked
    versions = {"torch": torch.__version__, "onnx": onnxruntime.__version__}
    assert first == [f"satfusenet runs on {name} {versions[name]}, cpu, float32" for name in versions]
    assert [record.message for record in caplog.records] == first * 2
    assert caplog.records[0].data["model"] == "satfusenet"
    assert [record.data["name"] for record in caplog.records[2:]] == ["torch", "onnx"]


def test_what_fails_after_loading_has_been_told_the_runtime(copied, caplog):
    caplog.set_level(logging.INFO)
    with weights.reporting(inspect):
        model = weights.load("satfusenet", device="cpu", runtime="onnx", folder=copied)
        with pytest.raises(InvalidParameter):
            model.predict({}, np.array([FIRST], np.int32), "landsat")
    assert "satfusenet runs on onnx" in caplog.text


def test_threads_that_ask_at_once_load_one_model(copied, monkeypatch):
    opened, begin, open_one = [], Barrier(8), weights._with_onnx

    def counted(*arguments):
        opened.append(arguments)
        return open_one(*arguments)

    def ask(_):
        begin.wait(10)
        return weights.load("satfusenet", runtime="onnx", folder=copied)

    monkeypatch.setattr(weights, "_with_onnx", counted)
    with ThreadPoolExecutor(8) as threads:
        models = list(threads.map(ask, range(8)))
    assert len(opened) == 1
    assert len(set(map(id, models))) == 1
