"""A small data folder with made-up series, and the shipped network as one that has seen none of them."""

from pathlib import Path

import numpy as np
import pytest

from openeo_udf_fusion.evaluation.networks import Network
from openeo_udf_fusion.models import cards

PIXELS, DAYS, FILL = 12, 130, -32768


@pytest.fixture(scope="session")
def stored() -> np.ndarray:
    """int16 series (pixels, days, 7): seasons with noise and gaps; two pixels of snow; the last one empty."""
    rng = np.random.default_rng(0)
    season = 1 + 0.4 * np.sin(np.arange(DAYS) / 25 + rng.uniform(0, 6, (PIXELS, 1)))[..., None]
    level = np.tile([0.08, 0.3, 0.05, 0.09, 0.3, 0.22, 0.12], (PIXELS, 1))
    level[:2] = [0.8, 0.75, 0.82, 0.8, 0.4, 0.1, 0.08]
    values = level[:, None] * season * rng.normal(1, 0.02, (PIXELS, DAYS, 7))
    refl = (values * 1e4).astype(np.int16)
    refl[rng.random((PIXELS, DAYS)) < 0.25] = FILL
    refl[-1] = FILL
    return refl


@pytest.fixture(scope="session")
def folder(stored, tmp_path_factory) -> Path:
    """The data folder; its file has another name than ours, and knows the land cover."""
    path = tmp_path_factory.mktemp("data")
    (path / "nbar_series").mkdir()
    cover = np.where(np.arange(PIXELS) < 6, "forest", "")
    np.savez(path / "nbar_series" / "others.npz", refl=stored, scale=1e-4, fill=FILL, land_cover=cover)
    return path


@pytest.fixture(scope="session")
def unspoilt() -> list[Network]:
    """The shipped network as one that saw none of the made-up pixels."""
    return [Network("shipped", cards.FOLDER, frozenset())]
