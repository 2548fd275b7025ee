"""`openeo-udf-fusion`: one sub-command per module of this package."""

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

from openeo_udf_fusion import __version__, cli
from openeo_udf_fusion.cli.parser import Parser
from openeo_udf_fusion.errors import FusionError

_EXTRAS = {
    "train": "local,train",
    "evaluate": "local,train",
    "bench": "local,bench",
    "udp": "publish",
    "weights": "export",
}
"""What a command's imports need where it is not the extra `local`."""


PROGRAM = "openeo-udf-fusion"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns 0, 1 for an error that was explained, 2 for wrong usage, or 130 when it was interrupted.
    """
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print(f"{PROGRAM}: stopped", file=sys.stderr)
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    commands = _commands()
    parser = Parser(prog=PROGRAM, description="Deep satellite-fusion models as openEO processes.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in commands.values():
        module.add_parser(subparsers)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        given.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        status: int = commands[given.command].run(given)
        return status
    except FusionError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("openeo_udf_fusion"):
            raise
        extra = _EXTRAS.get(given.command, "local")
        print(
            f"{PROGRAM}: {given.command} needs {error.name}, which is not installed; "
            f"in a checkout of the project run: pip install '.[{extra}]'",
            file=sys.stderr,
        )
        return 1


def _commands() -> dict[str, ModuleType]:
    modules = (
        importlib.import_module(f"{cli.__name__}.{info.name}") for info in pkgutil.iter_modules(cli.__path__)
    )
    return {module.__name__.rpartition(".")[2]: module for module in modules if hasattr(module, "add_parser")}


if __name__ == "__main__":
    raise SystemExit(main())
