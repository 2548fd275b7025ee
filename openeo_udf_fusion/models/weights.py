"""Load a model's weights through its card: verified, once per process, in the runtime that is there."""

import hashlib
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter, UnmetRequirement
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.pixelwise import Pixelwise
from openeo_udf_fusion.models.series import Network, Precision, Runtime, RuntimeName

if TYPE_CHECKING:
    from openeo_udf_fusion.models.embedder import Embedder
    from openeo_udf_fusion.models.fuser import Fuser
    from openeo_udf_fusion.models.satfusenet import Config

RUNTIMES: dict[RuntimeName, tuple[str, ...]] = {
    "torch": ("torch", "einops", "safetensors"),
    "onnx": ("onnxruntime",),
}
"""What may run a model, the preferred first, and what each needs; the extras have the same names."""
PIXELWISE, FUSED = frozenset({"modis", "viirs"}), frozenset({"l8", "s2"})
"""Of which sensors the models of `load` and of `load_fusion` are."""
INSTALL_TORCH = "in a checkout of the project run: pip install '.[torch]'"
INSTALL = "in a checkout of the project run: pip install '.[onnx]' (small), or '.[torch]' (CUDA, bfloat16)"


class Tell(Protocol):
    """`openeo.udf.inspect`, or what takes the same."""

    def __call__(self, data: Json, message: str) -> None:
        """Take an entry of a log."""


def load(
    name: str,
    *,
    precision: Precision = "float32",
    device: str | None = None,
    runtime: RuntimeName | None = None,
    folder: Path = cards.FOLDER,
) -> Pixelwise:
    """Load a model, or return the one already loaded in this process.

    Parameters
    ----------
    name
        The model's name, that of its card.
    precision
        "float32", or "bfloat16" for the network alone: faster where the processor has it; torch only.
    device
        Where to compute; by default CUDA if torch has one, else the CPU.
    runtime
        "torch" or "onnx"; by default torch, or else onnxruntime: whichever is installed and has its file.
    folder
        Where card and weights lie.

    Raises
    ------
    CorruptWeights
        The weights are missing, or not the bytes that the card promises.
    InvalidParameter
        Unknown name, precision or runtime, or one that does not go with another.
    UnmetRequirement
        No runtime is installed, or not the one asked for.
    """
    if precision not in ("float32", "bfloat16"):
        raise InvalidParameter(f"precision is 'float32' or 'bfloat16', got {precision!r}")
    if runtime not in (None, *RUNTIMES):
        raise InvalidParameter(f"runtime is one of {list(RUNTIMES)} or None, got {runtime!r}")
    with _loading:  # else threads that ask at once would load one each
        model = _load(name, precision, device, runtime, folder)
    _say(name, model.network.runtime)
    return model


@contextmanager
def reporting(tell: Tell) -> Iterator[None]:
    """While it lasts, tell what a model runs on as soon as `load` has it; once each, loaded before or not.

    Parameters
    ----------
    tell
        Takes the facts and a message; `openeo.udf.inspect` in a UDF.
    """
    token = _listener.set((tell, set()))
    try:
        yield
    finally:
        _listener.reset(token)


def loaded() -> list[tuple[str, Runtime]]:
    """Return what each model that this process has loaded runs on, in the order of loading."""
    return list(_loaded)


_loaded: list[tuple[str, Runtime]] = []
_loading = Lock()
_listener: ContextVar[tuple[Tell, set[tuple[str, Runtime]]] | None] = ContextVar("listener", default=None)


def _say(name: str, runtime: Runtime) -> None:
    tell, said = _listener.get() or (None, set())
    if tell is None or (name, runtime) in said:
        return
    said.add((name, runtime))
    text = f"{name} runs on {runtime.name} {runtime.version}, {runtime.device}, {runtime.precision}"
    tell(data={"model": name, **asdict(runtime)}, message=text)


