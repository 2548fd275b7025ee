"""The file formats that results can have, and how to write one tile by tile.

A result appears under its name when it is complete; until then it is a hidden file beside it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidCube, InvalidParameter, UnsupportedFormat
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.writers.geotiff import GeotiffSink, file_names
from openeo_udf_fusion.local.writers.netcdf import NetcdfSink
from openeo_udf_fusion.local.writers.parquet import ParquetSink
from openeo_udf_fusion.local.writers.storage import (
    discard,
    publish,
    require_replaceable,
    storing,
    temporary_beside,
)
from openeo_udf_fusion.local.writers.template import Template
from openeo_udf_fusion.local.writers.zarr import ZarrSink

__all__ = [
    "FORMATS",
    "Format",
    "Template",
    "Writer",
    "file_formats",
    "format_of",
    "get_format",
    "write",
    "writer",
]

_TILE_PX = 512


class Sink(Protocol):
    """Where one format puts tiles: a file or folder under a temporary name."""

    def store(self, values: NDArray[np.float32], y: slice, x: slice) -> None:
        """Stores (t, variables, rows, columns)."""

    def close(self) -> None:
        """Completes what was stored."""

    def abandon(self) -> None:
        """Lets go of it, complete or not."""


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes
    ----------
    name : str
        As openEO clients send it; any case will do.
    suffix : str
        Of files, with its dot.
    media_type : str
    aliases : tuple of str
        Other names and suffixes.
    parameters : dict
        JSON schema of each option, with its default.
    sink : callable
        Makes a `Sink` for (temporary path, template, options).
    parts : callable, optional
        The ends of the names of a result's files, where it may have several; the sink fills a folder with
        files of these names.
    """

    name: str
    title: str
    suffix: str
    media_type: str
    aliases: tuple[str, ...]
    parameters: dict[str, Json]
    sink: Callable[[Path, Template, Json], Sink] = field(repr=False)
    parts: Callable[[Template], list[str]] | None = field(default=None, repr=False)

    def describe(self) -> Json:
        """The entry of `GET /file_formats`."""
        return {"title": self.title, "gis_data_types": ["raster"], "parameters": self.parameters}


def _integer(description: str, default: int, low: int, high: int) -> Json:
    return {
        "type": "integer",
        "description": description,
        "default": default,
        "minimum": low,
        "maximum": high,
        "required": False,
    }


def _choice(description: str, default: JsonValue, *others: JsonValue) -> Json:
    kind = "integer" if isinstance(default, int) else "string"
    return {
        "type": kind,
        "description": description,
        "default": default,
        "enum": [default, *others],
        "required": False,
    }


FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format(
            "netCDF",
            "netCDF-4 (CF conventions), one variable per band",
            ".nc",
            "application/x-netcdf",
            ("nc", "netcdf4", "nc4"),
            {"compression": _integer("Level of deflate; 0 stores as is.", 4, 0, 9)},
            NetcdfSink,
        ),
        Format(
            "Zarr",
            "Zarr store, one array per band",
            ".zarr",
            "application/vnd.zarr",
            (),
            {"zarr_format": _choice("Version of the Zarr specification.", 2, 3)},
            ZarrSink,
        ),
        Format(
            "GTiff",
            "Cloud-optimised GeoTIFF, one file per date",
            ".tif",
            "image/tiff; application=geotiff; profile=cloud-optimized",
            ("geotiff", "cog", "tif", "tiff"),
            {"compression": _choice("Compression of blocks.", "DEFLATE", "ZSTD", "LZW", "NONE")},
            GeotiffSink,
            file_names,
        ),
        Format(
            "Parquet",
            "Parquet table: rows t, y, x and a column per band",
            ".parquet",
            "application/vnd.apache.parquet",
            ("geoparquet",),
            {
                "compression": _choice("Compression of columns.", "zstd", "snappy", "none"),
                "skip_empty": {
                    "type": "boolean",
                    "description": "Leave out rows without any value.",
                    "default": False,
                    "required": False,
                },
            },
            ParquetSink,
        ),
    )
}


def file_formats() -> Json:
    """The answer to `GET /file_formats`."""
    return {"input": {}, "output": {name: format.describe() for name, format in FORMATS.items()}}


def get_format(name: str) -> Format:
    """The format of that name or alias, in any case.

    Raises
    ------
    UnsupportedFormat
        There is none; the message names those there are.
    """
    wanted = name.lower().lstrip(".")
    for format in FORMATS.values():
        if wanted in (format.name.lower(), format.suffix[1:], *format.aliases):
            return format
    raise UnsupportedFormat(f"no format {name!r}; use one of {', '.join(FORMATS)}")


def format_of(path: Path) -> str:
    """The name of the format that a file's suffix means.

    Raises
    ------
    UnsupportedFormat
        It means none.
    """
    if not path.suffix:
        suffixes = ", ".join(format.suffix for format in FORMATS.values())
        raise UnsupportedFormat(f"{path} has no suffix to tell its format by; use one of {suffixes}")
    return get_format(path.suffix).name


