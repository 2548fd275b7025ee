"""The authors' checkpoint of TAMRF-SITS: read safely, and its tensors under this project's names.

The published files are Lightning checkpoints (Zenodo, doi:10.5281/zenodo.17474541).
"""

import re
import zipfile
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


def read(file: Path) -> dict[str, Tensor]:
    """Tensors of a published checkpoint in float32, under the names of `models.tamrf.Tamrf`.

    Nothing in the file is run: it is unpickled with `weights_only=True`.

    Raises
    ------
    InvalidWeights
        The file is no such checkpoint.
    """
    needed = "a Lightning checkpoint of TAMRF-SITS as published (doi:10.5281/zenodo.17474541)"
    try:
        content = torch.load(file, weights_only=True, map_location="cpu")
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InvalidWeights(f"{file.name} cannot be read as {needed}: {reason[0]}") from None
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InvalidWeights(f"{file.name} holds no dict of tensors 'state_dict'; {needed} is needed")
    named = {translated(name.replace(COMPILED, "")): value for name, value in state.items()}
    return {name: value.float() for name, value in named.items() if name is not None}


def translated(name: str) -> str | None:
    """Our name of one of their tensors; None where the network has no use for it."""
    if NOT_OURS.search(name):
        return None
    for theirs, ours in OURS:
        name = re.sub(theirs, ours, name)
    return name
