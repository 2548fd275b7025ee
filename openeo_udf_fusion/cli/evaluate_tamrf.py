"""`openeo-udf-fusion evaluate tamrf`: gap filling, sharpening and fusion against every comparator."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from openeo_udf_fusion.cli import evaluate_s1s2
from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json

if TYPE_CHECKING:
    from openeo_udf_fusion.models.fuser import Fuser

NAME = "tamrf"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only this evaluation has."""
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="tamrf: score beside the default weights every card DIR/tamrf*.json; a DIR/tamrf.json takes the "
        "default's place",
    )
    parser.add_argument(
        "--brisque",
        type=Path,
        metavar="DIR",
        help="tamrf: BRISQUE's svm.txt and normalize.pickle; default: those of the wheel brisque, if it is "
        "installed, else no such score",
    )


def check(args: argparse.Namespace) -> None:
    """Raise InvalidParameter if an option of this evaluation goes with another model."""
    given = [name for name in ("models", "brisque") if getattr(args, name)]
    if given and args.model != NAME:
        raise InvalidParameter(f"--{given[0]} is for tamrf; {args.model} has no such option")


def run(args: argparse.Namespace, command: str, tell: Callable[[str], None]) -> int:
    """Evaluate, and say what was found."""
    from openeo_udf_fusion.evaluation import brisque, tamrf, tamrf_comparators, tamrf_report, tamrf_tables

    part = evaluate_s1s2.chosen(args)
    if part:
        raise InvalidParameter(f"--{part} is for s1s2_embedding; tamrf has no such part")
    if args.weights:
        raise InvalidParameter("tamrf takes other weights by --models DIR, not by --weights")
    judge, models = brisque.find(args.brisque), fusers(args.models)
    if judge is None:
        tell(f"no BRISQUE model: its scores stay empty; {brisque.INSTALL}")
    result, scenes = tamrf.evaluate(
        tamrf.read(args.data),
        models,
        tamrf_comparators.trained(),
        tamrf.FAST if args.quick else tamrf.Settings(),
        command + (" --models DIR" if args.models else ""),
        judge,
        tell,
    )
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(tamrf_report.render(result, scenes), encoding="utf-8")
        print(f"wrote {args.report}", file=sys.stderr)
    if args.card:
        write_skill(tamrf_tables.for_card(result, NAME), args.models)
    print(json.dumps(result) if args.json else tamrf_tables.markdown(result), end="\n" if args.json else "")
    return 0


def fusers(folder: Path | None) -> "dict[str, Fuser]":
    """The default weights, and those of a folder, by the names of their cards."""
    from openeo_udf_fusion.models import cards, weights

    own = [name for name in cards.names(folder) if name.startswith(NAME)] if folder else []
    if folder and not own:
        raise InvalidParameter(f"{folder} has no card {NAME}*.json; weights import-tamrf writes one")
    names = dict.fromkeys([NAME, *own])
    return {name: weights.load_fusion(name, folder=folder if name in own else None) for name in names}


def write_skill(skill: Json, folder: Path | None) -> None:
    """Put the skill beside what else the card of the default weights says of it, wherever they came from."""
    from openeo_udf_fusion.models import cards
    from openeo_udf_fusion.training import model_card

    own = folder is not None and (folder / f"{NAME}.json").is_file()
    place = folder if own and folder else cards.folder_of(NAME)
    others = cards.read(NAME, place).skill
    changed = model_card.change(NAME, place, {"fusion:skill": {**others, "evaluation": skill}})
    print(f"wrote {changed}", file=sys.stderr)
