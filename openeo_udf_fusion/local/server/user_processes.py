"""The user's own processes: a folder of JSON files, and the endpoints over it.

An id that a predefined process has is allowed, as the API wants it: with `namespace: null` the user's own one
wins, `"backend"` and `"user"` choose.
"""

import logging
import re
import threading
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from openeo_udf_fusion.errors import InvalidParameter, UnknownUserProcess
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server.bodies import Process, reader
from openeo_udf_fusion.local.server.pages import Page, paginate
from openeo_udf_fusion.local.server.storage import read_json, storage_failed, write_json

logger = logging.getLogger(__name__)

_LISTED = (
    "id",
    "summary",
    "description",
    "categories",
    "parameters",
    "returns",
    "deprecated",
    "experimental",
)


class UserProcesses:
    """The processes that the user has stored, one file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def put(self, process_id: str, process: Json) -> None:
        """Store a process under an id, in place of one that may be there.

        Raises
        ------
        InvalidParameter
            When the id has other characters than letters, digits and underscores, or more than 200 of them.
        StorageFailed
        """
        if _id_of(process_id) is None:
            raise InvalidParameter(
                f"a process id is made of 1 to 200 letters, digits and underscores, got {process_id[:80]!r}"
            )
        with self._lock:
            write_json(self._path(process_id), process | {"id": process_id})

    def get(self, process_id: str) -> Json:
        """One process with its graph.

        Raises
        ------
        UnknownUserProcess
        """
        process = self.find(process_id)
        if process is None:
            known = ", ".join(p["id"] for p in self.list()) or "none"
            raise UnknownUserProcess(f"there is no stored process {process_id[:80]!r}; stored are: {known}")
        return process

    def find(self, process_id: str) -> Json | None:
        """One process with its graph, or None."""
        if _id_of(process_id) is None:
            return None
        return _read(self._path(process_id))

    def list(self) -> list[Json]:
        """All processes, sorted by id."""
        files = self._folder.glob("*.json") if self._folder.is_dir() else ()
        processes = [_read(path) for path in sorted(files) if not path.name.startswith(".")]
        return sorted((p for p in processes if p is not None), key=lambda p: str(p["id"]))

    def delete(self, process_id: str) -> None:
        """Remove a process.

        Raises
        ------
        UnknownUserProcess, StorageFailed
        """
        self.get(process_id)
        try:
            with self._lock:
                self._path(process_id).unlink(missing_ok=True)
        except OSError as error:
            raise storage_failed(error) from error

    def _path(self, process_id: str) -> Path:
        # Upper case is marked: some file systems take `NDVI` and `ndvi` for one name.
        return self._folder / (re.sub("([A-Z])", r"^\1", process_id) + ".json")


def router(processes: UserProcesses, max_body_bytes: int) -> APIRouter:
    """The endpoints under /process_graphs."""
    routes = APIRouter()
    read_process = reader(Process, max_body_bytes)

    @routes.get("/process_graphs")
    def list_processes(page: Annotated[Page, Depends()]) -> Json:
        listed = [{k: p[k] for k in _LISTED if k in p} for p in processes.list()]
        return paginate("processes", listed, page)

    @routes.get("/process_graphs/{process_graph_id}")
    def describe(process_graph_id: str) -> Json:
        return processes.get(process_graph_id)

    @routes.put("/process_graphs/{process_graph_id}")
    def store(process_graph_id: str, process: Annotated[Process, Depends(read_process)]) -> Response:
        processes.put(process_graph_id, process.given())
        return Response(status_code=200)

    @routes.delete("/process_graphs/{process_graph_id}", status_code=204)
    def delete(process_graph_id: str) -> None:
        processes.delete(process_graph_id)

    return routes


def _id_of(text: str) -> str | None:
    return text if re.fullmatch(r"\w{1,200}", text, re.ASCII) else None


def _read(path: Path) -> Json | None:
    try:
        process = read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.error("the stored process %s cannot be read: %s", path.name, error)
        return None
    return process if isinstance(process, dict) and "id" in process else None
