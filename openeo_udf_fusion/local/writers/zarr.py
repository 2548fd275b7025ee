"""Zarr stores that xarray and GDAL open: one array (t, y, x) per band, consolidated metadata."""

from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.writers.attributes import (
    chunk_shape,
    dimensions,
    packing,
    skeleton,
    variable_attrs,
)
from openeo_udf_fusion.local.writers.template import Template


class ZarrSink:
    """Stores tiles in one Zarr store; the arrays are laid out at the first tile."""

    def __init__(self, path: Path, template: Template, options: Json) -> None:
        self._template = template
        self._format: Literal[2, 3] = 3 if options["zarr_format"] == 3 else 2
        self._lock = Lock()
        self._path = path
        skeleton(template).to_zarr(path, mode="w-", zarr_format=self._format, consolidated=False)
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._group = zarr.open_group(path, mode="r+", zarr_format=self._format)

    def store(self, values: NDArray[np.float32], y: slice, x: slice) -> None:
        """Stores (t, variables, rows, columns)."""
        with self._lock:  # tiles may share a chunk
            self._lay_out((values.shape[2], values.shape[3]))
            for number, name in enumerate(self._template.variables):
                place = (y, x) if self._template.t is None else (slice(None), y, x)
                own = packing(self._template, name).packed(values[:, number])
                self._arrays[name][place] = own[0] if len(place) == 2 else own

    def close(self) -> None:
        """Completes the store."""
        with self._lock:
            self._lay_out(self._template.shape)
            zarr.consolidate_metadata(self._path, zarr_format=self._format)

    def abandon(self) -> None:
        """Leaves the store as it is; it holds no open file."""

    def _lay_out(self, tile: tuple[int, int]) -> None:
        names = dimensions(self._template)
        steps = () if self._template.t is None else (len(self._template.t),)
        for name in self._template.variables:
            if name in self._arrays:
                return
            stored = packing(self._template, name)
            array = self._group.create_array(
                name,
                shape=(*steps, *self._template.shape),
                dtype=stored.dtype.name,
                chunks=chunk_shape(self._template, tile),
                fill_value=stored.fill if stored.dtype.kind == "f" else int(stored.fill),
                dimension_names=names if self._format == 3 else None,
            )
            self._arrays[name] = array
            attrs = {key: _json(value) for key, value in variable_attrs(self._template, name).items()}
            if stored.dtype.kind != "f" and self._format == 3:  # readers take format 2's fill value for it
                attrs["_FillValue"] = int(stored.fill)
            if self._format == 2:  # format 3 has names of dimensions of its own
                attrs["_ARRAY_DIMENSIONS"] = list(names)
            array.attrs.update(attrs)


def _json(value: JsonValue) -> JsonValue:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
