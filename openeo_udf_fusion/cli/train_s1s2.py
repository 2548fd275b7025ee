"""`openeo-udf-fusion train s1s2_embedding`: the two stages, on sites in folders or fetched from a backend."""

import argparse
import json
import sys
from pathlib import Path

from openeo_udf_fusion.cli.train import _positive, add_login, log_in
from openeo_udf_fusion.errors import FusionError, InvalidParameter


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of `train`."""
    about = "train the Sentinel-1/2 embedding on sites in folders, or on one fetched from an openEO backend"
    parser = subparsers.add_parser("s1s2_embedding", help=about, description=about)
    parser.set_defaults(act=train_s1s2_embedding)
    parser.add_argument(
        "--stage",
        type=int,
        choices=(1, 2, 3),
        required=True,
        help="1: each sensor's encoder by itself; 2: fusion, which goes on from stage 1 in --out; 3: "
        "Sentinel-1 as a witness of change, which goes on from stage 2's weights there",
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="a folder with S2*.nc (bands and SCL) and S1*.nc (dB), or a folder of such folders; with "
        "--backend what is fetched goes there",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs") / "s1s2_embedding",
        metavar="DIR",
        help="folder of checkpoints, and after stage 2 of weights and card; default: runs/s1s2_embedding",
    )
    parser.add_argument("--backend", metavar="URL", help="fetch the site from this openEO backend first")
    parser.add_argument("--spatial-extent", nargs=4, type=float, metavar=("WEST", "SOUTH", "EAST", "NORTH"))
    parser.add_argument("--temporal-extent", nargs=2, metavar=("START", "END"))
    parser.add_argument("--s1-collection", default="SENTINEL1_GRD", metavar="ID", help="default: %(default)s")
    parser.add_argument("--s2-collection", default="SENTINEL2_L2A", metavar="ID", help="default: %(default)s")
    parser.add_argument("--s1-db", action="store_true", help="the backend's backscatter is in dB already")
    parser.add_argument(
        "--s1-backscatter", metavar="COEFFICIENT", help="of sar_backscatter, where the backend has raw GRD"
    )
    parser.add_argument(
        "--s1-orbit",
        choices=["ASCENDING", "DESCENDING", "any"],
        default="ASCENDING",
        help="of Sentinel-1, where the backend knows it; default: %(default)s",
    )
    parser.add_argument("--s2-scale", type=float, default=1e-4, metavar="X", help="default: 0.0001")
    parser.add_argument("--s2-offset", type=float, default=0.0, metavar="X", help="default: 0")
    add_login(parser)
    parser.add_argument("--steps", type=_positive, help="how many updates; default: 1600, 2800 and 600")
    parser.add_argument(
        "--sensors",
        choices=("both", "s1", "s2"),
        default="both",
        help="stage 2: what to show; with one alone the network goes into OUT/s1_alone or OUT/s2_alone, "
        "to be measured against the fused one (evaluate --alone OUT). default: %(default)s",
    )
    parser.add_argument(
        "--fold",
        type=int,
        choices=range(4),
        default=0,
        help="which days are held out: 0 those of the shipped network; the networks of 1, 2 and 3, each with "
        "its own --out DIR/K, are for evaluate --folds DIR. default: 0",
    )
    parser.add_argument("--code", type=_positive, default=8, help="numbers of the code; default: 8")
    parser.add_argument("--seed", type=int, default=2018, help="default: 2018")
    parser.add_argument("--threads", type=_positive, default=1, help="of torch; default: 1")
    parser.add_argument("--resume", action="store_true", help="go on from the stage's checkpoint in --out")
    parser.add_argument("--json", action="store_true", help="print one JSON object: what was written")


def train_s1s2_embedding(args: argparse.Namespace) -> int:
    """Train one stage; after the second write weights and card."""
    import torch

    from openeo_udf_fusion.training import s1s2_campaign, s1s2_sites
    from openeo_udf_fusion.training.s1s2_embedding import schedule_of

    torch.set_num_threads(args.threads)
    if args.backend:
        _fetch_site(args)
    sites = s1s2_sites.read_sites(args.data, args.fold)
    sees = ("s1", "s2") if args.sensors == "both" else (args.sensors,)
    if args.stage != 2 and len(sees) == 1:
        raise InvalidParameter("--sensors is for stage 2; stage 1 teaches each sensor, stage 3 needs both")
    schedule = schedule_of(args.stage, args.steps, args.seed, sees)
    written = s1s2_campaign.train_stage(sites, args.out, schedule, args.code, resume=args.resume)
    if args.json:
        print(json.dumps({"stage": args.stage, "files": [str(file) for file in written]}))
    else:
        print("wrote " + ", ".join(str(file) for file in written), file=sys.stderr)
    return 0


def _fetch_site(args: argparse.Namespace) -> None:
    import openeo

    from openeo_udf_fusion.training.s1s2_fetch import Place, fetch

    if args.spatial_extent is None or args.temporal_extent is None:
        raise InvalidParameter("--backend needs --spatial-extent and --temporal-extent of the site to fetch")
    corners: dict[str, float | str | int] = dict(
        zip(("west", "south", "east", "north"), args.spatial_extent, strict=True)
    )
    place = Place(
        corners,
        tuple(args.temporal_extent),
        s1_collection=args.s1_collection,
        s2_collection=args.s2_collection,
        s1_is_db=args.s1_db,
        s1_backscatter=args.s1_backscatter,
        s1_orbit=None if args.s1_orbit == "any" else args.s1_orbit,
        s2_scale=args.s2_scale,
        s2_offset=args.s2_offset,
    )
    try:
        connection = openeo.connect(args.backend)
        log_in(connection, args.backend, args.user)
        fetch(connection, place, args.data)
    except FusionError:
        raise
    except (openeo.BaseOpenEoException, OSError) as error:
        raise InvalidParameter(f"backend {args.backend}: {error}") from error
