"""`openeo-udf-fusion archive`: build what a backend's workers unpack to run the UDFs, or check it."""

import argparse
import json
import sys
from pathlib import Path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "archive", help="build or check an archive of dependencies", description=__doc__
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_build(actions)
    check = actions.add_parser(
        "check", help="unpack it and run its self-test", description="Unpack it and run its self-test."
    )
    check.add_argument("file", type=Path, metavar="FILE", help="the archive")
    check.add_argument(
        "--python",
        metavar="EXE",
        help="a worker's interpreter; by default this one, with nothing but the archive and what it expects",
    )
    check.add_argument("--json", action="store_true", help="print the report as one JSON object")


def _add_build(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from openeo_udf_fusion.publish.archive_wheels import MACHINES, RUNTIMES, Target

    build = actions.add_parser(
        "build",
        help="the package, its weights and a runtime for CPUs as a zip",
        description="Build a zip of the package, its weights and a runtime for CPUs.",
    )
    default = Target()
    build.add_argument("--runtime", required=True, choices=RUNTIMES, help="torch is some six times larger")
    build.add_argument("--python", default=default.python, help=f"of the workers; default: {default.python}")
    build.add_argument("--glibc", default=default.glibc, help=f"of the workers; default: {default.glibc}")
    build.add_argument("--machine", default=default.machine, choices=MACHINES, help="default: x86_64")
    build.add_argument("--out", type=Path, default=Path("dist"), metavar="DIR", help="default: dist")
    build.add_argument(
        "--include-base",
        action="store_true",
        help="put in numpy, xarray, pystac and the openEO client, for workers that lack them",
    )
    build.add_argument("--constraint", type=Path, metavar="FILE", help="versions to take, as for pip")
    build.add_argument("--find-links", metavar="DIR|URL", help="where wheels are, as for pip")
    build.add_argument("--no-index", action="store_true", help="ask no index: only --find-links")
    build.add_argument("--json", action="store_true", help="print what was built as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Build or check an archive."""
    return _build(args) if args.action == "build" else _check(args)


def _build(args: argparse.Namespace) -> int:
    from openeo_udf_fusion.publish import archive
    from openeo_udf_fusion.publish.archive_wheels import Sources, Target

    target = Target(args.python, args.glibc, args.machine)
    sources = Sources(args.find_links, args.no_index, args.constraint)
    print(f"getting wheels for {target} ...", file=sys.stderr)
    built = archive.build(args.runtime, target, args.out, include_base=args.include_base, sources=sources)
    option = archive.job_option(f"https://example.org/{built.path.name}")
    if args.json:
        sizes = {"size": built.size, "unpacked": built.unpacked}
        facts = {"path": str(built.path), **sizes, "job_option": option, "manifest": built.manifest}
        print(json.dumps(facts))
        return 0
    print(f"wrote {built.path}: {_megabytes(built.size)}, {_megabytes(built.unpacked)} unpacked")
    print("host it where the workers can fetch it, and give every job the option")
    print(f'    "udf-dependency-archives": ["{option}"]')
    return 0


def _check(args: argparse.Namespace) -> int:
    from openeo_udf_fusion.publish import archive_check

    report = archive_check.check(args.file, args.python)
    if args.json:
        print(json.dumps(report))
        return 0
    for warning in report["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{args.file} works: {report['model']} {report['model_version']} gives {report['checksum']}")
    libraries = {"Python": report["python"], **report["libraries"]}
    print(f"    {report['runtime']} {report['runtime_version']}, {report['device']}")
    print("    " + ", ".join(f"{name} {version}" for name, version in libraries.items()))
    return 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
