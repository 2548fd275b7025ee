"""`openeo-udf-fusion run`: apply a process to files, without a server."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from openeo_udf_fusion.cli import workers
from openeo_udf_fusion.errors import (
    Cancelled,
    ClusterUnavailable,
    CorruptWeights,
    FusionError,
    InvalidParameter,
    StorageFailed,
    UnknownParameter,
    UnknownProcess,
    UnmetRequirement,
    WorkerMismatch,
    WorkersLost,
)
from openeo_udf_fusion.jsontypes import Json, JsonValue

if TYPE_CHECKING:
    from openeo_udf_fusion.local.executor import Workspace

MAY_SUCCEED = (
    *(Cancelled, ClusterUnavailable, CorruptWeights, StorageFailed),
    *(UnmetRequirement, WorkerMismatch, WorkersLost),
)
"""What says nothing against a run: the same run may end well when machines and disks do. After any other
deliberate error the graph or its data have to change, and with them its tiles."""


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
    workers.add_options(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep finished tiles in .OUT.tiles until the result is complete, and go on with those that the "
        "same run has left there; with --workers or --scheduler a run leaves them anyway where it was "
        "interrupted, or lost its workers, scheduler or disk",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="run nothing; print how many tiles, how much memory, disk and time it would take",
    )
    parser.add_argument(
        "--pixels-per-s",
        type=float,
        metavar="SPEED",
        help="for --dry-run: the speed of a worker; default: that of this machine, measured on a few chunks",
    )


def run(args: argparse.Namespace) -> int:
    """Run the process and write its result, or plan to."""
    from openeo_udf_fusion import udps
    from openeo_udf_fusion.local.executor import Workspace
    from openeo_udf_fusion.local.fetch import read_process

    if not args.data.is_dir():
        is_what = "is no folder" if args.data.exists() else "does not exist"
        raise InvalidParameter(f"--data: the folder {args.data} {is_what}; name the one of the collections")
    shipped = udps.definitions(udps.EMBEDDED)
    definition = _definition(args.process, shipped, read_process)
    known = shipped | {definition["id"]: definition}

    def find(name: str, namespace: str | None) -> Json | None:
        return known.get(name) if namespace in (None, "backend") else None

    workspace = Workspace(args.data, find, read_process)
    graph = call(definition, parse_parameters(args.parameters))
    return (_plan if args.dry_run else _execute)({"process_graph": graph}, workspace, args)


def _plan(process: Json, workspace: "Workspace", args: argparse.Namespace) -> int:
    from openeo_udf_fusion.local.formats import format_of
    from openeo_udf_fusion.local.plan import plan, summary

    with workers.reached(args) as cluster:
        found = plan(
            process,
            workspace,
            format=format_of(args.output),
            tile_px=args.tile_px,
            workers=args.workers,
            cluster=cluster,
            pixels_per_s=args.pixels_per_s,
        )
    print(json.dumps(found) if args.json else summary(found))
    return 0


def _execute(process: Json, workspace: "Workspace", args: argparse.Namespace) -> int:
    from openeo_udf_fusion.local import executor
    from openeo_udf_fusion.local.formats import format_of
    from openeo_udf_fusion.local.progress_bar import ProgressBar

    kind = format_of(args.output)
    with _kept_tiles(args) as tiles, workers.opened(args) as cluster, ProgressBar() as bar:
        result = executor.run(
            process,
            workspace,
            args.output,
            format=kind,
            progress=bar.update,
            log=bar.log,
            tiles=tiles,
            tile_px=args.tile_px,
            cluster=cluster,
        )
    if args.json:
        print(json.dumps({"files": [str(file) for file in result.files], **result.metadata}, default=str))
    else:
        for file in result.files:
            print(f"wrote {file}", file=sys.stderr)
    return 0


@contextmanager
def _kept_tiles(args: argparse.Namespace) -> Iterator[Path | None]:
    """The folder for finished tiles: gone when the result is there, or cannot be had; else it stays."""
    from openeo_udf_fusion.local.tile_folder import TileFolder

    if not (args.resume or args.workers or args.scheduler):
        yield None
        return
    folder = args.output.with_name(f".{args.output.name}.tiles")
    kept = TileFolder(folder)
    if not args.resume:
        kept.forget()
    try:
        yield folder
    except BaseException as error:
        if isinstance(error, FusionError) and not isinstance(error, MAY_SUCCEED) and not args.resume:
            kept.forget()
        elif count := kept.count():
            again = "the same command" if args.resume else "the same command with --resume"
            tiles = f"{count} finished tile{'s are' if count > 1 else ' is'}"
            print(f"{tiles} kept in {folder}; {again} goes on with them", file=sys.stderr)
        raise
    kept.forget()


def parse_parameters(given: Sequence[str]) -> Json:
    """Read `name=value` pairs: JSON where it parses, else a string."""
    parsed: Json = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidParameter(f"-p takes NAME=VALUE, got {pair!r}")
        value = _value(name, text)
        if name in parsed:
            both = json.dumps([parsed[name], value], ensure_ascii=False)
            raise InvalidParameter(
                f"-p {name} is given twice; give it once, and several values as a list: -p '{name}={both}'"
            )
        parsed[name] = value
    return parsed


def _value(name: str, text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except json.JSONDecodeError as error:
        if not text.lstrip().startswith(("[", "{")):
            return text
        quotes = "; JSON wants double quotes around strings" if "'" in text else ""
        raise InvalidParameter(f"-p {name}: {text} is no JSON: {error}{quotes}") from None
    return value


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
