"""netCDF-4 files after the CF conventions: one variable (t, y, x) per band."""

from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import NetCDF4DataStore

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.hdf5 import HDF5
from openeo_udf_fusion.local.writers.attributes import chunk_shape, dimensions, skeleton, variable_attrs
from openeo_udf_fusion.local.writers.template import Template


def write_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as `to_netcdf` does, while no other thread is in the library."""
    with HDF5:
        store = NetCDF4DataStore.open(str(path), mode="w", lock=HDF5)  # type: ignore[no-untyped-call]
        try:
            dataset.dump_to_store(store)
        finally:
            store.close()


class NetcdfSink:
    """Stores tiles in one netCDF-4 file.

    The variables are laid out at the first tile, so that a chunk is a tile or a part of it.
    """

    def __init__(self, path: Path, template: Template, options: Json) -> None:
        self._template = template
        self._level = options["compression"]
        with HDF5:
            write_dataset(skeleton(template), path)
            self._file = netCDF4.Dataset(path, "a")

    def store(self, values: NDArray[np.float32], y: slice, x: slice) -> None:
        """Stores (t, variables, rows, columns)."""
        with HDF5:
            self._lay_out((values.shape[2], values.shape[3]))
            for number, name in enumerate(self._template.variables):
                place = (y, x) if self._template.t is None else (slice(None), y, x)
                self._file.variables[name][place] = (
                    values[0, number] if len(place) == 2 else values[:, number]
                )

    def close(self) -> None:
        """Completes the file."""
        with HDF5:
            self._lay_out(self._template.shape)
            self._file.close()

    def abandon(self) -> None:
        """Closes the file as it is."""
        with HDF5:
            if self._file.isopen():
                self._file.close()

    def _lay_out(self, tile: tuple[int, int]) -> None:
        chunks = chunk_shape(self._template, tile)
        for name in self._template.variables:
            if name in self._file.variables:
                return
            variable = self._file.createVariable(
                name,
                np.float32,
                dimensions(self._template),
                compression="zlib" if self._level else None,
                complevel=self._level,
                shuffle=bool(self._level),
                chunksizes=chunks,
                fill_value=np.float32(np.nan),
            )
            # netCDF's own cache is 16 MB for each variable, and a result may have dozens of them.
            variable.set_var_chunk_cache(size=2 * 4 * int(np.prod(chunks)))
            variable.setncatts(variable_attrs(self._template, name))
