"""`openeo-udf-fusion serve`: an openEO API on a folder of files."""

import argparse
import logging
import os
import sys
from pathlib import Path

PASSWORD_VARIABLE = "OPENEO_UDF_FUSION_PASSWORD"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "serve", help="run an openEO server on a folder of files", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the collections")
    parser.add_argument("--port", type=int, default=8080, help="default: 8080; 0 takes a free one")
    parser.add_argument(
        "--host", default="127.0.0.1", help="default: 127.0.0.1; any address beyond this machine needs --user"
    )
    parser.add_argument("--user", help="ask for this user name and a password; without it the server is open")
    parser.add_argument(
        "--password",
        help=f"better given by the environment variable {PASSWORD_VARIABLE}, which others cannot see",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder of jobs, results and stored processes; default: $XDG_STATE_HOME/openeo-udf-fusion",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from openeo_udf_fusion.local.server.serving import serve
    from openeo_udf_fusion.local.server.settings import Settings

    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    password = args.password
    if password is None and args.user:
        password = os.environ.get(PASSWORD_VARIABLE)
    state = args.state or default_state_folder()
    serve(Settings(args.data, state, args.user, password), args.host, args.port)
    return 0


def default_state_folder() -> Path:
    """Where the XDG base directory specification wants state."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "openeo-udf-fusion"
