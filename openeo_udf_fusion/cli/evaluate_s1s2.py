"""`openeo-udf-fusion evaluate s1s2_embedding`: reconstructions; the code as features; GPP; a picture."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json

if TYPE_CHECKING:
    from openeo_udf_fusion.models.embedder import Embedder

PARTS = ("features", "gpp", "picture")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only the embedding has."""
    parser.add_argument(
        "--alone",
        type=Path,
        metavar="DIR",
        help="s1s2_embedding: also score the networks of one sensor that train --sensors wrote below DIR",
    )
    parser.add_argument(
        "--folds",
        type=Path,
        metavar="DIR",
        help="s1s2_embedding: also score the networks that train --fold K --out DIR/K wrote, each on its own "
        "days; default: those of the package, if the data are those that they were trained on",
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--features",
        action="store_true",
        help="s1s2_embedding: instead, linear probe and neighbours by the labels in the site's OUTPUT*.nc, "
        "and smoothness in time",
    )
    part.add_argument(
        "--gpp",
        type=Path,
        metavar="DIR",
        help="s1s2_embedding: instead, GPP at towers left out, from DIR/gpp.csv (site, date, gpp) and a site "
        "of images DIR/<site> for each tower; train s1s2_embedding --backend fetches sites",
    )
    part.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="s1s2_embedding: instead, draw the site's codes through a season beside its true colours as PNG",
    )


def chosen(args: argparse.Namespace) -> str | None:
    """Which part was asked for, if not the reconstructions."""
    return next((part for part in PARTS if getattr(args, part)), None)


def networks_alone(folder: Path | None) -> "dict[str, Embedder]":
    """The networks trained with one sensor alone below a folder, by sensor."""
    from openeo_udf_fusion.evaluation import s1s2_rivals

    if folder is None:
        return {}
    found = s1s2_rivals.trained_alone(folder)
    if not found:
        raise InvalidParameter(
            f"{folder} holds no network of one sensor; train s1s2_embedding --stage 2 --sensors s2 --out "
            f"{folder} first"
        )
    return found


def networks_of_folds(args: argparse.Namespace) -> "dict[int, Embedder]":
    """The networks of the further folds: those given, or the package's where they belong to the data."""
    from openeo_udf_fusion.evaluation import s1s2_rivals

    if args.folds is None and (args.weights or args.alone or args.quick):
        return {}
    folder = args.folds or s1s2_rivals.SHIPPED_FOLDS
    if args.folds is None and not s1s2_rivals.trained_on(folder, args.data):
        return {}
    found = s1s2_rivals.trained_folds(folder)
    if not found:
        raise InvalidParameter(
            f"{folder} holds no network of a fold; train s1s2_embedding --fold 1 --out {folder / '1'} first, "
            "stages 1 to 3"
        )
    return found


def run_part(args: argparse.Namespace, part: str, command: str, tell: Callable[[str], None]) -> int:
    """Evaluate one part, and say what was found."""
    from openeo_udf_fusion.models import cards, weights

    unused = [
        name for name in ("card", "quick", "report", "markdown", "alone", "folds") if getattr(args, name)
    ]
    if unused:
        raise InvalidParameter(f"--{part} does not go with --{unused[0]}")
    embedder = weights.load_embedding(folder=args.weights or cards.FOLDER)
    if part == "picture":
        from openeo_udf_fusion.evaluation import s1s2_picture

        s1s2_picture.draw(args.data, embedder, args.picture)
        print(f"wrote {args.picture}", file=sys.stderr)
        return 0
    result, lines = (_features if part == "features" else _gpp)(args, embedder, command, tell)
    print(json.dumps(result) if args.json else lines)
    return 0


def _features(
    args: argparse.Namespace, embedder: "Embedder", command: str, tell: Callable[[str], None]
) -> tuple[Json, str]:
    from openeo_udf_fusion.evaluation import s1s2_features

    result = s1s2_features.evaluate(args.data, embedder, f"{command} --features")
    return result, s1s2_features.lines(result)


def _gpp(
    args: argparse.Namespace, embedder: "Embedder", command: str, tell: Callable[[str], None]
) -> tuple[Json, str]:
    from openeo_udf_fusion.evaluation import s1s2_gpp

    result = s1s2_gpp.evaluate(args.gpp, embedder, f"{command} --gpp DIR", tell)
    return result, s1s2_gpp.lines(result)
