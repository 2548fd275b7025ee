"""Gives a UDF what a production backend gives it, chunk by chunk, and makes one cube of what it returns.

A chunk is float32 with dims (t, bands, y, x) or (bands, y, x); x and y are pixel centres as float32; it has
no CRS. Chunks that reach over the edge of the data are filled up with NaN, so that all have one size.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import xarray as xr
from dask.delayed import delayed
from numpy.typing import NDArray

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.local.geometry import crs_of
from openeo_udf_fusion.local.regions import Box, tiles
from openeo_udf_fusion.local.udf.calls import UdfCall
from openeo_udf_fusion.local.udf.runner import UdfRunner

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Region:
    """Where the input of a UDF lies in the whole raster.

    Attributes
    ----------
    given : Box
        The pixels that the input cube has.
    wanted : Box
        The pixels that the result must cover, on the input's grid.
    whole : Box
        All pixels there are.
    """

    given: Box
    wanted: Box
    whole: Box


@dataclass(frozen=True)
class Layout:
    """What all results of a UDF have in common.

    Attributes
    ----------
    dates : ndarray of datetime64[ns] or None
        None where the result has no dimension t.
    bands : list of str or None
        None where it has no dimension bands.
    ratio : Fraction
        Pixels of the result per pixel of the input, along each side.
    """

    dates: NDArray[np.datetime64] | None
    bands: list[str] | None
    ratio: Fraction

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the result, in order."""
        return (
            *(["t"] if self.dates is not None else []),
            *(["bands"] if self.bands is not None else []),
            "y",
            "x",
        )

    def same_as(self, other: "Layout") -> bool:
        """Whether two chunks fit together."""
        return (
            self.dims == other.dims
            and self.bands == other.bands
            and self.ratio == other.ratio
            and (self.dates is None or np.array_equal(self.dates, other.dates))  # type: ignore[arg-type]
        )


def apply_udf(
    cube: xr.DataArray, call: UdfCall, region: Region, runner: UdfRunner
) -> tuple[xr.DataArray, Fraction]:
    """Run a UDF over a cube.

    Parameters
    ----------
    cube
        dims out of t, bands, y, x; in memory, or dask arrays, in which case the result is lazy but for
        its first chunk (which tells its dates, bands and resolution).
    call
        what the graph asks for.
    region
        which pixels `cube` has and which are wanted.
    runner
        where the code runs.

    Returns
    -------
    cube : DataArray
        float32, over `region.wanted` without spatial coordinates.
    ratio : Fraction
        pixels of the result per pixel of the input, along each side.

    Raises
    ------
    InvalidCube
        The UDF returned wrong dims or sizes, or other dates or bands for one chunk than for another.
    UdfFailed
    """
    chunker = _Chunker(cube, call, region, runner)
    result = chunker.lazy() if cube.chunks is not None else chunker.eager()
    return result, _known(chunker.layout).ratio


def canonical(cube: xr.DataArray) -> xr.DataArray:
    """The cube as float32 with dims in the order t, bands, y, x; those it lacks stay away, bands is added."""
    strange = set(cube.dims) - {"t", "bands", "y", "x"}
    if strange or not {"y", "x"} <= set(cube.dims):
        raise InvalidCube(f"a UDF needs a cube with the dimensions t, bands, y, x; this one has {cube.dims}")
    if "bands" not in cube.dims:
        cube = cube.expand_dims("bands")
    order = [dim for dim in ("t", "bands", "y", "x") if dim in cube.dims]
    return cube.transpose(*order).astype(np.float32)


