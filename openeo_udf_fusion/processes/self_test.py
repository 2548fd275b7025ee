"""Test an installation: run the network on a fixed input where a backend runs UDFs, and say what came out."""

import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import NamedTuple

import numpy as np
import xarray as xr

from openeo_udf_fusion import __version__, cubes
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.series import Observations

MODEL = "satfusenet"
EXPECTED = 0.445366
"""The checksum of the shipped weights, computed with torch and with onnxruntime on x86-64."""
TOLERANCE = 2e-5
"""Room for the rounding of another processor or runtime; other weights or a broken build are farther off."""

RUNTIMES = ("torch", "onnx")
DEVICES = ("cpu", "cuda")
_LIBRARIES = ("numpy", "xarray", "pystac", "openeo")
_FIRST_DAY, _DAYS, _PIXELS = 19052, 40, 3
_FLAGS: Mapping[str, tuple[str, ...]] = {
    "passed": ("no", "yes"),
    "runtime": RUNTIMES,
    "device": DEVICES,
}


class Report(NamedTuple):
    """What the self-test found.

    Attributes
    ----------
    version, model, model_version, weights_sha256 : str
        Of this package and of the network.
    runtime, runtime_version, device : str
        What the network runs on.
    threads : int
        How many pieces of a tile are computed at once.
    checksum, expected, tolerance : float
        What the network makes of the fixed input, and what it must be.
    passed : bool
        Whether the two agree within the tolerance.
    python : str
        Version of the interpreter.
    libraries : dict of str
        Versions of what the backend brings.
    """

    version: str
    model: str
    model_version: str
    weights_sha256: str
    runtime: str
    runtime_version: str
    device: str
    threads: int
    checksum: float
    expected: float
    tolerance: float
    passed: bool
    python: str
    libraries: dict[str, str]


BANDS = ("passed", "checksum", "expected", "version", "runtime", "device", "threads")
"""The result's bands; version is major x 10000 + minor x 100 + patch."""


def self_test(cube: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Run the network on a fixed input and return what came out, in every pixel of a cube's shape.

    Parameters
    ----------
    cube : DataArray or Dataset
        Any cube; its dates and pixels are kept, its values are not looked at.

    Returns
    -------
    DataArray
        float32 (t, bands, y, x), the same everywhere: `passed` (1 yes, 0 no), `checksum`, `expected`,
        `version` (0.1.0 is 100), `runtime` (0 torch, 1 onnx), `device` (0 CPU, 1 CUDA), `threads`.

    Raises
    ------
    UnmetRequirement, CorruptWeights
        Nothing runs the network there, or its weights are damaged.
    InvalidCube
        The cube has no dates or no bands.

    Examples
    --------
    >>> bool((self_test(cube).sel(bands="passed") == 1).all())  # doctest: +SKIP
    True
    """
    given = cubes.canonical(cube)
    found = report()
    numbers = {
        "passed": float(found.passed),
        "checksum": found.checksum,
        "expected": found.expected,
        "version": version_number(found.version),
        "runtime": RUNTIMES.index(found.runtime),
        "device": DEVICES.index(found.device.partition(":")[0]),
        "threads": found.threads,
    }
    shape = (given.sizes["t"], given.sizes["y"], given.sizes["x"])
    layers = {band: np.full(shape, numbers[band], np.float32) for band in BANDS}
    result = cubes.assemble(layers, cubes.days_of(given), like=cube)
    result.attrs = _attributes(found)
    return result


def output_bands() -> list[str]:
    """Return the labels of the result's bands, in order."""
    return list(BANDS)


@lru_cache(maxsize=1)
def report() -> Report:
    """Run the test; a process runs it once.

    Raises
    ------
    UnmetRequirement, CorruptWeights
        Nothing runs the network there, or its weights are damaged.
    """
    card, model = cards.read(MODEL), weights.load(MODEL)
    found, runtime = checksum(), model.network.runtime
    return Report(
        version=__version__,
        model=card.name,
        model_version=card.version,
        weights_sha256=card.sha256,
        runtime=runtime.name,
        runtime_version=runtime.version,
        device=runtime.device,
        threads=model.network.threads,
        checksum=round(found, 6),
        expected=EXPECTED,
        tolerance=TOLERANCE,
        passed=bool(abs(found - EXPECTED) <= TOLERANCE),
        python=platform.python_version(),
        libraries={name: _version_of(name) for name in _LIBRARIES},
    )


def checksum() -> float:
    """Return one number of what the network makes of the fixed input: a weighted mean of all that it says.

    Neighbouring days, bands and pixels have different weights, so that swapped ones change it.
    """
    bands = cards.read(MODEL).bands
    observed = {sensor: _observations(len(own), place) for place, (sensor, own) in enumerate(bands.items())}
    days = (_FIRST_DAY + np.arange(0, _DAYS, 3)).astype(np.int32)
    parts = []
    for sensor in bands:
        predicted = weights.load(MODEL).predict(observed, days, sensor)
        parts += [predicted.mean, predicted.sigma]
    said = np.concatenate([part.astype(np.float64).ravel() for part in parts])
    return float(np.mean(said * (1 + np.arange(said.size) % 7)))


def version_number(version: str) -> int:
    """Return a version as one number, such as 10203 for 1.2.3."""
    numbers = [int("".join(filter(str.isdigit, part)) or 0) for part in version.split(".")[:3]]
    major, minor, patch = (*numbers, 0, 0)[:3]
    return major * 10000 + minor * 100 + patch


def _observations(bands: int, phase: int) -> Observations:
    """Return fixed series by formula, with gaps: random numbers may differ from version to version."""
    day, band, pixel = np.ogrid[:_DAYS, :bands, :_PIXELS]
    values = 0.1 + 0.03 * band + 0.02 * pixel + 0.05 * np.sin(day / 9 + band + phase)
    valid = (7 * day + 3 * band + 5 * pixel + phase) % 4 != 0
    days = (_FIRST_DAY + np.arange(_DAYS)).astype(np.int32)
    return Observations(
        values[..., None].astype(np.float32), np.broadcast_to(valid, values.shape)[..., None].copy(), days
    )


def _version_of(name: str) -> str:
    try:
        return str(import_module(name).__version__)
    except (ImportError, AttributeError):
        return "not there"


def _attributes(found: Report) -> Json:
    """Return the report as CF attributes: what is no number has its place here."""
    flags = {
        band: {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}
        for band, names in _FLAGS.items()
    }
    about = {name: value for name, value in found._asdict().items() if isinstance(value, str)}
    return {
        "Conventions": "CF-1.11",
        "title": "Self-test of an installation",
        "source": f"openeo_udf_fusion {__version__}",
        "process": "self_test",
        "package_version": __version__,
        **about,
        "band_attrs": flags,
    }
