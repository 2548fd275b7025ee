"""Data folders: one to fill, and one with two collections on different grids, which small tiles divide."""

from pathlib import Path

import pytest

from openeo_udf_fusion.local import tiles
from tests.local.graphs import make_cube, store


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An empty data folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The data folder of `cube` and `coarse`."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def cube(folder):
    """The collection `demo`, of 10 m."""
    return store(make_cube(dates=7), folder, "demo")


@pytest.fixture(scope="module")
def coarse(folder):
    """The collection `coarse`, of 20 m and on a grid that does not fit that of `demo`."""
    return store(make_cube(8, 10, dates=7, bands=("qa",), size=20.0, seed=1, shift=12.0), folder, "coarse")


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of 6 pixels."""
    monkeypatch.setattr(tiles, "TILE_PX", 6)
    monkeypatch.setattr(tiles, "MINIMAL_TILE_PX", 4)
