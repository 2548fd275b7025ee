"""`openeo-udf-fusion`: one sub-command per module of this package."""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

from openeo_udf_fusion import __version__, cli
from openeo_udf_fusion.errors import FusionError

_EXTRAS = {
    "train": "local,train",
    "evaluate": "local,train",
    "bench": "local,bench",
    "udp": "publish",
    "weights": "export",
}
"""What a command's imports need where it is not the extra `local`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 for an error that was explained, or 2 for wrong usage."""
    commands = _commands()
    parser = argparse.ArgumentParser(
        prog="openeo-udf-fusion", description="Deep satellite-fusion models as openEO processes."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in commands.values():
        module.add_parser(subparsers)
    given = parser.parse_args(arguments)
    try:
        status: int = commands[given.command].run(given)
        return status
    except FusionError as error:
        print(f"{parser.prog}: {error.code}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("openeo_udf_fusion"):
            raise
        extra = _EXTRAS.get(given.command, "local")
        print(
            f"{parser.prog}: {given.command} needs {error.name}, which is not installed; "
            f"run: pip install 'openeo-udf-fusion[{extra}]'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped", file=sys.stderr)
        return 130


def _commands() -> dict[str, ModuleType]:
    modules = (
        importlib.import_module(f"{cli.__name__}.{info.name}") for info in pkgutil.iter_modules(cli.__path__)
    )
    return {module.__name__.rpartition(".")[2]: module for module in modules if hasattr(module, "add_parser")}


if __name__ == "__main__":
    raise SystemExit(main())
