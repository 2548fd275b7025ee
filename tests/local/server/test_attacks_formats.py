"""Files that run code when they are read: none of them is."""

import ast
import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import openeo_udf_fusion
from openeo_udf_fusion.errors import FusionError
from openeo_udf_fusion.local.collections import get_collection
from openeo_udf_fusion.models import cards, weights

PACKAGE = Path(openeo_udf_fusion.__file__).parent
SOURCES = sorted(file.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*.py"))
UNPICKLERS = {
    "pickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "jsonpickle",
    "pandas.io",
}
"""Modules whose reading functions run what the file says."""
HARMLESS = {"pickle.UnpicklingError"}
"""An error that others raise."""


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def unsafe(source: str) -> list[str]:
    """What in a source could read code out of a file or a pipe."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = getattr(node, "module", None)
            names = [f"{origin}.{alias.name}" if origin else alias.name for alias in node.names]
            names = [name for name in names if name not in HARMLESS]
            found += [name for name in names if name.split(".")[0] in UNPICKLERS]
            found += [name for name in names if name.startswith("multiprocessing.connection")]
            found += [name for name in names if name in ("multiprocessing.Pipe", "multiprocessing.Queue")]
        elif isinstance(node, ast.Call):
            found += _unsafe_call(node)
    return found


def _unsafe_call(node: ast.Call) -> list[str]:
    name = ast.unparse(node.func)
    options = {option.arg: option.value for option in node.keywords}

    def says(option: str, value: bool) -> bool:
        given = options.get(option)
        return isinstance(given, ast.Constant) and given.value is value

    if name in ("torch.load", "torch.hub.load", "torch.jit.load", "torch.package.PackageImporter"):
        return [] if name == "torch.load" and says("weights_only", True) else [name]
    if name in ("np.load", "numpy.load"):
        return [] if "allow_pickle" not in options or says("allow_pickle", False) else [name]
    if name in ("yaml.load", "yaml.unsafe_load", "pd.read_pickle", "pandas.read_pickle", "eval", "exec"):
        return [name]
    return []


@pytest.mark.parametrize("path", SOURCES)
def test_nothing_is_unpickled(path):
    assert unsafe((PACKAGE / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "def f():\n    import cloudpickle as c",
        "from multiprocessing import Pipe",
        "from multiprocessing.connection import Connection",
        "import joblib",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.jit.load(f)",
        "np.load(f, allow_pickle=True)",
        "numpy.load(f, allow_pickle=trusted)",
        "pd.read_pickle(f)",
        "yaml.load(f)",
        "exec(code)",
    ],
)
def test_a_planted_unpickling_is_found(source):
    assert unsafe(source)


@pytest.mark.parametrize(
    "source",
    ["torch.load(f, weights_only=True)", "np.load(f)", "np.load(f, allow_pickle=False)", "json.load(f)"],
)
def test_what_reads_data_alone_is_not_blamed(source):
    assert unsafe(source) == []


@pytest.mark.parametrize(
    "name", ["satfusenet.pt", "satfusenet.pth", "satfusenet.pkl", "satfusenet.safetensors"]
)
def test_weights_that_are_a_pickle_are_refused_and_not_run(tmp_path, name):
    """Even where the card names them, with the right checksum."""
    trap = tmp_path / "unpickled"
    content = pickle.dumps({"weights": Trap(trap)})
    (tmp_path / name).write_bytes(content)
    card = json.loads((cards.FOLDER / "satfusenet.json").read_text())
    card["assets"]["weights"]["href"] = f"./{name}"
    checksum = cards.SHA256_MULTIHASH + hashlib.sha256(content).hexdigest()
    card["assets"]["weights"]["file:checksum"] = checksum
    (tmp_path / "satfusenet.json").write_text(json.dumps(card))
    safetensors = pytest.importorskip("safetensors")
    pytest.importorskip("torch")
    with pytest.raises((FusionError, safetensors.SafetensorError)):
        weights.load("satfusenet", folder=tmp_path)
    assert not trap.exists()
    pickle.loads(content)
    assert trap.exists()  # the trap is one


@pytest.mark.filterwarnings("ignore:Failed to open Zarr", "ignore:Object at new")
@pytest.mark.parametrize(
    ("variable", "change"),
    [
        ("bands", {"filters": [{"id": "vlen-utf8"}, {"id": "pickle"}], "compressor": None}),
        ("bands", {"filters": [{"id": "pickle"}], "compressor": None}),
        ("modis", {"filters": [{"id": "pickle"}], "compressor": None}),
        ("modis", {"filters": None, "compressor": {"id": "pickle"}}),
    ],
)
def test_a_zarr_store_runs_nothing(tmp_path, variable, change):
    """Zarr 2 has a codec that unpickles; a store from elsewhere could ask for it."""
    cube = xr.DataArray(
        np.ones((1, 2, 3, 3), "float32"),
        dims=("t", "bands", "y", "x"),
        coords={
            "t": np.array(["2022-06-01"], "datetime64[ns]"),
            "bands": np.array(["B1", "B2"], dtype=object),
            "y": 60.0 - 20.0 * np.arange(3),
            "x": 20.0 * np.arange(3),
        },
        attrs={"crs": "EPSG:32632"},
    )
    store = tmp_path / "data" / "modis.zarr"
    cube.to_dataset(name="modis").to_zarr(store, zarr_format=2, consolidated=False)
    assert get_collection(store.parent, "modis").bands()
    metadata = store / variable / ".zarray"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | change))
    for chunk in (store / variable).iterdir():
        if not chunk.name.startswith("."):
            chunk.write_bytes(pickle.dumps(Trap(tmp_path / "unpickled")))
    (store / "new").touch()  # the store has changed
    with pytest.raises(FusionError):
        get_collection(store.parent, "modis").open().compute()
    assert not (tmp_path / "unpickled").exists()
