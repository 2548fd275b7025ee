"""JSON as the openEO API wants it, errors included."""

import json
import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from openeo_udf_fusion.errors import FusionError
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.server.endpoints import methods_of
from openeo_udf_fusion.local.server.errors import TooManyRequests
from openeo_udf_fusion.local.server.logs import request_id

logger = logging.getLogger(__name__)

_CODES = {404: "NotFound", 405: "MethodNotAllowed", 406: "NotAcceptable", 413: "RequestTooLarge"}


class AsciiJsonResponse(JSONResponse):
    """JSON in ASCII: a lone surrogate that a client sent can be sent back, which UTF-8 cannot."""

    def render(self, content: JsonValue) -> bytes:
        """Encode `content`."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def error_object(code: str, message: str) -> Json:
    """An openEO error with the id of its request, by which the log can be searched."""
    return {"id": request_id(), "code": code, "message": message, "links": []}


def error_response(
    status: int,
    code: str,
    message: str,
    headers: dict[str, str] | None = None,
    cause: BaseException | None = None,
) -> JSONResponse:
    """An openEO error as a response; server-side ones are logged, with the error that caused them."""
    body = error_object(code, message)
    if status >= 500:
        logger.error("%s %s: %s", body["id"], code, message, exc_info=cause)
    return AsciiJsonResponse(body, status_code=status, headers=headers)


def fusion_error_response(error: FusionError) -> JSONResponse:
    """Any deliberate error as a response."""
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_s)
    return error_response(
        error.status, error.code, str(error) or type(error).__name__, headers, error.__cause__
    )


def unexpected_error_response(error: Exception) -> JSONResponse:
    """A bug as a response: the traceback goes to the log, its id to the client."""
    body = error_object("Internal", "")
    body["message"] = f"the server failed unexpectedly; its log says why under the id {body['id']}"
    logger.error("%s unexpected failure", body["id"], exc_info=error)
    return AsciiJsonResponse(body, status_code=500)


def install_error_handlers(app: FastAPI) -> None:
    """Let every deliberate error and every invalid request answer in openEO's format."""

    async def fusion_error(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, FusionError):
            raise error
        return fusion_error_response(error)

    async def invalid_request(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, RequestValidationError):
            raise error
        return error_response(400, "RequestInvalid", "; ".join(describe_problem(e) for e in error.errors()))

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, HTTPException):
            raise error
        code = _CODES.get(error.status_code, "RequestInvalid")
        message = f"{request.method} {request.url.path}: {error.detail}; GET / lists the endpoints"
        headers = {"Allow": ", ".join(methods_of(request.url.path))} if error.status_code == 405 else None
        return error_response(error.status_code, code, message, headers)

    app.add_exception_handler(FusionError, fusion_error)
    app.add_exception_handler(RequestValidationError, invalid_request)
    app.add_exception_handler(HTTPException, http_error)


def describe_problem(problem: Json) -> str:
    """One finding of pydantic as `where: what`."""
    where = ".".join(str(part) for part in problem.get("loc", ()) if part not in ("query", "body"))
    return f"{where or 'request'}: {problem.get('msg', 'invalid')}"
