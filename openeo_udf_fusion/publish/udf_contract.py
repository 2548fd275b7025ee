"""Rules about UDFs: their text, and how a process graph calls them, so that production backends run them.

Everything is read from the text; nothing of it is run, since what it imports need not be installed here.
"""

import ast
import re
from collections.abc import Iterator
from tomllib import TOMLDecodeError

from openeo.udf.run_code import extract_udf_dependencies
from packaging.requirements import InvalidRequirement, Requirement

from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.udf.code import has_apply_metadata
from openeo_udf_fusion.local.udf.parents import MINIMAL_SIZE_PX, PARENTS
from openeo_udf_fusion.publish.findings import Finding, Level
from openeo_udf_fusion.publish.graphs import Graph, graphs

_BLOCK = re.compile(r"[ \t]*#[ \t]*///[ \t]*script[ \t]*\r?")
_HEAVY = {"torch", "onnxruntime", "tensorflow"}
_ARRAY = "xarray.DataArray"

Said = Iterator[tuple[str, str]]
"""Pairs of a rule's name and its message."""


def udf_problems(process: Json) -> Iterator[Finding]:
    """Check the text of every UDF in a process, and the nodes around it."""
    for graph in graphs(process["process_graph"]):
        for name, node in graph.nodes.items():
            if node["process_id"] == "run_udf":
                for rule, message in _problems(graph, name, node):
                    level: Level = "note" if rule in _NOTES else "error"
                    yield Finding(level, rule, f"UDF {graph.where(name)}: {message}", process["id"])


_NOTES = {"udf-changes-labels", "udf-no-requirement", "udf-heavy-requirement"}


def _problems(graph: Graph, name: str, node: Json) -> Said:
    arguments = node["arguments"]
    code = arguments.get("udf")
    yield from _place_problems(graph, name)
    if str(arguments.get("runtime")).lower() != "python":
        yield "udf-runtime", f"the runtime must be 'Python', got {arguments.get('runtime')!r}"
    if arguments.get("context") != {"from_parameter": "context"}:
        yield (
            "udf-context",
            "production backends hand on the context of the node around run_udf only: its own must be "
            '{"from_parameter": "context"}',
        )
    if not isinstance(code, str):
        yield "udf-literal", f"'udf' must be the code itself as a string, got {code!r:.100}"
        return
    yield from _text_problems(code)
    yield from _requirement_problems(code)
    if graph.parent and graph.parent["process_id"] == "apply_neighborhood" and has_apply_metadata(code):
        yield (
            "udf-changes-labels",
            "may change dates and bands under apply_neighborhood: production backends accept that, the "
            "openEO specification does not promise it",
        )


# --- where it stands


def _place_problems(graph: Graph, name: str) -> Said:
    if graph.parent is None:
        yield "udf-parent", f"backends refuse run_udf on a whole cube; put it into one of {sorted(PARENTS)}"
        return
    parent = graph.parent["process_id"]
    if PARENTS.get(parent) != graph.path.rpartition(".")[2]:
        yield "udf-parent", f"run_udf may stand in the callback of {sorted(PARENTS)}, not of {parent}"
    if len(graph.nodes) != 1:
        others = sorted(graph.nodes.keys() - {name})
        yield "udf-alone", f"its callback must hold nothing else; it also has {others}"
    if not isinstance(graph.parent["arguments"].get("context"), dict):
        yield "udf-context", f"{parent} has no 'context'; production backends hand on that one"
    if parent == "apply_neighborhood":
        yield from _neighborhood_problems(graph.parent["arguments"])


def _neighborhood_problems(arguments: Json) -> Said:
    size, overlap = _by_dimension(arguments.get("size")), _by_dimension(arguments.get("overlap") or [])
    for argument, sizes in (("size", size), ("overlap", overlap)):
        if sizes is None or not sizes.keys() <= {"x", "y", "t"}:
            given = f"{arguments.get(argument)!r:.100}"
            yield (
                f"tile-{argument}",
                f"'{argument}' must be a list of objects with dimension x or y, got {given}",
            )
            return
        if "t" in sizes:
            yield (
                f"tile-{argument}-t",
                f"'{argument}' has an entry for t; leave it out: the UDF needs all dates",
            )
    for dim in ("x", "y"):
        yield from _tile_problems(dim, (size or {}).get(dim), (overlap or {}).get(dim))


