"""Parquet tables: long rows t, y, x and a column per band."""

import json
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.writers.template import Template

_ROWS_PER_GROUP = 1 << 20


class ParquetSink:
    """Stores each tile as row groups, missing values as null, `crs` (WKT2) and `attrs` as metadata."""

    def __init__(self, path: Path, template: Template, options: Json) -> None:
        self._template = template
        self._skip_empty = bool(options["skip_empty"])
        self._schema = _schema(template)
        self._lock = Lock()
        self._file = pq.ParquetWriter(path, self._schema, compression=str(options["compression"]).lower())

    def store(self, values: NDArray[np.float32], y: slice, x: slice) -> None:
        """Stores (t, variables, rows, columns)."""
        steps = max(1, _ROWS_PER_GROUP // (values.shape[2] * values.shape[3]))
        for first in range(0, len(values), steps):
            table = self._table(values[first : first + steps], first, y, x)
            with self._lock:
                self._file.write_table(table)

    def close(self) -> None:
        """Completes the file."""
        self._file.close()

    def abandon(self) -> None:
        """Closes the file as it is."""
        self._file.close()

    def _table(self, values: NDArray[np.float32], first: int, y: slice, x: slice) -> pa.Table:
        steps, _, rows, columns = values.shape
        shape = (steps, rows, columns)
        flat: dict[str, NDArray[np.generic]] = {
            "y": np.broadcast_to(self._template.y[y][None, :, None], shape).ravel(),
            "x": np.broadcast_to(self._template.x[x][None, None, :], shape).ravel(),
        }
        if self._template.t is not None:
            dates = self._template.t[first : first + steps]
            flat["t"] = np.broadcast_to(dates[:, None, None], shape).ravel()
        flat |= {name: values[:, number].ravel() for number, name in enumerate(self._template.variables)}
        if self._skip_empty:
            filled = ~np.isnan(values).all(axis=1).ravel()
            flat = {name: column[filled] for name, column in flat.items()}
        # from_pandas: NaN becomes null.
        arrays = [pa.array(flat[field.name], field.type, from_pandas=True) for field in self._schema]
        return pa.Table.from_arrays(arrays, schema=self._schema)


def _schema(template: Template) -> pa.Schema:
    columns = [pa.field("y", pa.float64()), pa.field("x", pa.float64())]
    if template.t is not None:
        columns.insert(0, pa.field("t", pa.timestamp("ns")))
    for name in template.variables:
        attrs = {key: _text(value) for key, value in template.band_attrs.get(name, {}).items()}
        columns.append(pa.field(name, pa.float32(), metadata=attrs or None))
    metadata = {"attrs": json.dumps(template.attrs, default=str)}
    if template.crs is not None:
        metadata["crs"] = template.crs.to_wkt()
    return pa.schema(columns, metadata=metadata)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
