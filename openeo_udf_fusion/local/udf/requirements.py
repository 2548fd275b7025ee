"""Compares what a UDF says it needs (its PEP 723 block) with what is installed. Installs nothing."""

import re
from importlib.metadata import PackageNotFoundError, version
from tomllib import TOMLDecodeError

from openeo.udf.run_code import extract_udf_dependencies
from packaging.requirements import InvalidRequirement, Requirement

from openeo_udf_fusion.errors import InvalidParameter, UnmetRequirement

_OPENING = re.compile(r"# /// ([a-zA-Z0-9-]+)\s*")
_CLOSING = "# ///"
_BLOCK_CHARACTERS = 8000
_DOTS_PER_LINE = 20
_QUOTED = re.compile(r"\"[^\"]*\"?|'[^']*'?")
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
        declared = [text for block in _blocks(code) for text in extract_udf_dependencies(block) or []]
        unmet = [problem for text in declared if (problem := _problem(str(text)))]
    except (ValueError, TOMLDecodeError, RecursionError) as error:
        raise InvalidParameter(f"the UDF's PEP 723 block (`# /// script`) cannot be read: {error}") from error
    if unmet:
        raise UnmetRequirement(
            f"the UDF needs {'; '.join(unmet)}. Install it in the environment of this backend: "
            "UDFs install nothing here"
        )


def _blocks(code: str) -> list[str]:
    """The `script` blocks of a UDF, each with its first and last line.

    The expression that `extract_udf_dependencies` searches with begins anew at every line that could open a
    block and goes to the end of the comment each time, so a text of a user's is never given to it as a whole.
    """
    lines, blocks, place = code.split("\n"), [], 0
    while place < len(lines):
        opening = _OPENING.fullmatch(lines[place])
        first = place + 1
        if opening is None:
            place = first
            continue
        while first < len(lines) and not lines[first].strip():
            first += 1
        end = first
        while end < len(lines) and (lines[end] == "#" or lines[end].startswith("# ")):
            end += 1
        last = max((n for n in range(first + 1, end) if lines[n] == _CLOSING), default=None)
        if last is not None and opening[1] == "script":
            blocks.append(_affordable("\n".join(lines[place : last + 1])))
        # Without an end nothing in this comment opens a block, but for its last line: empty ones may follow.
        place = max(place + 1, end - 1) if last is None else last + 1
    if len(blocks) > 1:
        raise ValueError(f"there are {len(blocks)} of them")
    return blocks


def _affordable(block: str) -> str:
    """The block, unless reading it as TOML may take long."""
    if len(block) > _BLOCK_CHARACTERS:
        raise ValueError(f"it has {len(block)} characters, at most {_BLOCK_CHARACTERS} are read")
    if any(_QUOTED.sub("", line).count(".") > _DOTS_PER_LINE for line in block.split("\n")):
        raise ValueError(f"a line has more than {_DOTS_PER_LINE} dots outside of quotes")
    return block


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