class _Chunker:
    """Cuts one cube into chunks, runs the UDF on each, checks what comes back."""

    def __init__(self, cube: xr.DataArray, call: UdfCall, region: Region, runner: UdfRunner) -> None:
        self.call = call
        self.region = region
        self.runner = runner
        self.had_bands = "bands" in cube.dims
        self.cube = canonical(cube)
        self.labels = [str(label) for label in cube["bands"].values] if "bands" in cube.coords else []
        self.promised = runner.promised_bands(call.code, self.labels, call.context) if self.labels else None
        self.epsg: int | None = crs_of(cube).to_epsg()
        self.layout: Layout | None = None
        self.attrs: dict[Hashable, Any] = {}

    # --- which pixels

    def cores(self) -> list[Box]:
        """The chunks without their margins, in pixels of the whole raster, row by row."""
        wanted, size = self.region.wanted, self.call.size_px
        if size is None:
            return [wanted]
        aligned = wanted.aligned(*size)
        return [core.shifted(aligned.y0, aligned.x0) for core in tiles(aligned.shape, size)]

    def scaled(self, box: Box) -> Box:
        """A box of the input on the grid of the result."""
        return box.scaled(_known(self.layout).ratio)

    # --- the two ways

    def eager(self) -> xr.DataArray:
        """Run every chunk now."""
        values: Float = self.cube.values
        wanted, out = self.region.wanted, np.empty(0, np.float32)
        for core in self.cores():
            result = self.run(core, values, self.region.given)
            target = self.scaled(wanted)
            if not out.ndim > 1:
                out = np.empty((*result.shape[:-2], *target.shape), np.float32)
            place = self.scaled(core.clipped(wanted)).relative_to(target)
            out[..., place.rows, place.columns] = result
        return self.labelled(out)

    def lazy(self) -> xr.DataArray:
        """Run the first chunk, which tells dates, bands and resolution; leave the others to dask."""
        blocks: dict[int, list[Any]] = {}
        lead: tuple[int, ...] = ()
        for core in self.cores():
            needed = core.grown(*self.call.overlap_px).clipped(self.region.given)
            part = needed.relative_to(self.region.given)
            values = self.cube.data[..., part.rows, part.columns]
            if self.layout is None:
                first = self.run(core, values.compute(), needed)
                block = dask.array.from_array(first)  # type: ignore[no-untyped-call]
            else:
                shape = (*lead, *self.scaled(core.clipped(self.region.wanted)).shape)
                later = delayed(self.run)(core, values, needed)
                block = dask.array.from_delayed(later, shape, np.float32)  # type: ignore[no-untyped-call]
            lead = block.shape[:-2]
            blocks.setdefault(core.y0, []).append(block)
        join = dask.array.concatenate
        rows = [join(row, axis=-1) for row in blocks.values()]  # type: ignore[no-untyped-call]
        return self.labelled(join(rows, axis=-2))  # type: ignore[no-untyped-call]

    def labelled(self, values: Any) -> xr.DataArray:  # noqa: ANN401 - numpy or dask array
        layout = _known(self.layout)
        coords = {"t": layout.dates, "bands": layout.bands}
        kept = {name: labels for name, labels in coords.items() if name in layout.dims and labels is not None}
        return xr.DataArray(values, dims=layout.dims, coords=kept, attrs=self.attrs)

    # --- one chunk

    def run(self, core: Box, values: Float, given: Box) -> Float:
        """The result for the wanted part of one chunk, from the pixels `given` of the input."""
        box = core.grown(*self.call.overlap_px)
        chunk = _filled_up(values, given, box)
        coords = self._coords(box)
        if self.call.dates == "all" or "t" not in self.cube.dims:
            if "t" in self.cube.dims:
                coords["t"] = self.cube["t"].values
            layout, result = self.checked(self.ask(chunk, coords, {}), box)
        else:
            layout, result = self.each_date(chunk, coords, box)
        self.settle(layout)
        return self.without_margin(result, core)

    def each_date(self, chunk: Float, coords: dict[str, Any], box: Box) -> tuple[Layout, Float]:
        """Run the UDF on every date alone; the dates stay as they are."""
        results = []
        for date, values in zip(self.cube["t"].values, chunk, strict=True):
            layout, result = self.checked(self.ask(values, coords, {"t": pd.Timestamp(date)}), box)
            self.settle(Layout(self.cube["t"].values, layout.bands, layout.ratio))
            results.append(result)
        return _known(self.layout), np.stack(results)

    def ask(self, values: Float, coords: Mapping[str, Any], attrs: dict[str, Any]) -> xr.DataArray:
        dims = ("t", "bands", "y", "x")[-values.ndim :]
        chunk = xr.DataArray(values, dims=dims, coords=coords, attrs=attrs, name="openEODataChunk")
        result = self.runner.run(self.call.code, chunk, self.call.context, self.epsg)
        if self.layout is None:
            self.attrs = {key: value for key, value in result.attrs.items() if key not in attrs}
        return result

    def _coords(self, box: Box) -> dict[str, Any]:
        coords: dict[str, Any] = {"bands": self.labels} if self.labels else {}
        offsets = {
            "y": (box.y0 - self.region.given.y0, box.shape[0]),
            "x": (box.x0 - self.region.given.x0, box.shape[1]),
        }
        for axis, (offset, count) in offsets.items():
            if axis in self.cube.coords and self.cube.sizes[axis] > 1:
                centres = self.cube[axis].values
                step = (centres[-1] - centres[0]) / (len(centres) - 1)
                coords[axis] = (centres[0] + step * (offset + np.arange(count))).astype(np.float32)
        return coords

    def without_margin(self, result: Float, core: Box) -> Float:
        """Cut the overlap, and what reaches over the wanted pixels, off the result of a chunk."""
        ratio = _known(self.layout).ratio
        outer = self.scaled(core.grown(*self.call.overlap_px))
        if outer.shape != result.shape[-2:]:
            raise InvalidCube(
                f"{self._who()} returned {result.shape[-2:]} pixels for a chunk of "
                f"{core.grown(*self.call.overlap_px).shape}: size and overlap times {ratio} must be whole"
            )
        inner = self.scaled(core.clipped(self.region.wanted)).relative_to(outer)
        return result[..., inner.rows, inner.columns]

    def settle(self, layout: Layout) -> None:
        """Take the layout of the first chunk for all; refuse another one later."""
        if self.layout is None:
            self.layout = layout
        elif not self.layout.same_as(layout):
            raise InvalidCube(
                f"{self._who()} returned {_described(layout)} for one chunk and {_described(self.layout)} "
                "for another; choose regular dates (such as 'P8D' within temporal_extent) and fixed bands"
            )

    # --- what comes back

    def checked(self, result: xr.DataArray, box: Box) -> tuple[Layout, Float]:
        """Check the dims, sizes and labels of one result; dimensions that the parent removes are squeezed."""
        result = self._squeezed(result)
        known = tuple(dim for dim in ("t", "bands", "y", "x") if dim in result.dims)
        if result.dims != known or known[-2:] != ("y", "x"):
            raise InvalidCube(
                f"{self._who()} returned the dimensions {result.dims}; a production backend takes "
                "('t', 'bands', 'y', 'x') or ('bands', 'y', 'x'), in this order: add .transpose(...)"
            )
        ratio = Fraction(result.sizes["y"], box.shape[0])
        if ratio == 0 or ratio != Fraction(result.sizes["x"], box.shape[1]):
            raise InvalidCube(
                f"{self._who()} returned {result.sizes['y']} x {result.sizes['x']} pixels for a chunk of "
                f"{box.shape[0]} x {box.shape[1]}; both sides must change by one ratio"
            )
        if ratio != 1 and self.call.size_px is None:
            raise InvalidCube(
                f"{self._who()} changed the number of pixels; only apply_neighborhood may do that"
            )
        bands = self._bands(result)
        values = (
            result.values if bands is not None or "bands" not in result.dims else result.isel(bands=0).values
        )
        return Layout(self._dates(result), bands, ratio), np.asarray(values, np.float32)

    def _squeezed(self, result: xr.DataArray) -> xr.DataArray:
        gone = [self.call.reduced, "t" if self.call.dates == "each" else None]
        for dim in gone:
            if dim in result.dims:
                if result.sizes[dim] != 1:
                    raise InvalidCube(
                        f"{self._who()} returned {result.sizes[dim]} labels along {dim!r}; "
                        "it must return one, or no such dimension"
                    )
                result = result.isel({dim: 0}, drop=True)
        return result

    def _bands(self, result: xr.DataArray) -> list[str] | None:
        if "bands" not in result.dims:
            return None
        count = result.sizes["bands"]
        returned = [str(label) for label in result["bands"].values] if "bands" in result.coords else None
        if self.promised is not None and (returned or self.promised) != self.promised:
            raise InvalidCube(
                f"{self._who()}: apply_metadata promises the bands {self.promised}, "
                f"apply_datacube returned {returned}"
            )
        labels = returned or self.promised or self.labels
        if len(labels) == count:
            return labels
        if not labels and count == 1 and not self.had_bands:
            return None
        raise InvalidCube(
            f"{self._who()} returned {count} bands without labels, where {len(labels)} are known ({labels}); "
            "give the result a coordinate 'bands', and the UDF an apply_metadata"
        )

    def _dates(self, result: xr.DataArray) -> NDArray[np.datetime64] | None:
        if "t" not in result.dims:
            return None
        if "t" not in result.coords:
            if result.sizes["t"] != self.cube.sizes.get("t"):
                raise InvalidCube(
                    f"{self._who()} changed the number of dates: give the result a coordinate 't'"
                )
            return np.asarray(self.cube["t"].values)
        try:
            dates = np.asarray(pd.DatetimeIndex(result["t"].values).values, "datetime64[ns]")
        except (TypeError, ValueError) as error:
            raise InvalidCube(
                f"{self._who()} returned a coordinate 't' that holds no dates: {error}"
            ) from error
        given = self.cube["t"].values if "t" in self.cube.dims else dates[:0]
        if (dates[1:] < dates[:-1]).any() or not np.isin(_repeated(dates), _repeated(given)).all():
            raise InvalidCube(
                f"{self._who()} returned dates that are not in ascending order, each once; "
                "only a date that its input has twice may be there twice"
            )
        return dates

    def _who(self) -> str:
        return f"the UDF of node {self.call.node!r} ({self.call.parent})"


