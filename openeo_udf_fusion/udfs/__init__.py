"""The text of each UDF, as it is shipped to a backend."""

import json
import re
from functools import cache
from importlib import resources

from openeo_udf_fusion.errors import InvalidParameter

# No carriage return: Python ends a line, and with it the comment, there.
_SCRIPT_BLOCK = re.compile(r"\A# /// script\n(?:#[^\r\n]*\n)*?# ///\n")

# Where the package is installed these lines do nothing: a folder named by a caller must not come before it.
# Spark unpacks an archive where its workers run; for the job's driver, which announces the bands, elsewhere.
_ARCHIVE_LINES = """\
import importlib.util
import sys

if importlib.util.find_spec("openeo_udf_fusion") is None:
    sys.path.insert(0, "{0}")
    if "pyspark" in sys.modules:
        sys.path.insert(1, sys.modules["pyspark"].SparkFiles.get("{0}"))
"""
_ARCHIVE_BLOCK = re.compile(r"\A" + re.escape(_ARCHIVE_LINES).replace(r"\{0\}", "[A-Za-z0-9_]+"))

ARCHIVE_FOLDER = "fusion_deps"
"""Where a backend unpacks this package's archive; no package's name, which it would hide."""


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


def with_archive(process: str, folder: str = ARCHIVE_FOLDER) -> str:
    """Return a UDF's text that finds this package in an archive which the backend unpacked into a folder.

    Where the worker has the package installed, that one is used.

    Parameters
    ----------
    process : str
        Name of the process.
    folder : str
        The folder's name, relative to where the worker runs: what follows `#` in the job option.

    Raises
    ------
    InvalidParameter
        If the folder's name is no plain word.
    """
    if not re.fullmatch(r"\w+", folder, re.ASCII):
        raise InvalidParameter(
            f"the folder of an archive is a plain word such as {ARCHIVE_FOLDER}, got {folder!r}"
        )
    return _ARCHIVE_LINES.format(folder) + with_requirement(process, None)


def shipped_as(code: str) -> str | None:
    """Return the process whose UDF a code is, as `is_shipped` compares them; None for any other code."""
    plain = _ARCHIVE_BLOCK.sub("", _SCRIPT_BLOCK.sub("", code, count=1), count=1)
    return next((name for name in names() if plain == with_requirement(name, None)), None)


def is_shipped(code: str) -> bool:
    """Return whether a UDF's code is one of this package's, whatever requirement or archive it names."""
    return shipped_as(code) is not None
