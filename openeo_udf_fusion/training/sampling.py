"""One sensor's stored values at points: the process graph that asks a backend, and what comes back."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import xarray as xr
from numpy.typing import NDArray
from openeo.internal.graph_building import PGNode

from openeo_udf_fusion import cubes
from openeo_udf_fusion.errors import InvalidCube, MissingBands, UnsupportedFormat
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.sensors import FUSED_BANDS, STAND_INS, canonical_label
from openeo_udf_fusion.training.points import Point, extent, geojson
from openeo_udf_fusion.udps.deployments import PUBLISHED, Source

FORMATS = ("CSV", "Parquet", "netCDF")
"""In order of preference: of aggregate_spatial, production backends write CSV most reliably."""

_FLAGS = {
    "modis": ("state_1km", "day_of_year", *(f"quality_{band}" for band in FUSED_BANDS["modis"])),
    "viirs": ("QF1", "QF2", "QF7", "day_of_year", *(f"quality_{band}" for band in FUSED_BANDS["viirs"])),
}
_ENOUGH, _DARKEST = 50, 1e-3
_MISSING = ["", "NaN", "nan", "null", "None", "NA"]


def find_source(sensor: str, collection: str, metadata: Json, scale: float, offset: float = 0.0) -> Source:
    """Find a sensor's bands in the metadata of a collection, by the products' own names or ours.

    A collection that does not tell its bands is taken to have those of the products MOD09GA and VNP09GA.

    Raises
    ------
    MissingBands
        A band of the sensor is not there, nor one of the same pass band.
    """
    dimensions = metadata.get("cube:dimensions") or {}
    names = next((d.get("values") for d in dimensions.values() if d.get("type") == "bands"), None)
    if not names:
        known = PUBLISHED.sources[sensor]
        return Source(collection, known.bands, known.flags, scale, offset)
    labels = {canonical_label(name, sensor): name for name in reversed(names)}
    bands, missing = {}, []
    for band in FUSED_BANDS[sensor]:
        label = f"{sensor}_{band}"
        found = label if label in labels else STAND_INS.get(label, label)
        if found in labels:
            bands[found] = labels[found]
        else:
            missing.append(label)
    if missing:
        raise MissingBands(
            f"collection {collection!r} has no {', '.join(missing)}; it has {', '.join(map(str, names))}"
        )
    flags = {f"{sensor}_{name}": labels.get(f"{sensor}_{name}") for name in _FLAGS[sensor]}
    return Source(collection, bands, {k: str(v) for k, v in flags.items() if v}, scale, offset)


def choose_format(offered: Json) -> str:
    """Choose the format of results by what `GET /file_formats` answers.

    Raises
    ------
    UnsupportedFormat
        The backend writes none that is read here.
    """
    names = list(offered.get("output", {}))
    for format in FORMATS:
        for name in names:
            if name.lower() == format.lower():
                return str(name)
    raise UnsupportedFormat(f"samples are read from {', '.join(FORMATS)}; the backend writes {names}")


def build_graph(
    points: Sequence[Point], temporal_extent: Sequence[str], source: Source, format: str = "CSV"
) -> Json:
    """Build a process graph that samples one sensor's bands and flags, as they are stored, at points.

    The mean over the one pixel that a point is in: all backends know that reducer.

    Parameters
    ----------
    points : sequence of Point
        Close to each other: some backends load all that is between them.
    temporal_extent : (start, end)
        Left-closed.
    source : Source
        From `find_source`, or one of `udps.deployments`.
    format : str
        Of the result, out of FORMATS.
    """
    loaded = PGNode(
        "load_collection",
        id=source.collection,
        spatial_extent=extent(list(points)),
        temporal_extent=list(temporal_extent),
        bands=list(_names(source)),
    )
    mean = PGNode("mean", data={"from_parameter": "data"})
    sampled = PGNode(
        "aggregate_spatial",
        data=loaded,
        geometries=geojson(list(points)),
        reducer={"process_graph": mean.flat_graph()},
    )
    graph: Json = PGNode("save_result", data=sampled, format=format, options={}).flat_graph()
    return graph


def read_result(file: Path, source: Source, count: int) -> pa.Table:
    """Read what a backend made of `build_graph`: columns `t`, `point`, and one per label.

    Parameters
    ----------
    file : Path
        CSV or Parquet with a row per date and point (`date,feature_index,<band>,...`; bands by name, or as
        `avg(band_0)`, ... by position), or netCDF with a variable per band.
    source : Source
        What was asked for.
    count : int
        How many points were asked for.

    Raises
    ------
    UnsupportedFormat, InvalidCube, MissingBands
        The file is of another format, or its columns are others than these.
    """
    table = _read(file)
    point = _column(table, ("feature_index", "geometry", "feature"))
    date = _column(table, ("date", "t", "time"))
    labels = {label: name for name, label in _names(source).items()}
    columns = {label: _band(table, place, name) for place, (label, name) in enumerate(labels.items())}
    place = np.asarray(table[point].cast(pa.int64()).to_numpy())
    if len(place) and (place.min() < 0 or place.max() >= count):
        raise InvalidCube(f"{file.name} has points {place.min()} to {place.max()}, asked for were {count}")
    return pa.table({"t": _dates(table[date]), "point": place, **columns})


def observations(table: pa.Table, sensor: str, source: Source, points: int) -> cubes.SensorArrays:
    """Return what a sensor observed at points: masked by its flags as the processes do it, y = 1, x = points.

    Raises
    ------
    InvalidCube
        The values are evidently not scaled as `source` says, or flags are means of several pixels.
    """
    labels = [*source.bands, *source.flags]
    dates, step = np.unique(table["t"].to_numpy(), return_inverse=True)
    # Two rows of one date and point (swaths, tiles that overlap) go to steps of their own.
    turn = _repetition(step * points + table["point"].to_numpy())
    values = np.full((turn.max(initial=0) + 1, len(dates), len(labels), points), np.nan, np.float32)
    for place, label in enumerate(labels):
        column = table[label].to_numpy().astype(np.float64)
        if label in source.flags:
            _require_whole(column, label)
        else:
            column = column * source.scale + source.offset
        values[turn, step, place, table["point"].to_numpy()] = column
    stacked = values.reshape(-1, len(labels), 1, points)
    coords = {"t": np.tile(dates, len(values)), "bands": labels}
    cube = xr.DataArray(stacked, dims=cubes.DIMS, coords=coords)
    arrays = cubes.sensor_arrays(cube, sensor, FUSED_BANDS[sensor])
    _require_light(arrays, sensor, source)
    return arrays


def _names(source: Source) -> dict[str, str]:
    """By the collection's name: the label of every band that is asked for."""
    return {name: label for label, name in {**source.bands, **source.flags}.items()}