@lru_cache(maxsize=8)
def _load(
    name: str, precision: Precision, device: str | None, runtime: RuntimeName | None, folder: Path
) -> Pixelwise:
    card = cards.read(name, folder)
    _need_sensors(card, PIXELWISE)
    chosen = runtime or _chosen(card, folder)
    reason = lacking(chosen)
    if reason is not None:
        raise UnmetRequirement(f"{name} with runtime {chosen!r} needs {reason}; {INSTALL}")
    opened = _with_torch if chosen == "torch" else _with_onnx
    network = opened(card, precision, device, folder)
    _loaded.append((name, network.runtime))
    return Pixelwise(network)


def _chosen(card: cards.Card, folder: Path) -> RuntimeName:
    """The preferred runtime of those that are installed, better one whose file is there."""
    files: dict[RuntimeName, str | None] = {
        "torch": card.weights_file,
        "onnx": card.onnx.file if card.onnx else None,
    }
    there: list[RuntimeName] = [name for name, file in files.items() if file and (folder / file).is_file()]
    for runtime in (*there, *files):
        if lacking(runtime) is None:
            return runtime
    reasons = "; ".join(f"{runtime} lacks {lacking(runtime)}" for runtime in RUNTIMES)
    raise UnmetRequirement(
        f"{card.name} needs torch or onnxruntime, and neither can be imported here: {reasons}; {INSTALL}"
    )


def lacking(runtime: RuntimeName) -> str | None:
    """Which module a runtime lacks, or cannot be imported and why; None where it can run."""
    for module in RUNTIMES[runtime]:
        try:
            import_module(module)
        except (ImportError, OSError) as error:  # OSError: one of its shared libraries does not fit
            return f"{module} ({error})"
    return None


def _with_torch(card: cards.Card, precision: Precision, device: str | None, folder: Path) -> Network:
    # Publishing a process reads this module's neighbours on machines without torch.
    import torch
    from safetensors.torch import load as load_tensors

    from openeo_udf_fusion.models.calibration import Calibration
    from openeo_udf_fusion.models.satfusenet import SatFuseNet
    from openeo_udf_fusion.models.torch_runtime import TorchNetwork

    content = verified(folder / card.weights_file, card.sha256)
    model = SatFuseNet(config_of(card))
    model.load_state_dict(load_tensors(content))
    calibration = Calibration.from_json(card.calibration) if card.calibration else None
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return TorchNetwork(model, calibration, precision, place)


def _with_onnx(card: cards.Card, precision: Precision, device: str | None, folder: Path) -> Network:
    if precision != "float32":
        raise InvalidParameter(
            f"precision {precision!r} needs torch, and here {card.name} runs on onnxruntime, in float32; "
            f"leave precision at 'float32', or {INSTALL_TORCH}"
        )
    if device not in (None, "cpu"):
        raise InvalidParameter(
            f"device {device!r} needs torch, and here {card.name} runs on onnxruntime, on the CPU; "
            f"leave device away, or {INSTALL_TORCH}"
        )
    from openeo_udf_fusion.models.onnx_runtime import OnnxNetwork

    content = verified_onnx(card, folder)
    shape = card.hyperparameters
    return OnnxNetwork(content, card.bands, shape["bin_days"], shape["reach_bins"])


def verified_onnx(card: cards.Card, folder: Path) -> bytes:
    """The bytes of a model's ONNX file, if they are those promised and made from what the card now says.

    Raises
    ------
    CorruptWeights
        There is none, its bytes are others, or it was exported before weights or calibration changed.
    """
    advice = f"run: {export_command(card.name, folder)}"
    if card.onnx is None:
        raise CorruptWeights(f"the card of {card.name} in {folder} names no ONNX file; {advice}")
    content = verified(folder / card.onnx.file, card.onnx.sha256)
    if card.onnx.made_from != card.fingerprint:
        raise CorruptWeights(
            f"{card.onnx.file} was exported from other weights or another calibration than the card's, or by "
            f"an older version of this package; {advice}"
        )
    return content


