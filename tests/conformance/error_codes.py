"""The error codes that an answer may carry: those of the openEO API, and this project's own."""

OFFICIAL = {
    "AuthenticationRequired": 401,
    "AuthenticationSchemeInvalid": 403,
    "BillingPlanInvalid": 400,
    "BillingPlanMissing": 400,
    "BudgetInvalid": 400,
    "CollectionNotFound": 404,
    "ContentTypeInvalid": 400,
    "CredentialsInvalid": 403,
    "EstimateComplexity": 500,
    "FeatureUnsupported": 501,
    "FileContentInvalid": 400,
    "FileLocked": 400,
    "FileNotFound": 404,
    "FileOperationUnsupported": 400,
    "FilePathInvalid": 400,
    "FileSizeExceeded": 400,
    "FileTypeInvalid": 400,
    "FolderOperationUnsupported": 400,
    "InfrastructureBusy": 503,
    "InfrastructureMaintenance": 503,
    "Internal": 500,
    "JobLocked": 400,
    "JobNotFinished": 400,
    "JobNotFound": 404,
    "JobNotStarted": 400,
    "NoDataForUpdate": 400,
    "NotFound": 404,
    "PaymentRequired": 402,
    "PermissionsInsufficient": 403,
    "PredefinedProcessExists": 400,
    "ProcessGraphComplexity": 400,
    "ProcessGraphInvalid": 400,
    "ProcessGraphMissing": 400,
    "ProcessGraphNotFound": 404,
    "ProcessInvalid": 400,
    "ProcessParameterInvalid": 400,
    "ProcessParameterRequired": 400,
    "ProcessParameterUnsupported": 400,
    "ProcessUnsupported": 400,
    "PropertyNotEditable": 400,
    "RequestTimeout": 408,
    "ResultLinkExpired": 410,
    "ServiceConfigInvalid": 400,
    "ServiceConfigRequired": 400,
    "ServiceConfigUnsupported": 400,
    "ServiceNotFound": 404,
    "ServiceUnsupported": 400,
    "StorageFailure": 500,
    "StorageQuotaExceeded": 400,
    "TokenInvalid": 403,
    "UnsupportedApiVersion": 404,
}
"""`errors.json` of the openEO API 1.2.0: each code with its HTTP status."""

OWN = {
    "CollectionInvalid": 500,
    "FormatUnsupported": 400,
    "JobCancelled": 400,
    "MethodNotAllowed": 405,
    "ModelInvalid": 500,
    "NoDataAvailable": 400,
    "NotAcceptable": 406,
    "RequestHeadersTooLarge": 431,
    "RequestInvalid": 400,
    "RequestTooLarge": 413,
    "TooManyRequests": 429,
    "UdfFailed": 400,
    "UdfRequirementUnmet": 400,
    "UrlTooLong": 414,
}
"""The API allows proprietary codes where it has none; README.md says what these of the project mean."""

KNOWN = OFFICIAL | OWN


def flaws(status: int, body: object, failed_job: bool = False) -> list[str]:
    """What is wrong with the body of an error; empty for a sound one.

    A failed job answers 424 with a log entry, which may have any code: it is the job's, not the request's.
    """
    if not isinstance(body, dict):
        return [f"an error must be a JSON object, this is {type(body).__name__}"]
    found = []
    for name in ("code", "message"):
        if not (isinstance(body.get(name), str) and body[name]):
            found.append(f"an error needs a {name}, this one has {body.get(name)!r}")
    if "id" in body and not isinstance(body["id"], str):
        found.append(f"the id of an error must be text, got {body['id']!r}")
    if not isinstance(body.get("links", []), list):
        found.append("the links of an error must be a list")
    if failed_job and status == 424:
        return found
    expected = KNOWN.get(str(body.get("code")))
    if expected is None:
        found.append(f"the code {body.get('code')!r} is neither of the API nor a documented one")
    elif expected != status:
        found.append(f"the code {body['code']} belongs to status {expected}, it came with {status}")
    return found
