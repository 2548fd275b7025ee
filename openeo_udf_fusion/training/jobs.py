"""Batch jobs that sample points, some at a time: started, awaited, their results kept as files."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import openeo
import pyarrow.parquet as pq
import requests
from openeo.rest.job import BatchJob

from openeo_udf_fusion.errors import FusionError, UnsupportedFormat
from openeo_udf_fusion.training import sampling
from openeo_udf_fusion.training.points import Point
from openeo_udf_fusion.udps.deployments import Source

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0
_SOFT_ERRORS = 10
"""So many failed polls in a row are taken for a hiccup of the network."""

Progress = Callable[[str, int, int], None]


class JobFailed(Exception):
    """A job that the backend gave up."""


@dataclass(frozen=True)
class Part:
    """One job: a chunk of points, seen by one sensor."""

    number: int
    sensor: str
    points: list[Point]
    source: Source

    @property
    def name(self) -> str:
        """What it is called in folders and reports."""
        return f"{self.number:05d}_{self.sensor}"

    def file(self, folder: Path) -> Path:
        """Return where what it fetched is kept."""
        return folder / f"{self.name}.parquet"


class Fetch:
    """Fetches parts into a folder, where those that are there stay.

    Parameters
    ----------
    connection : openeo.Connection
    temporal_extent : (start, end)
    format : str
        Of the results, out of `sampling.FORMATS`.
    folder : Path
        Holds a Parquet file per part, and the id of the job while it runs.
    """

    def __init__(
        self, connection: openeo.Connection, temporal_extent: Sequence[str], format: str, folder: Path
    ) -> None:
        self._connection, self._extent, self._format = connection, temporal_extent, format
        self._folder = folder
        self.failed: dict[str, str] = {}
        self._hiccups: dict[str, int] = {}

    def run(self, parts: Sequence[Part], parallel: int, progress: Progress) -> None:
        """Fetch all parts that are not there, `parallel` at a time; `failed` tells why some are not."""
        waiting = [part for part in parts if not part.file(self._folder).is_file()]
        running: list[tuple[Part, BatchJob]] = []
        pause = _FIRST_PAUSE_S
        progress("", len(parts) - len(waiting), len(parts))
        while waiting or running:
            while waiting and len(running) < parallel:
                part = waiting.pop(0)
                job = self._start(part)
                if job is not None:
                    running.append((part, job))
            going = [(part, job) for part, job in running if not self._is_over(part, job)]
            pause = _FIRST_PAUSE_S if len(going) < len(running) else min(1.3 * pause, _LONGEST_PAUSE_S)
            for part, _ in running:
                if all(part is not other for other, _ in going):
                    progress(part.name, len(parts) - len(waiting) - len(going), len(parts))
            running = going
            if running:
                time.sleep(pause)

    def _start(self, part: Part) -> BatchJob | None:
        """Start the part's job, or find the one that an interrupted run started."""
        note = self._note(part)
        try:
            if note.is_file():
                job = self._connection.job(note.read_text())
                if job.status() in ("queued", "running", "finished"):
                    return job
            graph = sampling.build_graph(part.points, self._extent, part.source, self._format)
            job = self._connection.create_job(graph, title=f"training pairs {part.name}")
            job.start()
            note.write_text(job.job_id)
            return job
        except (openeo.BaseOpenEoException, requests.RequestException) as error:
            note.unlink(missing_ok=True)
            self.failed[part.name] = str(error)
            return None

    def _is_over(self, part: Part, job: BatchJob) -> bool:
        try:
            status = job.status()
            if status in ("error", "canceled"):
                raise JobFailed(f"job {job.job_id}: {_reason(job, status)}")
            if status != "finished":
                return False
            self._keep(part, job)
        except (openeo.BaseOpenEoException, requests.RequestException) as error:
            self._hiccups[part.name] = self._hiccups.get(part.name, 0) + 1
            if self._hiccups[part.name] < _SOFT_ERRORS:
                return False
            self.failed[part.name] = str(error)
        except (JobFailed, FusionError) as error:
            self.failed[part.name] = str(error)
        self._note(part).unlink(missing_ok=True)
        return True

    def _keep(self, part: Part, job: BatchJob) -> None:
        """Download a finished job's table and keep it in the one form that is read later."""
        suffixes = (".csv", ".parquet", ".geoparquet", ".nc", ".netcdf")
        assets = [a for a in job.get_results().get_assets() if Path(a.key).suffix.lower() in suffixes]
        if len(assets) != 1:
            raise UnsupportedFormat(f"job {job.job_id} made {len(assets)} tables of samples, needed is one")
        file = part.file(self._folder)
        with TemporaryDirectory(dir=self._folder) as scratch:
            downloaded = assets[0].download(Path(scratch) / Path(assets[0].key).name)
            table = sampling.read_result(downloaded, part.source, len(part.points))
            sampling.observations(table, part.sensor, part.source, len(part.points))  # raises what is wrong
            pq.write_table(table, Path(scratch) / "part")
            os.replace(Path(scratch) / "part", file)

    def _note(self, part: Part) -> Path:
        return self._folder / f"{part.name}.job"


def _reason(job: BatchJob, status: str) -> str:
    """The last error in a job's log."""
    try:
        messages = [str(entry["message"]) for entry in job.logs(level="error")]
    except (openeo.BaseOpenEoException, requests.RequestException):
        messages = []
    return messages[-1].strip() if messages else status