def load_embedding(
    name: str = "s1s2_embedding", *, device: str | None = None, folder: Path = cards.FOLDER
) -> "Embedder":
    """Load an embedding, or return the one already loaded in this process.

    Parameters and errors are those of `load`; an embedding computes in float32, and needs torch.
    """
    _need_torch(name)
    with _loading:
        embedder, runtime = _load_embedding(name, device, folder)
    _say(name, runtime)
    return embedder


@lru_cache(maxsize=4)
def _load_embedding(name: str, device: str | None, folder: Path) -> tuple["Embedder", Runtime]:
    import torch
    from safetensors.torch import load as load_tensors

    from openeo_udf_fusion.models.embedder import Embedder, config_from_json
    from openeo_udf_fusion.models.s1s2_embedding import S1S2Embedding

    card = cards.read(name, folder)
    content = verified(folder / card.weights_file, card.sha256)
    model = S1S2Embedding(config_from_json(card.hyperparameters))
    model.load_state_dict(load_tensors(content))
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    runtime = Runtime("torch", torch.__version__, place, "float32")
    _loaded.append((name, runtime))
    return Embedder(model, card.calibration, place), runtime


def load_fusion(name: str = "tamrf", *, device: str | None = None, folder: Path | None = None) -> "Fuser":
    """Load a fusion of Landsat and Sentinel-2, or return the one already loaded in this process.

    Parameters
    ----------
    name
        The model's name, that of its card.
    device
        Where to compute; by default CUDA if torch has one, else the CPU.
    folder
        Where card and weights lie; by default the folder that the environment variable
        OPENEO_UDF_FUSION_MODELS names, if it has a card of this name, else the package.

    Raises
    ------
    CorruptWeights, InvalidWeights
        The weights are missing, not the bytes that the card promises, or of another network.
    InvalidParameter
        Unknown name.
    UnmetRequirement
        torch is not installed.
    """
    _need_torch(name)
    with _loading:
        fuser, runtime = _load_fusion(name, device, folder or cards.folder_of(name))
    _say(name, runtime)
    return fuser


def _need_sensors(card: cards.Card, sensors: frozenset[str]) -> None:
    """Refuse a model of another kind."""
    if card.bands.keys() != sensors:
        raise InvalidParameter(
            f"the model {card.name} is of {sorted(card.bands)}; one of {sorted(sensors)} is needed here"
        )


def _need_torch(name: str) -> None:
    reason = lacking("torch")
    if reason is not None:
        raise UnmetRequirement(f"{name} needs torch, and lacks {reason}; {INSTALL_TORCH}")


@lru_cache(maxsize=4)
def _load_fusion(name: str, device: str | None, folder: Path) -> tuple["Fuser", Runtime]:
    import torch

    from openeo_udf_fusion.models import tamrf
    from openeo_udf_fusion.models.fuser import Fuser

    card = cards.read(name, folder)
    _need_sensors(card, FUSED)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = tamrf.of_card(card, folder)
    runtime = Runtime("torch", torch.__version__, place, "float32")
    _loaded.append((name, runtime))
    return Fuser(model, card.support_days, card.precisions, place), runtime


def export_command(name: str, folder: Path) -> str:
    """The command that makes a model's ONNX file anew, beside its card."""
    command = ["openeo-udf-fusion", "weights", "export-onnx", name, "--folder", folder, "--out", folder]
    return shlex.join(map(str, command))


def verified(file: Path, sha256: str) -> bytes:
    """The bytes of a file, if they are those that were promised."""
    advice = "install the package again, or fetch the file anew"
    if not file.is_file():
        raise CorruptWeights(f"the weights {file.name} are missing from {file.parent}; {advice}")
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CorruptWeights(
            f"the weights {file.name} are not what the card promises: sha256 {sha256} was needed, "
            f"{found} came ({len(content)} bytes); the file is truncated or of another version: {advice}"
        )
    return content


def config_of(card: cards.Card) -> "Config":
    """The network's shape as the card states it; JSON has no tuples."""
    from openeo_udf_fusion.models.satfusenet import Config

    values: Json = {k: tuple(v) if isinstance(v, list) else v for k, v in card.hyperparameters.items()}
    return Config(**values)