def _tile_problems(dim: str, size: Json | None, overlap: Json | None) -> Said:
    pixels, margin = _pixels(size), 0 if overlap is None else _pixels(overlap)
    if pixels is None or pixels < MINIMAL_SIZE_PX:
        message = f"the size along {dim} must be at least {MINIMAL_SIZE_PX} whole px, got {size}"
        yield "tile-size", message
    elif margin is None or not 0 <= margin <= pixels:
        yield (
            "tile-overlap",
            f"the overlap along {dim} must be from 0 to the size ({pixels} px), got {overlap}; a larger one "
            "shifts the result silently",
        )


def _by_dimension(entries: JsonValue) -> dict[str, Json] | None:
    if not isinstance(entries, list):
        return None
    if not all(isinstance(entry, dict) and isinstance(entry.get("dimension"), str) for entry in entries):
        return None
    return {entry["dimension"]: entry for entry in entries}


def _pixels(entry: Json | None) -> int | None:
    value = entry.get("value") if entry and entry.get("unit") == "px" else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# --- its text


def _text_problems(code: str) -> Said:
    if "\r" in code:
        yield "udf-lf", "lines must end in LF alone; with CR backends do not find the PEP 723 block"
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:
        yield "udf-syntax", f"it does not compile: {error}"
        return
    if not has_apply_metadata(code):
        yield (
            "udf-apply-metadata",
            "it has no `def apply_metadata(metadata, context)` at the start of a line, which is how backends "
            "learn the bands of the result",
        )
    yield from _import_problems(tree)
    yield from _function_problems(tree)


def _import_problems(tree: ast.Module) -> Said:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            if any(alias.name == "annotations" for alias in node.names):
                yield (
                    "udf-future",
                    "`from __future__ import annotations` hides the annotations that a UDF is found by",
                )
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "udf-import", "a backend gets this text alone: relative imports lead nowhere"
        elif isinstance(node, ast.Name) and node.id == "__file__":
            yield "udf-file", "a backend runs the text, there is no `__file__`"


def _function_problems(tree: ast.Module) -> Said:
    names = _imported_names(tree)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    found = [function for function in functions if function.name == "apply_datacube"]
    if len(found) != 1:
        yield "udf-function", f"it needs one function apply_datacube at top level, it has {len(found)}"
    for function in found:
        arguments = {argument.arg: argument.annotation for argument in function.args.args}
        annotations = [_written_out(arguments.get("cube"), names), _written_out(function.returns, names)]
        if list(arguments) != ["cube", "context"] or annotations != [_ARRAY, _ARRAY]:
            yield (
                "udf-annotations",
                "needed is `def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray` "
                f"with plain annotations, it has `{ast.unparse(function).splitlines()[0]}`",
            )
    for function in functions:
        only = function.args.args[0].annotation if len(function.args.args) == 1 else None
        if _written_out(only, names).rpartition(".")[2] == "UdfData":
            yield "udf-function", f"{function.name} takes one UdfData, so backends call it instead"


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """What each name at top level is imported as, in full."""
    names: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _written_out(annotation: ast.expr | None, names: dict[str, str]) -> str:
    if annotation is None or isinstance(annotation, ast.Constant):
        return ""
    head, dot, rest = ast.unparse(annotation).partition(".")
    return names.get(head, head) + dot + rest


# --- what it requires


def _requirement_problems(code: str) -> Said:
    openings = [line for line in code.split("\n") if _BLOCK.fullmatch(line)]
    if not openings:
        yield (
            "udf-no-requirement",
            "it has no PEP 723 block: the worker's image, or an archive, must bring the package",
        )
        return
    if len(openings) > 1:
        yield "udf-one-block", f"there may be one PEP 723 block (`# /// script`), there are {len(openings)}"
        return
    if openings != ["# /// script"]:
        yield "udf-block", f"the PEP 723 block must open with '# /// script' exactly, got {openings[0]!r}"
        return
    try:
        dependencies = extract_udf_dependencies(code)
    except (ValueError, TOMLDecodeError) as error:
        yield "udf-block", f"the PEP 723 block cannot be read: {error}"
        return
    if dependencies is None:
        yield "udf-block", "the PEP 723 block is not closed by '# ///', or states no dependencies"
    for text in dependencies or []:
        yield from _dependency_problems(text)


def _dependency_problems(text: str) -> Said:
    try:
        name = Requirement(text).name
    except InvalidRequirement as error:
        if "://" not in text:
            yield (
                "udf-block",
                f"the dependency {text!r} is neither a requirement (PEP 508) nor a URL: {error}",
            )
        return
    if name in _HEAVY:
        yield (
            "udf-heavy-requirement",
            f"it asks for {name}, hundreds of megabytes in every job; let the worker's image bring it",
        )
