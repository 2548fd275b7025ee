"""The self-test tells a right installation from a wrong one, wherever and on whatever cube it runs."""

import importlib.util

import numpy as np
import pytest
import torch
import xarray as xr

from openeo_udf_fusion import __version__
from openeo_udf_fusion.models import weights
from openeo_udf_fusion.processes import self_test


@pytest.fixture
def fresh():
    """Forget the report of this process, before and after."""
    self_test.report.cache_clear()
    yield
    self_test.report.cache_clear()


@pytest.fixture
def spoilt(monkeypatch, fresh):
    """Let the network say something else: the function that is given, of what it says."""
    right = weights.load(self_test.MODEL)

    def spoil(change):
        class Wrong:
            network = right.network

            def predict(self, *arguments):
                return change(right.predict(*arguments))

        monkeypatch.setattr(weights, "load", lambda *_, **__: Wrong())

    return spoil


def test_the_shipped_weights_pass(fresh):
    report = self_test.report()
    assert report.passed
    assert report.checksum == pytest.approx(self_test.EXPECTED, abs=self_test.TOLERANCE)
    assert report.version == __version__
    assert (report.runtime, report.device) == (
        weights.load(self_test.MODEL).network.runtime.name,
        weights.load(self_test.MODEL).network.runtime.device,
    )


@pytest.mark.parametrize("runtime", self_test.RUNTIMES)
def test_the_threads_are_those_that_the_network_uses(runtime, monkeypatch, fresh):
    load = weights.load
    monkeypatch.setattr(weights, "load", lambda name: load(name, runtime=runtime, device="cpu"))
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert self_test.report().threads == {"torch": 3, "onnx": 5}[runtime]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("runtime", self_test.RUNTIMES)
def test_every_runtime_gives_the_same_checksum(runtime, monkeypatch):
    library = {"onnx": "onnxruntime", "torch": "torch"}[runtime]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    load = weights.load
    monkeypatch.setattr(weights, "load", lambda name: load(name, runtime=runtime))
    assert weights.load(self_test.MODEL).network.runtime.name == runtime
    assert self_test.checksum() == pytest.approx(self_test.EXPECTED, abs=self_test.TOLERANCE)


@pytest.mark.gpu
def test_cuda_gives_the_same_checksum():
    assert weights.load(self_test.MODEL).network.runtime.device == "cuda"
    assert self_test.checksum() == pytest.approx(self_test.EXPECTED, abs=self_test.TOLERANCE)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p._replace(mean=p.mean + 1e-4),
        lambda p: p._replace(mean=p.mean[:, ::-1]),
        lambda p: p._replace(mean=p.mean[::-1]),
        lambda p: p._replace(mean=p.mean[:, :, ::-1]),
        lambda p: p._replace(sigma=p.sigma * 1.01),
        lambda p: p._replace(mean=np.full_like(p.mean, np.nan)),
    ],
    ids=["shifted", "bands swapped", "days swapped", "pixels swapped", "wider", "missing"],
)
def test_another_answer_of_the_network_fails(spoilt, make_cube, change):
    spoilt(change)
    assert not self_test.report().passed
    assert (self_test.self_test(make_cube(days=2)).sel(bands="passed") == 0).all()


def test_the_result_has_the_cubes_dates_and_pixels_and_one_number_a_band(make_cube):
    cube = make_cube(days=5, y=3, x=4, missing=0.9)
    result = self_test.self_test(cube)
    for name in ("t", "y", "x"):
        xr.testing.assert_equal(result[name].variable, cube[name].variable)
    assert result["bands"].values.tolist() == self_test.output_bands()
    assert result.dtype == np.float32
    assert (result == result[0, :, 0, 0]).all()
    report = self_test.report()
    assert result[0, :, 0, 0].values.tolist() == pytest.approx(
        [
            1,
            report.checksum,
            report.expected,
            self_test.version_number(__version__),
            self_test.RUNTIMES.index(report.runtime),
            self_test.DEVICES.index(report.device),
            report.threads,
        ]
    )


def test_it_does_not_look_at_the_values(make_cube):
    cube = make_cube(days=3)
    other = xr.full_like(cube, np.nan).assign_coords(bands=[f"any{n}" for n in range(cube.sizes["bands"])])
    xr.testing.assert_equal(self_test.self_test(cube), self_test.self_test(other))


@pytest.mark.parametrize(
    ("version", "number"), [("0.1.0", 100), ("1.2.3", 10203), ("2.0", 20000), ("0.3.1rc1", 311)]
)
def test_a_version_is_a_number(version, number):
    assert self_test.version_number(version) == number
