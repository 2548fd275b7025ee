"""Every deliberate exception of the package.

Each class carries the openEO error code and the HTTP status that a server answers with
(openEO API 1.2, `errors.json`), so that no layer above has to translate.
"""

from typing import ClassVar


class FusionError(Exception):
    """Base of all deliberate errors; the message is written for the person who reads it."""

    code: ClassVar[str] = "Internal"
    status: ClassVar[int] = 500


# --- the cube that came in


class InvalidCube(FusionError, ValueError):
    """The cube's dimensions, coordinates, dtype or values are not what a process takes."""

    code = "ProcessParameterInvalid"
    status = 400


class MissingBands(FusionError, LookupError):
    """The cube lacks bands that the process needs."""

    code = "ProcessParameterInvalid"
    status = 400


class NoDataAvailable(FusionError, ValueError):
    """The requested place and time hold no data."""

    code = "NoDataAvailable"
    status = 400


# --- the parameters that came with it


class InvalidParameter(FusionError, ValueError):
    """A parameter's value is out of its range or of the wrong kind."""

    code = "ProcessParameterInvalid"
    status = 400


class MissingParameter(FusionError, TypeError):
    """A required parameter was not given."""

    code = "ProcessParameterRequired"
    status = 400


class UnknownParameter(FusionError, TypeError):
    """A parameter was given that the process does not know."""

    code = "ProcessParameterUnsupported"
    status = 400


# --- process graphs


class InvalidGraph(FusionError, ValueError):
    """The process graph is not a valid openEO process graph."""

    code = "ProcessGraphInvalid"
    status = 400


class UnknownProcess(FusionError, LookupError):
    """A process graph names a process that this backend does not have."""

    code = "ProcessUnsupported"
    status = 400


class UnknownUserProcess(FusionError, LookupError):
    """The user has stored no process of that name."""

    code = "ProcessGraphNotFound"
    status = 404


class UdfFailed(FusionError, RuntimeError):
    """A UDF raised; the message ends with its traceback."""

    code = "UdfFailed"
    status = 400


class UnmetRequirement(FusionError, ImportError):
    """A UDF, or a part of this package, needs a distribution that is not installed."""

    code = "UdfRequirementUnmet"
    status = 400


# --- collections, files and formats


class UnknownCollection(FusionError, LookupError):
    """The data folder has no collection of that id."""

    code = "CollectionNotFound"
    status = 404


class InvalidCollection(FusionError, ValueError):
    """The files of a collection cannot be read as one cube."""

    code = "CollectionInvalid"
    status = 500


class UnsupportedFormat(FusionError, ValueError):
    """The output format, or one of its options, is not supported."""

    code = "FormatUnsupported"
    status = 400


class ForbiddenPath(FusionError, PermissionError):
    """A path leads out of the folder that may be read."""

    code = "PermissionsInsufficient"
    status = 403


class StorageFailed(FusionError, OSError):
    """A file could not be written (a full disk, say); nothing under its final name was touched."""

    code = "StorageFailure"
    status = 500


class CorruptWeights(FusionError, ValueError):
    """A weight file is missing, or its bytes are not those that its card promises."""

    code = "ModelInvalid"
    status = 500


class InvalidWeights(FusionError, ValueError):
    """A file does not hold the weights that were asked for."""

    code = "ModelInvalid"


class ExportFailed(FusionError, RuntimeError):
    """An exported network does not say the same as the one that it was made from."""

    code = "ModelInvalid"
    status = 500


# --- clusters


class ClusterUnavailable(FusionError, ConnectionError):
    """The scheduler does not answer; `began` tells whether workers had begun tiles of the run by then."""

    code = "InfrastructureBusy"
    status = 503
    began: bool = False


class NoWorkers(ClusterUnavailable):
    """The scheduler has no worker that could take a tile, and had none for as long as a run waits."""


class WorkersLost(FusionError, RuntimeError):
    """A tile was given up because every worker that tried it died."""

    code = "Internal"
    status = 500


class WorkerMismatch(FusionError, RuntimeError):
    """A worker has another version of this package than the client, or does not see the same files."""

    code = "Internal"
    status = 500


# --- archives for backends


class UnavailableWheel(FusionError, LookupError):
    """A distribution that an archive needs has no wheel for the target's Python, libc and processor."""

    code = "WheelUnavailable"
    status = 500


class InvalidArchive(FusionError, ValueError):
    """A file is not an archive that this package built, or its content is not what its manifest says."""

    code = "ArchiveInvalid"
    status = 500


class SelfTestFailed(FusionError, RuntimeError):
    """The self-test did not run, or computed another checksum than the model's own."""

    code = "SelfTestFailed"
    status = 500


# --- another backend


class BackendFailed(FusionError, ConnectionError):
    """Another openEO backend cannot be reached, or does not do what it was asked."""

    code = "BackendFailed"
    status = 502


# --- the server


class Unauthenticated(FusionError, PermissionError):
    """The request carries no credentials, and this resource needs them."""

    code = "AuthenticationRequired"
    status = 401


class InvalidCredentials(FusionError, PermissionError):
    """User and password do not match."""

    code = "CredentialsInvalid"
    status = 403


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


class Cancelled(FusionError, RuntimeError):
    """The run was cancelled by its user."""

    code = "JobCancelled"
    status = 400
