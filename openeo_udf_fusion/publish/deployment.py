"""What a worker installs to run the UDFs: the one choice an operator makes about the processes' text."""

from dataclasses import replace

from openeo_udf_fusion import udps
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.udps import Deployment


def deployment_for(requirement: str | None, archive_folder: str | None = None) -> Deployment:
    """Return what is published, with another requirement in the UDFs.

    Parameters
    ----------
    requirement : str, optional
        A PEP 508 requirement, a URL, or `"none"` where the worker's image brings the package; by default the
        package at its version.
    archive_folder : str, optional
        Where the backend unpacks an archive of this package; the UDFs then look for it there.

    Raises
    ------
    InvalidParameter
        It is none of these, or an archive and a requirement are given.
    """
    if archive_folder is not None:
        if requirement not in (None, "none"):
            raise InvalidParameter(
                f"an archive brings the package: give --archive-folder or --requirement, not both (came "
                f"{archive_folder!r} and {requirement!r})"
            )
        return replace(udps.PUBLISHED, requirement=None, archive_folder=archive_folder)
    if requirement is None:
        return udps.PUBLISHED
    stated = None if requirement == "none" else checked_requirement(requirement)
    return replace(udps.PUBLISHED, requirement=stated)


def checked_requirement(text: str) -> str:
    """Return a requirement as PEP 508 wants it; raises InvalidParameter where it is none."""
    from packaging.requirements import InvalidRequirement, Requirement

    whole = f"openeo-udf-fusion @ {text}" if "://" in text and "@" not in text else text
    try:
        return str(Requirement(whole))
    except InvalidRequirement as error:
        raise InvalidParameter(
            f"--requirement takes a PEP 508 requirement ('openeo-udf-fusion==1.0'), a URL or none: {error}"
        ) from error
