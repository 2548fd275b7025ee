"""Check what catalogues get: records, benchmark scenarios, and the models' catalogue with all it leads to."""

import hashlib
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.models.cards import SHA256_MULTIHASH
from openeo_udf_fusion.publish.catalogue_rules import violations
from openeo_udf_fusion.publish.findings import Finding
from openeo_udf_fusion.publish.model_catalog import CATALOG


@dataclass(frozen=True)
class Tree:
    """Published files, on disk or not.

    Attributes
    ----------
    names : tuple of str
        Their paths.
    read : callable
        Returns the content at a path, also one that leads out of the tree, or None where there is none.
    """

    names: tuple[str, ...]
    read: Callable[[str], bytes | None]


def built(files: Mapping[str, bytes]) -> Tree:
    """Return files that were built and not written."""
    return Tree(tuple(files), files.get)


def written(folder: Path) -> Tree:
    """Return the files of a folder."""

    def read(name: str) -> bytes | None:
        file = folder / name
        return file.read_bytes() if file.is_file() else None

    names = (file.relative_to(folder).as_posix() for file in folder.rglob("*.json") if file.is_file())
    return Tree(tuple(names), read)


def catalogue_problems(tree: Tree) -> list[Finding]:
    """Check every record and scenario, and the catalogue of models: each by its schema, links, checksums."""
    findings: list[Finding] = []
    for name in sorted(tree.names):
        folder = name.partition("/")[0]
        check = _model_catalog if name == CATALOG else _CHECKS.get(folder)
        if check is not None and name.endswith(".json"):
            findings += _checked(name, tree, check)
    return findings


Check = Callable[[JsonValue, str, Tree], Iterable[Finding]]


def _checked(name: str, tree: Tree, check: Check) -> list[Finding]:
    try:
        document = json.loads(tree.read(name) or b"")
    except (ValueError, OSError) as error:
        return [Finding("error", "json", f"it cannot be read as JSON: {error}", name)]
    return list(check(document, name, tree))


# --- records and scenarios


def _record(document: JsonValue, name: str, tree: Tree) -> Iterator[Finding]:
    wrong = violations(document, "record", name)
    yield from wrong
    if wrong:
        return
    process = _stem(name)
    if document["id"] != process:
        message = f"the record has the id {document['id']!r}; file and id must agree"
        yield Finding("error", "id-file", message, name)
    if tree.read(f"{process}.json") is None:
        yield Finding("error", "link", f"there is no process {process}.json beside the records", name)
    for link in document["links"]:
        if link["rel"] == "application" and posixpath.basename(link["href"]) != f"{process}.json":
            message = f"the application is {link['href']}; needed is the address of {process}.json"
            yield Finding("error", "link", message, name)


def _scenarios(document: JsonValue, name: str, tree: Tree) -> Iterator[Finding]:
    if not isinstance(document, list):
        message = f"a list of scenarios is needed, it has a {type(document).__name__}"
        yield Finding("error", "scenario", message, name)
        return
    for scenario in document:
        wrong = violations(scenario, "scenario", name)
        yield from wrong
        if not wrong:
            yield from _calls(scenario, name, tree)


def _calls(scenario: Json, name: str, tree: Tree) -> Iterator[Finding]:
    """Check that a scenario gives the processes of the folder what they take."""
    for node in scenario["process_graph"].values():
        process = _process(node.get("process_id"), tree) if isinstance(node, dict) else None
        if process is None:
            continue
        parameters = {parameter["name"]: parameter for parameter in process["parameters"]}
        given = node.get("arguments", {}).keys()
        needed = {key for key, parameter in parameters.items() if not parameter.get("optional")}
        if given - parameters.keys() or needed - given:
            message = (
                f"{node['process_id']} takes {sorted(parameters)} and needs {sorted(needed)}; "
                f"given are {sorted(given)}"
            )
            yield Finding("error", "scenario-arguments", message, name)


def _process(process_id: JsonValue, tree: Tree) -> Json | None:
    try:
        found = json.loads(tree.read(f"{process_id}.json") or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("parameters"), list) else None


_CHECKS: dict[str, Check] = {"records": _record, "benchmark_scenarios": _scenarios}


# --- models


def _model_catalog(document: JsonValue, name: str, tree: Tree) -> Iterator[Finding]:
    wrong = violations(document, "catalog", name)
    yield from wrong
    for link in [] if wrong else document["links"]:
        target = _target(link["href"], name)
        if target is None:
            continue
        if tree.read(target) is None:
            yield _dead(link["href"], target, name)
        elif link["rel"] == "item":
            yield from _checked(target, tree, _card)


def _card(document: JsonValue, name: str, tree: Tree) -> Iterator[Finding]:
    wrong = violations(document, "item", name) or violations(document, "model", name)
    yield from wrong
    if wrong:
        return
    for link in document["links"]:
        target = _target(link["href"], name)
        if target is not None and tree.read(target) is None:
            yield _dead(link["href"], target, name)
    for asset in document["assets"].values():
        target = _target(asset["href"], name)
        if target is not None:
            yield from _asset(asset, target, name, tree)


def _asset(asset: Json, target: str, name: str, tree: Tree) -> Iterator[Finding]:
    content = tree.read(target)
    if content is None:
        yield _dead(asset["href"], target, name)
        return
    stated = asset.get("file:checksum")
    if stated not in (None, SHA256_MULTIHASH + hashlib.sha256(content).hexdigest()):
        message = f"{target} is not the file that the card was written for: its SHA-256 is another"
        yield Finding("error", "checksum", message, name)


def _target(href: str, name: str) -> str | None:
    """Return the path that a link leads to; None for one that leads onto the web."""
    if "://" in href:
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(href)))


def _dead(href: str, target: str, name: str) -> Finding:
    return Finding("error", "link", f"the link {href} leads to {target}, where there is no file", name)


def _stem(name: str) -> str:
    return posixpath.basename(name).removesuffix(".json")
