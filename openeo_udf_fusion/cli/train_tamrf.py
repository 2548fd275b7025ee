"""`openeo-udf-fusion train tamrf`: the fusion of Landsat and Sentinel-2, or a network to compare it with."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from openeo_udf_fusion.cli.train import _positive
from openeo_udf_fusion.errors import InvalidParameter

if TYPE_CHECKING:
    from openeo_udf_fusion.training.tamrf_ls2s2 import Ls2s2Site
    from openeo_udf_fusion.training.tamrf_sites import Site

    Sites = list[Site | Ls2s2Site]

NETWORKS = ("tamrf", "dsen2", "utilise")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of `train`."""
    about = "train the fusion of Landsat and Sentinel-2, or a network to compare it with, on sites in folders"
    parser = subparsers.add_parser("tamrf", help=about, description=about)
    parser.set_defaults(act=train_tamrf)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        nargs="+",
        metavar="DIR",
        help="a folder of the Belgian or Romanian cube, one that holds them, or one of sites of LS2S2",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the checkpoint, and at the end of weights and card; default: runs/NETWORK",
    )
    parser.add_argument("--network", choices=NETWORKS, default="tamrf", help="default: tamrf")
    parser.add_argument(
        "--size",
        choices=["small", "full"],
        default="small",
        help="of tamrf: full is the published network and its schedule; default: small",
    )
    parser.add_argument("--steps", type=_positive, help="how many updates; default: by network and size")
    parser.add_argument("--learning-rate", type=float, help="the highest; default: by network and size")
    parser.add_argument("--seed", type=int, default=2018, help="default: 2018")
    parser.add_argument("--threads", type=_positive, default=1, help="of torch; default: 1")
    parser.add_argument(
        "--perceptual",
        type=Path,
        metavar="FILE",
        help="state_dict of torchvision's VGG16 or AlexNet, by which tamrf's loss of detail judges; "
        "without it that loss is off",
    )
    parser.add_argument(
        "--sharpening-steps",
        type=_positive,
        help="of learning the detail of Sentinel-2's bands of 20 m, at the end; default: by size",
    )
    parser.add_argument(
        "--sharpening-of",
        type=Path,
        metavar="DIR",
        help="train nothing but the detail of Sentinel-2's bands of 20 m, of the network in this folder",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--json", action="store_true", help="print one JSON object: the card's path")


def train_tamrf(args: argparse.Namespace) -> int:
    """Train one network, and write weights and card."""
    import torch

    from openeo_udf_fusion.training.tamrf_ls2s2 import read_sites

    own = args.perceptual or args.sharpening_of or args.size != "small"
    if args.network != "tamrf" and own:
        raise InvalidParameter(
            f"--size, --perceptual and --sharpening-of are of tamrf, not of {args.network}; leave them out"
        )
    torch.set_num_threads(args.threads)
    sites = read_sites(args.data)
    out = args.out or Path("runs") / args.network
    card = _tamrf(args, sites, out) if args.network == "tamrf" else _comparator(args, sites, out)
    if args.json:
        print(json.dumps({"card": str(card)}))
    else:
        print(f"wrote {card} and its weights", file=sys.stderr)
    return 0


def _tamrf(args: argparse.Namespace, sites: "Sites", out: Path) -> Path:
    from openeo_udf_fusion.training import tamrf_campaign, tamrf_perceptual
    from openeo_udf_fusion.training.tamrf_start import schedule_of

    schedule = schedule_of(args.size, args.steps, args.learning_rate, args.seed, args.sharpening_steps)
    if schedule.sharpening_steps and args.size == "full":
        raise InvalidParameter("the full network has no sharpening steps; leave --sharpening-steps out")
    if args.sharpening_of is not None:
        return tamrf_campaign.train_sharpening(args.sharpening_of, sites, out, schedule, resume=args.resume)
    distance = None if args.perceptual is None else tamrf_perceptual.load(args.perceptual)
    if distance is None:
        print("the loss of detail is off: no --perceptual FILE was given", file=sys.stderr)
    return tamrf_campaign.train_network(sites, out, schedule, distance, resume=args.resume, told=_told)


def _comparator(args: argparse.Namespace, sites: "Sites", out: Path) -> Path:
    from openeo_udf_fusion.training import dsen2, utilise

    module = dsen2 if args.network == "dsen2" else utilise
    default = module.SCHEDULE
    steps, rate = args.steps or default.steps, args.learning_rate or default.learning_rate
    schedule = replace(default, steps=steps, learning_rate=rate, seed=args.seed)
    card: Path = module.train(sites, out, schedule, resume=args.resume)
    return card


def _told(step: int, score: float) -> None:
    print(f"step {step}: error {score:.4f} of that of interpolation", file=sys.stderr)
