"""The authors' checkpoint of TAMRF-SITS: read safely, and its tensors under this project's names.

The published files are Lightning checkpoints (Zenodo, doi:10.5281/zenodo.17474541).
"""

import contextlib
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from openeo_udf_fusion.errors import InvalidWeights

NOT_OURS = re.compile(r"cca_loss_instance\.|(hr|lr)_(mtf|resolution)$")
"""Left out: what only the authors' training needs."""
COMPILED = "._orig_mod"
OURS = [
    (r"^the_modules\.", ""),
    (r"^encoder\.(hr|lr)_encoder\.model\.", r"encoder.\1."),
    (r"^(encoder\.(?:hr|lr)\.)encoder\.blocks\.0\.", r"\1first."),
    (r"^(encoder\.(?:hr|lr)\.)encoder\.blocks\.1\.scale", r"\1scale"),
    (r"^(encoder\.(?:hr|lr)\.)encoder\.blocks\.1\.module\.block_", r"\1blocks."),
    (r"^(encoder\.(?:hr|lr)\.)encoder\.blocks\.2\.", r"\1last."),
    (r"^(encoder\.lr\.)upsampling\.0\.block\.0\.", r"\1finer."),
    (r"\.module\.module\.(\d)\.conv\.", r".convs.\1."),
    (r"^encoder\.(hr|lr)_sensor_token", r"sensor_code.\1"),
    (r"^encoder\.transformer_encoder\.transformer_encoder\.", ""),
    (r"^decoder\.query_sensor_token", "query_code"),
    (r"^decoder\.imputer\.default_token", "query_features"),
    (r"^decoder\.decoder\.model\.decoder\.", "decoder."),
    (r"^decoder\.attention\.attention\.", "cross.attention."),
    (r"^decoder\.attention\.", "cross."),
    (r"\.self_attn\.", ".attention."),
    (r"\.in_proj_", ".project."),
    (r"\.out_proj\.", ".out."),
    (r"\.norm1\.", ".norm_time."),
    (r"\.norm2\.", ".norm_width."),
    (r"\.linear1\.", ".up."),
    (r"\.linear2\.", ".down."),
]
"""Their names to ours, one substitution after the other."""


PUBLISHED = "a Lightning checkpoint of TAMRF-SITS as published (doi:10.5281/zenodo.17474541)"
UNREADABLE = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError),
    *(ImportError, ArithmeticError, MemoryError, struct.error, UnpicklingError, zipfile.BadZipFile),
)
"""What a file that is damaged, or made to do damage, may raise while it is unpickled."""
LARGEST_BYTES = 2**30
"""Far above a checkpoint with its optimizer; a file made to do damage may unpack to a thousand times more."""


def read(file: Path) -> dict[str, Tensor]:
    """Tensors of a published checkpoint in float32, under the names of `models.tamrf.Tamrf`.

    Nothing in the file is run: it is unpickled with `weights_only=True`.

    Raises
    ------
    InvalidWeights
        The file is no such checkpoint.
    """
    if not file.is_file():
        raise InvalidWeights(f"there is no file {file}; {PUBLISHED} is needed")
    check_size(file)
    try:
        with warnings.catch_warnings(action="ignore"):  # advice to those who wrote the file
            content = torch.load(file, weights_only=True, map_location="cpu")
    except UNREADABLE as error:
        raise InvalidWeights(
            f"{file.name} ({file.stat().st_size} bytes) cannot be read as {PUBLISHED}: {reason(error)}"
        ) from None
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise InvalidWeights(f"{file.name} holds no dict of tensors 'state_dict'; {PUBLISHED} is needed")
    named: dict[str, Tensor] = {}
    for theirs, value in state.items():
        ours = translated(theirs.replace(COMPILED, ""))
        if ours in named:
            raise InvalidWeights(f"{file.name} has {theirs!r} twice, compiled and not; {PUBLISHED} is needed")
        if ours is not None:
            named[ours] = value
    check_numbers(named, file.name)
    return {name: value.float() for name, value in named.items()}


def check_size(file: Path) -> None:
    """InvalidWeights where a file is larger than any such checkpoint, packed or unpacked."""
    size = file.stat().st_size
    if zipfile.is_zipfile(file):
        with contextlib.suppress(*UNREADABLE), zipfile.ZipFile(file) as archive:
            size = max(size, sum(member.file_size for member in archive.infolist()))
    if size > LARGEST_BYTES:
        raise InvalidWeights(
            f"{file.name} unpacks to {size} bytes, more than the {LARGEST_BYTES} that are read at most; "
            f"{PUBLISHED} is needed"
        )


def check_numbers(state: Mapping[str, Tensor], origin: str) -> None:
    """InvalidWeights unless all tensors are of finite real numbers, and all spreads are above 0."""
    for name, value in state.items():
        plain = value.layout == torch.strided and value.device.type == "cpu" and value.is_floating_point()
        if not plain or value.nbytes > value.untyped_storage().nbytes():
            raise InvalidWeights(
                f"{origin} has in {name!r} no tensor of stored real numbers, but one of {value.dtype}, "
                f"{value.layout}, shape {tuple(value.shape)}; {PUBLISHED} is needed"
            )
        if not value.isfinite().all():
            raise InvalidWeights(
                f"{origin} has numbers that are not finite, in {name!r}; fetch the file anew"
            )
        if name.endswith("_std") and not (value > 0).all():
            raise InvalidWeights(
                f"{origin} has standard deviations in {name!r} that are not above 0, so that nothing can be "
                f"scaled by them: {value.tolist()}; {PUBLISHED} is needed"
            )


def reason(error: BaseException) -> str:
    """Why a file could not be unpickled, and what to do; torch itself would advise to run its code."""
    text = str(error)
    code = re.search(r"GLOBAL (\S+)", text)
    if code:
        return (
            f"it refers to {code[1]}, which is code, and none of it was run; where the file comes from a "
            "source that you trust, write its tensors alone to another: "
            "torch.save({'state_dict': torch.load(FILE, weights_only=False)['state_dict']}, OTHER)"
        )
    if "zip archive" in text:
        return "its end is missing or damaged; fetch it anew"
    return f"it is damaged, or was not written by torch.save ({type(error).__name__})"


def translated(name: str) -> str | None:
    """Our name of one of their tensors; None where the network has no use for it."""
    if NOT_OURS.search(name):
        return None
    for theirs, ours in OURS:
        name = re.sub(theirs, ours, name)
    return name
