"""The only place that turns xarray cubes into arrays and back: dimensions, bands, dates.

Inside a process a cube is (t, bands, y, x); whatever else a cube carries is not lost on the way.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion import quality_flags, sensors
from openeo_udf_fusion.errors import InvalidCube, MissingBands
from openeo_udf_fusion.periods import Days

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]
DayNumbers = NDArray[np.int32]

DIMS = ("t", "bands", "y", "x")
_SYNONYMS = {
    "t": ("time", "times", "timestamp", "date"),
    "bands": ("band", "variable"),
    "y": ("lat", "latitude", "northing"),
    "x": ("lon", "longitude", "easting"),
}
_SAMPLE = 30_000
_FEW = 1000
_LARGEST_MEDIAN_REFLECTANCE = 2.0
_LONGEST_COMPOSITE_DAYS = 32
_SMALLEST_HIGH_REFLECTANCE = 1e-3


class SensorArrays(NamedTuple):
    """One sensor's values and valid (t, bands, y, x), and days (t,) or (t, y, x) since 1970-01-01."""

    values: Values
    valid: Mask
    days: DayNumbers


def canonical(cube: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return the cube as (t, bands, y, x) with known labels, in memory; no value is changed or copied.

    Bands may be a dimension or variables; `time` may stand for `t`; a cube without y or x (a single series)
    gets them with size 1; labels are those of the alias table where it knows them.

    Raises
    ------
    InvalidCube
        If dates or bands are missing, a dimension is unknown, the cube is empty, or holds no numbers.
    """
    array = _stacked(cube) if isinstance(cube, xr.Dataset) else cube
    array = array.rename(
        {dim: name for name, others in _SYNONYMS.items() for dim in array.dims if dim in others}
    )
    array = array.expand_dims([dim for dim in ("y", "x") if dim not in array.dims])
    if set(array.dims) != set(DIMS) or "t" not in array.coords or "bands" not in array.coords:
        raise InvalidCube(
            "a cube needs the dimensions t (with dates) and bands (with labels), beside y and x; "
            f"this one has {dict(cube.sizes)} with coordinates {[str(name) for name in cube.coords]}"
        )
    if 0 in array.shape:
        raise InvalidCube(f"the cube is empty: {dict(array.sizes)}; widen its extent")
    if array.dtype.kind not in "fiu":
        raise InvalidCube(f"a cube holds numbers, preferably float32; this one is {array.dtype}")
    if array["t"].dtype.kind != "M":
        raise InvalidCube(f"the dates along t must be datetime64, got {array['t'].dtype}")
    if np.isnat(array["t"].values).any():
        raise InvalidCube("every date along t must be known, the cube has NaT among them; drop those steps")
    labels = [sensors.canonical_label(str(label)) or str(label) for label in array["bands"].values]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise InvalidCube(f"each band may appear once, the cube repeats {repeated}")
    # A lazy cube would be computed anew for every band that is read.
    return array.assign_coords(bands=labels).transpose(*DIMS).compute()


def _stacked(dataset: xr.Dataset) -> xr.DataArray:
    """Turn variables into bands; those of fewer dimensions (a CRS, the bounds of dates) are none."""
    most = max((variable.ndim for variable in dataset.data_vars.values()), default=0)
    bands = [name for name, variable in dataset.data_vars.items() if variable.ndim == most]
    return dataset[bands].to_dataarray("bands") if most else xr.DataArray(np.empty(0), dims="bands")


def days_of(cube: xr.DataArray) -> Days:
    """Return the dates of a canonical cube as datetime64[D]."""
    dates: Days = cube["t"].values.astype("datetime64[D]")
    return dates


def day_numbers(days: NDArray[np.datetime64]) -> DayNumbers:
    """Return dates as days since 1970-01-01."""
    return days.astype("datetime64[D]").astype(np.int64).astype(np.int32)


def days_seen(cube: xr.DataArray, sensor: str) -> Days:
    """Return the dates on which a sensor has any value in a canonical cube; all dates where it has none."""
    own = [str(label) for label in cube["bands"].values if str(label).startswith(f"{sensor}_")]
    there = np.isfinite(cube.sel(bands=own).values).any((1, 2, 3))
    days = days_of(cube)
    return days[there] if there.any() else days


def sensors_in(cube: xr.DataArray, bands: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the sensors of which a canonical cube has at least one of the named bands.

    Raises
    ------
    MissingBands
        If it has none at all.
    """
    labels = set(cube["bands"].values.tolist())
    wanted = {
        sensor: [f"{sensor}_{name}" for name in names] + [_stand_in(f"{sensor}_{name}") for name in names]
        for sensor, names in bands.items()
    }
    found = [sensor for sensor, names in wanted.items() if labels & set(names)]
    if not found:
        needed = " or ".join(f"{sensor}_{names[0]}..{names[-1]}" for sensor, names in bands.items())
        raise MissingBands(
            f"needed are bands of {' or '.join(bands)} ({needed}), the cube has {sorted(labels)}; "
            "rename them with cube.rename_labels('bands', ...)"
        )
    return found


def sensor_arrays(cube: xr.DataArray, sensor: str, bands: Sequence[str]) -> SensorArrays:
    """Return the observations of one sensor in a canonical cube, masked by whatever QA the cube carries.

    Parameters
    ----------
    cube : DataArray
        From `canonical`.
    sensor : str
        Id of the sensor.
    bands : sequence of str
        Names of its reflectance bands, in the order wanted; one that the cube lacks is nowhere valid.

    Returns
    -------
    SensorArrays
        Values outside the range of a valid reflectance, nodata, NaN, clouds and bad inversions are not valid.

    Raises
    ------
    InvalidCube
        If the reflectances are evidently not scaled to 0-1.
    """
    labels = _labels_of(cube, sensor, bands)
    values = _stack(cube, labels)
    lowest, highest = sensors.VALID_REFLECTANCE
    _check_scaled(values, sensor)
    valid = (values >= lowest) & (values <= highest)
    nodata = cube.attrs.get("nodata", cube.attrs.get("_FillValue"))
    if nodata is not None and lowest <= float(nodata) <= highest:
        valid &= values != np.float32(nodata)
    _apply_flags(valid, cube, sensor, labels)
    return SensorArrays(values, valid, _acquisition_days(cube, sensor))


def band_arrays(cube: xr.DataArray, sensor: str | None, labels: Sequence[str]) -> SensorArrays:
    """Return the observations of any bands in a canonical cube, masked by whatever QA the cube carries.

    Parameters
    ----------
    cube : DataArray
        From `canonical`.
    sensor : str, optional
        Id of the sensor whose flags and acquisition days count for these bands; None where there is none.
    labels : sequence of str
        Labels of bands that the cube has, in the order wanted.

    Returns
    -------
    SensorArrays
        NaN, nodata, clouds and bad inversions are not valid; of reflectance bands values outside its range
        neither. Other bands may have any values in any unit.

    Raises
    ------
    InvalidCube
        If reflectances are evidently not scaled to 0-1.
    """
    values = _stack(cube, labels)
    valid = np.isfinite(values)
    nodata = cube.attrs.get("nodata", cube.attrs.get("_FillValue"))
    if nodata is not None:
        valid &= values != np.float32(nodata)
    reflectance = [place for place, label in enumerate(labels) if is_reflectance(label)]
    if reflectance:
        lowest, highest = sensors.VALID_REFLECTANCE
        own = values if len(reflectance) == len(labels) else values[:, reflectance]
        _check_scaled(own, sensor or "the cube")
        valid[:, reflectance] &= (own >= lowest) & (own <= highest)
    if sensor is None:
        return SensorArrays(values, valid, day_numbers(days_of(cube)))
    _apply_flags(valid, cube, sensor, labels)
    return SensorArrays(values, valid, _acquisition_days(cube, sensor))


def is_reflectance(label: str) -> bool:
    """Return whether a label is that of a known band of reflectance."""
    found = sensors.band_of(label)
    return found is not None and found[1].kind == "reflectance"


def _stand_in(label: str) -> str:
    return sensors.STAND_INS.get(label, label)


def _labels_of(cube: xr.DataArray, sensor: str, bands: Sequence[str]) -> list[str]:
    """Return the label of each band, or of its stand-in where the cube has only that."""
    labels = set(cube["bands"].values.tolist())
    wanted = [f"{sensor}_{name}" for name in bands]
    return [label if label in labels else _stand_in(label) for label in wanted]


def _stack(cube: xr.DataArray, wanted: Sequence[str]) -> Values:
    """Return the bands of these labels as float32: a view where they lie side by side, else a copy."""
    labels = cube["bands"].values.tolist()
    positions = [labels.index(label) if label in labels else -1 for label in wanted]
    if positions[0] >= 0 and positions == list(range(positions[0], positions[0] + len(positions))):
        selected = cube.values[:, positions[0] : positions[-1] + 1]
        return selected.astype(np.float32, copy=False)
    source = cube.values
    stacked = np.full((source.shape[0], len(wanted), *source.shape[2:]), np.nan, np.float32)
    for place, position in enumerate(positions):
        if position >= 0:
            stacked[:, place] = source[:, position]
    return stacked


def _check_scaled(values: Values, sensor: str) -> None:
    """Refuse stored integers, and values that were scaled twice; a sample tells."""
    sample = _plausible(values.flat[:: max(1, values.size // _SAMPLE)])
    if sample.size < _FEW:  # a small area in a tile filled up to full size
        sample = _plausible(values.reshape(-1))
    if sample.size and np.median(sample) > _LARGEST_MEDIAN_REFLECTANCE:
        raise InvalidCube(
            f"reflectance of {sensor} must be 0-1, its median is {np.median(sample):.4g}: stored integers? "
            "apply scale and offset first, e.g. cube * 0.0001, or give the process's scale parameter"
        )
    if sample.size >= _FEW and 0 < np.quantile(sample, 0.99) < _SMALLEST_HIGH_REFLECTANCE:
        raise InvalidCube(
            f"reflectance of {sensor} must be 0-1, 99 % of it is below {np.quantile(sample, 0.99):.2g}: "
            "scaled twice? this collection holds reflectance already, so set the process's scale to 1"
        )


def _plausible(values: Values) -> Values:
    return values[np.isfinite(values) & (values > sensors.VALID_REFLECTANCE[0])]


def _apply_flags(valid: Mask, cube: xr.DataArray, sensor: str, labels: Sequence[str]) -> None:
    """Clear `valid` in place where the QA bands that the cube carries say so."""
    prefix = f"{sensor}_"
    flags = {
        label.removeprefix(prefix): cube.values[:, place]
        for place, label in enumerate(cube["bands"].values.tolist())
        if label.startswith(prefix)
    }
    clear = quality_flags.clear(sensor, flags)
    if clear is not None:
        valid &= clear[:, None]
    for place, label in enumerate(labels):
        quality = f"quality_{label.removeprefix(prefix)}"
        if quality in flags:
            valid[:, place] &= quality_flags.nbar_good(flags[quality])


def _acquisition_days(cube: xr.DataArray, sensor: str) -> DayNumbers:
    """Return days since 1970-01-01 per date, or per date and pixel where a composite tells them."""
    dates = days_of(cube)
    numbers = day_numbers(dates)
    label = f"{sensor}_day_of_year"
    if label not in cube["bands"].values:
        return numbers
    stored = cube.sel(bands=label).values
    missing = ~((stored >= 1) & (stored <= 366))
    day_of_year = np.where(missing, 1, stored).astype(np.int32)
    # A composite may reach into the next year, or, labelled by its end, back into the last one.
    years = dates.astype("datetime64[Y]")
    near = day_numbers(np.stack([years - 1, years, years + 1]))
    days = near[:, :, None, None] + day_of_year - 1  # (year t y x)
    step = numbers[:, None, None]
    nearest = np.take_along_axis(days, np.abs(days - step).argmin(0)[None], 0)[0]
    unlikely = missing | (np.abs(nearest - step) > _LONGEST_COMPOSITE_DAYS)
    return np.where(unlikely, step, nearest).astype(np.int32)


def at_labels(arrays: SensorArrays, cube: xr.DataArray) -> SensorArrays:
    """Return the same observations at the dates that label them, whatever day a composite took each on."""
    return arrays._replace(days=day_numbers(days_of(cube)))


def on_days(arrays: SensorArrays, wanted: DayNumbers) -> tuple[Values, Mask]:
    """Return what was observed on each wanted day: (day, bands, y, x); the mean where a day has several.

    Parameters
    ----------
    arrays : SensorArrays
        One sensor's observations.
    wanted : (day,) int32
        Ascending days since 1970-01-01, without repetitions.
    """
    shape = (len(wanted), *arrays.values.shape[1:])
    total, count = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    place = np.minimum(np.searchsorted(wanted, arrays.days), len(wanted) - 1)
    found = wanted[place] == arrays.days
    for step in np.flatnonzero(found.reshape(len(found), -1).any(1)):
        valid = arrays.valid[step]
        values = np.where(valid, arrays.values[step], np.float32(0))
        if arrays.days.ndim == 1:
            total[place[step]] += values
            count[place[step]] += valid
        else:
            rows, columns = np.nonzero(found[step])
            days = place[step][rows, columns]
            total[days, :, rows, columns] += values[:, rows, columns].T
            count[days, :, rows, columns] += valid[:, rows, columns].T
    if count.max(initial=0) > 1:
        total /= np.maximum(count, 1)
    return total, count > 0


def assemble(layers: Mapping[str, Values], dates: Days, like: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return a cube (t, bands, y, x) of the given layers, with everything of `like` but its dates and bands.

    Parameters
    ----------
    layers : mapping of label to (t, y, x) array
        The bands in their order.
    dates : datetime64[D] array
        The dates along t.
    like : DataArray or Dataset
        The cube as it came in: its names of dimensions, y and x coordinates and CRS are kept as they are.
    """
    names = {dim: next((str(own) for own in like.dims if own in _SYNONYMS[dim]), dim) for dim in DIMS}
    spatial = [names[dim] for dim in ("y", "x") if names[dim] in like.dims]
    first = next(iter(layers.values()))
    values = np.empty((len(first), len(layers), *first.shape[1:]), np.float32)
    for place, layer in enumerate(layers.values()):
        values[:, place] = layer
    values = values.reshape(values.shape[:2] + tuple(like.sizes[dim] for dim in spatial))
    kept = {
        name: coord for name, coord in like.coords.items() if set(coord.dims) <= set(spatial) and name != "t"
    }
    coords = {**kept, names["t"]: dates.astype("datetime64[ns]"), names["bands"]: list(layers)}
    return xr.DataArray(values, dims=(names["t"], names["bands"], *spatial), coords=coords)
