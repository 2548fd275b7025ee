"""The results of a finished job: a STAC Collection whose assets are the files.

The links in it are signed: whoever holds one may download the file until it expires, without a token.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server import stac
from openeo_udf_fusion.local.server.auth import Authenticator
from openeo_udf_fusion.local.server.errors import InvalidRequest, JobNotFinished, JobNotStarted, UnknownFile
from openeo_udf_fusion.local.server.job_logs import timestamp
from openeo_udf_fusion.local.server.jobs import RESULT_FILE, Job, JobStore
from openeo_udf_fusion.local.server.responses import AsciiJsonResponse, error_object
from openeo_udf_fusion.local.server.result_files import ASSETS_FOLDER, media_type
from openeo_udf_fusion.local.server.retention import Retention
from openeo_udf_fusion.local.server.signed_links import LinkSigner
from openeo_udf_fusion.local.server.storage import read_json


def router(
    jobs: JobStore, authenticator: Authenticator, signer: LinkSigner, retention: Retention
) -> APIRouter:
    """The endpoints that read results; they check token or signature themselves."""
    routes = APIRouter()

    def authorize(request: Request, job_id: str, name: str | None = None) -> tuple[Job, int]:
        """Check token or signature; the job, and until when links may be signed for whoever asks."""
        query = request.query_params
        if "signature" not in query:
            job = jobs.owned(job_id, authenticator.require(request))
            # No link outlives the files.
            removal = retention.removal_of(job)
            return job, signer.expiry() if removal is None else min(signer.expiry(), int(removal))
        # A signed link must not be good for links that outlive it.
        expires = signer.check(_path(job_id, name), query.get("expires", ""), query["signature"])
        job = jobs.get(job_id)
        authenticator.require_account(job.owner)
        return job, expires

    @routes.get("/jobs/{job_id}/results")
    def results(job_id: str, request: Request) -> Response:
        job, expires = authorize(request, job_id)
        _check_partial(request.query_params.get("partial"))
        if job.status == "error":
            return AsciiJsonResponse(
                error_object("JobFailed", "the job failed") | _failure(job), status_code=424
            )
        result = _read_result(jobs, job)
        sign = partial(signer.sign, expires=expires)
        document = _document(job, result, jobs.results_folder(job_id), request, sign)
        return AsciiJsonResponse(document | {"expires": timestamp(datetime.fromtimestamp(expires, tz=UTC))})

    @routes.get("/jobs/{job_id}/results/assets/{name}")
    def asset(job_id: str, name: str, request: Request) -> FileResponse:
        job, _ = authorize(request, job_id, name)
        # The name is compared with those of the job's files; it never becomes a path by itself.
        for known in _read_result(jobs, job)["files"]:
            if known == name:
                file = jobs.results_folder(job_id) / ASSETS_FOLDER / known
                return FileResponse(file, media_type=media_type(known), filename=known)
        raise UnknownFile(
            f"job {job_id} has no result file {name[:80]!r}; GET /jobs/{job_id}/results lists them"
        )

    return routes


def _path(job_id: str, name: str | None = None) -> str:
    """What is signed: the path of a result, made of what is served, not of how the request was addressed."""
    path = f"/jobs/{job_id}/results"
    return path if name is None else f"{path}/assets/{name}"


def _check_partial(text: str | None) -> None:
    # The files of a job appear all at once, so nothing is there to be listed earlier.
    if (text or "false").lower() not in ("true", "false"):
        raise InvalidRequest(f"partial must be true or false, got {str(text)[:40]!r}")


def _read_result(jobs: JobStore, job: Job) -> Json:
    if job.status in ("created", "canceled"):
        raise JobNotStarted(f"job {job.id} is {job.status}; POST /jobs/{job.id}/results starts it")
    if job.status != "finished":
        raise JobNotFinished(f"job {job.id} is {job.status}; ask again when it is finished")
    try:
        result: Json = read_json(jobs.results_folder(job.id) / RESULT_FILE)
    except (OSError, ValueError):
        # Started anew or deleted between the two lines, or its files were removed by hand.
        raise JobNotFinished(f"the results of job {job.id} are not there any more; start it again") from None
    return result


def _failure(job: Job) -> Json:
    return {"level": "error"} | job.last_error


def _document(job: Job, result: Json, folder: Path, request: Request, sign: Callable[[str], str]) -> Json:
    base = str(request.base_url).rstrip("/")

    def signed(name: str | None = None) -> str:
        return base + sign(_path(job.id, name))

    files, metadata = result["files"], result["metadata"]
    assets = {
        name: stac.asset(name, signed(name), folder / ASSETS_FOLDER / name, metadata, date)
        for name, date in zip(files, stac.dates_of_files(metadata, files), strict=True)
    }
    links = [
        {"rel": "self", "href": base + f"/jobs/{job.id}/results", "type": "application/json"},
        {"rel": "canonical", "href": signed(), "type": "application/json"},
        {"rel": "about", "href": base + f"/jobs/{job.id}", "type": "application/json"},
    ]
    document = stac.collection(job.id, job.title, job.description, metadata, assets, links)
    return document | {"openeo:status": "finished", "updated": job.updated}
