"""Everything that can be said about processes without a backend."""

import json
from collections.abc import Mapping
from pathlib import Path

from openeo_udf_fusion.errors import InvalidGraph
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish.findings import Finding
from openeo_udf_fusion.publish.structure import (
    graph_problems,
    id_problems,
    parameter_problems,
    shape_problems,
    usage_problems,
)
from openeo_udf_fusion.publish.udf_contract import udf_problems

RULES = (id_problems, parameter_problems, graph_problems, usage_problems, udf_problems)


def validate(process: Json) -> list[Finding]:
    """Check one process by every rule; where its shape is wrong the other rules cannot be applied."""
    return shape_problems(process) or [finding for rule in RULES for finding in rule(process)]


def validate_all(processes: Mapping[str, Json]) -> list[Finding]:
    """Check processes by the ids that they are to be found under (a file's stem, say)."""
    findings = []
    for name, process in processes.items():
        if process.get("id", name) != name:
            message = f"the process in {name}.json has the id {process['id']!r}; file and id must agree"
            findings.append(Finding("error", "id-file", message, name))
        findings += validate(process)
    return findings


def read_processes(folder: Path) -> dict[str, Json]:
    """Read the processes in a folder, `<id>.json` each, by their ids.

    Raises
    ------
    InvalidGraph
        The folder has none, or one that is no JSON object.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InvalidGraph(
            f"there is no process (<id>.json) in {folder}; write them with: udp write --out {folder}"
        )
    processes = {}
    for file in files:
        try:
            process = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidGraph(f"{file} cannot be read as JSON: {error}") from error
        if not isinstance(process, dict):
            raise InvalidGraph(
                f"{file} holds no process: a JSON object is needed, it has a {type(process).__name__}"
            )
        processes[file.stem] = process
    return processes
