"""Deliberate exceptions that only the server raises: requests, limits, users' jobs and files."""

from openeo_udf_fusion.errors import FusionError


class InvalidToken(FusionError, PermissionError):
    """The bearer token is unknown or has expired."""

    code = "TokenInvalid"
    status = 403


class InvalidAuthenticationScheme(FusionError, PermissionError):
    """The Authorization header is not of the scheme (`Basic`, or `Bearer basic//`) that is needed."""

    code = "AuthenticationSchemeInvalid"
    status = 403


class ForbiddenOrigin(FusionError, PermissionError):
    """A web page, or a host name, from elsewhere talks to a server that asks for no credentials."""

    code = "PermissionsInsufficient"
    status = 403


class InvalidRequest(FusionError, ValueError):
    """The request's body or query is not what the endpoint takes."""

    code = "RequestInvalid"
    status = 400


class InvalidContentType(FusionError, ValueError):
    """The request's body is not sent as JSON."""

    code = "ContentTypeInvalid"
    status = 400


class RequestTooLarge(FusionError, ValueError):
    """The request's body is larger than the server takes."""

    code = "RequestTooLarge"
    status = 413


class MissingProcessGraph(FusionError, ValueError):
    """A process is sent without its process graph."""

    code = "ProcessGraphMissing"
    status = 400


class EmptyUpdate(FusionError, ValueError):
    """A PATCH changes nothing."""

    code = "NoDataForUpdate"
    status = 400


class ReadOnlyProperty(FusionError, ValueError):
    """A PATCH wants to change what only the server sets."""

    code = "PropertyNotEditable"
    status = 400


class UrlTooLong(FusionError, ValueError):
    """The request's path and query are longer than the server takes."""

    code = "UrlTooLong"
    status = 414


class HeadersTooLarge(FusionError, ValueError):
    """The request's headers are larger than the server takes."""

    code = "RequestHeadersTooLarge"
    status = 431


class RequestTimeout(FusionError, TimeoutError):
    """The request's body did not come in time."""

    code = "RequestTimeout"
    status = 408


class TooManyRequests(FusionError, RuntimeError):
    """A user, or an address, asks for more at a time than the server grants; later it may."""

    code = "TooManyRequests"
    status = 429

    def __init__(self, message: str, retry_after_s: int = 60) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageQuotaExceeded(FusionError, RuntimeError):
    """The user has stored as much as the server grants."""

    code = "StorageQuotaExceeded"
    status = 400


class AccountsUnreadable(FusionError, RuntimeError):
    """The file of the accounts cannot be read, so nobody is let in."""

    code = "InfrastructureMaintenance"
    status = 503


class ForbiddenNamespace(FusionError, PermissionError):
    """A namespace is a location that this server does not read."""

    code = "PermissionsInsufficient"
    status = 403


class UnknownFile(FusionError, LookupError):
    """The job has no result file of that name."""

    code = "FileNotFound"
    status = 404


class ExpiredLink(FusionError, PermissionError):
    """The signed link to a result has expired."""

    code = "ResultLinkExpired"
    status = 410


class UnknownJob(FusionError, LookupError):
    """There is no batch job of that id."""

    code = "JobNotFound"
    status = 404


class JobLocked(FusionError, RuntimeError):
    """The job is queued or running and cannot be changed."""

    code = "JobLocked"
    status = 400


class JobNotStarted(FusionError, RuntimeError):
    """The job's results are asked for before it was started."""

    code = "JobNotStarted"
    status = 400


class JobNotFinished(FusionError, RuntimeError):
    """The job's results are asked for before there are any."""

    code = "JobNotFinished"
    status = 400
