"""The table of what this server answers; the capabilities and the OPTIONS answers are made from it."""

import re
from dataclasses import dataclass
from functools import cached_property

from openeo_udf_fusion.jsontypes import Json


@dataclass(frozen=True)
class Endpoint:
    """A path with its methods; `advertised` says whether it is one of the openEO API that GET / lists."""

    path: str
    methods: tuple[str, ...]
    advertised: bool = True

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the paths of this endpoint."""
        return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(self.path)))


ENDPOINTS = (
    Endpoint("/", ("GET",), advertised=False),
    Endpoint("/health", ("GET",), advertised=False),
    Endpoint("/health/live", ("GET",), advertised=False),
    Endpoint("/.well-known/openeo", ("GET",)),
    Endpoint("/conformance", ("GET",)),
    Endpoint("/file_formats", ("GET",)),
    Endpoint("/udf_runtimes", ("GET",)),
    Endpoint("/collections", ("GET",)),
    Endpoint("/collections/{collection_id}", ("GET",)),
    Endpoint("/processes", ("GET",)),
    Endpoint("/credentials/basic", ("GET",)),
    Endpoint("/me", ("GET",)),
    Endpoint("/process_graphs", ("GET",)),
    Endpoint("/process_graphs/{process_graph_id}", ("GET", "PUT", "DELETE")),
    Endpoint("/validation", ("POST",)),
    Endpoint("/result", ("POST",)),
    Endpoint("/jobs", ("GET", "POST")),
    Endpoint("/jobs/{job_id}", ("GET", "PATCH", "DELETE")),
    Endpoint("/jobs/{job_id}/logs", ("GET",)),
    Endpoint("/jobs/{job_id}/results", ("GET", "POST", "DELETE")),
    Endpoint("/jobs/{job_id}/results/assets/{name}", ("GET",), advertised=False),
)


def methods_of(path: str) -> tuple[str, ...]:
    """The methods that a path takes, HEAD where it takes GET; empty for an unknown path."""
    for endpoint in ENDPOINTS:
        if endpoint.pattern.fullmatch(path):
            return (*endpoint.methods, "HEAD") if "GET" in endpoint.methods else endpoint.methods
    return ()


def advertised() -> list[Json]:
    """What GET / lists."""
    return [{"path": e.path, "methods": list(e.methods)} for e in ENDPOINTS if e.advertised]
