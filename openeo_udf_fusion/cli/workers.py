"""The options of commands that can run tiles on workers."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from openeo_udf_fusion.errors import InvalidParameter

if TYPE_CHECKING:
    from openeo_udf_fusion.local.cluster import Cluster


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --workers, --scheduler, --resources and --tile-px."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="run tiles in N processes of this machine, not in threads",
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="run tiles on the workers of a dask scheduler, tcp://host:8786 or tls://...; client and workers "
        "must see data and output under the same paths",
    )
    parser.add_argument(
        "--resources",
        metavar="NAME=AMOUNT",
        help="what a tile asks of a worker (dask worker --resources): 'GPU=1', 'none', or 'auto', that is "
        "GPU=1 where workers have it and the graph runs a model; default: auto",
    )
    parser.add_argument(
        "--tile-px",
        type=positive,
        metavar="PX",
        help="largest side of a tile; chunks of UDFs are not cut for it",
    )


def chosen(args: argparse.Namespace) -> "Callable[[], AbstractContextManager[Cluster]] | None":
    """What opens the cluster that the options name; None for threads.

    Raises
    ------
    InvalidParameter
        Resources are nonsense, or asked for where there are no workers.
    """
    if not args.workers and not args.scheduler:
        if args.resources is not None:
            raise InvalidParameter(
                f"--resources {args.resources} is for workers: add --scheduler ADDRESS or --workers N, or "
                "leave --resources out"
            )
        return None
    from openeo_udf_fusion.local.cluster import connected, local_workers, parse_resources

    resources = parse_resources(args.resources or "auto")
    if args.scheduler:
        return partial(connected, args.scheduler, resources)
    return partial(local_workers, args.workers, resources)


@contextmanager
def opened(args: argparse.Namespace) -> Iterator["Cluster | None"]:
    """The cluster that the options name, or None for threads."""
    open_cluster = chosen(args)
    if open_cluster is None:
        yield None
        return
    with open_cluster() as cluster:
        yield cluster


@contextmanager
def reached(args: argparse.Namespace) -> Iterator["Cluster | None"]:
    """The cluster of --scheduler, to be looked at; no worker is started for it."""
    open_cluster = chosen(args)
    if open_cluster is None or not args.scheduler:
        yield None
        return
    with open_cluster() as cluster:
        yield cluster


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0 is needed, got {text}")
    return number