def check_options(format: Format, options: Json | None) -> Json:
    """All options of a format, those not given by their default.

    Raises
    ------
    UnsupportedFormat
        The format has no such option.
    InvalidParameter
        An option's value is none of those it may have.
    """
    given = options or {}
    unknown = sorted(set(given) - set(format.parameters))
    if unknown:
        raise UnsupportedFormat(
            f"{format.name} has no option {', '.join(unknown)}; it has {', '.join(format.parameters)}"
        )
    for name, value in given.items():
        _check_option(format, name, value)
    return {name: given.get(name, schema["default"]) for name, schema in format.parameters.items()}


class Writer:
    """Takes the tiles of one result, in any order and from any thread.

    Attributes
    ----------
    files : list of Path
        What there is under its final name, once the writer is closed.
    """

    def __init__(self, path: Path, template: Template, sink: Sink) -> None:
        self._path = path
        self._template = template
        self._sink = sink
        self.files: list[Path] = []

    def write(self, cube_tile: xr.DataArray, y: slice, x: slice) -> None:
        """Stores a tile at rows `y` and columns `x` of the result; a lazy tile is computed here.

        Raises
        ------
        InvalidCube
            The tile's dimensions or sizes do not fit its place.
        StorageFailed
            The disk is full, say.
        """
        self.write_values(self._template.tile_values(cube_tile, y, x), y, x)

    def write_values(self, values: NDArray[np.float32], y: slice, x: slice) -> None:
        """Stores the values of a tile as `Template.tile_values` gives them.

        Raises
        ------
        StorageFailed
        """
        with storing(self._path):
            self._sink.store(values, y, x)


@contextmanager
def writer(path: Path, format: str, template: Template, options: Json | None = None) -> Iterator[Writer]:
    """A writer of one result; memory stays that of a tile.

    Leaving the block gives the result its name; leaving it by an exception removes what was written.

    Parameters
    ----------
    path : Path
        The final name. GeoTIFFs of several dates are named `<stem>_<date>.tif` beside it.
    format : str
        A name or alias out of `FORMATS`.
    template : Template
        Coordinates and attributes of the whole result.
    options : dict, optional
        The format's options.

    Raises
    ------
    UnsupportedFormat, InvalidParameter
        The format or its options are not known.
    InvalidCube
        The format cannot hold such a result.
    StorageFailed
        The file cannot be written; nothing is left of it.
    """
    kind = get_format(format)
    complete = check_options(kind, options)
    _check_names(template)
    temporary = temporary_beside(path)
    finished = _finished(temporary, path, kind, template)
    for file in finished.values():
        require_replaceable(file)
    sink: Sink | None = None
    try:
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            sink = kind.sink(temporary, template, complete)
        opened = Writer(path, template, sink)
        yield opened
        with storing(path):
            sink.close()
            publish(finished)
        opened.files = list(finished.values())
    finally:
        _clear(sink, temporary)


def write(cube: xr.DataArray, path: Path, format: str, options: Json | None = None) -> list[Path]:
    """Writes a cube, lazy or not, block by block, and returns the files.

    Raises as `writer` does.
    """
    template = Template.of(cube)
    with writer(path, format, template, options) as opened:
        rows, columns = template.shape
        for top, left in product(range(0, rows, _TILE_PX), range(0, columns, _TILE_PX)):
            y = slice(top, min(top + _TILE_PX, rows))
            x = slice(left, min(left + _TILE_PX, columns))
            opened.write(cube.isel(y=y, x=x), y, x)
    return opened.files


def _finished(temporary: Path, path: Path, format: Format, template: Template) -> dict[Path, Path]:
    """By temporary name: the final name of each file of a result."""
    if format.parts is None:
        return {temporary: path}
    names = format.parts(template)
    if len(names) == 1:
        return {temporary / names[0]: path}
    return {temporary / name: path.with_name(path.stem + name) for name in names}


def _clear(sink: Sink | None, temporary: Path) -> None:
    try:
        if sink is not None:
            sink.abandon()
    except (OSError, RuntimeError):
        # A library that could not write cannot close either; the error that led here is the one to show.
        pass
    finally:
        discard(temporary)


def _check_option(format: Format, name: str, value: JsonValue) -> None:
    schema = format.parameters[name]
    types: dict[str, type] = {"integer": int, "string": str, "boolean": bool}
    allowed = schema.get("enum")
    right_type = isinstance(value, types[schema["type"]]) and (
        schema["type"] == "boolean" or not isinstance(value, bool)
    )
    in_range = right_type and (
        str(value).lower() in [str(choice).lower() for choice in allowed]
        if allowed
        else schema.get("minimum", value) <= value <= schema.get("maximum", value)
    )
    if not in_range:
        wanted = allowed or {key: schema[key] for key in ("type", "minimum", "maximum") if key in schema}
        raise InvalidParameter(f"{format.name}: option {name} must be one of {wanted}, got {value!r}")


def _check_names(template: Template) -> None:
    reserved = {"t", "y", "x", "crs"}
    wrong = [name for name in template.variables if name in reserved or "/" in name or not name]
    if wrong or len(set(template.variables)) < len(template.variables):
        raise InvalidCube(
            f"bands {list(template.variables)} cannot be variables of a file: they must be distinct, "
            f"not empty, without '/', and none of {sorted(reserved)}; rename them with rename_labels"
        )
