"""Tells whether two runs are the same: of one graph, on unchanged files, cut into the same tiles."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import openeo_udf_fusion
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.readers.folders import is_zarr
from openeo_udf_fusion.local.sources import LOADERS, find


def run_key(graph: Json, data: Path, format: str, options: Json, side_px: int | None) -> str:
    """The key of a run: equal keys mean equal tiles.

    It covers the inlined graph with the code of its UDFs, name, size and time of change of every file that
    is read (inside Zarr stores, too), format, tiling and the version of this package.

    Raises
    ------
    UnknownCollection, InvalidCollection, ForbiddenPath
        as `Collection.metadata`.
    """
    return _digest(
        {
            "graph": graph,
            "files": _stats(graph, data, inside_stores=True),
            "format": [format, options],
            "side_px": side_px,
            "version": openeo_udf_fusion.__version__,
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
    return _digest(_stats(graph, data, inside_stores=False))


def _stats(graph: Json, data: Path, *, inside_stores: bool) -> Mapping[str, JsonValue]:
    nodes = [node for node in graph.values() if node["process_id"] in LOADERS]
    paths = {path for node in nodes for path in find(node, data).files()}
    return {
        os.path.relpath(file, data): [(about := file.stat()).st_size, about.st_mtime_ns]
        for path in sorted(paths)
        for file in _members(path, inside_stores=inside_stores)
    }


def _members(path: Path, *, inside_stores: bool) -> Iterator[Path]:
    if not is_zarr(path):
        yield path
        return
    entries = path.rglob("*") if inside_stores else path.iterdir()
    yield from (entry for entry in entries if entry.is_file())


def _digest(value: JsonValue) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
