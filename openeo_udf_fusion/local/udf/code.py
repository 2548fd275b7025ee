"""What happens where a UDF runs, in this process or in another: run its code, tell what went wrong.

Imported by the subprocess that runs users' UDFs, so it stays light.
"""

import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import xarray as xr
from openeo.metadata import Band, BandDimension, CollectionMetadata, SpatialDimension, TemporalDimension
from openeo.udf import OpenEoUdfException
from openeo.udf.run_code import load_module_from_string, run_udf_code
from openeo.udf.udf_data import UdfData
from openeo.udf.xarraydatacube import XarrayDataCube

from openeo_udf_fusion.errors import FusionError, InvalidCube, UdfFailed
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.udfs import is_shipped

_FILE = "<string>"
"""The name under which the openEO client compiles a UDF."""

NO_UDF_FOUND = (
    "no UDF found in the code: it needs\n"
    "    def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray\n"
    "with these very annotations, unquoted and without `from __future__ import annotations`"
)


@dataclass(frozen=True)
class LogEntry:
    """One line of a run's log: level (error, warning, info, debug), message, time in UTC."""

    level: str
    message: str
    time: datetime


def run_code(code: str, cube: xr.DataArray, context: Json, epsg: int | None) -> xr.DataArray:
    """Call the UDF in `code` as a production backend does.

    Raises
    ------
    UdfFailed
        The code does not compile, holds no UDF, or raised; the message ends with its traceback.
    InvalidCube
        It returned something that is not one data cube.
    FusionError
        A deliberate error of a UDF that this package ships, as it is.
    """
    data = UdfData(
        proj={"EPSG": epsg} if epsg else {}, datacube_list=[XarrayDataCube(cube)], user_context=context
    )
    try:
        cubes = run_udf_code(code=code, data=data).get_datacube_list() or []
    except OpenEoUdfException as error:
        raise UdfFailed(NO_UDF_FOUND if "No UDF found" in str(error) else str(error)) from error
    except (Exception, SystemExit) as error:
        if _explains_itself(error, code):
            raise
        raise UdfFailed(described(error, code)) from error
    if len(cubes) != 1 or not isinstance(cubes[0], XarrayDataCube):
        raise InvalidCube(f"a UDF returns one data cube, this one returned {len(cubes)}")
    result: xr.DataArray = cubes[0].get_array()
    return result


def has_apply_metadata(code: str) -> bool:
    """Whether the text defines `apply_metadata`: production backends look for it before they run anything."""
    return re.search(r"^def apply_metadata\(", code, flags=re.MULTILINE) is not None


def promised_bands(code: str, bands: Sequence[str], context: Json) -> list[str]:
    """Band labels after the code's `apply_metadata`; raises UdfFailed as `run_code` does."""
    metadata = CollectionMetadata(
        {},
        dimensions=[
            SpatialDimension("x", extent=[]),
            SpatialDimension("y", extent=[]),
            TemporalDimension("t", extent=[]),
            BandDimension("bands", bands=[Band(name) for name in bands]),
        ],
    )
    try:
        changed = load_module_from_string(code)["apply_metadata"](metadata, context)
        return [str(name) for name in changed.band_names]
    except (Exception, SystemExit) as error:
        if _explains_itself(error, code):
            raise
        raise UdfFailed(described(error, code)) from error


def _explains_itself(error: BaseException, code: str) -> bool:
    """Whether it is a deliberate error of a shipped UDF: its message, code and status are for the caller."""
    return isinstance(error, FusionError) and is_shipped(code)


def described(error: BaseException, code: str) -> str:
    """Name the error, then the lines of the UDF that led to it; the files of an installation say nothing."""
    if isinstance(error, SyntaxError) and error.filename == _FILE:
        return _bad_syntax(error)
    lines = code.splitlines()
    own = traceback.StackSummary.from_list(
        [
            traceback.FrameSummary("UDF", frame.lineno, frame.name, line=_line(lines, frame.lineno))
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == _FILE
        ]
    )
    last = "".join(traceback.format_exception_only(error)).strip()
    if not own:
        return f"the UDF raised {last}"
    return f"the UDF raised {last}\nTraceback (most recent call last):\n{''.join(own.format())}{last}"


def _bad_syntax(error: SyntaxError) -> str:
    """Return what Python says of code that it cannot compile, from its second line on."""
    shown = "".join(traceback.format_exception_only(error)).strip().splitlines()[1:-1]
    where = f"{error.msg} (line {error.lineno})"
    return "\n".join([f"the UDF is no valid Python: {type(error).__name__}: {where}", *shown])


def _line(lines: Sequence[str], number: int | None) -> str:
    return lines[number - 1] if number and number <= len(lines) else ""
