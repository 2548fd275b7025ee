"""Compares what a UDF says it needs (its PEP 723 block) with what is installed. Installs nothing."""

import re
from importlib.metadata import PackageNotFoundError, version
from tomllib import TOMLDecodeError

from openeo.udf.run_code import extract_udf_dependencies
from packaging.requirements import InvalidRequirement, Requirement

from openeo_udf_fusion.errors import InvalidParameter, UnmetRequirement

_WHEEL = re.compile(r"/(?P<name>[A-Za-z0-9_.]+)-(?P<version>[^-/]+)-[^/]*\.whl")


def check_requirements(code: str) -> None:
    """Raise UnmetRequirement naming every dependency of a UDF that is missing or of another version.

    Raises
    ------
    UnmetRequirement
        with the installed version, if any.
    InvalidParameter
        The PEP 723 block cannot be read.
    """
    try:
        declared = extract_udf_dependencies(code) or []
    except (ValueError, TOMLDecodeError) as error:
        raise InvalidParameter(f"the UDF's PEP 723 block (`# /// script`) cannot be read: {error}") from error
    unmet = [problem for text in declared if (problem := _problem(text))]
    if unmet:
        raise UnmetRequirement(
            f"the UDF needs {'; '.join(unmet)}. Install it in the environment of this backend: "
            "UDFs install nothing here"
        )


def _problem(text: str) -> str | None:
    try:
        requirement = _parsed(text)
    except InvalidRequirement as error:
        return f"{text!r}, which is no requirement (PEP 508): {error}"
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{text!r}, which is not installed"
    if not requirement.specifier.contains(installed, prereleases=True):
        return f"{text!r}, installed is {requirement.name} {installed}"
    return None


def _parsed(text: str) -> Requirement:
    wheel = _WHEEL.search(text) if text.startswith(("http://", "https://", "file:")) else None
    return Requirement(f"{wheel['name']}=={wheel['version']}" if wheel else text)
