"""Tells whether two runs are the same: of one graph, by one code, on unchanged files, in the same tiles."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import openeo_udf_fusion
from openeo_udf_fusion.errors import Cancelled
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.readers.folders import is_zarr
from openeo_udf_fusion.local.sources import LOADERS, find
from openeo_udf_fusion.models import cards

_COMPUTES = ("models", "baselines", "processes", "udfs", "local")
"""The layers whose code has a say in what a tile holds."""


def run_key(
    graph: Json,
    data: Path,
    format: str,
    options: Json,
    side_px: int | None,
    cancelled: Callable[[], bool] = lambda: False,
) -> str:
    """The key of a run: equal keys mean equal tiles.

    It covers the inlined graph with the code of its UDFs, name, size and time of change of every file that
    is read, format, tiling, and this package with the weights of its models. Of a Zarr store it takes the
    metadata and the time of change of every folder in it: a chunk that is written in the usual way, under a
    temporary name, changes its folder; one that is overwritten in place does not.

    Raises
    ------
    UnknownCollection, InvalidCollection, ForbiddenPath
        as `Collection.metadata`.
    Cancelled
        `cancelled` said so; a store may have many folders.
    """
    return _digest(
        {
            "graph": graph,
            "files": _stats(graph, data, _store_in_full, cancelled),
            "format": [format, options],
            "side_px": side_px,
            "version": openeo_udf_fusion.__version__,
            "code": code_digest(),
            "weights": weight_digests(),
        }
    )


def files_seen(graph: Json, data: Path) -> str:
    """A cheap digest of what a graph reads: how a worker tells that it sees the files of its client.

    Of a Zarr store it takes the documents at its root, not the (perhaps a million) files of its chunks.

    Raises
    ------
    UnknownCollection, ForbiddenPath
        as `local.sources.find`.
    """
    return _digest(_stats(graph, data, _store_at_its_root, lambda: False))


@cache
def code_digest() -> str:
    """A digest of the sources of this package that compute tiles, as they are when it is first asked."""
    top = Path(openeo_udf_fusion.__file__).parent
    files = [*top.glob("*.py"), *(file for name in _COMPUTES for file in (top / name).rglob("*.py"))]
    content = hashlib.sha256()
    for file in sorted(files):
        if (top / "local" / "server") in file.parents:
            continue
        content.update(f"{file.relative_to(top).as_posix()} {file.stat().st_size}\n".encode())
        content.update(file.read_bytes())
    return content.hexdigest()


def weight_digests() -> Json:
    """For every model what decides what comes out of it: its card's weights, settings and calibration."""
    found = {name: cards.read(name) for name in cards.names()}
    return {name: [card.fingerprint, card.onnx and card.onnx.sha256] for name, card in found.items()}


def _stats(
    graph: Json, data: Path, store: Callable[[Path], Iterator[Path]], cancelled: Callable[[], bool]
) -> Mapping[str, JsonValue]:
    nodes = [node for node in graph.values() if node["process_id"] in LOADERS]
    paths = {path for node in nodes for path in find(node, data).files()}
    found: dict[str, JsonValue] = {}
    for path in sorted(paths):
        for member in store(path) if is_zarr(path) else [path]:
            if cancelled():
                raise Cancelled("the run was cancelled before its first tile")
            about = member.stat()
            size = 0 if member.is_dir() else about.st_size  # that of a folder is the file system's affair
            found[os.path.relpath(member, data)] = [size, about.st_mtime_ns]
    return found


def _store_in_full(path: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(path):
        yield Path(folder)
        yield from (Path(folder, name) for name in names if _is_metadata(name))


def _store_at_its_root(path: Path) -> Iterator[Path]:
    return (entry for entry in path.iterdir() if entry.is_file())


def _is_metadata(name: str) -> bool:
    return name == "zarr.json" or name.startswith(".z")


def _digest(value: JsonValue) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