def _repetition(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many earlier entries are equal."""
    order = np.argsort(cells, kind="stable")
    ranked = cells[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(cells) else np.empty(0, np.int64)
    lengths = np.diff(np.r_[starts, len(cells)])
    turn = np.empty(len(cells), np.int64)
    turn[order] = np.arange(len(cells)) - np.repeat(starts, lengths)
    return turn


def _require_whole(flags: NDArray[np.float64], label: str) -> None:
    known = flags[np.isfinite(flags)]
    if (np.abs(known - np.round(known)) > 1e-3).any():
        raise InvalidCube(
            f"{label} holds {known[known != np.round(known)][0]}, flags are whole numbers: the backend took "
            "the mean of several pixels; sample a collection at its own resolution"
        )


def _require_light(arrays: cubes.SensorArrays, sensor: str, source: Source) -> None:
    """Refuse values that were scaled twice, of which a few points' few days are enough to be sure."""
    seen = arrays.values[arrays.valid]
    if len(seen) >= _ENOUGH and np.quantile(seen, 0.99) < _DARKEST:
        raise InvalidCube(
            f"reflectance of {sensor} must be 0-1, 99 % of it is below {np.quantile(seen, 0.99):.2g}: scaled "
            f"twice? with the scale {source.scale:g} of {source.collection!r}; give its scale, or 1"
        )


def _read(file: Path) -> pa.Table:
    suffix = file.suffix.lower()
    if suffix == ".csv":
        options = pyarrow.csv.ConvertOptions(null_values=_MISSING, strings_can_be_null=True)
        return pyarrow.csv.read_csv(file, convert_options=options)
    if suffix in (".parquet", ".geoparquet"):
        return pq.read_table(file)
    if suffix in (".nc", ".netcdf"):
        with xr.open_dataset(file) as opened:
            frame = opened.load().reset_coords().to_dataframe().reset_index()
        return pa.Table.from_pandas(frame, preserve_index=False)
    raise UnsupportedFormat(f"{file.name}: samples are read from {', '.join(FORMATS)}")


def _column(table: pa.Table, names: Sequence[str]) -> str:
    for name in names:
        if name in table.column_names:
            return name
    raise InvalidCube(f"a table of samples needs a column {' or '.join(names)}, it has {table.column_names}")


def _band(table: pa.Table, place: int, name: str) -> pa.ChunkedArray:
    wanted = (name, f"avg({name})", f"mean({name})", f"avg(band_{place})", f"band_{place}")
    for column in wanted:
        if column in table.column_names:
            return table[column].cast(pa.float64())
    raise MissingBands(f"the samples have no band {name!r}; they have {table.column_names}")


def _dates(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As timestamps without a zone."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = column.cast(pa.string())
        return pc.strptime(pc.utf8_slice_codeunits(texts, 0, 10), format="%Y-%m-%d", unit="ns")
    if pa.types.is_timestamp(column.type) and column.type.tz:
        column = pc.local_timestamp(pc.cast(column, pa.timestamp("ns", tz="UTC")))
    return column.cast(pa.timestamp("ns"))
