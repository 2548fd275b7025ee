"""How much one process may make of little: refused before the memory is taken.

A result that is as large as an argument is the data's size, which tiles keep small; what is limited here is
what grows by the graph alone: repetitions, fine resolutions, short periods, outer products, texts. The same
limits hold for everybody, far above what maps need. Lazy arrays are not looked at: their parts are.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json

MOST_VALUES = 2**26
"""Values of an array that a process makes larger than all that it is given."""
MOST_CHARACTERS = 2**20
MOST_PERIODS = 100_000
MOST_PIXELS = 2 * 10**10
"""Of a resampled raster, which is computed tile by tile."""
MOST_PIXELS_A_SIDE = 5_000_000
MOST_PIXELS_AT_ONCE = 2**28
"""Of a resampled raster, where it is computed as a whole."""

_ARITHMETIC = frozenset({"add", "divide", "mod", "multiply", "power", "subtract"})


def require_affordable(process_id: str, arguments: Json) -> None:
    """Raise InvalidParameter where the result of a process would be much larger than what it is given."""
    check = _CHECKS.get(process_id)
    if check is not None:
        check(arguments)
    if process_id in _ARITHMETIC and any(map(_is_no_number, arguments.values())):
        # Python and numpy repeat, join and format texts and lists by the same signs.
        raise InvalidParameter(f"{process_id} takes numbers, not texts or lists")
    given = [value for value in arguments.values() if isinstance(value, np.ndarray | xr.DataArray)]
    if len(given) > 1 and not any(isinstance(value, xr.DataArray) and value.chunks for value in given):
        require_values(process_id, _outer(given), max(value.size for value in given))


def require_values(process_id: str, count: float, given: int = 0) -> None:
    """Raise InvalidParameter when a process would make too many values of `given` ones."""
    if count > max(MOST_VALUES, given):
        raise InvalidParameter(
            f"{process_id} would make an array of {count:.3g} values; at most {MOST_VALUES} are made where "
            "no argument has as many"
        )


def require_periods(count: float) -> None:
    """Raise InvalidParameter when time would be cut into too many periods."""
    if count > MOST_PERIODS:
        raise InvalidParameter(
            f"aggregate_temporal_period would make {count:.3g} periods; at most {MOST_PERIODS} are made: "
            "choose longer ones, or fewer dates"
        )


def require_raster(rows: float, columns: float) -> None:
    """Raise InvalidParameter when a raster would have too many pixels, or more along a side."""
    # In this order NaN is refused, too.
    if not (max(rows, columns) <= MOST_PIXELS_A_SIDE and rows * columns <= MOST_PIXELS):
        raise InvalidParameter(
            f"resample_spatial would make {rows:.3g} x {columns:.3g} pixels; at most {MOST_PIXELS} are made, "
            f"and {MOST_PIXELS_A_SIDE} along a side: choose a coarser resolution"
        )


def require_raster_at_once(rows: int, columns: int) -> None:
    """Raise InvalidParameter when a raster has too many pixels to be computed as a whole."""
    if rows * columns > MOST_PIXELS_AT_ONCE:
        raise InvalidParameter(
            f"resampling would make {rows} x {columns} pixels at once, because the graph cannot run tile by "
            f"tile; at most {MOST_PIXELS_AT_ONCE} are made: choose a coarser resolution or a smaller area"
        )


def _repeated(arguments: Json) -> None:
    data, repeat = arguments.get("data"), arguments.get("repeat", 1)
    times = math.prod(float(number) for number in np.atleast_1d(1 if repeat is None else repeat))
    require_values("array_create", _size(data) * times, _size(data))


def _joined(arguments: Json) -> None:
    sizes = [_size(arguments.get(name)) for name in ("array1", "array2", "data", "value")]
    require_values("joining arrays", sum(sizes))


def _quantiles(arguments: Json) -> None:
    asked = arguments.get("q"), arguments.get("probabilities")
    for count in (number for number in asked if isinstance(number, int | float)):
        require_values("quantiles", count * max(1, _size(arguments.get("data"))))


def _text(arguments: Json) -> None:
    data = arguments.get("data")
    texts = [str(arguments.get("separator", ""))] * len(data) if isinstance(data, list) else []
    texts += [item for item in data if isinstance(item, str)] if isinstance(data, list) else []
    if sum(map(len, texts)) > MOST_CHARACTERS:
        raise InvalidParameter(f"text_concat would make a text of more than {MOST_CHARACTERS} characters")


_CHECKS: dict[str, Callable[[Json], None]] = {
    "array_append": _joined,
    "array_concat": _joined,
    "array_create": _repeated,
    "quantiles": _quantiles,
    "text_concat": _text,
}


def _is_no_number(value: Any) -> bool:  # noqa: ANN401 - any argument
    return isinstance(value, str | list) or getattr(getattr(value, "dtype", None), "kind", "f") in "USO"


def _size(value: Any) -> int:  # noqa: ANN401 - any argument
    return 0 if value is None else int(np.prod(np.shape(value), dtype=np.float64))


def _outer(given: "list[np.ndarray[Any, Any] | xr.DataArray]") -> float:
    """How many values arrays have that are brought to one shape, by names or by places."""
    sizes: dict[Any, int] = {}
    for array in given:
        names = array.dims if isinstance(array, xr.DataArray) else range(-array.ndim, 0)
        for name, size in zip(names, array.shape, strict=True):
            sizes[name] = max(sizes.get(name, 1), size)
    if any(isinstance(array, xr.DataArray) for array in given):
        sizes = {name: size for name, size in sizes.items() if isinstance(name, str)}
    return math.prod(map(float, sizes.values()))
