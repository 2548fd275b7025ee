"""Offer the processes of openeo_udf_fusion as predefined ones on a backend of openeo-geopyspark-driver.

Name this file in the environment variable OPENEO_CUSTOM_PROCESSES, in the web app and in the batch jobs. It
reads the processes from the folder that OPENEO_UDF_FUSION_PROCESSES names, or from `processes` beside this
file: what `openeo-udf-fusion udp write` wrote there. It needs nothing but the driver.

The driver logs an error of this file and starts without its processes. All files are read, and their ids
looked up, before any process is registered: the backend offers all of them or none.
"""

import json
import logging
import os
from pathlib import Path

from openeo_driver.ProcessGraphDeserializer import (
    custom_process_from_process_graph,
    process_registry_2xx,
    process_registry_100,
)

FOLDER_VARIABLE = "OPENEO_UDF_FUSION_PROCESSES"
NAMESPACE = "backend"
"""That of predefined processes: users call them by their id alone."""

_log = logging.getLogger("openeo_udf_fusion.custom_processes")


def read_processes(folder: Path) -> list[dict]:
    """Return every process in a folder's JSON files, in the order of their names."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise FileNotFoundError(
            f"there is no process in {folder}; run: openeo-udf-fusion udp write --archive-folder fusion_deps "
            f"--out {folder}, or name another folder in {FOLDER_VARIABLE}"
        )
    return [read_process(file) for file in files]


def read_process(file: Path) -> dict:
    """Return the process in a file, whose name is its id."""
    try:
        process = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    if not isinstance(process, dict) or not process.get("process_graph") or process.get("id") != file.stem:
        raise ValueError(f"{file} needs to be a process with a process_graph and the id {file.stem!r}")
    return process


def folder_of_processes() -> Path:
    """Return the folder to read."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path(__file__).parent / "processes"


def register() -> list[str]:
    """Register every process and return their ids; none if one of them is registered already."""
    processes = read_processes(folder_of_processes())
    registries = process_registry_100, process_registry_2xx
    taken = [p["id"] for p in processes if any(r.contains(p["id"], namespace=NAMESPACE) for r in registries)]
    if taken:
        raise ValueError(
            f"{taken} are registered already, so none was registered here: is this file, or another with the "
            f"same ids, loaded too? leave one of them out of OPENEO_CUSTOM_PROCESSES"
        )
    for process in processes:
        custom_process_from_process_graph(process, namespace=NAMESPACE)
    return [process["id"] for process in processes]


_log.info("registered %s", register())
