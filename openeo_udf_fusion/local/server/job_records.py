"""What is known of one batch job, and its file `<folder>/<id>/job.json`."""

import json
import logging
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server.storage import read_json, write_json_text

logger = logging.getLogger(__name__)

Status = Literal["created", "queued", "running", "canceled", "finished", "error"]


@dataclass
class Job:
    """A user's batch job; `progress` is in percent, `duration_s` the wall time of the last run.

    What users send as JSON is kept as text: as objects it would take many times the memory, and copying a
    job would take long.
    """

    id: str
    process_text: str
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
    options_text: str | None = None
    last_error: Json = field(default_factory=dict)

    @property
    def process(self) -> Json:
        """The process, made anew of its text."""
        process: Json = json.loads(self.process_text)
        return process

    @property
    def job_options(self) -> Json | None:
        """The options, made anew of their text."""
        return None if self.options_text is None else json.loads(self.options_text)

    @property
    def size(self) -> int:
        """Characters of what the user sent."""
        texts = (self.process_text, self.options_text, self.title, self.description, self.plan)
        return sum(len(text) for text in texts if text)

    @property
    def locked(self) -> bool:
        """Whether the job waits for the worker, or runs."""
        return self.status in ("queued", "running")


_TEXTS = {"process": "process_text", "job_options": "options_text"}

EDITABLE = ("title", "description", "process", "plan", "budget", "log_level", "job_options")


def packed(properties: Json) -> Json:
    """Properties of a job as its fields: what is JSON as text."""
    fields = dict(properties)
    for name, field_name in _TEXTS.items():
        if name in fields:
            value = fields.pop(name)
            fields[field_name] = None if value is None else json.dumps(value, separators=(",", ":"))
    return fields


def save_job(folder: Path, job: Job) -> None:
    """Write the file of a job, in one step.

    Raises
    ------
    StorageFailed
    """
    texts = {name: getattr(job, field_name) for name, field_name in _TEXTS.items()}
    rest = {f.name: getattr(job, f.name) for f in fields(job) if f.name not in _TEXTS.values()}
    members = [f"{json.dumps(name)}: {text or 'null'}" for name, text in texts.items()]
    members += [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in rest.items()]
    write_json_text(folder / job.id / "job.json", "{" + ", ".join(members) + "}")


def load_jobs(folder: Path) -> list[Job]:
    """All jobs of a folder; one that cannot be read is left out, and the log says so."""
    known = {f.name for f in fields(Job)}
    jobs = []
    for path in sorted(folder.glob("*/job.json")):
        try:
            properties = read_json(path)
            properties = packed(properties)
            job = Job(**{k: v for k, v in properties.items() if k in known})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            logger.error("the job in %s cannot be read and is left out: %s", path.parent, error)
            continue
        if re.fullmatch("[0-9a-f]{32}", job.id) and path.parent.name == job.id:
            jobs.append(job)
    return jobs
