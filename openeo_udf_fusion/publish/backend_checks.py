"""What a backend itself says about processes: whether it has what they use, what its validation finds."""

import re
from collections.abc import Iterable, Iterator

from openeo_udf_fusion.errors import BackendFailed, Unauthenticated
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish.backend import Backend
from openeo_udf_fusion.publish.findings import Finding
from openeo_udf_fusion.publish.graphs import graphs

PYTHON = (3, 11)
"""The oldest Python that this package runs on."""


def missing_parts(backend: Backend, processes: Iterable[Json]) -> list[Finding]:
    """Find the predefined processes and the UDF runtime that a backend lacks.

    Raises
    ------
    BackendFailed
    """
    offered = backend.process_ids()
    findings = []
    for process in processes:
        used = {
            node["process_id"]
            for graph in graphs(process["process_graph"])
            for node in graph.nodes.values()
            if not node.get("namespace")
        }
        if used - offered:
            message = f"{backend.url} lacks the processes {sorted(used - offered)}, which the graph uses"
            findings.append(Finding("error", "backend-processes", message, process["id"]))
    return [*findings, *_runtime_findings(backend)]


def objections(backend: Backend, processes: Iterable[Json]) -> list[Finding]:
    """Ask a backend's own validation about each process; that it cannot answer (no login) is an error too."""
    findings: list[Finding] = []
    for process in processes:
        try:
            found = backend.objections(process)
        except (BackendFailed, Unauthenticated) as error:
            return [*findings, Finding("error", "backend-validation", str(error), process["id"])]
        if found is None:
            return [Finding("note", "backend-validation", f"{backend.url} offers no POST /validation")]
        findings += [
            Finding(
                "error",
                "backend-validation",
                f"{problem.get('code')}: {problem.get('message')}",
                process["id"],
            )
            for problem in found
        ]
    return findings


def _runtime_findings(backend: Backend) -> Iterator[Finding]:
    listed = backend.udf_runtimes()
    if listed is None:
        message = f"{backend.url} does not list its UDF runtimes: ask whether it runs UDFs in Python"
        yield Finding("note", "backend-runtime", message)
        return
    runtimes = {name.lower(): runtime for name, runtime in listed.items()}
    if "python" not in runtimes:
        named = sorted(runtimes) or "none at all"
        yield Finding(
            "error", "backend-runtime", f"{backend.url} has no UDF runtime 'Python', it has {named}"
        )
        return
    versions, default = runtimes["python"].get("versions", {}), runtimes["python"].get("default")
    known = {name: number for name in versions if (number := _version(name)) is not None}
    needed = ".".join(map(str, PYTHON))
    if known and max(known.values()) < PYTHON:
        message = (
            f"{backend.url} runs UDFs on Python {sorted(versions)}; this package needs {needed} or later"
        )
        yield Finding("error", "backend-runtime", message)
    elif default in known and known[default] < PYTHON:
        message = (
            f"{backend.url} runs UDFs on Python {default} by default; this package needs {needed} or later"
        )
        yield Finding("note", "backend-runtime", message)


def _version(name: str) -> tuple[int, int] | None:
    """Major and minor of a runtime's version; None where it names no minor, such as "3"."""
    found = re.match(r"(\d+)\.(\d+)", name)
    return (int(found[1]), int(found[2])) if found else None
