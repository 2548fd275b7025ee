"""What the fused code of the Sentinel-1/2 embedding is measured against: simple methods, one sensor alone.

One sensor alone comes in two ways. The same network with the other sensor's frames withheld shows what a user
gets without them; a network that was taught with one sensor alone shows what fusion is worth, since the first
had to learn both and could be worse for that.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.baselines import whittaker
from openeo_udf_fusion.models import cards, weights
from openeo_udf_fusion.models.embedder import Embedder, from_int8, to_int8
from openeo_udf_fusion.training.s1s2_embedding import fingerprint
from openeo_udf_fusion.training.s1s2_sites import FOLDS, read_sites
from openeo_udf_fusion.training.s1s2_validation import Case, interpolate, own_reconstruction, with_sensors

Image = NDArray[np.float32]
LINE = "linear"
FUSED = "fused"
KERNEL_DAYS = 30.0
SHIPPED_FOLDS = Path(__file__).parent / "s1s2_folds"
ALONE = {sensor: f"{sensor}_trained" for sensor in ("s1", "s2")}
METHODS = {
    LINE: "line in time between the nearest clear values of the pixel",
    "whittaker": "Whittaker's smoother through the pixel's clear values, lambda 100",
    "kernel_mean": "mean of the pixel's clear values, weighted by exp(-days / 30)",
    "s1_only": "fused code without any Sentinel-2 frame",
    "s2_only": "fused code without any Sentinel-1 frame",
    ALONE["s1"]: "code of a network trained as the fused one, but with Sentinel-1 alone to see",
    ALONE["s2"]: "code of a network trained as the fused one, but with Sentinel-2 alone to see",
    "s2_own": "Sentinel-2's own code, which fusion takes no part in",
    FUSED: "fused code",
    "fused_int8": "fused code as it comes back from int8",
}


def methods(alone: Mapping[str, Embedder]) -> dict[str, str]:
    """What each method that can be measured is; those trained with one sensor only where they are given."""
    missing = {name for sensor, name in ALONE.items() if sensor not in alone}
    return {name: about for name, about in METHODS.items() if name not in missing}


def trained_alone(folder: Path) -> dict[str, Embedder]:
    """The networks that `train s1s2_embedding --sensors` wrote below a folder, by sensor."""
    found = {sensor: folder / f"{sensor}_alone" for sensor in ALONE}
    return {s: weights.load_embedding(folder=place) for s, place in found.items() if place.is_dir()}


def trained_on(folder: Path, data: Path) -> bool:
    """Whether the networks of the folds in a folder were trained on those sites."""
    places = [place for place in (folder / str(fold) for fold in range(1, FOLDS)) if place.is_dir()]
    known = {cards.read("s1s2_embedding", place).training["sites_sha256"] for place in places}
    return known == {fingerprint(read_sites(data))}


def trained_folds(folder: Path) -> dict[int, Embedder]:
    """The networks that `train s1s2_embedding --fold K --out FOLDER/K` wrote, by fold."""
    found = {fold: folder / str(fold) for fold in range(1, FOLDS)}
    return {fold: weights.load_embedding(folder=place) for fold, place in found.items() if place.is_dir()}


def draw_again(
    embedder: Embedder, case: Case, alone: Mapping[str, Embedder]
) -> tuple[dict[str, Image], Image]:
    """Sentinel-2 (b, y, x) by every method, and the sigma of the fused code's."""
    day = np.array([case.day], np.int32)

    def from_code(model: Embedder, *sensors: str) -> Image:
        found = model.embed(with_sensors(case.seen, sensors), day, ["s2"])
        return np.asarray(found.reconstruction["s2"][0], np.float32)

    both = embedder.embed(case.seen, day, ["s2"])
    smooth = whittaker.predict({"s2": case.seen["s2"]}, day, "s2").mean[0]
    drawn = {
        LINE: interpolate(case),
        "whittaker": np.asarray(smooth, np.float32),
        "kernel_mean": kernel_mean(case),
        "s1_only": from_code(embedder, "s1"),
        "s2_only": from_code(embedder, "s2"),
        **{ALONE[sensor]: from_code(model, sensor) for sensor, model in alone.items()},
        "s2_own": own_reconstruction(embedder.model, case),
        FUSED: both.reconstruction["s2"][0],
        "fused_int8": embedder.draw(from_int8(to_int8(both.code)), "s2")[0],
    }
    return drawn, np.asarray(both.sigma["s2"][0], np.float32)


def kernel_mean(case: Case) -> Image:
    """Mean (b, y, x) of the clear values by their distance in days; NaN without any."""
    series = case.seen["s2"]
    weight = np.exp(-np.abs(series.days - case.day) / KERNEL_DAYS)[:, None, None, None] * series.valid
    total = weight.sum(0)
    mean = (weight * series.values).sum(0) / np.maximum(total, 1e-12)
    return np.where(total > 0, mean, np.nan).astype(np.float32)
