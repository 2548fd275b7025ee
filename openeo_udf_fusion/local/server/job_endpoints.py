"""The endpoints under /jobs, without the results."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.server import job_logs
from openeo_udf_fusion.local.server.auth import Authenticator
from openeo_udf_fusion.local.server.bodies import JobRequest, JobUpdate, reader
from openeo_udf_fusion.local.server.errors import EmptyUpdate, InvalidRequest, ReadOnlyProperty
from openeo_udf_fusion.local.server.jobs import EDITABLE, Job, JobStore
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.pages import Page, paginate
from openeo_udf_fusion.local.server.quota import DiskQuota
from openeo_udf_fusion.local.server.worker import Worker

_READ_ONLY = ("id", "status", "progress", "created", "updated", "costs", "usage", "links")


def router(
    jobs: JobStore, worker: Worker, authenticator: Authenticator, limits: Limits, quota: DiskQuota
) -> APIRouter:
    """The endpoints of the life cycle of a job."""
    routes = APIRouter()
    user = Depends(authenticator.require)
    read_job = reader(JobRequest, limits)
    read_update = reader(JobUpdate, limits)

    def find(job_id: str, user: Annotated[str, user]) -> Job:
        return jobs.owned(job_id, user)

    own_job = Depends(find)

    @routes.get("/jobs")
    def list_jobs(request: Request, user: Annotated[str, user], page: Annotated[Page, Depends()]) -> Json:
        return paginate("jobs", [_summary(job, request) for job in jobs.list(user)], page)

    @routes.post("/jobs", status_code=201)
    def create(
        request: Request, user: Annotated[str, user], body: Annotated[JobRequest, Depends(read_job)]
    ) -> Response:
        given = body.given()
        quota.require_room(user)
        job = jobs.create({name: given[name] for name in EDITABLE if given.get(name) is not None}, user)
        headers = {"Location": _url(request, job.id), "OpenEO-Identifier": job.id}
        return Response(status_code=201, headers=headers)

    @routes.get("/jobs/{job_id}")
    def describe(job: Annotated[Job, own_job], request: Request) -> Json:
        return _summary(job, request) | _details(job)

    @routes.patch("/jobs/{job_id}", status_code=204)
    def update(job: Annotated[Job, own_job], body: Annotated[JobUpdate, Depends(read_update)]) -> None:
        changes = _changes(body.given())
        if changes:
            quota.require_room(job.owner)
        jobs.update(job.id, changes)

    @routes.delete("/jobs/{job_id}", status_code=204)
    def delete(job: Annotated[Job, own_job]) -> None:
        jobs.delete(job.id)

    @routes.post("/jobs/{job_id}/results", status_code=202)
    def start(job: Annotated[Job, own_job]) -> Response:
        worker.queue(job.id)
        return Response(status_code=202)

    @routes.delete("/jobs/{job_id}/results", status_code=204)
    def cancel(job: Annotated[Job, own_job]) -> None:
        jobs.cancel(job.id)

    @routes.get("/jobs/{job_id}/logs")
    def logs(job: Annotated[Job, own_job], request: Request, page: Annotated[Page, Depends()]) -> Json:
        level = request.query_params.get("level") or "debug"
        if level not in job_logs.LEVELS:
            raise InvalidRequest(f"level must be one of {', '.join(job_logs.LEVELS)}, got {level[:40]!r}")
        offset = request.query_params.get("offset", "")
        entries, more = job_logs.read(jobs.log_file(job.id), offset=offset, level=level, limit=page.limit)
        links = []
        if more:
            next_page = request.url.include_query_params(offset=entries[-1]["id"])
            links.append({"rel": "next", "href": str(next_page)})
        effective = level if job_logs.is_at_least(level, job.log_level) else job.log_level
        return {"level": effective, "logs": entries, "links": links}

    return routes


def _changes(given: Json) -> Json:
    for name in _READ_ONLY:
        if name in given:
            raise ReadOnlyProperty(
                f"{name!r} is set by the server; a job takes changes of {', '.join(EDITABLE)}"
            )
    changes = {name: value for name, value in given.items() if name in EDITABLE}
    # An empty object asks for nothing and gets it; one with other properties asks for what is not done.
    if given and not changes:
        raise EmptyUpdate(f"nothing to change was sent; a job takes changes of {', '.join(EDITABLE)}")
    return changes


def _summary(job: Job, request: Request) -> Json:
    optional = {"title": job.title, "description": job.description, "plan": job.plan, "budget": job.budget}
    summary: Json = {
        "id": job.id,
        "status": job.status,
        "progress": job.progress,
        "created": job.created,
        "updated": job.updated,
        "log_level": job.log_level,
        "links": [{"rel": "monitor", "href": _url(request, job.id) + "/logs", "type": "application/json"}],
    }
    if job.status == "finished":
        link = {"rel": "result", "href": _url(request, job.id) + "/results", "type": "application/json"}
        summary["links"].append(link)
    return summary | {name: value for name, value in optional.items() if value is not None}


def _details(job: Job) -> Json:
    details: Json = {"process": job.process}
    if job.job_options is not None:
        details["job_options"] = job.job_options
    if job.duration_s is not None:
        details["usage"] = {"duration": {"value": round(job.duration_s, 3), "unit": "seconds"}}
    return details


def _url(request: Request, job_id: str) -> str:
    return f"{str(request.base_url).rstrip('/')}/jobs/{job_id}"
