"""Fixtures that every test shares: real data where it is at hand, and small seeded cubes."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real measurements; tests that need it say so when they skip."""
    folder = Path(os.environ.get("OPENEO_UDF_FUSION_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set OPENEO_UDF_FUSION_DATA")
    return folder
