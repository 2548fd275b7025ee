"""`openeo-udf-fusion train`: train a model from scratch, or measure one."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "train", help="train a model, or measure a trained one", description=__doc__
    )
    parser.add_argument("model", choices=["satfusenet"], help="which model")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the training data")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of checkpoint, weights and card; default: runs/satfusenet",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="how many updates; default: 12000")
    length.add_argument("--minutes", type=float, help="as many updates as fit, by a short trial")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="the highest; default: 0.002")
    parser.add_argument(
        "--ease", type=float, default=0.5, help="0..1, how much easy cells count in the loss; default: 0.5"
    )
    parser.add_argument(
        "--start", type=Path, metavar="FILE", help="begin with these weights (safetensors): a second stage"
    )
    parser.add_argument("--seed", type=int, default=2012, help="default: 2012")
    parser.add_argument("--threads", type=int, default=1, help="of torch; default: 1")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="train nothing: score on held-out pixels the model in --out, or the shipped one",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, the measured skill")


def run(args: argparse.Namespace) -> int:
    """Train and measure, or only measure."""
    import torch

    torch.set_num_threads(args.threads)
    skill = measure(args) if args.measure else train(args)
    if args.json or args.measure:
        print(json.dumps(skill, indent=1))
    return 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Score a model on the held-out pixels."""
    from openeo_udf_fusion.models import cards, weights
    from openeo_udf_fusion.training.measure import measure as score

    return score(weights.load("satfusenet", folder=args.out or cards.FOLDER), args.data)


def train(args: argparse.Namespace) -> dict[str, Any]:
    """Train, measure, and write weights and card."""
    from openeo_udf_fusion.training import card, satfusenet

    folder = args.out or Path("runs") / "satfusenet"
    schedule = satfusenet.Schedule(seed=args.seed, learning_rate=args.learning_rate, ease=args.ease)
    if args.minutes:
        schedule = satfusenet.steps_within(args.minutes, args.data, schedule)
    elif args.steps:
        schedule = replace(schedule, steps=args.steps)
    model, record = satfusenet.train(args.data, folder, schedule, start=args.start, resume=args.resume)
    skill = card.publish(model, record, command(args, schedule.steps), args.data, folder)
    if not args.json:
        print(f"wrote {folder / 'satfusenet.json'} and its weights")
    return skill


def command(args: argparse.Namespace, steps: int) -> str:
    """The command that trains the same once more, without this machine's folders."""
    options = (
        f"--steps {steps} --learning-rate {args.learning_rate:g} --ease {args.ease:g} --seed {args.seed}"
    )
    begin = f" --start {args.start.name}" if args.start else ""
    return f"openeo-udf-fusion train satfusenet --data DIR {options}{begin}"
