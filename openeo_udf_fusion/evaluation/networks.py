"""Which trained network may score which pixel: the first one that has not seen it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openeo_udf_fusion.evaluation.methods import Method
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards, weights

NAME = "satfusenet"
FOLDS = Path(__file__).parent / "folds"


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes
    ----------
    name
        "shipped", or "fold 0" and so on.
    folder
        Of its card and weights.
    seen
        Fingerprints of the pixels that it was trained or validated on; None if its card does not say.
    """

    name: str
    folder: Path
    seen: frozenset[str] | None


def available() -> list[Network]:
    """The shipped network, then those of the cross-validation."""
    return [read("shipped", cards.FOLDER), *of_folds(FOLDS)]


def given(folder: Path) -> list[Network]:
    """The network in a folder, then those of its cross-validation in `folds/*`, as training leaves them."""
    return [read("given", folder), *of_folds(folder / FOLDS.name)]


def of_folds(folder: Path) -> list[Network]:
    """The networks in the sub-folders of a folder; none if there are none."""
    folders = sorted(file.parent for file in folder.glob(f"*/{NAME}.json"))
    return [read(f"fold {each.name}", each) for each in folders]


def read(name: str, folder: Path) -> Network:
    """The network whose card lies in a folder."""
    return Network(name, folder, seen_by(cards.read(NAME, folder)))


def seen_by(card: cards.Card) -> frozenset[str] | None:
    """The fingerprints that a card lists; None if it has no list."""
    listed = card.training.get("pixels_sha256")
    return None if listed is None else frozenset(listed)


def assign(networks: Sequence[Network], fingerprints: Sequence[str]) -> NDArray[np.int64]:
    """Position of the first network that did not see each pixel, or -1; one without a list may score none."""
    chosen = np.full(len(fingerprints), -1, np.int64)
    for place in reversed(range(len(networks))):
        seen = networks[place].seen
        if seen is not None:
            chosen[[name not in seen for name in fingerprints]] = place
    return chosen


def method(networks: Sequence[Network], chosen: NDArray[np.int64]) -> Method:
    """The networks, loaded, as one method."""
    return Method([weights.load(NAME, folder=network.folder).predict for network in networks], chosen)


def report(networks: Sequence[Network], chosen: NDArray[np.int64], seen_by_all: int) -> list[Json]:
    """How many pixels each network scores, with its weights' hash; and how many were left out."""
    rows: list[Json] = []
    for place, network in enumerate(networks):
        card = cards.read(NAME, network.folder)
        rows.append(
            {
                "network": network.name,
                "version": card.version,
                "weights_sha256": card.sha256,
                "pixels_seen_in_training": None if network.seen is None else len(network.seen),
                "pixels_scored": int((chosen == place).sum()),
            }
        )
    return [*rows, {"network": None, "pixels_left_out_since_all_saw_them": seen_by_all}]