def _known(layout: Layout | None) -> Layout:
    if layout is None:
        raise InvalidCube("a UDF needs a cube with at least one pixel")
    return layout


def _repeated(dates: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """The dates that are there more than once (Terra and Aqua on one day, say)."""
    found, counts = np.unique(dates, return_counts=True)
    return found[counts > 1]


def _filled_up(values: Float, given: Box, box: Box) -> Float:
    """The pixels of `box` out of those of `given`; NaN where there are none."""
    inside = box.clipped(given)
    if inside == box:
        part = box.relative_to(given)
        return np.array(values[..., part.rows, part.columns])  # its own: a UDF may write into it
    chunk = np.full((*values.shape[:-2], *box.shape), np.nan, np.float32)
    source, target = inside.relative_to(given), inside.relative_to(box)
    chunk[..., target.rows, target.columns] = values[..., source.rows, source.columns]
    return chunk


def _described(layout: Layout) -> str:
    dates = "no dates" if layout.dates is None else f"{len(layout.dates)} dates"
    if layout.dates is not None and len(layout.dates):
        first, last = (np.datetime_as_string(date, "D") for date in (layout.dates[0], layout.dates[-1]))
        dates += f" ({first} to {last})"
    return f"{dates}, bands {layout.bands}, {layout.ratio} x as many pixels a side"
