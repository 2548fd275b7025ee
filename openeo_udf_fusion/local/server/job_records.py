"""What is known of one batch job, and its file `<folder>/<id>/job.json`."""

import logging
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server.storage import read_json, write_json

logger = logging.getLogger(__name__)

Status = Literal["created", "queued", "running", "canceled", "finished", "error"]


@dataclass
class Job:
    """A user's batch job; `progress` is in percent, `duration_s` the wall time of the last run."""

    id: str
    process: Json
    created: str
    updated: str
    owner: str = ""
    status: Status = "created"
    run: int = 0
    interruptions: int = 0
    progress: float = 0.0
    duration_s: float | None = None
    title: str | None = None
    description: str | None = None
    plan: str | None = None
    budget: float | None = None
    log_level: str = "info"
    job_options: Json | None = None
    last_error: Json = field(default_factory=dict)

    @property
    def locked(self) -> bool:
        """Whether the job waits for the worker, or runs."""
        return self.status in ("queued", "running")


EDITABLE = ("title", "description", "process", "plan", "budget", "log_level", "job_options")


def save_job(folder: Path, job: Job) -> None:
    """Write the file of a job, in one step.

    Raises
    ------
    StorageFailed
    """
    write_json(folder / job.id / "job.json", asdict(job))


def load_jobs(folder: Path) -> list[Job]:
    """All jobs of a folder; one that cannot be read is left out, and the log says so."""
    known = {f.name for f in fields(Job)}
    jobs = []
    for path in sorted(folder.glob("*/job.json")):
        try:
            properties = read_json(path)
            job = Job(**{k: v for k, v in properties.items() if k in known})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            logger.error("the job in %s cannot be read and is left out: %s", path.parent, error)
            continue
        if re.fullmatch("[0-9a-f]{32}", job.id) and path.parent.name == job.id:
            jobs.append(job)
    return jobs
