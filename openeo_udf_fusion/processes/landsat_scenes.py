"""Both sensors in a cube on whole cells of Landsat: what the network may see, and where values come from."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from openeo_udf_fusion import cubes, provenance
from openeo_udf_fusion.cubes import DayNumbers, Mask, SensorArrays, Values
from openeo_udf_fusion.models.cards import Card
from openeo_udf_fusion.models.series import Observations
from openeo_udf_fusion.processes.image_series import Images, images_of
from openeo_udf_fusion.processes.landsat_cells import (
    Window,
    cell_means,
    clear_cells,
    spread_cells,
    window_of,
)

LANDSAT, OPTICAL = "l8", "s2"
SENSORS = (LANDSAT, OPTICAL)


class Scene(NamedTuple):
    """Both sensors in a cube, on the whole cells in which anything was ever seen.

    Attributes
    ----------
    shape
        Rows and columns of the cube.
    window
        Those cells; None where nothing was ever seen.
    images
        By sensor that has images at all, cut to the window: Sentinel-2 at 10 m, Landsat at 30 m.
    """

    shape: tuple[int, int]
    window: Window | None
    images: dict[str, Images]


def scene_of(cube: xr.DataArray, card: Card, offset_px: tuple[int, int]) -> Scene:
    """Return both sensors' images in a cube of `labelled`.

    Raises
    ------
    MissingBands, InvalidCube
        The cube has no band of either sensor, or values in another unit.
    """
    cubes.sensors_in(cube, card.bands)
    whole = {sensor: images_of(cube, sensor, card.bands[sensor]) for sensor in SENSORS}
    images = {sensor: own for sensor, own in whole.items() if own is not None and len(own.days)}
    shape = cube.shape[2], cube.shape[3]
    seen = np.zeros(shape, np.bool_)
    for own in images.values():
        seen |= own.valid.any((0, 1))
    window = window_of(seen, offset_px)
    if window is None:
        return Scene(shape, None, {})
    cut = {sensor: _cut(own, window) for sensor, own in images.items()}
    if LANDSAT in cut:
        cut[LANDSAT] = _in_cells(cut[LANDSAT])
    return Scene(shape, window, cut)


def of_band(scene: Scene, sensor: str, place: int) -> Scene:
    """Return the scene as if the cube had no other band of a sensor: for the provenance of that one."""
    if sensor not in scene.images:
        return scene
    one = scene.images[sensor]._replace(present=(place,))
    return scene._replace(images={**scene.images, sensor: one})


def _cut(images: Images, window: Window) -> Images:
    return images._replace(
        values=window.cut(images.values), valid=window.cut(images.valid), clear=window.cut(images.clear)
    )


def _in_cells(images: Images) -> Images:
    values, valid = cell_means(images.values, images.valid)
    clear = clear_cells(np.asarray(images.valid.any(1)), images.clear)
    return images._replace(values=values, valid=valid, clear=clear)


def observed(scene: Scene, card: Card) -> dict[str, Observations]:
    """Return what the network may look at: all that was measured, or what is clear, as it was trained."""
    found = {}
    for sensor, own in scene.images.items():
        valid = own.valid & own.clear[:, None] if card.hyperparameters.get("clear_only") else own.valid
        if valid.any():
            found[sensor] = Observations(own.values, valid, own.days)
    return found


def clear_on_days(scene: Scene, sensor: str, query_days: DayNumbers) -> tuple[Values, Mask] | None:
    """Return what a sensor saw clear on queried days, (query, bands, y, x); None where it has no images."""
    images = scene.images.get(sensor)
    if images is None:
        return None
    clear = SensorArrays(images.values, images.valid & images.clear[:, None], images.days)
    return cubes.on_days(clear, query_days)


# --- where values come from


def traced(scene: Scene, sensor: str, query_days: DayNumbers, support_days: int) -> provenance.Trace:
    """Trace one sensor's values: the worst of the bands that the cube has, and days to any clear observation.

    Parameters
    ----------
    scene
        Both sensors.
    sensor
        The one whose bands are predicted.
    query_days
        Ascending, since 1970-01-01.
    support_days
        Farther than this from every clear observation of either sensor a value is refused.
    """
    own = _clear_by_band(scene, sensor)
    other = _clear_at_all(scene, LANDSAT if sensor == OPTICAL else OPTICAL)
    if own is None and other is None:
        return _nowhere(scene, len(query_days))
    count = 1 if own is None else own.valid.shape[1]
    return provenance.trace(own, other, [0] * count, query_days, support_days)


def days_to_own(scene: Scene, sensor: str, query_days: DayNumbers, support_days: int) -> NDArray[np.float32]:
    """Days (query, y, x) to the nearest clear observation of one sensor; NaN where there is none."""
    own = _clear_at_all(scene, sensor)
    if own is None:
        return _nowhere(scene, len(query_days)).days_to_observation
    return provenance.trace(own, None, [0], query_days, support_days).days_to_observation


def _nowhere(scene: Scene, count: int) -> provenance.Trace:
    shape = (count, *((0, 0) if scene.window is None else scene.window.shape))
    return provenance.Trace(np.full(shape, provenance.REFUSED, np.uint8), np.full(shape, np.nan, np.float32))


def _clear_by_band(scene: Scene, sensor: str) -> SensorArrays | None:
    """Where each band that the cube has of a sensor is clear, at 10 m, bands that are alike only once."""
    if sensor not in scene.images:
        return None
    images = scene.images[sensor]
    masks: list[Mask] = []
    for place in images.present:
        mask = images.valid[:, place] & images.clear
        if not any(np.array_equal(mask, known) for known in masks):
            masks.append(mask)
    return _as_observations(np.stack(masks, 1), images.days, sensor)


def _clear_at_all(scene: Scene, sensor: str) -> SensorArrays | None:
    """Where any band of a sensor is clear, at 10 m."""
    if sensor not in scene.images:
        return None
    images = scene.images[sensor]
    seen = images.valid[:, list(images.present)].any(1) & images.clear
    return _as_observations(seen[:, None], images.days, sensor)


def _as_observations(seen: Mask, days: DayNumbers, sensor: str) -> SensorArrays:
    pixels = spread_cells(seen) if sensor == LANDSAT else seen
    return SensorArrays(np.broadcast_to(np.float32(0), pixels.shape), pixels, days)
