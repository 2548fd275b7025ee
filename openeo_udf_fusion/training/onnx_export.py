"""Export a network to ONNX: it must say the same as torch before it gets its name."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from openeo_udf_fusion.errors import ExportFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.onnx_runtime import OnnxNetwork
from openeo_udf_fusion.models.pixelwise import Pixelwise
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.models.torch_runtime import TorchNetwork
from openeo_udf_fusion.training.card import replace_bytes, write_card
from openeo_udf_fusion.training.onnx_graph import export

TOLERANCE = 1e-4
"""Largest difference from torch, in reflectance (and in strangeness, of which 1 is the limit)."""
TRIALS: tuple[tuple[int, float, tuple[str, ...]], ...] = (
    (1, 1.0, ("modis", "viirs")),
    (40, 0.5, ("modis",)),
    (40, 0.5, ("viirs",)),
    (365, 0.6, ("modis", "viirs")),
    (365, 0.05, ("modis", "viirs")),
    (365, 0.2, ("viirs",)),
    (1500, 0.3, ("modis", "viirs")),
)
"""On what both must agree: days, share of days observed, sensors."""
LEVELS = (0.1, 0.5, 0.9)


class Exported(NamedTuple):
    """A file that was written, its size in bytes, and how far it is from torch at most."""

    file: Path
    size: int
    difference: float


def export_model(name: str, folder: Path, out: Path) -> Exported:
    """Export a model, compare it with torch, and write it beside a card that names it.

    Parameters
    ----------
    name
        The model's name, that of its card.
    folder
        Where its card and weights lie.
    out
        Where NAME.onnx and the card go; it may be the same folder. Both appear under their names only when
        whole, the card last.

    Raises
    ------
    ExportFailed
        The graph says something else than torch; nothing is written.
    CorruptWeights, InvalidParameter
        As `weights.load`.
    """
    card = cards.read(name, folder)
    network = cast(TorchNetwork, weights.load(name, device="cpu", runtime="torch", folder=folder).network)
    content = export(network.trusted)
    shape = card.hyperparameters
    exported = OnnxNetwork(content, card.bands, shape["bin_days"], shape["reach_bins"])
    difference = compare(Pixelwise(network), Pixelwise(exported))
    if not difference <= TOLERANCE:
        raise ExportFailed(
            f"the ONNX graph of {name} differs from torch by {difference:.1e}, {TOLERANCE:.0e} is allowed; "
            "nothing was written: try the versions of torch, onnx and onnxscript in constraints.txt"
        )
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{name}.onnx"
    replace_bytes(file, content)
    stored: Json = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    stored["assets"]["onnx"] = asset(card, stored["assets"]["weights"].get("bands"), content)
    write_card(stored, out)
    return Exported(file, len(content), difference)


def asset(card: cards.Card, bands: Json | None, content: bytes) -> Json:
    """How a card names an exported graph."""
    return {
        "href": f"./{card.name}.onnx",
        "type": "application/octet-stream; application=onnx",
        "title": "Network and calibration as an ONNX graph",
        "mlm:artifact_type": "torch.onnx.export",
        "file:size": len(content),
        "file:checksum": cards.SHA256_MULTIHASH + hashlib.sha256(content).hexdigest(),
        "fusion:made_from": card.fingerprint,
        **({"bands": bands} if bands else {}),
        "roles": ["mlm:model", "mlm:weights"],
    }


def compare(one: Pixelwise, other: Pixelwise) -> float:
    """The largest difference of two networks on seeded series, `TRIALS`; infinite if one misses values."""
    rng, farthest = np.random.default_rng(20), 0.0
    for days, share, sensors in TRIALS:
        observed = {s: _observed(rng, days, share, len(one.network.bands[s])) for s in sensors}
        query = np.arange(18_000 - 15, 18_000 + days + 15, 1 + days // 200, dtype=np.int32)
        for target in one.network.bands:
            expected, found = (model.predict(observed, query, target, LEVELS) for model in (one, other))
            for wanted, got in zip(expected, found, strict=True):
                if wanted is None or got is None or not np.array_equal(np.isnan(wanted), np.isnan(got)):
                    return float("inf")
                farthest = max(farthest, float(np.nanmax(np.abs(wanted - got))))
    return farthest


def _observed(rng: np.random.Generator, days: int, share: float, bands: int) -> Observations:
    """A few pixels: the first was never seen, the second jumps about as none of the training's does."""
    shape = days, bands, 2, 3
    valid = (rng.uniform(size=(days, 1, 2, 3)) < share) & (rng.uniform(size=shape) < 0.95)
    valid[:, -1, 1, 2] = False
    valid[:, :, 0, 0] = False
    season = 0.25 + 0.1 * np.sin(np.arange(days) / 58)[:, None, None, None]
    values = season + 0.03 * rng.normal(size=shape)
    values[..., 0, 1] = rng.uniform(-0.5, 2.0, size=shape[:2])
    return Observations(values.astype(np.float32), valid, (18_000 + np.arange(days)).astype(np.int32))
