"""Small collections on disk, and the pieces of process graphs, for the tests of the executor."""

from pathlib import Path

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401
import xarray as xr

from openeo_udf_fusion.local.executor import Workspace

WEST, NORTH = 500_000.0, 5_650_000.0


def make_cube(
    rows=13,
    columns=17,
    dates=4,
    bands=("red", "nir"),
    size=10.0,
    seed=0,
    start="2020-01-05",
    step="10D",
    shift=0.0,
):
    """Values in 0..1 with gaps, dims (t, bands, y, x), EPSG:32631."""
    random = np.random.default_rng(seed)
    values = random.random((dates, len(bands), rows, columns), np.float32)
    values[random.random(values.shape) < 0.1] = np.nan
    coords = {
        "t": pd.date_range(start, periods=dates, freq=step),
        "bands": list(bands),
        "y": NORTH + shift - size * (np.arange(rows) + 0.5),
        "x": WEST - shift + size * (np.arange(columns) + 0.5),
    }
    return xr.DataArray(values, coords=coords, dims=("t", "bands", "y", "x")).rio.write_crs(32631)


def store(cube: xr.DataArray, folder: Path, name: str) -> xr.DataArray:
    """Write a cube as the collection `name`; returns the cube."""
    cube.to_dataset("bands").to_netcdf(folder / f"{name}.nc")
    return cube


def workspace(folder: Path, definitions=None, fetch=None) -> Workspace:
    known = definitions or {}
    return Workspace(folder, lambda process_id, namespace: known.get(process_id), fetch)


def process(**nodes) -> dict:
    """A process whose last node is the result."""
    graph = {name: dict(node) for name, node in nodes.items()}
    graph[list(graph)[-1]]["result"] = True
    return {"process_graph": graph}


def node(process_id: str, **arguments) -> dict:
    return {"process_id": process_id, "arguments": arguments}


def load(id: str, temporal_extent=None, spatial_extent=None, bands=None) -> dict:
    arguments = {"id": id, "spatial_extent": spatial_extent, "temporal_extent": temporal_extent}
    return node("load_collection", **arguments, **({"bands": bands} if bands else {}))


def of(name: str) -> dict:
    return {"from_node": name}


def given(name: str) -> dict:
    return {"from_parameter": name}


def callback(**nodes) -> dict:
    return process(**nodes)


def udf(code: str, context=None, data="data", **arguments) -> dict:
    """A callback with a UDF alone."""
    more = {} if context is None else {"context": context}
    return callback(udf=node("run_udf", data=given(data), udf=code, runtime="Python", **more, **arguments))


def px(y: int, x: int, **more) -> list[dict]:
    sizes = [{"dimension": "y", "value": y, "unit": "px"}, {"dimension": "x", "value": x, "unit": "px"}]
    return sizes + [{"dimension": name, "value": value} for name, value in more.items()]


def code(body: str) -> str:
    """A UDF of one line (or several): what becomes of `cube`."""
    lines = "\n    ".join(body.strip().split("\n"))
    return (
        "import numpy as np\nimport xarray as xr\n\n"
        "def apply_datacube(cube: xr.DataArray, context: dict) -> xr.DataArray:\n"
        f"    {lines}\n"
    )


MEAN = callback(m=node("mean", data=given("data")))
CLOUDY = callback(e=node("array_element", data=given("data"), index=0), g=node("gt", x=of("e"), y=0.5))
BLUR = code(
    "padded = np.nan_to_num(cube.values)\n"
    "moved = sum(np.roll(padded, (dy, dx), (2, 3)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))\n"
    "return cube.copy(data=moved)"
)


def read(result):
    """The result of a run, as a cube."""
    data = xr.open_dataset(result.files[0], decode_coords="all").load()
    data.close()
    names = list(result.metadata["bands"]) or list(data.data_vars)
    joined = xr.concat([data[name] for name in names], dim=pd.Index(names, name="bands"))
    return joined.transpose(..., "bands", "y", "x")


def blur(data, size=5, overlap=1):
    """A node that makes each pixel the sum of its neighbourhood."""
    return node(
        "apply_neighborhood",
        data=of(data),
        process=udf(BLUR),
        size=px(size, size),
        overlap=px(overlap, overlap),
    )
