"""`openeo-udf-fusion udp`: write the published processes, or check that they agree with the code."""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from openeo_udf_fusion.errors import InvalidGraph, InvalidParameter
from openeo_udf_fusion.jsontypes import Json, JsonValue


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("udp", help="write or check the published processes", description=__doc__)
    parser.add_argument("action", choices=["write", "check"], help="check fails where file and code differ")
    parser.add_argument("--out", type=Path, default=Path("udp"), metavar="DIR", help="default: udp")
    parser.add_argument(
        "--requirement",
        metavar="PEP508|URL|none",
        help="what a worker installs to run the UDF; none where its image brings the package",
    )


def run(args: argparse.Namespace) -> int:
    """Write or check the files."""
    files = published_files(args.requirement)
    if args.action == "write":
        write(files, args.out)
        print(f"wrote {len(files)} files to {args.out}", file=sys.stderr)
    else:
        check(files, args.out, _command(args))
        print(f"{args.out} agrees with the code", file=sys.stderr)
    return 0


def published_files(requirement: str | None = None) -> dict[str, str]:
    """Return the content of every published file by its name."""
    from dataclasses import replace

    from openeo_udf_fusion import udps

    deployment = udps.PUBLISHED
    if requirement is not None:
        stated = None if requirement == "none" else checked_requirement(requirement)
        deployment = replace(deployment, requirement=stated)
    files = {}
    for name, process in udps.definitions(deployment).items():
        files[f"{name}.json"] = json.dumps(process, indent=2, ensure_ascii=False) + "\n"
        files[f"{name}.md"] = page(process)
    return files


def _command(args: argparse.Namespace) -> str:
    """Return the command that writes what was checked."""
    options = [] if args.out == Path("udp") else ["--out", str(args.out)]
    options += [] if args.requirement is None else ["--requirement", args.requirement]
    return shlex.join(["openeo-udf-fusion", "udp", "write", *options])


def checked_requirement(text: str) -> str:
    """Return a requirement as PEP 508 wants it; raises InvalidParameter where it is none."""
    from packaging.requirements import InvalidRequirement, Requirement

    whole = f"openeo-udf-fusion @ {text}" if "://" in text and "@" not in text else text
    try:
        return str(Requirement(whole))
    except InvalidRequirement as error:
        raise InvalidParameter(
            f"--requirement takes a PEP 508 requirement ('openeo-udf-fusion==1.0'), a URL or none: {error}"
        ) from error


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write each file under a temporary name first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        temporary = folder / f".{name}.tmp"
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(folder / name)


def check(files: Mapping[str, str], folder: Path, remedy: str = "openeo-udf-fusion udp write") -> None:
    """Raise InvalidGraph, naming the files that are missing, differ, or belong to no process."""
    if not folder.is_dir():
        raise InvalidGraph(f"there is no folder {folder}; run: {remedy}")
    there = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.*") if file.is_file()}
    wrong = sorted(name for name in files.keys() | there.keys() if files.get(name) != there.get(name))
    if wrong:
        raise InvalidGraph(f"{folder} differs from the code in {wrong}; run: {remedy}")


def page(process: Json) -> str:
    """Return a process's page: its description and a table of its parameters."""
    rows = [
        f"| `{parameter['name']}` | {_default(parameter)} | {parameter['description']} |"
        for parameter in process["parameters"]
    ]
    table = "\n".join(["| parameter | default | meaning |", "|---|---|---|", *rows])
    return f"# {process['id']}\n\n{process['summary']}.\n\n{process['description'].strip()}\n\n{table}\n"


def _default(parameter: Json) -> str:
    default: JsonValue = parameter.get("default")
    return f"`{json.dumps(default)}`" if parameter.get("optional") else "required"
