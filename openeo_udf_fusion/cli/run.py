"""`openeo-udf-fusion run`: apply a process to files, without a server."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from openeo_udf_fusion.errors import InvalidParameter, UnknownParameter, UnknownProcess
from openeo_udf_fusion.jsontypes import Json, JsonValue


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "run",
        help="apply a process to files, without a server",
        description=__doc__,
        epilog="example: openeo-udf-fusion run harmonize_modis_viirs_cube --data DIR -p data=munich_modis "
        '-p \'temporal_extent=["2022-01-01", "2023-01-01"]\' -o munich.nc; '
        "udp/*.md describes the processes and their parameters",
    )
    parser.add_argument("process", help="id of a process, or a JSON file (or URL) with one")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the collections")
    parser.add_argument(
        "-p",
        dest="parameters",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter: JSON if it parses, else a string; for a cube the id of a collection, "
        "or a JSON list of ids that are merged",
    )
    parser.add_argument(
        "-o", dest="output", type=Path, required=True, metavar="OUT", help=".nc, .zarr, .tif or .parquet"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object: the files and their metadata"
    )


def run(args: argparse.Namespace) -> int:
    """Run the process and write its result."""
    from openeo_udf_fusion import udps
    from openeo_udf_fusion.local import executor
    from openeo_udf_fusion.local.fetch import read_process
    from openeo_udf_fusion.local.formats import format_of
    from openeo_udf_fusion.local.progress_bar import ProgressBar

    shipped = udps.definitions(udps.EMBEDDED)
    definition = _definition(args.process, shipped, read_process)
    known = shipped | {definition["id"]: definition}

    def find(name: str, namespace: str | None) -> Json | None:
        return known.get(name) if namespace in (None, "backend") else None

    workspace = executor.Workspace(args.data, find, read_process)
    graph = call(definition, parse_parameters(args.parameters))
    with ProgressBar() as bar:
        result = executor.run(
            {"process_graph": graph},
            workspace,
            args.output,
            format=format_of(args.output),
            progress=bar.update,
            log=bar.log,
        )
    if args.json:
        print(json.dumps({"files": [str(file) for file in result.files], **result.metadata}, default=str))
    else:
        for file in result.files:
            print(f"wrote {file}", file=sys.stderr)
    return 0


def parse_parameters(given: Sequence[str]) -> Json:
    """Read `name=value` pairs: JSON where it parses, else a string."""
    parsed: Json = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidParameter(f"-p takes NAME=VALUE, got {pair!r}")
        try:
            parsed[name] = json.loads(text)
        except json.JSONDecodeError:
            parsed[name] = text
    return parsed


def call(definition: Json, arguments: Mapping[str, JsonValue]) -> Json:
    """Return a process graph that calls a process; a cube parameter takes ids of collections."""
    parameters = {parameter["name"]: parameter for parameter in definition.get("parameters", [])}
    unknown = sorted(set(arguments) - set(parameters))
    if unknown:
        meant = get_close_matches(unknown[0], parameters, n=1)
        hint = f"did you mean {meant[0]}?" if meant else f"it has {', '.join(parameters)}"
        raise UnknownParameter(f"{definition['id']} has no parameter {', '.join(unknown)}; {hint}")
    graph: Json = {}
    passed = {
        name: _load(value, graph) if _is_cube(parameters[name]) else value
        for name, value in arguments.items()
    }
    graph["process"] = {"process_id": definition["id"], "arguments": passed, "result": True}
    return graph


def _load(collections: JsonValue, graph: Json) -> Json:
    """Add nodes that load and merge collections; returns the reference to the last of them."""
    ids = [collections] if isinstance(collections, str) else collections
    if not isinstance(ids, list) or not ids or not all(isinstance(name, str) for name in ids):
        raise InvalidParameter(
            f"a cube parameter takes the id of a collection or a list of them, got {ids!r}"
        )
    reference: Json = {}
    for name in ids:
        load = f"load{len(graph)}"
        extents = {"spatial_extent": None, "temporal_extent": None}
        graph[load] = {"process_id": "load_collection", "arguments": {"id": name, **extents}}
        if reference:
            merge = f"merge{len(graph)}"
            cubes = {"cube1": reference, "cube2": {"from_node": load}}
            graph[merge] = {"process_id": "merge_cubes", "arguments": cubes}
            load = merge
        reference = {"from_node": load}
    return reference


def _is_cube(parameter: Json) -> bool:
    """Tell a cube parameter from one that takes a vector cube among other things, such as an extent."""
    schemas = parameter["schema"] if isinstance(parameter["schema"], list) else [parameter["schema"]]
    subtypes = {schema.get("subtype") for schema in schemas if schema.get("type") != "null"}
    return bool(subtypes) and subtypes <= {"datacube", "raster-cube"}


def _definition(name: str, shipped: Mapping[str, Json], read: Callable[[str], Json]) -> Json:
    if name in shipped:
        return shipped[name]
    if not (name.endswith(".json") or "://" in name):
        raise UnknownProcess(f"there is no process {name!r}; there are {list(shipped)}, or name a JSON file")
    return {"id": "process"} | read(name)
