"""The users' own processes: a folder of JSON files for each user, and the endpoints over it.

An id that a predefined process has is allowed, as the API wants it: with `namespace: null` the user's own one
wins, `"backend"` and `"user"` choose.
"""

import json
import logging
import re
import threading
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from openeo_udf_fusion.errors import InvalidParameter, UnknownUserProcess
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server.auth import Authenticator
from openeo_udf_fusion.local.server.bodies import Process, reader
from openeo_udf_fusion.local.server.errors import StorageQuotaExceeded
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.pages import Page, paginate
from openeo_udf_fusion.local.server.quota import DiskQuota
from openeo_udf_fusion.local.server.storage import read_json, storage_failed, write_json

logger = logging.getLogger(__name__)

# So that no user's name is `..`, or that of a process.
_USER_PREFIX = "user-"

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


class StoredProcesses:
    """The processes of all users, in a folder for each.

    Parameters
    ----------
    folder
        Where the users' folders are.
    heir
        Who gets the processes of an earlier version, which lie in `folder` itself.
    limits
        How many processes, and how large ones, a user may store.
    """

    def __init__(self, folder: Path, heir: str | None = None, limits: Limits | None = None) -> None:
        self._folder = folder
        self._limits = limits or Limits()
        self._by_user: dict[str, UserProcesses] = {}
        self._lock = threading.Lock()
        self._bequeath(heir)

    def of(self, user: str) -> "UserProcesses":
        """The processes of one user."""
        with self._lock:
            if user not in self._by_user:
                folder = self._folder / f"{_USER_PREFIX}{_marked(user)}"
                self._by_user[user] = UserProcesses(folder, self._limits)
            return self._by_user[user]

    def _bequeath(self, heir: str | None) -> None:
        orphans = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        if orphans and heir is None:
            logger.warning(
                "%d stored processes of an earlier version belong to nobody; started once with one account "
                "alone, the server gives them to it",
                len(orphans),
            )
        if heir is None:
            return
        for path in orphans:
            process = _read(path)
            if process is not None and self.of(heir).find(str(process["id"])) is None:
                self.of(heir).adopt(path)


class UserProcesses:
    """The processes that one user has stored, one file each."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self._folder = folder
        self._limits = limits or Limits()
        self._lock = threading.Lock()

    def put(self, process_id: str, process: Json) -> None:
        """Store a process under an id, in place of one that may be there.

        Raises
        ------
        InvalidParameter
            When the id has other characters than letters, digits and underscores, or more than 200 of them.
        StorageQuotaExceeded, StorageFailed
        """
        if _id_of(process_id) is None:
            raise InvalidParameter(
                f"a process id is made of 1 to 200 letters, digits and underscores, got {process_id[:80]!r}"
            )
        stored = process | {"id": process_id}
        with self._lock:
            self._require_room(self._path(process_id), len(json.dumps(stored)))
            write_json(self._path(process_id), stored)

    def adopt(self, path: Path) -> None:
        """Take a file that an earlier version stored."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.rename(self._folder / path.name)
        except OSError as error:
            logger.error("the stored process %s stays where it is: %s", path.name, error)

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
        return self._folder / f"{_marked(process_id)}.json"

    def _require_room(self, path: Path, size: int) -> None:
        files = self._folder.glob("*.json") if self._folder.is_dir() else ()
        others = [file.stat().st_size for file in files if file != path and not file.name.startswith(".")]
        most, most_bytes = self._limits.processes_per_user, self._limits.process_bytes_per_user
        if len(others) >= most:
            raise StorageQuotaExceeded(f"a user may store {most} processes here; delete some first")
        if sum(others) + size > most_bytes:
            raise StorageQuotaExceeded(
                f"a user may store {most_bytes} bytes of processes here, this one has {size} and the others "
                f"{sum(others)}; delete some first"
            )


def router(
    stored: StoredProcesses, authenticator: Authenticator, limits: Limits, quota: DiskQuota
) -> APIRouter:
    """The endpoints under /process_graphs."""
    routes = APIRouter()
    read_process = reader(Process, limits)

    def find(user: Annotated[str, Depends(authenticator.require)]) -> UserProcesses:
        return stored.of(user)

    own_processes = Depends(find)

    @routes.get("/process_graphs")
    def list_processes(
        processes: Annotated[UserProcesses, own_processes], page: Annotated[Page, Depends()]
    ) -> Json:
        listed = [{k: p[k] for k in _LISTED if k in p} for p in processes.list()]
        return paginate("processes", listed, page)

    @routes.get("/process_graphs/{process_graph_id}")
    def describe(process_graph_id: str, processes: Annotated[UserProcesses, own_processes]) -> Json:
        return processes.get(process_graph_id)

    @routes.put("/process_graphs/{process_graph_id}")
    def store(
        process_graph_id: str,
        user: Annotated[str, Depends(authenticator.require)],
        processes: Annotated[UserProcesses, own_processes],
        process: Annotated[Process, Depends(read_process)],
    ) -> Response:
        quota.require_room(user)
        processes.put(process_graph_id, process.given())
        return Response(status_code=200)

    @routes.delete("/process_graphs/{process_graph_id}", status_code=204)
    def delete(process_graph_id: str, processes: Annotated[UserProcesses, own_processes]) -> None:
        processes.delete(process_graph_id)

    return routes


def _marked(name: str) -> str:
    # Upper case is marked: some file systems take `NDVI` and `ndvi` for one name.
    return re.sub("([A-Z])", r"^\1", name)


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
