"""The picture of a harmonised scene: one pixel through the year, and one cloudy date before and after."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from openeo_udf_fusion import cubes, provenance
from openeo_udf_fusion.sensors import FUSED_BANDS

_INK = {"modis": "#1b1b1b", "viirs": "#d1701c", "result": "#1f6fb2"}
_ORIGINS = ("observed", "same-day translation", "interpolated", "seasonal", "refused")
_ORIGIN_COLORS = ("#2c7bb6", "#7fbfa5", "#fee090", "#f4935a", "#8c8c8c")
_BRIGHTEST = 0.28
_SNOW_IS_BRIGHTER = 0.3
_SERIES = (("B1", "I1", "red"), ("B2", "I2", "near infrared"))


def draw(observed: xr.DataArray, harmonised: xr.DataArray, path: Path, *, title: str) -> None:
    """Draw the picture as PNG.

    Parameters
    ----------
    observed : DataArray
        Both sensors with their flags, labels `modis_B1`, `viirs_I1`, ...
    harmonised : DataArray
        The result for MODIS with quantiles.
    path : Path
        The file to write.
    title : str
        Says where the data come from.
    """
    given = cubes.canonical(observed)
    arrays = {sensor: cubes.sensor_arrays(given, sensor, FUSED_BANDS[sensor]) for sensor in FUSED_BANDS}
    date = cloudiest_common_date(arrays["modis"], harmonised)
    row, column = _pixel(arrays["modis"])
    figure = plt.figure(figsize=(13, 11), layout="constrained")
    grid = figure.add_gridspec(3, 4, height_ratios=(1, 1, 1.35))
    for place, (modis_band, viirs_band, name) in enumerate(_SERIES):
        axes = figure.add_subplot(grid[place, :])
        _series(axes, arrays, harmonised, (modis_band, viirs_band), (row, column))
        axes.set_ylabel(f"{name} reflectance")
        axes.axvline(float(date.astype(int)), color="0.6", linewidth=0.8, linestyle=":")
    figure.axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, fontsize=9)
    figure.axes[0].set_title(
        f"One pixel through the year (row {row}, column {column})", loc="left", fontsize=11
    )
    _maps(figure, grid, arrays, harmonised, date, (row, column))
    figure.suptitle(title, fontsize=12)
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
    temporary.replace(path)


def cloudiest_common_date(modis: cubes.SensorArrays, harmonised: xr.DataArray) -> np.datetime64:
    """Return the summer date of the result on which about two thirds of the pixels are cloudy."""
    dates = harmonised["t"].values.astype("datetime64[D]")
    numbers = dates.astype(int)
    clear = np.array(
        [
            modis.valid[modis.days == day].any(axis=(0, 1)).mean() if day in modis.days else 0
            for day in numbers
        ]
    )
    month = dates.astype("datetime64[M]").astype(int) % 12
    misfit = np.abs(clear - 0.35) + np.where((month >= 4) & (month <= 8), 0, 1)
    best: np.datetime64 = dates[int(np.argmin(misfit))]
    return best


def _pixel(modis: cubes.SensorArrays) -> tuple[int, int]:
    """Return the pixel whose near infrared varies most while there is no snow."""
    bare = modis.valid[:, 1] & (modis.values[:, 0] < _SNOW_IS_BRIGHTER)
    nir = np.where(bare, modis.values[:, 1], np.nan)
    spread = np.nanquantile(nir, 0.95, axis=0) - np.nanquantile(nir, 0.05, axis=0)
    row, column = np.unravel_index(int(np.nanargmax(spread)), spread.shape)
    return int(row), int(column)


def _series(
    axes: Axes,
    arrays: dict[str, cubes.SensorArrays],
    result: xr.DataArray,
    bands: tuple[str, str],
    pixel: tuple[int, int],
) -> None:
    row, column = pixel
    dates = result["t"].values
    here = result.isel(y=row, x=column)
    low, high = (here.sel(bands=f"{bands[0]}_{name}").values for name in ("q10", "q90"))
    axes.fill_between(dates, low, high, color=_INK["result"], alpha=0.25, linewidth=0, label="80 % interval")
    axes.plot(
        dates,
        here.sel(bands=bands[0]).values,
        color=_INK["result"],
        linewidth=1.6,
        label="harmonised (MODIS)",
    )
    for sensor, band, marker in (("viirs", bands[1], "^"), ("modis", bands[0], "o")):
        own, place = arrays[sensor], FUSED_BANDS[sensor].index(band)
        seen = own.valid[:, place, row, column]
        axes.plot(
            own.days[seen].astype("datetime64[D]"),
            own.values[seen, place, row, column],
            marker,
            color=_INK[sensor],
            markersize=3.2,
            linewidth=0,
            label=f"{sensor.upper()}, clear",
        )
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)


def _maps(
    figure: Figure,
    grid: GridSpec,
    arrays: dict[str, cubes.SensorArrays],
    result: xr.DataArray,
    date: np.datetime64,
    pixel: tuple[int, int],
) -> None:
    """Draw the cloudy date: both sensors as they saw it, the result, and where its values come from."""
    day = np.array([date.astype(int)], np.int32)
    pictures = {
        "MODIS as observed": _true_colour(*cubes.on_days(arrays["modis"], day), (0, 3, 2)),
        "VIIRS as observed": _true_colour(*cubes.on_days(arrays["viirs"], day), (0, 3, 2)),
    }
    then = result.sel(t=date)
    values = then.sel(bands=["B1", "B4", "B3"]).values
    pictures["harmonised"] = np.clip(np.moveaxis(values, 0, -1) / _BRIGHTEST, 0, 1)
    for place, (name, picture) in enumerate(pictures.items()):
        axes = figure.add_subplot(grid[2, place])
        axes.imshow(picture, interpolation="nearest")
        axes.plot(pixel[1], pixel[0], "s", markersize=7, markerfacecolor="none", markeredgecolor="white")
        axes.set(title=f"{name}\n{date}", xticks=[], yticks=[])
    axes = figure.add_subplot(grid[2, 3])
    origin = axes.imshow(
        then.sel(bands="provenance").values,
        cmap=ListedColormap(_ORIGIN_COLORS),
        vmin=-0.5,
        vmax=4.5,
        interpolation="nearest",
    )
    axes.set(title=f"provenance\n{date}", xticks=[], yticks=[])
    bar = figure.colorbar(origin, ax=axes, ticks=range(len(provenance.MEANINGS)), shrink=0.8)
    bar.ax.set_yticklabels(_ORIGINS, fontsize=8)


def _true_colour(values: cubes.Values, seen: cubes.Mask, bands: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return red, green and blue (y, x, 3), grey where nothing was seen."""
    shown = np.where(seen[0, bands, :, :], values[0, bands, :, :] / _BRIGHTEST, 0.55)
    picture: NDArray[np.float32] = np.clip(np.moveaxis(shown, 0, -1), 0, 1).astype(np.float32)
    return picture
