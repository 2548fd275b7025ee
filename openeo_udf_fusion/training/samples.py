"""What is known of each sample and of each place in a data set of pairs, without its series."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidParameter

Text = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Places:
    """Distinct pixels, ascending by number.

    Attributes
    ----------
    pixel : (n,) int64
    longitude, latitude : (n,) float32
        Degrees, NaN where unknown.
    land_cover : (n,) str
        "" where unknown.
    """

    pixel: NDArray[np.int64]
    longitude: NDArray[np.float32]
    latitude: NDArray[np.float32]
    land_cover: Text

    def __len__(self) -> int:
        return len(self.pixel)


@dataclass(frozen=True, eq=False)
class Samples:
    """Arrays with an entry per sample, ascending by number.

    Attributes
    ----------
    sample, pixel : (n,) int64
    block : (n,) int32
        Where its rows are.
    first_day, days : (n,) int32
        Days since 1970-01-01 of the first row, and days from there to the last one, both included.
    longitude, latitude : (n,) float32
        NaN where unknown.
    land_cover, platform, product : (n,) str
        "" where unknown.
    """

    sample: NDArray[np.int64]
    block: NDArray[np.int32]
    pixel: NDArray[np.int64]
    longitude: NDArray[np.float32]
    latitude: NDArray[np.float32]
    land_cover: Text
    platform: Text
    product: Text
    first_day: NDArray[np.int32]
    days: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.sample)

    @classmethod
    def of(cls, rows: pa.Table, block: int) -> "Samples":
        """Collect the samples of the rows of one block.

        Raises
        ------
        InvalidParameter
            The rows of one sample name several pixels.
        """
        number = rows["sample"].to_numpy()
        order = np.argsort(number, kind="stable")
        sample, starts = np.unique(number[order], return_index=True)
        day = rows["date"].cast(pa.int32()).to_numpy()[order]
        pixel = rows["pixel"].to_numpy()[order]
        mixed = np.minimum.reduceat(pixel, starts) != np.maximum.reduceat(pixel, starts)
        if mixed.any():
            raise InvalidParameter(
                f"a sample is the series of one pixel, sample {sample[mixed][0]} has several"
            )
        first = np.minimum.reduceat(day, starts)
        known = rows.take(pa.array(order[starts]))
        return cls(
            sample=sample,
            block=np.full(len(sample), block, np.int32),
            pixel=pixel[starts],
            longitude=_numbers(known["longitude"]),
            latitude=_numbers(known["latitude"]),
            land_cover=_texts(known["land_cover"]),
            platform=_texts(known["platform"]),
            product=_texts(known["product"]),
            first_day=first,
            days=(np.maximum.reduceat(day, starts) - first + 1).astype(np.int32),
        )

    @classmethod
    def concatenated(cls, parts: Sequence["Samples"]) -> "Samples":
        """Join the samples of several blocks, ordered by number."""
        joined = cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _names(cls)}
        )
        return joined.where(np.argsort(joined.sample, kind="stable"))

    @classmethod
    def read(cls, table: pa.Table) -> "Samples":
        """Take them from a table that `table` made."""
        missing = sorted(set(_names(cls)) - set(table.column_names))
        if missing:
            raise InvalidParameter(
                f"the table of samples lacks the columns {missing}; make the data set anew"
            )
        texts = {"land_cover", "platform", "product"}
        columns: dict[str, Any] = {
            name: _texts(table[name]) if name in texts else table[name].to_numpy() for name in _names(cls)
        }
        return cls(**columns)

    def table(self) -> pa.Table:
        """Return the samples as a table, a column per attribute."""
        columns = {name: getattr(self, name) for name in _names(type(self))}
        return pa.table({n: a.tolist() if a.dtype.kind == "U" else pa.array(a) for n, a in columns.items()})

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Samples":
        """Return some of the samples, by mask or by position."""
        return Samples(**{name: getattr(self, name)[chosen] for name in _names(type(self))})

    def places(self) -> Places:
        """Return the distinct pixels."""
        pixel, first = np.unique(self.pixel, return_index=True)
        return Places(pixel, self.longitude[first], self.latitude[first], self.land_cover[first])

    def require_distinct(self) -> None:
        """Raise InvalidParameter where a number stands for two samples, in two blocks."""
        repeated = self.sample[1:][np.diff(self.sample) == 0]
        if len(repeated):
            raise InvalidParameter(
                f"all rows of a sample must be in one block, sample {repeated[0]} is in several"
            )


def _names(kind: type[Samples]) -> list[str]:
    return [field.name for field in fields(kind)]


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float32]:
    return np.asarray(column.to_numpy(), np.float32)  # nulls become NaN


def _texts(column: pa.ChunkedArray) -> Text:
    return np.array(column.fill_null("").to_pylist(), dtype=np.str_)
