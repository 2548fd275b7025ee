"""`openeo-udf-fusion evaluate`: what a model can do on pixels that its training never saw, and what not."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from openeo_udf_fusion.cli import evaluate_s1s2, evaluate_tamrf
from openeo_udf_fusion.jsontypes import Json


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "evaluate", help="score a model against the classical methods, with a report", description=__doc__
    )
    parser.add_argument("model", choices=["satfusenet", "s1s2_embedding", "tamrf"], help="which model")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("OPENEO_UDF_FUSION_DATA", "../shared/data")),
        metavar="DIR",
        help="folder with nbar_series/*.npz, and spectral_responses, munich_modis, hls_gpp for all parts; "
        "for s1s2_embedding a site or a folder of sites, for tamrf belgium_landsat_sentinel; default: the "
        "environment's OPENEO_UDF_FUSION_DATA, else ../shared/data",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="score the network in this folder, and those of its cross-validation in DIR/folds/*, instead of "
        "the shipped ones",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a printable HTML page")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument(
        "--card",
        action="store_true",
        help="write the skill into the card of the network that users get; not from a --quick look",
    )
    extent.add_argument(
        "--quick", "--fast", action="store_true", help="a few pixels and gaps: whether it works, no more"
    )
    evaluate_s1s2.add_options(parser)
    evaluate_tamrf.add_options(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object with all the numbers")
    output.add_argument("--markdown", action="store_true", help="print the tables of the README")


def run(args: argparse.Namespace) -> int:
    """Evaluate, and say what was found."""
    evaluate_tamrf.check(args)
    if args.model == evaluate_tamrf.NAME:
        return evaluate_tamrf.run(args, command(args), narrator())
    return run_embedding(args) if args.model == "s1s2_embedding" else run_satfusenet(args)


def run_satfusenet(args: argparse.Namespace) -> int:
    """Evaluate SatFuseNet."""
    from openeo_udf_fusion.errors import InvalidParameter
    from openeo_udf_fusion.evaluation import markdown, networks, satfusenet, summary

    part = evaluate_s1s2.chosen(args)
    if part:
        raise InvalidParameter(f"--{part} is for s1s2_embedding; satfusenet has no such part")
    settings = satfusenet.QUICK if args.quick else satfusenet.Settings()
    trained = networks.given(args.weights) if args.weights else None
    result = satfusenet.evaluate(args.data, settings, command(args), narrator(), trained)
    if args.report:
        write_report(result, args.report)
    if args.card:
        write_skill(result, args.weights)
    if args.json:
        print(json.dumps(result))
    elif args.markdown:
        print(markdown.tables(result), end="")
    else:
        for gate, answer, numbers in summary.verdict_rows(result["verdicts"]):
            print(f"{gate}: {answer}\n    {numbers}")
    return 0


def run_embedding(args: argparse.Namespace) -> int:
    """Evaluate the Sentinel-1/2 embedding."""
    from openeo_udf_fusion.errors import InvalidParameter
    from openeo_udf_fusion.evaluation import s1s2_embedding
    from openeo_udf_fusion.models import cards, weights
    from openeo_udf_fusion.training import s1s2_card

    part = evaluate_s1s2.chosen(args)
    if part:
        return evaluate_s1s2.run_part(args, part, command(args), narrator())
    if args.report:
        raise InvalidParameter("s1s2_embedding has no --report; take --json, --markdown or neither")
    folder = args.weights or cards.FOLDER
    settings = s1s2_embedding.QUICK if args.quick else s1s2_embedding.Settings()
    embedder = weights.load_embedding(folder=folder)
    alone = evaluate_s1s2.networks_alone(args.alone)
    folds = evaluate_s1s2.networks_of_folds(args)
    asked = command(args) + (" --alone DIR" if alone else "") + (" --folds DIR" if args.folds else "")
    result = s1s2_embedding.evaluate(args.data, embedder, settings, asked, narrator(), alone, folds)
    if args.card:
        changed = s1s2_card.change(folder, {"fusion:skill": s1s2_embedding.for_card(result)})
        print(f"wrote {changed}", file=sys.stderr)
    text = s1s2_embedding.markdown(result) if args.markdown else s1s2_embedding.lines(result)
    print(json.dumps(result) if args.json else text)
    return 0


def write_report(result: Json, file: Path) -> None:
    """Write the page."""
    from openeo_udf_fusion.evaluation import report

    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(report.render(result), encoding="utf-8")
    print(f"wrote {file}", file=sys.stderr)


def write_skill(result: Json, folder: Path | None) -> None:
    """Put the skill into a card: the shipped one, or that in a folder."""
    from openeo_udf_fusion.evaluation import skill
    from openeo_udf_fusion.models import cards
    from openeo_udf_fusion.training import satfusenet_card

    changed = satfusenet_card.change(folder or cards.FOLDER, {"fusion:skill": skill.for_card(result)})
    print(f"wrote {changed}", file=sys.stderr)


def command(args: argparse.Namespace) -> str:
    """The command that measures the same, without this machine's folders."""
    options = (" --weights DIR" if args.weights else "") + (" --quick" if args.quick else "")
    return f"openeo-udf-fusion evaluate {args.model} --data DIR --json{options}"


def narrator() -> Callable[[str], None]:
    """Tells the reader of stderr what has been done, and when."""
    started = time.monotonic()

    def tell(done: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {done}", file=sys.stderr)

    return tell
