"""Which way imports go: a file imports only from its own layer and from those to its left."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import openeo_udf_fusion

PACKAGE = "openeo_udf_fusion"
FOLDER = Path(openeo_udf_fusion.__file__).parent
LAYERS = [
    *(
        "errors",
        "jsontypes",
        "parameters",
        "sensors",
        "quality_flags",
        "periods",
        "cubes",
        "provenance",
        "models",
        "baselines",
    ),
    *("processes", "udfs", "udps", "local", "publish", "training", "evaluation", "bench", "demo", "cli"),
]
MAY_TRAIN = {"training", "evaluation", "bench", "cli"}
UDF_PATH = set(LAYERS[: LAYERS.index("udps")])
UDF_NEEDS = {"numpy", "xarray", "pystac", "torch", "einops", "safetensors", "onnxruntime"}
SOURCES = sorted(file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*.py"))


def imported(path: str, source: str) -> Iterator[str]:
    """The dotted names that a source imports, wherever in the file; `from a import b` gives `a.b`."""
    package = [PACKAGE, *path.split("/")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def layer_of(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def violations(path: str, source: str) -> list[str]:
    """What a file of the package imports although it must not; its path is relative to the package."""
    own, wrong = layer_of(path), []
    for name in imported(path, source):
        top, _, rest = name.partition(".")
        layer = rest.split(".")[0]
        if top != PACKAGE:
            known = top in sys.stdlib_module_names or top in UDF_NEEDS or (own == "udfs" and top == "openeo")
            if own in UDF_PATH and not known:
                wrong.append(f"{path} imports {top}, which a worker need not have")
        elif layer in LAYERS:
            if own not in LAYERS or LAYERS.index(layer) > LAYERS.index(own):
                wrong.append(f"{path} imports {layer}, which is to its right")
            elif layer == "training" and own not in MAY_TRAIN:
                wrong.append(f"{path} imports training; only {sorted(MAY_TRAIN)} may")
        elif layer not in ("", "__version__"):
            wrong.append(f"{path} imports {layer}, which has no place among the layers")
    return wrong


def test_every_file_has_its_layer():
    assert {layer_of(path) for path in SOURCES} <= {*LAYERS, "__init__"}


@pytest.mark.parametrize("path", SOURCES)
def test_imports_go_to_the_left(path):
    assert violations(path, (FOLDER / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sensors.py", "from openeo_udf_fusion import cubes"),
        ("sensors.py", "import openeo_udf_fusion.cubes"),
        ("cubes.py", "from openeo_udf_fusion.provenance import trace"),
        ("models/weights.py", "def load():\n    from openeo_udf_fusion.processes import x"),
        ("udps/graph.py", "from openeo_udf_fusion.local import executor"),
        ("demo/sample.py", "from openeo_udf_fusion.training.losses import crps"),
        ("local/executor.py", "if TYPE_CHECKING:\n    from openeo_udf_fusion.training import losses"),
        ("cubes.py", "import dask.array"),
        ("cubes.py", "from openeo.udf import XarrayDataCube"),
        ("models/cards.py", "import scipy"),
        ("local/server/app.py", "from ...training import losses"),
        ("sensors.py", "from . import cubes"),
        ("cli/run.py", "from openeo_udf_fusion.helpers import anything"),
        ("__init__.py", "from openeo_udf_fusion.errors import FusionError"),
    ],
)
def test_a_planted_violation_is_found(path, source):
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cubes.py", "import re\nimport numpy as np\nfrom openeo_udf_fusion import __version__, sensors"),
        ("udfs/fuse.py", "from openeo.metadata import CubeMetadata"),
        ("models/blocks.py", "import torch.nn.functional as F\nfrom openeo_udf_fusion.models import series"),
        ("cli/train.py", "from openeo_udf_fusion.training import satfusenet"),
        ("local/server/app.py", "from ..executor import run\nfrom ...errors import FusionError"),
        ("local/executor.py", "import dask\nfrom openeo_udf_fusion.udps import definitions"),
    ],
)
def test_what_is_allowed_is_not_blamed(path, source):
    assert violations(path, source) == []


@pytest.mark.parametrize(
    "code",
    [
        "import openeo_udf_fusion",
        "from openeo_udf_fusion import udps; udps.definitions(); udps.definitions(udps.EMBEDDED)",
        "from openeo_udf_fusion.cli.main import main; main(['udp', 'write', '--out', sys.argv[1]])",
        "import openeo_udf_fusion.local",
    ],
    ids=["package", "udps", "udp write", "local"],
)
def test_an_operator_needs_neither_torch_nor_dask(code, tmp_path):
    listed = "print(*sorted({'torch', 'dask', 'fastapi', 'rasterio', 'tqdm'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; {listed}", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
