"""BRISQUE: how natural an image looks, without a reference; lower is better, about 0 to 100.

Mittal, Moorthy and Bovik 2012, doi:10.1109/TIP.2012.2214050: the shapes of the distributions of locally
normalised values and of products of neighbours, at two scales, go into a support vector regression trained
on people's opinions. Its trained model is not part of this package: the wheel `brisque` ships one
(Apache-2.0), of which the two data files are read and no code is run.
"""

import pickletools
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.special import gamma

from openeo_udf_fusion.errors import InvalidCube, InvalidWeights

Doubles = NDArray[np.float64]
PACKAGE = "brisque"
INSTALL = "run: pip install --no-deps brisque==0.2.0 (its two data files are all that is needed)"
FILES = ("svm.txt", "normalize.pickle")
NEIGHBOURS_PX, SPREAD_PX = 3, 7 / 6
SMALLEST_CONTRAST = 1 / 255
SHAPES = np.arange(0.2, 10, 0.001)
MOMENTS = gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))
SMALLEST_PX = 16
NAMES_IN_PICKLES = ("SHORT_BINUNICODE", "BINUNICODE")
FRAME_OF_PICKLES = (
    *("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINPUT"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
)
"""Steps of a pickle that hold names, and those around names and numbers."""


@dataclass(frozen=True)
class Model:
    """A support vector regression with a Gaussian kernel.

    Attributes
    ----------
    vectors, coefficients
        (n, 36) and (n,).
    gamma, offset
        Of the kernel, and what is taken off the sum.
    low, high
        (36,), the range of each feature that is mapped to -1..1.
    """

    vectors: Doubles
    coefficients: Doubles
    gamma: float
    offset: float
    low: Doubles
    high: Doubles

    def score(self, image: NDArray[np.floating]) -> float:
        """BRISQUE of an image (y, x) within 0-1; NaN where a value is missing."""
        if not np.isfinite(image).all():
            return float("nan")
        found = 2 * (features(image) - self.low) / (self.high - self.low) - 1
        kernel = np.exp(-self.gamma * ((self.vectors - found) ** 2).sum(1))
        return float(self.coefficients @ kernel - self.offset)


def find(folder: Path | None = None) -> Model | None:
    """The model in a folder, or else that of the installed wheel; None where neither is there.

    Raises
    ------
    InvalidWeights
        The folder given lacks a file, or one cannot be read.
    """
    if folder is not None:
        return read(folder)
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    own = next((file for file in files if file.name == FILES[0]), None)
    return None if own is None else read(Path(str(own.locate())).parent)


def read(folder: Path) -> Model:
    """Read `svm.txt`, a libsvm model, and `normalize.pickle`, lists of numbers `min_` and `max_`.

    Raises
    ------
    InvalidWeights
        One is missing, or is something else.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise InvalidWeights(f"BRISQUE needs {' and '.join(FILES)}; {folder.name} lacks {missing}; {INSTALL}")
    try:
        header, vectors = (folder / FILES[0]).read_text(encoding="ascii").split("SV\n")
        settings = dict(line.split(" ", 1) for line in header.strip().splitlines())
        if (settings["svm_type"], settings["kernel_type"]) != ("epsilon_svr", "rbf"):
            raise ValueError(f"svm_type {settings['svm_type']}, kernel_type {settings['kernel_type']}")
        rows = [line.split() for line in vectors.strip().splitlines()]
        values = [[float(pair.partition(":")[2]) for pair in row[1:]] for row in rows]
        low, high = ranges((folder / FILES[1]).read_bytes())
        return Model(
            np.array(values).reshape(len(rows), len(low)),
            np.array([float(row[0]) for row in rows]),
            float(settings["gamma"]),
            float(settings["rho"]),
            low,
            high,
        )
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidWeights(
            f"the BRISQUE model in {folder.name} cannot be read: {error}; {INSTALL}"
        ) from None


def ranges(content: bytes) -> tuple[Doubles, Doubles]:
    """Lowest and highest value of each feature in the training.

    The file is a pickle; its steps are read and none is carried out, so that it can run nothing.
    """
    found: dict[str, list[float]] = {}
    for step, value, _ in pickletools.genops(content):
        if step.name in NAMES_IN_PICKLES:
            found[str(value)] = []
        elif step.name == "BINFLOAT" and found:
            found[[*found][-1]].append(float(value or 0))
        elif step.name not in FRAME_OF_PICKLES:
            raise ValueError(f"{FILES[1]} holds more than names and numbers: {step.name}")
    return np.array(found["min_"], np.float64), np.array(found["max_"], np.float64)


def features(image: NDArray[np.floating]) -> Doubles:
    """The 36 features of an image (y, x) within 0-1.

    Raises
    ------
    InvalidCube
        It is smaller than 16 x 16 pixels.
    """
    if image.ndim != 2 or min(image.shape) < SMALLEST_PX:
        raise InvalidCube(f"BRISQUE needs an image (y, x) of {SMALLEST_PX} pixels or more, got {image.shape}")
    fine = np.asarray(image, np.float64)[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    coarse = F.interpolate(torch.from_numpy(fine)[None, None], scale_factor=0.5, mode="bicubic")
    return np.concatenate([features_at(fine), features_at(coarse[0, 0].numpy())])


def features_at(image: Doubles) -> Doubles:
    """The 18 features of one scale."""
    normalised = contrasts(image)
    shape, _, left, right = asymmetric_fit(normalised)
    found = [shape, (left + right) / 2]
    for product in (
        normalised[:, :-1] * normalised[:, 1:],
        normalised[:-1] * normalised[1:],
        normalised[:-1, :-1] * normalised[1:, 1:],
        normalised[1:, :-1] * normalised[:-1, 1:],
    ):
        found += asymmetric_fit(product)
    return np.array(found)


def contrasts(image: Doubles) -> Doubles:
    """Values less the mean around them, over the spread around them; zeros lie beyond the border."""
    away = np.arange(-NEIGHBOURS_PX, NEIGHBOURS_PX + 1)
    weights = np.exp(-0.5 * (away / SPREAD_PX) ** 2)
    weights /= weights.sum()

    def around(values: Doubles) -> Doubles:
        along = correlate1d(values, weights, 0, mode="constant")
        return np.asarray(correlate1d(along, weights, 1, mode="constant"))

    mean = around(image)
    spread = np.sqrt(np.abs(around(image**2) - mean**2))
    return np.asarray((image - mean) / (spread + SMALLEST_CONTRAST))


def asymmetric_fit(values: Doubles) -> list[float]:
    """Shape, mean, left and right variance of an asymmetric generalised normal distribution, by moments."""
    left, right = (
        side[0] / max(side[1], 1) for side in (squares(values, values < 0), squares(values, values >= 0))
    )
    if left + right == 0:
        return [float(SHAPES[-1]), 0.0, 0.0, 0.0]
    skew = np.sqrt(left / right) if right else 1e6
    ratio = np.abs(values).mean() ** 2 / (values**2).mean()
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = float(np.interp(ratio, MOMENTS, SHAPES))
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape)) * gamma(2 / shape) / gamma(1 / shape)
    return [shape, float((np.sqrt(right) - np.sqrt(left)) * scale), float(left), float(right)]


def squares(values: Doubles, chosen: NDArray[np.bool_]) -> tuple[float, int]:
    """Sum of squares of some values, and how many they are."""
    return float((values[chosen] ** 2).sum()), int(chosen.sum())
