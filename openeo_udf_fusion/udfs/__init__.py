"""The text of each UDF, as it is shipped to a backend."""

import json
import re
from functools import cache
from importlib import resources

from openeo_udf_fusion.errors import InvalidParameter

_SCRIPT_BLOCK = re.compile(r"\A# /// script\n(?:#[^\n]*\n)*?# ///\n")


@cache
def source(process: str) -> str:
    """Return the text of a process's UDF, requirement included."""
    if process not in names():
        raise InvalidParameter(f"there is no UDF {process!r}; there are {names()}")
    return (resources.files(__name__) / f"{process}.py").read_text(encoding="utf-8")


@cache
def names() -> tuple[str, ...]:
    """Return the processes that have a UDF."""
    stems = (entry.name.removesuffix(".py") for entry in resources.files(__name__).iterdir())
    return tuple(sorted(stem for stem in stems if "." not in stem and not stem.startswith("_")))


def with_requirement(process: str, requirement: str | None) -> str:
    """Return a UDF's text with another requirement in its script block, or (None) without such a block.

    Parameters
    ----------
    process : str
        Name of the process.
    requirement : str, optional
        A PEP 508 requirement or URL that installs this package; None where the worker's image brings it.
    """
    text = source(process)
    # A string of JSON is one of TOML, whatever quotes and backslashes it holds.
    stated = f"# /// script\n# dependencies = [{json.dumps(requirement)}]\n# ///\n"
    block = "" if requirement is None else stated
    return _SCRIPT_BLOCK.sub(lambda _: block, text, count=1)


def is_shipped(code: str) -> bool:
    """Return whether a UDF's code is one of this package's, whatever requirement it states."""
    return _SCRIPT_BLOCK.sub("", code, count=1) in {with_requirement(name, None) for name in names()}
