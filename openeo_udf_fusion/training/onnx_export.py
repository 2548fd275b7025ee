"""Export a network to ONNX: it must say the same as torch before it gets its name."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple, cast

from openeo_udf_fusion.errors import ExportFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.onnx_runtime import OnnxNetwork
from openeo_udf_fusion.models.pixelwise import Pixelwise
from openeo_udf_fusion.models.torch_runtime import TorchNetwork
from openeo_udf_fusion.training.model_card import replace_bytes, write_card
from openeo_udf_fusion.training.onnx_graph import export
from openeo_udf_fusion.training.onnx_trials import compare

TOLERANCE = 1e-4
"""Largest difference from torch, in reflectance (and in strangeness, of which 1 is the limit)."""


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
    content = export(network.calibrated)
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
