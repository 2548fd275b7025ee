"""`openeo-udf-fusion weights`: list the models, verify their files, export them to ONNX."""

import argparse
import json
import sys
from pathlib import Path

from openeo_udf_fusion.errors import CorruptWeights
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "weights", help="list, verify or export the models' weights", description=__doc__
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="names, files, sha256, and which runtimes are installed")
    verified = actions.add_parser("verify", help="fail where a file is not what its card promises")
    exported = actions.add_parser(
        "export-onnx", help="write NAME.onnx and a card that names it; refused where it differs from torch"
    )
    exported.add_argument("--out", type=Path, required=True, metavar="DIR", help="where they go")
    for action in (listed, verified, exported):
        action.add_argument("names", nargs="*", metavar="NAME", help="default: all models")
        action.add_argument(
            "--folder",
            type=Path,
            default=cards.FOLDER,
            metavar="DIR",
            help="where cards and weights lie; default: what this package ships",
        )
        action.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; 1 where a file is not what its card promises."""
    chosen = [cards.read(name, args.folder) for name in args.names or cards.names(args.folder)]
    if not chosen:
        raise CorruptWeights(f"there is no model in {args.folder}; give the folder of a card with --folder")
    if args.action == "export-onnx":
        return _export(chosen, args)
    found: Json = {card.name: {"version": card.version, "files": files(card, args.folder)} for card in chosen}
    results: Json = {"models": found}
    if args.action == "list":
        results["runtimes"] = runtimes()
    print(json.dumps(results) if args.json else table(results))
    return int(args.action == "verify" and not all(map(sound, found.values())))


def sound(model: Json) -> bool:
    """Return whether a model has a file at least, and none that is corrupt."""
    states = [file["state"] for file in model["files"]]
    return "present" in states and "corrupt" not in states


def files(card: cards.Card, folder: Path) -> list[Json]:
    """Return each file of a model with its runtime, sha256 and state: present, absent or corrupt."""
    from openeo_udf_fusion.models import weights

    promised = {"torch": (card.weights_file, card.sha256)}
    if card.onnx:
        promised["onnx"] = (card.onnx.file, card.onnx.sha256)
    found = []
    for runtime, (name, sha256) in promised.items():
        about = {"runtime": runtime, "file": name, "sha256": sha256, "state": "absent"}
        if (folder / name).is_file():
            try:
                if runtime == "onnx":
                    weights.verified_onnx(card, folder)
                else:
                    weights.verified(folder / name, sha256)
                about["state"] = "present"
            except CorruptWeights as error:
                about |= {"state": "corrupt", "reason": str(error)}
        found.append(about)
    return found


def runtimes() -> Json:
    """Return for each runtime what it lacks here, or None."""
    from openeo_udf_fusion.models import weights

    return {runtime: weights.lacking(runtime) for runtime in weights.RUNTIMES}


def table(results: Json) -> str:
    """Lay out the models and runtimes for a reader."""
    lines = []
    for name, model in results["models"].items():
        lines.append(f"{name} {model['version']}")
        for file in model["files"]:
            lines.append(f"  {file['file']}  {file['runtime']}  sha256 {file['sha256']}  {file['state']}")
            lines += [f"    {file['reason']}"] if "reason" in file else []
        if all(file["state"] == "absent" for file in model["files"]):
            lines.append(f"  {name}: none of its files is there, so it cannot run")
    for runtime, lack in results.get("runtimes", {}).items():
        lines.append(f"{runtime}: {'installed' if lack is None else f'not installed: lacks {lack}'}")
    return "\n".join(lines)


def _export(chosen: list[cards.Card], args: argparse.Namespace) -> int:
    from openeo_udf_fusion.training.onnx_export import export_model

    found = {}
    for card in chosen:
        print(f"exporting {card.name}; this takes a minute or more ...", file=sys.stderr, flush=True)
        done = export_model(card.name, args.folder, args.out)
        found[card.name] = {"file": str(done.file), "size": done.size, "largest_difference": done.difference}
    if args.json:
        print(json.dumps({"exported": found}))
    for name, about in {} if args.json else found.items():
        print(
            f"{name}: {about['file']}, {about['size']} bytes, differs from torch by at most "
            f"{about['largest_difference']:.1e}"
        )
    return 0
