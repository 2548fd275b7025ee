"""The index of a collection: its layers arranged as one cube of dates, bands and pixels."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from openeo_udf_fusion.errors import InvalidCollection
from openeo_udf_fusion.local.grids import Grid, nearest_index
from openeo_udf_fusion.local.readers.dates import Dates
from openeo_udf_fusion.local.readers.layers import Indices, Layer, LayerCube, Placed
from openeo_udf_fusion.sensors import SENSORS

# Below this ratio two grids are the same one shifted; nearest would then move pixels by up to half of one.
_COARSER = 1.5


@dataclass(frozen=True, eq=False)
class Index:
    """One cube's worth of layers.

    Attributes
    ----------
    grid : Grid
        The finest grid.
    dates : ndarray, datetime64[ns], (t,)
        Ascending. A date that one band has twice is there twice, in the order of the files.
    bands : dict of str to tuple of Placed
        The layers of each band, each with its place on the grid.
    notes : tuple of str
        What the files hold and the cube does not, and why.
    """

    grid: Grid
    dates: Dates
    bands: dict[str, tuple[Placed, ...]]
    notes: tuple[str, ...]

    def cube(self, bands: list[str]) -> LayerCube:
        """The lazy array (t, bands, y, x) of some bands, in that order."""
        placed: list[Placed] = []
        source = np.full((len(bands), len(self.dates)), -1, np.intp)
        step = np.zeros_like(source)
        for row, label in enumerate(bands):
            for date, number, position in self._slots(label, len(placed)):
                source[row, date], step[row, date] = number, position
            placed += self.bands[label]
        return LayerCube(placed, self.dates, source, step, self.grid.shape)

    def _slots(self, label: str, first: int) -> Iterable[tuple[Indices, int, Indices]]:
        """For each layer of a band: places on the time axis, the layer's number, steps inside the layer."""
        taken: defaultdict[np.datetime64, int] = defaultdict(int)
        for number, placed in enumerate(self.bands[label], first):
            layer = placed.layer
            if layer.dates is None:
                yield np.arange(len(self.dates)), number, np.zeros(len(self.dates), np.intp)
                continue
            places = np.searchsorted(self.dates, layer.dates)
            for position, date in enumerate(layer.dates):
                places[position] += taken[date]
                taken[date] += 1
            yield places, number, np.arange(len(places))


def arrange(layers: list[Layer], notes: list[str], where: str) -> Index:
    """The index of all layers of one collection.

    A band that files offer on several grids is taken from the finest; a band on a coarser grid than the
    others is brought onto the finest by nearest neighbour.

    Raises
    ------
    InvalidCollection
        There is no band, no date, or the grids do not fit onto each other.
    """
    if not layers:
        reasons = "; ".join(notes) or "the files are empty"
        raise InvalidCollection(f"{where} has no band that a cube can hold: {reasons}")
    bands = _ordered(_without_coarser_copies(_without_clashes(layers), notes))
    grid = min((layer.grid for group in bands.values() for layer in group), key=_cell_area)
    placed = {label: tuple(_place(layer, grid) for layer in group) for label, group in bands.items()}
    return Index(grid, _all_dates(bands, where), placed, tuple(dict.fromkeys(notes)))


def _without_clashes(layers: list[Layer]) -> list[Layer]:
    """Two names of one file never share a label: the first keeps it, the others stay as they are."""
    kept, owner = [], dict[tuple[object, str], str]()
    for layer in layers:
        first = owner.setdefault((layer.file, layer.label), layer.name)
        kept.append(layer if first == layer.name else replace(layer, label=layer.name))
    return kept


def _without_coarser_copies(layers: list[Layer], notes: list[str]) -> dict[str, list[Layer]]:
    groups: defaultdict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        groups[layer.label].append(layer)
    for label, group in groups.items():
        finest = min(_cell_area(layer.grid) for layer in group)
        coarse = [layer for layer in group if _cell_area(layer.grid) > finest * _COARSER**2]
        if coarse:
            notes.append(f"{label}: the copy in {_named(coarse)} is coarser than that in another file")
            groups[label] = [layer for layer in group if layer not in coarse]
    return groups


def _ordered(groups: dict[str, list[Layer]]) -> dict[str, tuple[Layer, ...]]:
    """Known bands first, as the sensors have them; then the others as they come."""
    known = [f"{sensor.id}_{band.name}" for sensor in SENSORS.values() for band in sensor.bands]
    labels = [label for label in known if label in groups]
    labels += [label for label in groups if label not in labels]
    return {label: tuple(groups[label]) for label in labels}


def _all_dates(bands: dict[str, tuple[Layer, ...]], where: str) -> Dates:
    """Every date as often as the band has it that has it most often."""
    often: defaultdict[np.datetime64, int] = defaultdict(int)
    none = np.empty(0, "datetime64[ns]")
    for group in bands.values():
        dated = [layer.dates for layer in group if layer.dates is not None]
        for date, count in zip(*np.unique(np.concatenate([none, *dated]), return_counts=True), strict=True):
            often[date] = max(often[date], int(count))
    if not often:
        raise InvalidCollection(
            f"{where}: no file has a date; put one into the file names (2022-01-31) "
            f'or {{"date": "2022-01-31"}} into collection.json'
        )
    dates = np.array(sorted(often), "datetime64[ns]")
    return np.repeat(dates, [often[date] for date in dates])


def _place(layer: Layer, grid: Grid) -> Placed:
    if layer.grid is grid or layer.grid.matches(grid):
        return Placed(layer, None, None)
    coarser = not _cell_area(layer.grid) <= _cell_area(grid) * _COARSER**2
    under = nearest_index(layer.grid, grid) if coarser else None
    if under is None:
        raise InvalidCollection(
            f"{layer.file.name} ({_described(layer.grid)}) does not fit onto the finest grid of the "
            f"collection ({_described(grid)}); "
            "bring the files onto one grid, or put them into collections of their own"
        )
    return Placed(layer, *under)


def _cell_area(grid: Grid) -> float:
    area = float(np.prod(grid.resolution))
    return np.inf if np.isnan(area) else area


def _described(grid: Grid) -> str:
    rows, columns = grid.shape
    width, height = grid.resolution
    return f"{rows} x {columns} pixels of {width:.6g} x {height:.6g}, {grid.crs.to_string()[:60]}"


def _named(layers: list[Layer]) -> str:
    return ", ".join(sorted({layer.file.name for layer in layers})[:5])
