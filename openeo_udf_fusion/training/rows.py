"""Pairs as rows of a table, one per sample, sensor and day, and back."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.sensors import FUSED_BANDS
from openeo_udf_fusion.training.pairs import Pairs
from openeo_udf_fusion.training.samples import Samples

SCALE = 1e-4
"""Reflectance = stored value x scale, that of the MODIS and VIIRS products: their values stay the same."""

COLUMNS = {sensor: tuple(f"{sensor}_{band}" for band in bands) for sensor, bands in FUSED_BANDS.items()}
BANDS = tuple(name for names in COLUMNS.values() for name in names)
REQUIRED = ("sample", "pixel", "sensor", "date")
SCHEMA = pa.schema(
    [
        pa.field("sample", pa.int64(), nullable=False),
        pa.field("pixel", pa.int64(), nullable=False),
        pa.field("longitude", pa.float32()),
        pa.field("latitude", pa.float32()),
        pa.field("land_cover", pa.string()),
        pa.field("sensor", pa.string(), nullable=False),
        pa.field("platform", pa.string()),
        pa.field("product", pa.string()),
        pa.field("date", pa.date32(), nullable=False),
        *(pa.field(name, pa.int16()) for name in BANDS),
    ]
)
"""`platform` (of VIIRS) and `product` ("nbar" or "directional") are on all rows of a sample; bands are in
units of SCALE."""

REPEATED = [name for name in SCHEMA.names if name not in BANDS and name != "date"]
_NULL = np.int16(-32768)
_LARGEST = 32767


def table_of(pairs: Pairs, first_sample: int) -> pa.Table:
    """Return pairs as rows; samples are numbered from `first_sample`.

    Days on which a sensor has nothing valid get no row, but for the first and the last, which tell how long
    the series is.

    Raises
    ------
    InvalidParameter
        A value that is called valid is no number, or too large to be a reflectance.
    """
    parts = []
    for sensor, (values, valid) in _series(pairs).items():
        seen = np.asarray(valid.any(-1))
        seen[:, [0, -1]] = True
        place, day = np.nonzero(seen)
        index = pa.array(place)
        columns = {
            "sample": pa.array(first_sample + place),
            "pixel": pa.array(pairs.pixel[place].astype(np.int64)),
            "longitude": _numbers(pairs.longitude[place]),
            "latitude": _numbers(pairs.latitude[place]),
            "land_cover": _texts(pairs.land_cover, index),
            "sensor": pa.array([sensor]).take(pa.array(np.zeros(len(place), np.int64))),
            "platform": _texts(pairs.platform, index),
            "product": _texts(pairs.product, index),
            "date": pa.array((pairs.first_day[place] + day).astype(np.int32)).cast(pa.date32()),
        }
        columns |= {name: pa.nulls(len(place), pa.int16()) for name in BANDS}
        for band, name in enumerate(COLUMNS[sensor]):
            known = valid[place, day, band]
            columns[name] = stored(np.where(known, values[place, day, band], np.nan), name, ~known)
        parts.append(pa.table(columns, schema=SCHEMA))
    return pa.concat_tables(parts)


def stored(values: NDArray[np.floating], name: str, missing: NDArray[np.bool_]) -> pa.Array:
    """Return reflectances as stored integers, null where missing; raises InvalidParameter."""
    counts = np.round(np.where(missing, 0, values).astype(np.float64) / SCALE)
    wrong = ~(np.abs(counts) <= _LARGEST)
    if wrong.any():
        raise InvalidParameter(
            f"reflectance of {name} must be within ±{_LARGEST * SCALE:.4f}, got {values[wrong][0]}; "
            "scale it, or call it not valid"
        )
    return pa.array(counts.astype(np.int16), mask=missing)


def conform(table: pa.Table) -> pa.Table:
    """Return rows of whatever origin with the columns and types of SCHEMA.

    Bands of floating type are reflectance, NaN where missing; those of integer type are in units of SCALE.

    Raises
    ------
    InvalidParameter
        A required column is missing or has nulls, a type cannot be converted, or a sensor is unknown.
    """
    if table.schema.equals(SCHEMA):
        return table
    missing = [name for name in REQUIRED if name not in table.column_names]
    if missing or not set(BANDS) & set(table.column_names):
        raise InvalidParameter(
            f"rows of pairs need the columns {list(REQUIRED)} and bands out of {list(BANDS)}, "
            f"got {table.column_names}"
        )
    try:
        columns = [_conformed(table, field) for field in SCHEMA]
    except pa.ArrowInvalid as error:
        raise InvalidParameter(f"rows of pairs: {error}") from error
    rows = pa.Table.from_arrays(columns, schema=SCHEMA)
    empty = [name for name in REQUIRED if rows[name].null_count]
    unknown = sorted(set(pc.unique(rows["sensor"]).to_pylist()) - {None, *COLUMNS})
    if empty or unknown:
        raise InvalidParameter(
            f"rows of pairs: columns {empty} have nulls"
            if empty
            else f"rows of pairs: sensor must be one of {list(COLUMNS)}, got {unknown}"
        )
    return rows


def _conformed(table: pa.Table, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    column = table[field.name]
    if field.name in BANDS and pa.types.is_floating(column.type):
        values = column.to_numpy().astype(np.float64)
        return stored(values, field.name, np.isnan(values))
    if pa.types.is_timestamp(column.type):
        return pc.floor_temporal(column, unit="day").cast(field.type)
    return column.cast(field.type)


def read(dataset: ds.Dataset, samples: Samples) -> Pairs:
    """Return the series of some samples on as many consecutive days as the longest of them has.

    Block by block, so that memory holds the result and one block. Of several rows of one day the mean counts;
    days without a row, and those behind the end of a shorter series, are not valid.
    """
    days = int(samples.days.max())
    series = {
        sensor: (
            np.zeros((len(samples) * days, len(names)), np.float32),
            np.zeros((len(samples) * days, len(names)), np.bool_),
        )
        for sensor, names in COLUMNS.items()
    }
    for block in np.unique(samples.block):
        wanted = samples.sample[samples.block == block]
        table = dataset.to_table(
            columns=["sample", "sensor", "date", *BANDS],
            filter=(ds.field("block") == int(block)) & ds.field("sample").isin(pa.array(wanted)),
        )
        for sensor, (values, valid) in series.items():
            own = table.filter(pc.equal(table["sensor"], sensor))
            position = np.searchsorted(samples.sample, own["sample"].to_numpy())
            day = own["date"].cast(pa.int32()).to_numpy() - samples.first_day[position]
            _place(own, COLUMNS[sensor], position * days + day, values, valid)
    (modis, modis_valid), (viirs, viirs_valid) = series.values()
    shape = (len(samples), days, -1)
    return Pairs(
        pixel=samples.pixel,
        platform=samples.platform,
        product=samples.product,
        first_day=samples.first_day,
        longitude=samples.longitude,
        latitude=samples.latitude,
        land_cover=samples.land_cover,
        modis=modis.reshape(shape),
        modis_valid=modis_valid.reshape(shape),
        viirs=viirs.reshape(shape),
        viirs_valid=viirs_valid.reshape(shape),
    )


def bytes_per_sample(days: int) -> int:
    """Return the memory that `read` returns for each sample: values, and a byte for what is valid."""
    return days * len(BANDS) * 5


def _place(
    table: pa.Table,
    names: tuple[str, ...],
    cells: NDArray[np.int64],
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> None:
    """Put rows into (sample x day, band) arrays, the mean where several share a cell."""
    counts = np.stack([table[name].fill_null(_NULL).to_numpy() for name in names], axis=-1)
    known = counts != _NULL
    if len(np.unique(cells)) == len(cells):
        values[cells] = np.where(known, counts * np.float32(SCALE), 0)
        valid[cells] = known
        return
    order = np.argsort(cells, kind="stable")
    distinct, starts = np.unique(cells[order], return_index=True)
    total = np.add.reduceat(np.where(known, counts, 0)[order].astype(np.float64), starts)
    number = np.add.reduceat(known[order].astype(np.int64), starts)
    values[distinct] = total / np.maximum(number, 1) * SCALE
    valid[distinct] = number > 0


def _series(pairs: Pairs) -> dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    return {"modis": (pairs.modis, pairs.modis_valid), "viirs": (pairs.viirs, pairs.viirs_valid)}


def _numbers(values: NDArray[np.float32]) -> pa.Array:
    return pa.array(values.astype(np.float32), from_pandas=True)  # NaN becomes null


def _texts(texts: NDArray[np.str_], index: pa.Array) -> pa.Array:
    known = pa.array([text or None for text in texts.tolist()], pa.string())
    return known.take(index)
