"""`openeo-udf-fusion train`: train a model, make the pairs it learns from, or collect real ones."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openeo_udf_fusion.cli import passwords
from openeo_udf_fusion.errors import FusionError, InvalidParameter

if TYPE_CHECKING:
    import openeo

    from openeo_udf_fusion.training.collect import Plan
    from openeo_udf_fusion.training.satfusenet import Schedule
    from openeo_udf_fusion.training.store import Store

PLATFORMS = ("S-NPP", "NOAA-20", "NOAA-21")
SENSORS = {"modis": "MOD09GA", "viirs": "VNP09GA"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "train", help="train a model, make training pairs, or collect real ones", description=__doc__
    )
    from openeo_udf_fusion.cli import train_s1s2, train_tamrf  # which take their options' types from here

    things = parser.add_subparsers(dest="thing", required=True, metavar="WHAT")
    _add_satfusenet(things)
    _add_calibrate(things)
    _add_pairs(things)
    _add_collect(things)
    train_s1s2.add(things)
    train_tamrf.add(things)


def _add_satfusenet(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "train SatFuseNet on pairs, or on series from which pairs are made first"
    parser = subparsers.add_parser("satfusenet", help=about, description=about)
    parser.set_defaults(act=train_satfusenet)
    _add_places(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--fold",
        type=int,
        choices=range(5),
        help="train the network that leaves this fifth of the places out",
    )
    which.add_argument(
        "--folds",
        action="store_true",
        help="train the networks of all five folds and the one to ship, and calibrate them",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=_positive, default=7500, help="how many updates; default: 7500")
    length.add_argument("--minutes", type=float, help="as many updates as fit, by a short trial")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="the highest; default: 0.002")
    parser.add_argument(
        "--ease", type=float, default=0.4, help="0..1, how much easy cells count in the loss; default: 0.4"
    )
    parser.add_argument("--seed", type=int, default=2012, help="default: 2012")
    parser.add_argument("--threads", type=_positive, default=1, help="of torch; default: 1")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--json", action="store_true", help="print one JSON object: the cards' paths")


def _add_calibrate(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "fit how far to trust the networks in a folder: the one to ship and those of its five folds"
    parser = subparsers.add_parser("calibrate", help=about, description=about)
    parser.set_defaults(act=calibrate)
    _add_places(parser)
    parser.add_argument("--threads", type=_positive, default=1, help="of torch; default: 1")
    parser.add_argument("--json", action="store_true", help="print one JSON object: the cards' paths")


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="pairs made by `train pairs` or `train collect`, or a folder of MODIS series and responses, of "
        "which pairs are made and kept in --out",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs") / "satfusenet",
        metavar="DIR",
        help="folder of checkpoints, weights and cards; default: runs/satfusenet",
    )


def _add_pairs(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "make semi-real pairs: measured MODIS series, and VIIRS simulated from them"
    parser = subparsers.add_parser("pairs", help=about, description=about)
    parser.set_defaults(act=make_pairs)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder of series and responses"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="PAIRS", help="folder of the new data set"
    )
    parser.add_argument("--variants", type=_positive, default=12, help="samples per pixel; default: 12")
    parser.add_argument(
        "--platform",
        action="append",
        choices=PLATFORMS,
        help="of VIIRS; several take turns; default: S-NPP, which leaves the others to test on",
    )
    parser.add_argument("--seed", type=int, default=2012, help="default: 2012")
    parser.add_argument("--spectra", choices=["train", "test"], default="train", help="default: train")
    parser.add_argument("--overwrite", action="store_true", help="replace the data set that is there")
    parser.add_argument("--json", action="store_true", help="print one JSON object about the data set")


def _add_collect(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "collect real pairs at given points from an openEO backend; goes on where it was interrupted"
    parser = subparsers.add_parser("collect", help=about, description=about)
    parser.set_defaults(act=collect_pairs)
    parser.add_argument("--backend", required=True, metavar="URL")
    parser.add_argument(
        "--points", type=Path, required=True, metavar="FILE", help="CSV or GeoJSON: longitude, latitude, ..."
    )
    parser.add_argument("--temporal-extent", nargs=2, required=True, metavar=("START", "END"))
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder of the new data set"
    )
    for sensor, collection in SENSORS.items():
        name = sensor.upper()
        parser.add_argument(
            f"--{sensor}-collection", default=collection, metavar="ID", help="default: %(default)s"
        )
        parser.add_argument(
            f"--{sensor}-scale",
            type=float,
            default=1e-4,
            metavar="X",
            help=f"{name} reflectance = stored x scale + offset; default: 0.0001; 1 if it is reflectance",
        )
        parser.add_argument(f"--{sensor}-offset", type=float, default=0.0, metavar="X", help="default: 0")
    parser.add_argument("--platform", choices=PLATFORMS, help="of VIIRS; default: by the collection's name")
    parser.add_argument(
        "--product", choices=["nbar", "directional"], help="default: by the name of the MODIS collection"
    )
    parser.add_argument("--chunk", type=_positive, default=50, help="points to a job; default: 50")
    parser.add_argument("--parallel", type=_positive, default=2, help="jobs at a time; default: 2")
    add_login(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object about the data set")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for."""
    status: int = args.act(args)
    return status


