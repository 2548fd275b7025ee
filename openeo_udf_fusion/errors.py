"""Every deliberate exception of the package; what only the server raises is in `local/server/errors.py`.

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


# --- another backend, and who may talk to one


class BackendFailed(FusionError, ConnectionError):
    """Another openEO backend cannot be reached, or does not do what it was asked."""

    code = "BackendFailed"
    status = 502


class Unauthenticated(FusionError, PermissionError):
    """The request carries no credentials, and this resource needs them."""

    code = "AuthenticationRequired"
    status = 401


class InvalidCredentials(FusionError, PermissionError):
    """User and password do not match."""

    code = "CredentialsInvalid"
    status = 403


# --- runs


class Cancelled(FusionError, RuntimeError):
    """The run was cancelled by its user."""

    code = "JobCancelled"
    status = 400
