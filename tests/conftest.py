"""Fixtures that every test shares: real data where it is at hand, and small seeded cubes."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from jsonschema import Draft7Validator

from openeo_udf_fusion.sensors import FUSED_BANDS
from tests.conformance import openapi

REPOSITORY = Path(__file__).resolve().parents[1]
CLOUDY_STATE, CLEAR_STATE = 1 | 1 << 10, 1 << 3
CLOUDY_QF1, CLEAR_QF1 = 3 | 3 << 2, 3
CLOUD_REFLECTANCE = 0.7


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real measurements; tests that need it say so when they skip."""
    folder = Path(os.environ.get("OPENEO_UDF_FUSION_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set OPENEO_UDF_FUSION_DATA")
    return folder


@pytest.fixture(scope="session")
def api_document() -> dict:
    """The official OpenAPI document of the openEO API, which lies beside the conformance tests."""
    return openapi.load()


@pytest.fixture(scope="session")
def process_of_the_api(api_document) -> Draft7Validator:
    """What the openEO API's own document says of a process."""
    schema = {"$ref": "#/components/schemas/process_graph_with_metadata"}
    return Draft7Validator(schema | {"components": openapi.as_json_schema(api_document["components"])})


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def make_cube() -> Callable[..., xr.DataArray]:
    """Factory: fields that green up, seen by each sensor on its own days, with gaps, clouds and flags.

    Dims (t, bands, y, x), float32, a date a day, coordinates of a UTM grid, labels `modis_B1`, ...;
    `flags=True` adds `modis_state_1km` and `viirs_QF1`, and puts bright clouds where they say so.
    """

    def make(
        days: int = 48,
        y: int = 2,
        x: int = 3,
        *,
        sensors: tuple[str, ...] = ("modis", "viirs"),
        missing: float = 0.3,
        flags: bool = False,
        first: str = "2022-03-01",
        seed: int = 0,
    ) -> xr.DataArray:
        rng = np.random.default_rng(seed)
        dates = np.datetime64(first, "D") + np.arange(days)
        day = np.arange(days)[:, None, None, None]
        levels = {
            "modis": (0.08, 0.3, 0.04, 0.08, 0.32, 0.25, 0.15),
            "viirs": (0.08, 0.3, 0.04, 0.08, 0.08, 0.32, 0.25, 0.14),
        }
        field = rng.uniform(0.7, 1.3, (1, 1, y, x))
        layers, labels = [], []
        for sensor in sensors:
            level = np.array(levels[sensor])[None, :, None, None]
            values = level * field * (1 + 0.3 * np.sin(day / 25)) + rng.normal(0, 0.003, (days, 1, y, x))
            values[rng.random(days) < 0.3] = np.nan
            values[np.broadcast_to(rng.random((days, 1, y, x)) < missing, values.shape)] = np.nan
            layers.append(values)
            labels += [f"{sensor}_{name}" for name in FUSED_BANDS[sensor]]
            if flags:
                cloudy = rng.random((days, 1, y, x)) < 0.4
                np.copyto(values, CLOUD_REFLECTANCE, where=cloudy & np.isfinite(values))
                states = {"modis": (CLOUDY_STATE, CLEAR_STATE), "viirs": (CLOUDY_QF1, CLEAR_QF1)}[sensor]
                layers.append(np.where(cloudy, *states))
                labels.append({"modis": "modis_state_1km", "viirs": "viirs_QF1"}[sensor])
        coords = {
            "t": dates.astype("datetime64[ns]"),
            "bands": labels,
            "y": 5_650_000.0 - 463.3127 * (np.arange(y) + 0.5),
            "x": 500_000.0 + 463.3127 * (np.arange(x) + 0.5),
        }
        stacked = np.concatenate(layers, axis=1).astype(np.float32)
        return xr.DataArray(stacked, dims=("t", "bands", "y", "x"), coords=coords)

    return make


@pytest.fixture(scope="session")
def random_fusions(tmp_path_factory) -> Path:
    """A folder with the networks of `tests.landsat_sentinel2_cube`: small, of random weights."""
    from tests.landsat_sentinel2_cube import write_models

    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


@pytest.fixture
def random_fusion(random_fusions, monkeypatch) -> Path:
    """Let processes find those networks first: "tamrf", which wants clouds masked, and "raw"."""
    monkeypatch.setenv("OPENEO_UDF_FUSION_MODELS", str(random_fusions))
    return random_fusions
