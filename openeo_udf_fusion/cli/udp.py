"""`openeo-udf-fusion udp`: write the user-defined processes to files, check, validate, list, publish them."""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openeo_udf_fusion.cli import passwords
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish.addresses import (
    PLACEHOLDER_BASE,
    PLACEHOLDER_PLATFORM,
    PLACEHOLDER_SERVICE,
    Addresses,
)

if TYPE_CHECKING:
    from openeo_udf_fusion.publish.backend import Backend
    from openeo_udf_fusion.publish.findings import Finding
    from openeo_udf_fusion.publish.upload import Outcome

_UDP = Path("udp")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command, its actions and their options."""
    parser = subparsers.add_parser(
        "udp", help="write, check, validate, list or publish the processes", description=__doc__
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = {name: actions.add_parser(name, help=text, description=text) for name, text in _ACTIONS.items()}
    for name in ("write", "check"):
        add[name].add_argument("--out", type=Path, default=_UDP, metavar="DIR", help="default: udp")
        _add_addresses(add[name])
    add["validate"].add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="validate the files in a folder; default: as the code builds them",
    )
    for action in add.values():
        action.add_argument(
            "--requirement",
            metavar="PEP508|URL|none",
            help="what a worker installs to run the UDF; none where its image brings the package",
        )
        action.add_argument(
            "--archive-folder",
            metavar="NAME",
            help="where the backend unpacks an archive of this package: what follows # in the job option "
            "that `archive build` prints; the UDF then states no requirement",
        )
    for name in ("validate", "list", "publish"):
        _add_backend(add[name], required=name == "publish")
        add[name].add_argument("--json", action="store_true", help="print one JSON object on stdout")
    _add_publish(add["publish"])


_ACTIONS = {
    "write": "write the processes, their pages, catalogue records and benchmark scenarios, and the STAC "
    "catalogue of the models with their cards and weights (in the repository: with links to them)",
    "check": "fail where such files and the code differ",
    "validate": "check the processes by openEO's rules and what production backends need, records, scenarios "
    "and models by those of their catalogues; with --backend, the processes by the backend's own too",
    "list": "list the processes; with --backend, which of them it has",
    "publish": "store the processes on a backend",
}


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base-url",
        default=PLACEHOLDER_BASE,
        metavar="URL",
        help="where the folder lies on the web, at a tag or commit; {version} stands for the package's "
        f"version. Default, a placeholder: {PLACEHOLDER_BASE}",
    )
    parser.add_argument(
        "--service-url",
        default=PLACEHOLDER_SERVICE,
        metavar="URL",
        help=f"the backend that the records name. Default, a placeholder: {PLACEHOLDER_SERVICE}",
    )
    parser.add_argument(
        "--platform",
        default=PLACEHOLDER_PLATFORM,
        metavar="NAME",
        help="stem of that backend's record in the catalogue's platform_catalog. Default, a placeholder: "
        f"{PLACEHOLDER_PLATFORM}",
    )


def _add_backend(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--backend", required=required, metavar="URL", help="an openEO backend")
    parser.add_argument(
        "--auth",
        choices=["basic", "oidc", "none"],
        help="how to log in; default: basic with --user, else OpenID Connect"
        + ("" if required else " (only where this option or --user is given)"),
    )
    parser.add_argument(
        "--user",
        help="user for basic authentication; the password comes from the environment variable "
        "OPENEO_UDF_FUSION_PASSWORD, or is asked for",
    )
    parser.add_argument(
        "--oidc-provider", metavar="ID", help="OpenID Connect provider, where there are several"
    )


def _add_publish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--process",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="publish these alone; default: all but self_test_cube, which is for operators",
    )
    parser.add_argument(
        "--public",
        action="store_true",
        help="make them visible to other users, where the backend can; default: as they are, else private",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace processes of the same id that are not of this package, or were changed by hand",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")


def run(args: argparse.Namespace) -> int:
    """Run an action; returns 1 where something is wrong that was explained."""
    actions = {"write": _write, "check": _check, "validate": _validate, "list": _list, "publish": _publish}
    return actions[args.action](args)


# --- files


def _write(args: argparse.Namespace) -> int:
    from openeo_udf_fusion.publish.files import write

    files = _files(args)
    write(files, args.out)
    print(f"wrote {len(files)} files to {args.out}", file=sys.stderr)
    return 0


def _check(args: argparse.Namespace) -> int:
    from openeo_udf_fusion.publish.files import check

    check(_files(args), args.out, _command(args))
    print(f"{args.out} agrees with the code", file=sys.stderr)
    return 0


def _files(args: argparse.Namespace) -> dict[str, bytes]:
    from openeo_udf_fusion.publish.files import published_files

    where = Addresses(args.base_url, args.service_url, args.platform)
    return published_files(args.requirement, where, args.archive_folder, args.out)


def _command(args: argparse.Namespace) -> str:
    """Return the command that writes what was checked."""
    defaults = {
        "out": _UDP,
        "requirement": None,
        "archive_folder": None,
        "base_url": PLACEHOLDER_BASE,
        "service_url": PLACEHOLDER_SERVICE,
        "platform": PLACEHOLDER_PLATFORM,
    }
    given = {name: value for name in defaults if (value := getattr(args, name)) != defaults[name]}
    options = [text for name, value in given.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    command = shlex.join(["openeo-udf-fusion", "udp", "write", *options])
    if given.keys() - {"out"}:
        return command
    # Files of other options differ from those of the defaults, which would take their place.
    return f"{command} (or, where they were written with other options, check with the same)"


# --- validation


def _validate(args: argparse.Namespace) -> int:
    from openeo_udf_fusion.publish import backend_checks, catalogues, files, findings, validation

    if args.out is None:
        tree = catalogues.built(files.published_files(args.requirement, archive_folder=args.archive_folder))
        processes = _built(args)
    else:
        tree = catalogues.written(args.out)
        processes = validation.read_processes(args.out)
    found = validation.validate_all(processes) + catalogues.catalogue_problems(tree)
    broken = {finding.process for finding in findings.errors(found)}
    if args.backend is not None:
        backend = _connected(args)
        sound = [process for name, process in processes.items() if name not in broken]
        found += backend_checks.missing_parts(backend, sound)
        found += backend_checks.objections(backend, sound)
    return _report_findings(args, list(processes), found)


def _report_findings(args: argparse.Namespace, processes: Sequence[str], found: "Sequence[Finding]") -> int:
    wrong = [finding for finding in found if finding.level == "error"]
    notes = [finding for finding in found if finding.level == "note"]
    if args.json:
        report = {
            "valid": not wrong,
            "processes": list(processes),
            "backend": args.backend,
            "errors": [finding.to_json() for finding in wrong],
            "notes": [finding.to_json() for finding in notes],
        }
        print(json.dumps(report))
    else:
        for finding in (*wrong, *notes):
            print(finding)
        print(f"{len(processes)} processes, {len(wrong)} errors, {len(notes)} notes")
    return int(bool(wrong))


# --- listing


def _list(args: argparse.Namespace) -> int:
    from openeo_udf_fusion.publish.overview import offered, on_backend

    processes = _built(args)
    rows = offered(processes)
    if args.backend is not None:
        backend = _connected(args)
        there = on_backend(processes, backend, own=_wants_login(args))
        rows = [row | there[row["process"]] for row in rows]
    if args.json:
        print(json.dumps({"backend": args.backend, "processes": rows}))
        return 0
    for row in rows:
        print(f"{row['process']} {row['version']}: {row['summary']}{_there(row)}")
    return 0


def _there(row: Json) -> str:
    """Return what a line says about a backend."""
    if "predefined" not in row:
        return ""
    said = ["predefined" if row["predefined"] else "not predefined"]
    if "stored" not in row:
        said.append("your own processes: log in to see them (--auth, --user)")
    elif row["stored"] == "different":
        whose = {
            "ours": "of this package",
            "changed": "of this package, changed by hand",
            "foreign": "not ours",
        }
        version = f", version {row['stored_version']}" if row["stored_version"] else ""
        said.append(f"your own: different ({whose[row['whose']]}{version})")
    else:
        said.append(f"your own: {row['stored']}")
    return f" [{'; '.join(said)}]"


# --- publication


def _publish(args: argparse.Namespace) -> int:
    from openeo_udf_fusion.publish import upload

    processes = upload.chosen(_built(args), args.process)
    wrong = upload.flaws(processes)
    if wrong:
        return _nothing_published(args, processes, wrong)
    backend = _connected(args)
    survey = upload.survey(backend, processes)
    for warning in survey.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if survey.obstacles:
        return _nothing_published(args, processes, survey.obstacles)
    options = {"public": args.public, "overwrite": args.overwrite, "dry_run": args.dry_run}
    outcomes = []
    for outcome in upload.publish(backend, processes.values(), **options):
        outcomes.append(outcome)
        if not args.json:
            print(_line(outcome, args.dry_run), flush=True)
    return _report_outcomes(args, outcomes)


def _nothing_published(args: argparse.Namespace, processes: dict[str, Json], wrong: "list[Finding]") -> int:
    print("nothing was published:", file=sys.stderr)
    return _report_findings(args, list(processes), wrong)


def _line(outcome: "Outcome", dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    namespace = f"; namespace: {outcome.namespace}" if outcome.namespace else ""
    message = f" ({outcome.message})" if outcome.message else ""
    return f"{outcome.process}: {would}{outcome.result}{message}{namespace}"


def _report_outcomes(args: argparse.Namespace, outcomes: "Sequence[Outcome]") -> int:
    done = [outcome.process for outcome in outcomes if outcome.ok]
    missed = [outcome.process for outcome in outcomes if not outcome.ok]
    if args.json:
        report = {
            "backend": args.backend,
            "dry_run": args.dry_run,
            "published": not missed and not args.dry_run,
            "processes": [outcome.to_json() for outcome in outcomes],
        }
        print(json.dumps(report))
    if missed:
        print(f"not published: {', '.join(missed)}; there: {', '.join(done) or 'none'}", file=sys.stderr)
    if any(outcome.namespace == "user" for outcome in outcomes):
        print(
            "namespace 'user' is for whoever published; backends on openeo-geopyspark install what a UDF "
            "requires only where namespace is a URL: that of the JSON file, or the backend's own (--public)",
            file=sys.stderr,
        )
    return int(bool(missed))


# --- shared


def _built(args: argparse.Namespace) -> dict[str, Json]:
    from openeo_udf_fusion import udps
    from openeo_udf_fusion.publish.deployment import deployment_for

    return udps.definitions(deployment_for(args.requirement, args.archive_folder))


def _wants_login(args: argparse.Namespace) -> bool:
    return args.action == "publish" or args.auth is not None or args.user is not None


def _connected(args: argparse.Namespace) -> "Backend":
    from openeo_udf_fusion.publish.backend import Login, connect

    backend = connect(args.backend)
    if _wants_login(args):
        backend.log_in(Login(args.auth, args.user, args.oidc_provider, passwords.asker()))
    return backend
