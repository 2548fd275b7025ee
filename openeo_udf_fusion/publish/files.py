"""The published files: what the code builds, written to a folder or compared with one."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from openeo_udf_fusion import udps
from openeo_udf_fusion.errors import InvalidGraph, StorageFailed
from openeo_udf_fusion.jsontypes import JsonValue
from openeo_udf_fusion.publish.addresses import Addresses
from openeo_udf_fusion.publish.deployment import deployment_for
from openeo_udf_fusion.publish.model_catalog import CATALOG, model_catalog
from openeo_udf_fusion.publish.pages import page
from openeo_udf_fusion.publish.records import for_area_of_interest, record
from openeo_udf_fusion.publish.scenarios import scenarios


def published_files(
    requirement: str | None = None, addresses: Addresses | None = None, archive_folder: str | None = None
) -> dict[str, str]:
    """Return the content of every published file by its path.

    Processes (`<id>.json`) with their pages (`<id>.md`); for processes for an area of interest a record
    (`records/<id>.json`) and benchmark scenarios (`benchmark_scenarios/<id>.json`); the STAC catalogue of the
    model cards (`models/catalog.json`).

    Parameters
    ----------
    requirement, archive_folder : str, optional
        See `deployment_for`.
    addresses : Addresses, optional
        What records and scenarios link to; by default placeholders.
    """
    where = addresses or Addresses()
    files = {}
    for name, process in udps.definitions(deployment_for(requirement, archive_folder)).items():
        files[f"{name}.json"] = as_text(process)
        files[f"{name}.md"] = page(process)
        if for_area_of_interest(process):
            files[f"records/{name}.json"] = as_text(record(process, where))
            files[f"benchmark_scenarios/{name}.json"] = as_text(scenarios(process, where))
    files[CATALOG] = as_text(model_catalog(where))
    return files


def as_text(value: JsonValue) -> str:
    """Return JSON as it is written to files."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write each file under a temporary name first.

    Raises
    ------
    StorageFailed
        The folder cannot be made or written; files that were not reached are as they were.
    """
    for name, content in files.items():
        file = folder / name
        temporary = file.with_name(f".{file.name}.tmp")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(content, encoding="utf-8", newline="\n")
            temporary.replace(file)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StorageFailed(f"cannot write {file}: {error.strerror or error}") from error


def check(files: Mapping[str, str], folder: Path, remedy: str = "openeo-udf-fusion udp write") -> None:
    """Raise InvalidGraph, naming the files that are missing, differ, or are none that the code builds."""
    if not folder.is_dir():
        raise InvalidGraph(f"there is no folder {folder}; run: {remedy}")
    there = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }
    changed = sorted(name for name, text in files.items() if there.get(name) != text.encode())
    strangers = sorted(there.keys() - files.keys())
    if changed:
        raise InvalidGraph(f"{folder} differs from the code in {changed}; run: {remedy}")
    if strangers:
        raise InvalidGraph(f"{folder} holds {strangers}, which the code does not build; remove them")
