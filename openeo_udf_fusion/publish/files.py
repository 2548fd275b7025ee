"""The published files: what the code builds, written to a folder or compared with one."""

import json
from collections.abc import Mapping
from pathlib import Path

from openeo_udf_fusion import udps
from openeo_udf_fusion.errors import InvalidGraph
from openeo_udf_fusion.jsontypes import JsonValue
from openeo_udf_fusion.publish.addresses import Addresses
from openeo_udf_fusion.publish.deployment import deployment_for
from openeo_udf_fusion.publish.model_catalog import model_files
from openeo_udf_fusion.publish.pages import page
from openeo_udf_fusion.publish.records import for_area_of_interest, record
from openeo_udf_fusion.publish.scenarios import scenarios
from openeo_udf_fusion.publish.storage import whole


def published_files(
    requirement: str | None = None,
    addresses: Addresses | None = None,
    archive_folder: str | None = None,
    out: Path | None = None,
) -> dict[str, bytes]:
    """Return the content of every published file by its path.

    Processes (`<id>.json`) with their pages (`<id>.md`); for processes for an area of interest a record
    (`records/<id>.json`) and benchmark scenarios (`benchmark_scenarios/<id>.json`); the STAC catalogue of the
    models (`models/catalog.json`) with their cards and weights.

    Parameters
    ----------
    requirement, archive_folder : str, optional
        See `deployment_for`.
    addresses : Addresses, optional
        What records and scenarios link to; by default placeholders.
    out : Path, optional
        The folder that they are for; beside the sources of this package the catalogue of models links the
        cards there, instead of having its own.
    """
    where = addresses or Addresses()
    files = {}
    for name, process in udps.definitions(deployment_for(requirement, archive_folder)).items():
        files[f"{name}.json"] = as_text(process).encode()
        files[f"{name}.md"] = page(process).encode()
        if for_area_of_interest(process):
            files[f"records/{name}.json"] = as_text(record(process, where)).encode()
            files[f"benchmark_scenarios/{name}.json"] = as_text(scenarios(process, where)).encode()
    return files | model_files(out)


def as_text(value: JsonValue) -> str:
    """Return JSON as it is written to files."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write each file under a temporary name first.

    Raises
    ------
    StorageFailed
        The folder cannot be made or written; files that were not reached are as they were.
    """
    for name, content in files.items():
        with whole(folder / name) as temporary:
            temporary.write_bytes(content)


def check(files: Mapping[str, bytes], folder: Path, remedy: str = "openeo-udf-fusion udp write") -> None:
    """Raise InvalidGraph, naming the files that are missing, differ, or are none that the code builds."""
    if not folder.is_dir():
        raise InvalidGraph(f"there is no folder {folder}; run: {remedy}")
    there = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }
    changed = sorted(name for name, content in files.items() if there.get(name) != content)
    strangers = sorted(there.keys() - files.keys())
    if changed:
        raise InvalidGraph(f"{folder} differs from the code in {changed}; run: {remedy}")
    if strangers:
        raise InvalidGraph(f"{folder} holds {strangers}, which the code does not build; remove them")
