"""How unlike two images look: the distance of what a network trained on photographs makes of them.

After Zhang et al. 2018, arXiv:1801.03924, without its learned weights of channels. The network is a file
that the user brings, in the format in which torchvision publishes VGG16 and AlexNet; it is never downloaded.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from openeo_udf_fusion.errors import InvalidWeights

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of the photographs, red, green and blue in 0-1."""
DEVIATIONS = 3
"""Standardised values within so many deviations of the mean fill 0-1."""
VGG16: tuple[int | None, ...] = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512)
"""Channels of its convolutions, None where it pools; what follows sees a small patch as a few pixels."""


def vgg16() -> tuple[nn.Sequential, tuple[int, ...]]:
    """The convolutions of VGG16, and behind which of them images are compared."""
    layers: list[nn.Module] = []
    taps, channels = [], 3
    for width in VGG16:
        if width is None:
            taps.append(len(layers) - 1)
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers), (*taps, len(layers) - 1)


def alexnet() -> tuple[nn.Sequential, tuple[int, ...]]:
    """The convolutions of AlexNet, and behind which of them images are compared."""
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    return layers, (1, 4, 7, 9, 11)


class PerceptualDistance(nn.Module):
    """The distance between images of one band, standardised; its network does not learn."""

    mean: Tensor
    std: Tensor

    def __init__(self, layers: nn.Sequential, taps: Sequence[int]) -> None:
        super().__init__()
        self.layers, self.taps = layers.requires_grad_(False), tuple(taps)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Two sets of images (n, 1, y, x) -> their mean distance."""
        apart = [
            (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean()
            for a, b in zip(self.features(one), self.features(other), strict=True)
        ]
        return torch.stack(apart).mean()

    def features(self, images: Tensor) -> list[Tensor]:
        """What the network makes of images, where they are compared."""
        made = (images.expand(-1, 3, -1, -1) / DEVIATIONS + 1) / 2
        made = (made - self.mean) / self.std
        found = []
        for place, layer in enumerate(self.layers):
            made = layer(made)
            if place in self.taps:
                found.append(made)
        return found


def load(file: Path) -> PerceptualDistance:
    """The distance by a network in a file: a `state_dict` of torchvision's VGG16 or AlexNet.

    Raises
    ------
    InvalidWeights
        The file is neither.
    """
    try:
        content = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:
        raise InvalidWeights(f"{file} is not a state_dict that can be read safely: {error}") from error
    given = content if isinstance(content, dict) else {}
    kept = {k.removeprefix("features."): v for k, v in given.items() if k.startswith("features.")}
    for build in (vgg16, alexnet):
        layers, taps = build()
        needed = layers.state_dict()
        if all(k in kept and kept[k].shape == tensor.shape for k, tensor in needed.items()):
            layers.load_state_dict({k: kept[k] for k in needed})
            return PerceptualDistance(layers.eval(), taps)
    raise InvalidWeights(
        f"{file} holds neither VGG16 nor AlexNet as torchvision publishes them (features.0.weight, ...); "
        f"its first names are {[*given][:3]}"
    )
