"""Cloud-optimised GeoTIFFs: one file per date, one band per label."""

import os
from errno import EIO, ENOSPC
from pathlib import Path
from threading import Lock

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.windows import Window

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.local.readers.dates import DATE_TAG
from openeo_udf_fusion.local.writers.attributes import packing, storable, variable_attrs
from openeo_udf_fusion.local.writers.storage import discard
from openeo_udf_fusion.local.writers.template import Template

_BLOCK_PX = 256
_CACHE_BYTES = 64 << 20  # GDAL's own default is a twentieth of the machine's memory


class GeotiffSink:
    """Stores tiles in a plain tiled GeoTIFF per date, and copies each to a COG at the end.

    GDAL's COG driver can only copy. The plain files are not compressed, since compressed blocks that are
    written twice leave holes: the folder needs room for the raw result, plus the COGs. As GDAL tells not of
    every write that fails on a full disk, the plain files take their whole room at the start, and the COGs
    are compared with them at the end.
    """

    def __init__(self, folder: Path, template: Template, options: Json) -> None:
        self._template = template
        self._options = options
        self._lock = Lock()
        self._folder = folder
        folder.mkdir()
        self._names = file_names(template)
        profile = _profile(template)
        for number in range(len(self._names)):
            with rasterio.open(self._plain(number), "w", **profile) as file:
                _describe(file, template, number)
            _check_room(self._plain(number), template)

    def store(self, values: NDArray[np.float32], y: slice, x: slice) -> None:
        """Stores (t, variables, rows, columns)."""
        window = Window.from_slices(y, x, *self._template.shape)
        with self._lock:
            for number, bands in enumerate(values):
                with rasterio.open(self._plain(number), "r+") as file:
                    file.write(bands, window=window)

    def close(self) -> None:
        """Makes the COGs: `<folder>/<name>` for each of `file_names`."""
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
            for number, name in enumerate(self._names):
                plain = self._plain(number)
                rasterio.shutil.copy(plain, self._folder / name, driver="COG", **_cog_options(self._options))
                _check_copy(plain, self._folder / name)
                discard(plain)

    def abandon(self) -> None:
        """Leaves the files as they are; none is open between tiles."""

    def _plain(self, number: int) -> Path:
        return self._folder / f"{number}.plain.tif"


def file_names(template: Template) -> list[str]:
    """What to append to the stem of each date's file: `_2022-01-31.tif`, with the time of day where it tells.

    A single date has the stem alone; a date that is there twice has `_2` behind the second time.
    """
    if template.t is None or len(template.t) == 1:
        return [".tif"]
    whole_days = bool((template.t.astype("datetime64[D]") == template.t).all())
    names: list[str] = []
    for date in template.t:
        text = np.datetime_as_string(date, unit="D" if whole_days else "s").replace(":", "")
        repeated = sum(name.startswith(f"_{text}") for name in names)
        names.append(f"_{text}_{repeated + 1}.tif" if repeated else f"_{text}.tif")
    return names


def _profile(template: Template) -> Json:
    return {
        "driver": "GTiff",
        "dtype": "float32",
        "count": len(template.variables),
        "height": template.shape[0],
        "width": template.shape[1],
        "crs": None if template.crs is None else rasterio.CRS.from_wkt(template.crs.to_wkt()),
        "transform": _transform(template),
        "nodata": np.nan,
        "tiled": True,
        "blockxsize": _plain_block(template.shape[1]),
        "blockysize": _plain_block(template.shape[0]),
        "interleave": "band",
        "bigtiff": "IF_SAFER",
    }


def _plain_block(size: int) -> int:
    """TIFF blocks are multiples of 16 px; a small raster needs no room for a whole large one."""
    return min(_BLOCK_PX, -(-size // 16) * 16)


def _check_room(plain: Path, template: Template) -> None:
    rows, columns = (-(-size // _plain_block(size)) * _plain_block(size) for size in template.shape)
    if plain.stat().st_size < 4 * rows * columns * len(template.variables):
        raise OSError(ENOSPC, os.strerror(ENOSPC))


def _check_copy(plain: Path, copy: Path) -> None:
    with rasterio.open(plain) as source, rasterio.open(copy) as target:
        for top in range(0, source.height, _BLOCK_PX):
            window = Window(0, top, source.width, min(_BLOCK_PX, source.height - top))
            if not np.array_equal(source.read(window=window), target.read(window=window), equal_nan=True):
                raise OSError(EIO, os.strerror(EIO))


def _transform(template: Template) -> Affine:
    steps = [_step(template.x, "x"), _step(template.y, "y")]
    known = [abs(step) for step in steps if step is not None]
    if not known:
        raise InvalidCube("GeoTIFF needs a pixel size, which a single pixel has not; write netCDF instead")
    # A single column or row takes the size of the other axis; rows go north to south.
    width = steps[0] if steps[0] is not None else known[0]
    height = steps[1] if steps[1] is not None else -known[0]
    return Affine(width, 0, template.x[0] - width / 2, 0, height, template.y[0] - height / 2)


def _step(values: NDArray[np.float64], axis: str) -> float | None:
    if len(values) == 1:
        return None
    step = (values[-1] - values[0]) / (len(values) - 1)
    regular = values[0] + step * np.arange(len(values))
    if not np.allclose(values, regular, rtol=0, atol=abs(step) * 0.01):
        raise InvalidCube(f"GeoTIFF needs evenly spaced {axis} coordinates; write netCDF or Zarr instead")
    return float(step)


def _describe(file: rasterio.io.DatasetWriter, template: Template, number: int) -> None:
    tags = {key: _text(value) for key, value in storable(template.attrs).items()}
    if template.t is not None:
        tags[DATE_TAG] = str(np.datetime_as_string(template.t[number]))
    file.update_tags(**tags)
    file.scales = [packing(template, name).scale for name in template.variables]
    for index, name in enumerate(template.variables, 1):
        attrs = variable_attrs(template, name)
        attrs.pop("grid_mapping", None)
        attrs.pop("scale_factor", None)  # it is the band's own scale
        file.set_band_description(index, name)
        file.update_tags(index, **{key: _text(value) for key, value in attrs.items()})
        if "units" in attrs:
            file.set_band_unit(index, str(attrs["units"]))


def _text(value: JsonValue) -> str:
    return (
        " ".join(f"{number:g}" for number in np.ravel(value)) if isinstance(value, np.ndarray) else str(value)
    )


def _cog_options(options: Json) -> Json:
    compression = str(options["compression"]).upper()
    predictor = {} if compression == "NONE" else {"PREDICTOR": "FLOATING_POINT"}
    return {
        "COMPRESS": compression,
        "BLOCKSIZE": _BLOCK_PX,
        "NUM_THREADS": "ALL_CPUS",
        # Nearest: an average of flags, or across provenance codes, means nothing.
        "OVERVIEW_RESAMPLING": "NEAREST",
        "BIGTIFF": "IF_SAFER",
        **predictor,
    }
