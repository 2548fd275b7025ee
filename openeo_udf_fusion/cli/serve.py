"""`openeo-udf-fusion serve`: an openEO API on a folder of files."""

import argparse
import math
import os
import shlex
from pathlib import Path

from openeo_udf_fusion.cli import passwords, workers
from openeo_udf_fusion.cli.quantities import days, seconds, size_bytes
from openeo_udf_fusion.errors import InvalidParameter


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "serve", help="run an openEO server on a folder of files", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the collections")
    parser.add_argument("--port", type=int, default=8080, help="default: 8080; 0 takes a free one")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="default: 127.0.0.1; any address beyond this machine needs --user or --users",
    )
    _add_security(parser)
    workers.add_options(parser)
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder of jobs, results and stored processes; default: $XDG_STATE_HOME/openeo-udf-fusion",
    )
    _add_operation(parser)


def _add_security(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--user",
        help="the one account, with the password of the environment variable "
        f"{passwords.PASSWORD_VARIABLE}; without --user and --users the server is open",
    )
    parser.add_argument(
        "--users",
        type=Path,
        metavar="FILE",
        help="several accounts, a file that 'openeo-udf-fusion user add' makes; read again when it changes",
    )
    # Others on the machine see what stands on the command line.
    users = ", or make a file with 'openeo-udf-fusion user add FILE NAME' and give it with --users FILE"
    parser.add_argument("--password", action=passwords.Gone, instead=users)
    parser.add_argument(
        "--token-lifetime",
        type=_hours,
        default=24.0,
        metavar="HOURS",
        help="how long a log-in is good for; default: 24",
    )
    parser.add_argument(
        "--allow-namespace",
        action="append",
        default=[],
        metavar="URL",
        help="read processes at URLs that begin with this (namespace=URL), at public addresses alone; "
        "repeatable; default: none is read",
    )
    parser.add_argument(
        "--allow-private-namespace",
        action="append",
        default=[],
        metavar="URL",
        help="the same at addresses of this machine and its network",
    )
    parser.add_argument(
        "--trusted-proxy",
        action="append",
        metavar="ADDRESS",
        help="a reverse proxy, or a network of them (10.88.0.0/16), whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed; repeatable; default: 127.0.0.1 and ::1",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="change one limit of requests, graphs or users, jobs_per_user=50 say; repeatable; a wrong name "
        "lists them all",
    )


def _add_operation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--udf-memory",
        type=size_bytes,
        default="4GiB",
        metavar="SIZE",
        help="memory of the process that runs a UDF which is not this package's (500MB, 4GiB, none); "
        "default: 4GiB",
    )
    parser.add_argument(
        "--udf-timeout",
        type=seconds,
        default="600",
        metavar="SECONDS",
        help="how long such a UDF may take for one chunk (or none); default: 600",
    )
    parser.add_argument(
        "--udf-wrapper",
        type=shlex.split,
        default="",
        metavar="COMMAND",
        help="a command to put before the Python of such a UDF, a sandbox say; {folder} in it becomes the "
        "one folder that the UDF may write to",
    )
    parser.add_argument(
        "--run-timeout",
        type=seconds,
        default="none",
        metavar="SECONDS",
        help="how long a run, of a job or a synchronous one, may take (or none); it then ends after its "
        "tile, with an error; default: none",
    )
    parser.add_argument(
        "--keep-jobs",
        type=days,
        metavar="DAYS",
        help="remove finished, failed and cancelled jobs, and their results, so many days after their end; "
        "default: never",
    )
    parser.add_argument(
        "--disk-quota",
        type=size_bytes,
        metavar="SIZE",
        help="what the folder --state may hold (100GB); a run that goes beyond fails; default: any amount",
    )
    parser.add_argument(
        "--user-quota",
        type=size_bytes,
        metavar="SIZE",
        help="what the jobs and results of one user may take; default: any amount",
    )
    parser.add_argument(
        "--log-format",
        choices=["text", "json"],
        default="text",
        help="lines for people, or one JSON object a line; both go to stderr; default: text",
    )


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 < hours < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of hours above 0, got {text}")
    return hours


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from openeo_udf_fusion.local import executor as local_executor
    from openeo_udf_fusion.local.server import logs
    from openeo_udf_fusion.local.server.executors import Scaled
    from openeo_udf_fusion.local.server.limits import parse_limits
    from openeo_udf_fusion.local.server.proxies import THIS_MACHINE
    from openeo_udf_fusion.local.server.serving import serve
    from openeo_udf_fusion.local.server.settings import Settings
    from openeo_udf_fusion.local.udf.confinement import server_confinement

    logs.install(args.log_format)
    password = passwords.from_environment()
    if args.user is not None and args.users is not None:
        raise InvalidParameter("give --user (one account) or --users (a file of them), not both")
    if args.user is not None and not password:
        raise InvalidParameter(
            f"--user {args.user} needs a password in the environment variable {passwords.PASSWORD_VARIABLE}"
        )
    settings = Settings(
        args.data,
        args.state or default_state_folder(),
        args.user,
        None if args.user is None else password,
        users=args.users,
        token_lifetime_s=args.token_lifetime * 3600,
        namespaces=tuple(args.allow_namespace),
        private_namespaces=tuple(args.allow_private_namespace),
        limits=parse_limits(args.limit),
        udf=server_confinement(args.udf_memory, args.udf_timeout, tuple(args.udf_wrapper)),
        keep_jobs_s=None if args.keep_jobs is None else args.keep_jobs * 86_400,
        disk_quota_bytes=args.disk_quota,
        user_quota_bytes=args.user_quota,
        trusted_proxies=tuple(args.trusted_proxy or THIS_MACHINE),
        run_timeout_s=args.run_timeout,
    )
    open_cluster = workers.chosen(args)
    if open_cluster is None and args.tile_px is None:
        serve(settings, args.host, args.port, local_executor)
    else:
        with Scaled(open_cluster, args.tile_px) as scaled:
            serve(settings, args.host, args.port, scaled)
    return 0


def default_state_folder() -> Path:
    """Where the XDG base directory specification wants state."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "openeo-udf-fusion"
