import json
import shutil

import numpy as np
import pytest

from openeo_udf_fusion.errors import ExportFailed
from openeo_udf_fusion.models import calibration, cards, weights
from openeo_udf_fusion.models.pixelwise import Pixelwise
from openeo_udf_fusion.models.satfusenet import SatFuseNet
from openeo_udf_fusion.training import model_card, onnx_export, onnx_trials, satfusenet_card


@pytest.fixture
def trained(tmp_path):
    """The shipped network as training leaves it: without a graph."""
    folder = tmp_path / "trained"
    folder.mkdir()
    for suffix in ("json", "safetensors"):
        shutil.copy(cards.FOLDER / f"satfusenet.{suffix}", folder)
    content = json.loads((folder / "satfusenet.json").read_text())
    content["assets"].pop("onnx")
    model_card.write_card(content, folder)
    return folder


@pytest.fixture
def ready_made(monkeypatch):
    """The shipped graph instead of minutes of tracing."""
    content = (cards.FOLDER / "satfusenet.onnx").read_bytes()
    monkeypatch.setattr(onnx_export, "export", lambda network: content)
    return content


@pytest.mark.parametrize("beside", [True, False])
def test_what_is_exported_loads_through_its_card(trained, ready_made, tmp_path, beside):
    out = trained if beside else tmp_path / "out"
    done = onnx_export.export_model("satfusenet", trained, out)
    assert done.file.read_bytes() == ready_made
    assert done.size == len(ready_made)
    assert 0 < done.difference < 1e-4
    assert weights.load("satfusenet", folder=out, runtime="onnx").network.runtime.name == "onnx"
    names = {"satfusenet.json", "satfusenet.onnx"} | ({"satfusenet.safetensors"} if beside else set())
    assert {file.name for file in out.iterdir()} == names


def test_a_graph_that_says_something_else_gets_no_name(trained, ready_made, tmp_path):
    content = json.loads((trained / "satfusenet.json").read_text())
    share = content["properties"]["fusion:calibration"]["modis"]["translated"]["share"]
    content["properties"]["fusion:calibration"]["modis"]["translated"]["share"] = [1 - part for part in share]
    model_card.write_card(content, trained)
    with pytest.raises(ExportFailed, match=r"differs from torch by .*nothing was written"):
        onnx_export.export_model("satfusenet", trained, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_values_are_a_difference(monkeypatch):
    model = weights.load("satfusenet", device="cpu", runtime="onnx")

    class Silent:
        bands = model.network.bands
        bin_days = model.network.bin_days
        runtime = model.network.runtime
        side_by_side = model.network.side_by_side

        def run(self, *arguments):
            found = model.network.run(*arguments)
            return found._replace(sigma=np.full_like(found.sigma, np.nan))

    assert onnx_trials.compare(model, Pixelwise(Silent())) == float("inf")
    assert onnx_trials.compare(model, model) == 0


def test_the_trials_come_close_to_the_edge_of_strangeness_on_either_side():
    model = weights.load("satfusenet", device="cpu", runtime="onnx")
    observed = onnx_trials.at_the_edge(model)
    found = model.predict(observed, np.array([18_000], np.int32), "modis").strangeness.ravel()
    assert (found <= 1).sum() > 50
    assert (found > 1).sum() > 50
    assert (np.abs(found - 1) < 1e-6).sum() > 20


def test_a_step_at_the_edge_is_refused(trained, ready_made, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "RAMP", 1e-9)
    with pytest.raises(ExportFailed, match="differs from torch by"):
        onnx_export.export_model("satfusenet", trained, tmp_path / "out")


def test_training_anew_takes_the_graph_off_the_card(tiny, trained, ready_made):
    onnx_export.export_model("satfusenet", trained, trained)
    assert cards.read("satfusenet", trained).onnx is not None
    satfusenet_card.write(SatFuseNet(tiny), {"kind": "semi-real"}, {}, {}, trained)
    assert cards.read("satfusenet", trained).onnx is None


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_shipped_network_can_be_exported_anew(tmp_path, capfd):
    done = onnx_export.export_model("satfusenet", cards.FOLDER, tmp_path)
    assert done.difference < 1e-4
    assert done.size < 2_000_000
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == ""
