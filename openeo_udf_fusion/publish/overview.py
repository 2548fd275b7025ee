"""What the package offers, and what a backend has of it."""

from collections.abc import Mapping

from openeo_udf_fusion import __version__
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish.backend import Backend
from openeo_udf_fusion.publish.comparison import standing


def offered(processes: Mapping[str, Json]) -> list[Json]:
    """Return id, version and summary of each process."""
    return [
        {"process": process_id, "version": __version__, "summary": process["summary"]}
        for process_id, process in processes.items()
    ]


def on_backend(processes: Mapping[str, Json], backend: Backend, *, own: bool) -> dict[str, Json]:
    """Return what a backend has of each process.

    Parameters
    ----------
    own
        Look at the user's own processes too, which needs a login.

    Returns
    -------
    dict
        By id: `predefined`, whether the backend itself offers a process of that id; and with `own`,
        `stored`: "absent", "same" or "different", and `whose` ("ours", "changed", "foreign") with
        `stored_version` where it is different.

    Raises
    ------
    BackendFailed
    """
    predefined = backend.process_ids()
    return {
        process_id: {"predefined": process_id in predefined} | (_stored(process, backend) if own else {})
        for process_id, process in processes.items()
    }


def _stored(process: Json, backend: Backend) -> Json:
    found = standing(process, backend.stored(process["id"]))
    if found.state in ("absent", "same"):
        return {"stored": found.state}
    return {"stored": "different", "whose": found.state, "stored_version": found.version}