def make_pairs(args: argparse.Namespace) -> int:
    """Simulate pairs and write them."""
    from tqdm import tqdm

    from openeo_udf_fusion.training import campaign, pairs, store

    platforms = args.platform or ["S-NPP"]
    blocks = pairs.simulate(args.data, platforms, args.variants, args.seed, args.spectra)
    command = (
        f"openeo-udf-fusion train pairs --data DIR --output PAIRS --variants {args.variants} "
        f"--seed {args.seed} --spectra {args.spectra} "
        + " ".join(f"--platform {platform}" for platform in platforms)
    )
    made = campaign.semi_real_record(args.data, args.variants, args.seed, platforms, args.spectra)
    record = made | {"command": command}
    bar = tqdm(blocks, unit="block", disable=None)
    written = store.write(bar, args.output, record, overwrite=args.overwrite)
    return _report(args, written, {})


def collect_pairs(args: argparse.Namespace) -> int:
    """Fetch real pairs and write them; 1 where some of them could not be fetched."""
    import openeo
    from tqdm import tqdm

    from openeo_udf_fusion.training.collect import collect

    try:
        connection = openeo.connect(args.backend)
        log_in(connection, args.backend, args.user)
        plan = _plan(connection, args)
    except FusionError:
        raise
    except (openeo.BaseOpenEoException, OSError) as error:
        raise InvalidParameter(f"backend {args.backend}: {error}") from error
    with tqdm(unit="job", disable=None) as bar:

        def progress(name: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update(done - bar.n)

        collected = collect(connection, plan, args.output, parallel=args.parallel, progress=progress)
    for name, reason in collected.failed.items():
        print(f"{name} failed: {reason}", file=sys.stderr)
    if collected.failed:
        print(f"{len(collected.failed)} jobs failed; the same command tries those again", file=sys.stderr)
    extra = {"left_out": collected.left_out, "failed": collected.failed}
    return _report(args, collected.store, extra) or int(bool(collected.failed))


def add_login(parser: argparse.ArgumentParser) -> None:
    """Add the options of `log_in`."""
    parser.add_argument(
        "--user",
        help="log in with user and password, which comes from the environment variable "
        f"{passwords.PASSWORD_VARIABLE} or is asked for; default: OpenID Connect where the backend has it",
    )
    parser.add_argument("--password", action=passwords.Gone, instead=", or be asked for it in a terminal")


def log_in(connection: "openeo.Connection", url: str, user: str | None) -> None:
    """Authenticate: with user and password if a user is given, else by OIDC where the backend offers it.

    Raises
    ------
    InvalidParameter, InvalidCredentials, Unauthenticated
        There is no password, or the backend does not take it.
    """
    from openeo_udf_fusion.publish.backend import Backend, Login

    if user is None and all(provider["type"] != "oidc" for provider in connection.list_auth_providers()):
        return
    Backend(connection, url).log_in(Login(user=user, ask=passwords.asker()))


def _plan(connection: "openeo.Connection", args: argparse.Namespace) -> "Plan":
    from openeo_udf_fusion.training.collect import PLATFORMS as KNOWN
    from openeo_udf_fusion.training.collect import Plan
    from openeo_udf_fusion.training.points import read_points
    from openeo_udf_fusion.training.sampling import choose_format, find_source

    collections = {sensor: getattr(args, f"{sensor}_collection") for sensor in SENSORS}
    sources = {
        sensor: find_source(
            sensor,
            collection,
            connection.describe_collection(collection),
            getattr(args, f"{sensor}_scale"),
            getattr(args, f"{sensor}_offset"),
        )
        for sensor, collection in collections.items()
    }
    nbar = collections["modis"].upper().startswith("MCD43")
    return Plan(
        points=read_points(args.points),
        temporal_extent=tuple(args.temporal_extent),
        sources=sources,
        platform=args.platform or KNOWN.get(collections["viirs"][:3].upper(), ""),
        product=args.product or ("nbar" if nbar else "directional"),
        chunk=args.chunk,
        format=choose_format(connection.list_file_formats()),
    )


def _report(args: argparse.Namespace, written: "Store", extra: dict[str, Any]) -> int:
    pixels, samples = len(written.pixels()), len(written.samples)
    if args.json:
        counts = {"folder": str(written.folder), "pixels": pixels, "samples": samples}
        print(json.dumps({**counts, **extra, "record": written.record}, indent=1))
    else:
        print(f"wrote {written.folder}: {samples} samples of {pixels} pixels", file=sys.stderr)
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number


def train_satfusenet(args: argparse.Namespace) -> int:
    """Train one network, or all of a campaign."""
    import torch

    from openeo_udf_fusion.training import campaign, folds

    torch.set_num_threads(args.threads)
    pairs = campaign.pairs_of(args.data, args.out / "pairs")
    schedule = schedule_of(args, pairs)
    wanted = [*range(folds.FOLDS), None] if args.folds else [args.fold]
    written = [
        campaign.train_network(
            pairs,
            args.out,
            fold,
            schedule,
            command(args, schedule.steps, fold),
            resume=args.resume,
        )
        for fold in wanted
    ]
    if args.folds:
        campaign.calibrate(pairs, args.out, args.data)
    return _told_cards(args, written)


def calibrate(args: argparse.Namespace) -> int:
    """Calibrate networks that are there."""
    import torch

    from openeo_udf_fusion.training import campaign

    torch.set_num_threads(args.threads)
    campaign.check_trained(args.out)
    pairs = campaign.pairs_of(args.data, args.out / "pairs")
    return _told_cards(args, campaign.calibrate(pairs, args.out, args.data))


def schedule_of(args: argparse.Namespace, pairs: "Store") -> "Schedule":
    """How to train, by the options."""
    from openeo_udf_fusion.training import campaign, satfusenet

    schedule = satfusenet.Schedule(
        steps=args.steps, seed=args.seed, learning_rate=args.learning_rate, ease=args.ease
    )
    if args.minutes:
        samples, watched = campaign.samples_of(pairs, args.fold, schedule.seed)
        schedule = satfusenet.steps_within(args.minutes, samples, watched, schedule)
    return schedule


def command(args: argparse.Namespace, steps: int, fold: int | None) -> str:
    """The command that trains the same once more, without this machine's folders."""
    options = (
        f"--steps {steps} --learning-rate {args.learning_rate:g} --ease {args.ease:g} --seed {args.seed}"
    )
    which = "" if fold is None else f" --fold {fold}"
    return f"openeo-udf-fusion train satfusenet --data DIR {options}{which}"


def _told_cards(args: argparse.Namespace, written: list[Path]) -> int:
    if args.json:
        print(json.dumps({"cards": [str(card) for card in written]}))
    else:
        for card in written:
            print(f"wrote {card} and its weights", file=sys.stderr)
    return 0
