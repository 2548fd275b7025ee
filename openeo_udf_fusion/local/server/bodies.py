"""The request bodies, read with a limit and checked strictly."""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import Request
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
)
from starlette.requests import ClientDisconnect

from openeo_udf_fusion.errors import InvalidGraph
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.graph_limits import GraphLimits, children, depth_exceeds
from openeo_udf_fusion.local.server.errors import (
    InvalidContentType,
    InvalidRequest,
    MissingProcessGraph,
    RequestTimeout,
    RequestTooLarge,
)
from openeo_udf_fusion.local.server.json_values import count_values
from openeo_udf_fusion.local.server.limits import Limits
from openeo_udf_fusion.local.server.responses import describe_problem

LogLevel: TypeAlias = Literal["error", "warning", "info", "debug"]
Budget: TypeAlias = Annotated[float, Field(ge=0)]
ProcessId: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]

_PARSED_AT_ONCE = 2
_PATTERN_CHARACTERS = 1000
_ALL_PATTERNS_CHARACTERS = 20_000
_MOST_PROBLEMS = 10_000
_COSTLY_PATTERN = re.compile(r"\(\?[aiLmsux-]|\\[uUN]")
"""Flags and escapes beyond ASCII, with which one short class of characters takes long to compile."""
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")

_REFERENCES = ("from_node", "from_parameter")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+")


@dataclass
class _Patterns:
    """How many characters of regular expressions one body may still have compiled."""

    left: int = _ALL_PATTERNS_CHARACTERS


def _with_sound_references(arguments: Json, info: ValidationInfo) -> Json:
    """Raise ValueError when a reference or a callback, at any depth, is not what the API calls one."""
    level = children(arguments)
    while level:
        for value in level:
            if isinstance(value, dict):
                _check_reference(value, info.context)
        level = [child for parent in level if not _is_callback(parent) for child in children(parent)]
    return arguments


def _is_callback(value: JsonValue) -> bool:
    return isinstance(value, dict) and "process_graph" in value


def _check_reference(value: Json, context: object) -> None:
    for key in _REFERENCES:
        if key in value and not isinstance(value[key], str):
            raise ValueError(f"{key} must be a name, got {str(value[key])[:40]}")
        if key in value and len(value) > 1:
            beside = ", ".join(sorted(value.keys() - {key}))[:80]
            raise ValueError(f"a reference has {key} alone, this one also has {beside}")
    if _is_callback(value):
        try:
            Process.model_validate(value, context=context)
        except ValidationError as error:
            raise ValueError(describe_problem(dict(error.errors(include_url=False)[0]))) from None
        for name in [name for name in Process.model_fields if name in value and value[name] is None]:
            del value[name]


def _absolute(url: str) -> str:
    if not _URL.fullmatch(url):
        raise ValueError(f"an absolute URL is needed, got {url[:80]!r}")
    return url


def _regular_expression(text: str, info: ValidationInfo) -> str:
    """Checked as a courtesy, for no pattern is ever used here: those that cost much are taken as they are."""
    if len(text) > _PATTERN_CHARACTERS:
        raise ValueError(f"a pattern has at most {_PATTERN_CHARACTERS} characters here, this one {len(text)}")
    patterns = info.context
    if not isinstance(patterns, _Patterns) or _COSTLY_PATTERN.search(text) or patterns.left < len(text):
        return text
    patterns.left -= len(text)
    try:
        # A character beyond ASCII is itself or the end of a range; so is the last one of ASCII, at less cost.
        re.compile(_BEYOND_ASCII.sub("\x7f", text))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text[:80]!r} is not a regular expression: {error}") from None
    return text


def _without_null(given: Json, known: Iterable[str]) -> Json:
    """The properties but the known ones that are null: the API takes those, and may not send them."""
    return {name: value for name, value in given.items() if value is not None or name not in known}


Kind = TypeVar("Kind")


def _different(values: list[Kind]) -> list[Kind]:
    if any(value in values[:place] for place, value in enumerate(values)):
        raise ValueError("the same is listed twice")
    return values


Url: TypeAlias = Annotated[str, AfterValidator(_absolute)]
Several: TypeAlias = Annotated[list[Kind], Field(min_length=1, max_length=100), AfterValidator(_different)]
Arguments: TypeAlias = Annotated[Json, AfterValidator(_with_sound_references)]


class Body(BaseModel):
    """Strict about the known properties; the unknown ones are kept, as the API allows."""

    model_config = ConfigDict(strict=True, extra="allow")

    def given(self) -> Json:
        """The properties that the client sent, as JSON."""
        return self.model_dump(exclude_unset=True, by_alias=True)


class Node(Body):
    """One node of a process graph."""

    process_id: ProcessId
    arguments: Arguments
    namespace: str | None = None
    result: bool = False
    description: str | None = None


JsonType: TypeAlias = Literal["array", "boolean", "integer", "null", "number", "object", "string"]


class JsonSchema(Body):
    """A JSON schema, as far as the API names its keywords."""

    schema_version: Annotated[Url, Field(alias="$schema")] = ""
    schema_id: Annotated[Url, Field(alias="$id")] = ""
    type: JsonType | Several[JsonType] = "object"
    pattern: Annotated[str, AfterValidator(_regular_expression)] = ""
    enum: list[JsonValue] = []
    minimum: float = 0
    maximum: float = 0
    min_items: Annotated[float, Field(alias="minItems", ge=0)] = 0
    max_items: Annotated[float, Field(alias="maxItems", ge=0)] = 0
    items: "JsonSchema | Annotated[list[JsonSchema], Field(min_length=1)]" = []


class Schema(JsonSchema):
    """One data type of a parameter or of a result."""

    subtype: str = ""
    deprecated: bool = False


class Parameter(Body):
    """One parameter of a user-defined process."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
    description: str
    parameter_schema: Annotated[Schema | Several[Schema], Field(alias="schema")]
    optional: bool = False
    deprecated: bool = False
    experimental: bool = False


class Returns(Body):
    """What a process returns."""

    description: str = ""
    parameter_schema: Annotated[Schema | Several[Schema], Field(alias="schema")]


class Link(Body):
    """A link to another resource."""

    href: Url
    rel: str
    type: str = ""
    title: str = ""


class ProcessError(Body):
    """One error that a process may raise."""

    message: str
    description: str = ""
    http: int = 400


class Example(Body):
    """One example of a process."""

    arguments: Arguments
    title: str = ""
    description: str = ""


class Process(Body):
    """A process graph, with or without metadata."""

    process_graph: Annotated[dict[str, Node], Field(min_length=1)]
    id: ProcessId | None = None
    summary: str | None = None
    description: str | None = None
    parameters: list[Parameter] | None = None
    returns: Returns | None = None
    categories: list[str] = []
    deprecated: bool = False
    experimental: bool = False
    exceptions: dict[str, ProcessError] = {}
    examples: list[Example] = []
    links: list[Link] = []

    @model_serializer(mode="wrap")
    def _serialize(self, serialize: SerializerFunctionWrapHandler) -> Json:
        return _without_null(serialize(self), type(self).model_fields)


class ResultRequest(Body):
    """POST /result."""

    process: Process
    plan: str | None = None
    budget: Budget | None = None
    log_level: LogLevel = "info"
    job_options: Json | None = None


class JobRequest(ResultRequest):
    """POST /jobs."""

    title: str | None = None
    description: str | None = None


class JobUpdate(Body):
    """PATCH /jobs/{job_id}."""

    title: str | None = None
    description: str | None = None
    process: Process | None = None
    plan: str | None = None
    budget: Budget | None = None
    log_level: LogLevel | None = None
    job_options: Json | None = None

    @field_validator("process", "log_level")
    @classmethod
    def _require(cls, value: Kind | None) -> Kind:
        if value is None:
            raise ValueError("a job always has one; send another, or leave it out")
        return value


AnyBody = TypeVar("AnyBody", bound=Body)


def reader(model: type[AnyBody], limits: Limits) -> Callable[[Request], Awaitable[AnyBody]]:
    """A FastAPI dependency that reads one kind of body.

    Raises
    ------
    InvalidContentType, RequestTooLarge, RequestTimeout, InvalidRequest, MissingProcessGraph, InvalidGraph
        From the dependency.
    """

    # Few at once, off the event loop: whatever a body is, everything else is answered meanwhile.
    turn = CapacityLimiter(_PARSED_AT_ONCE)

    async def read(request: Request) -> AnyBody:
        media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise InvalidContentType(f"the body must be application/json, it came as {media_type!r}")
        text = await _read_bytes(request, limits)
        return await anyio.to_thread.run_sync(parse, model, text, limits.graph, limiter=turn)

    return read


def parse(model: type[AnyBody], text: bytes, limits: GraphLimits) -> AnyBody:
    """Check a body; see `reader` for the errors."""
    value = _decode(text, limits)
    try:
        return model.model_validate(value, context=_Patterns())
    except ValidationError as error:
        if error.error_count() > _MOST_PROBLEMS:
            raise InvalidRequest(
                f"the request's body is not what this endpoint takes, in {error.error_count()} places"
            ) from None
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        where = {tuple(p for p in problem["loc"] if p != "process") for problem in problems}
        message = "; ".join(describe_problem({"loc": p["loc"], "msg": p["msg"]}) for p in problems[:5])
        if any(path == ("process_graph",) for path in where) and _lacks_graph(value):
            raise MissingProcessGraph(f"the process has no process graph: {message}") from None
        if any(path[:1] == ("process_graph",) for path in where):
            raise InvalidGraph(f"the process graph is not well formed: {message}") from None
        raise InvalidRequest(f"the request's body is not what this endpoint takes: {message}") from None


def _lacks_graph(value: JsonValue) -> bool:
    process = value.get("process", value) if isinstance(value, dict) else value
    return isinstance(process, dict) and "process_graph" not in process


async def _read_bytes(request: Request, limits: Limits) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.body_bytes:
                    raise RequestTooLarge(
                        f"the request's body is larger than the {limits.body_bytes} bytes that are read here"
                    )
                chunks.append(chunk)
    except ClientDisconnect:
        raise InvalidRequest("the client hung up before the whole body had come") from None
    except TimeoutError:
        raise RequestTimeout(
            f"the request's body did not come within {limits.body_seconds:g} s; send it faster, or less"
        ) from None
    return b"".join(chunks)


def _decode(text: bytes, limits: GraphLimits) -> JsonValue:
    # Counted in the text, for as objects they would be there already.
    if count_values(text, limits.values) > limits.values:
        raise InvalidRequest(
            f"the request's body has more than {limits.values} values (numbers, texts, lists, objects), "
            "which is what is read here"
        )
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the request's body is not JSON: {error}") from None
    if depth_exceeds(value, limits.depth):
        raise InvalidRequest(
            f"the request's body is nested deeper than the {limits.depth} levels that are read here"
        )
    return value


def _no_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is larger than any number of JSON that is read here")
    return number
