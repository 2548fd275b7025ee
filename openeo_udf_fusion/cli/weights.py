"""`openeo-udf-fusion weights`: list the models, verify their files, export them to ONNX, import others'."""

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.models import cards


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "weights", help="list, verify, export or import the models' weights", description=__doc__
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="names, files, sha256, and which runtimes are installed")
    verified = actions.add_parser("verify", help="fail where a file is not what its card promises")
    exported = actions.add_parser(
        "export-onnx", help="write NAME.onnx and a card that names it; refused where it differs from torch"
    )
    exported.add_argument("--out", type=Path, required=True, metavar="DIR", help="where they go")
    for action in (listed, verified, exported):
        action.add_argument(
            "names", nargs="*", metavar="NAME", help="default: all models (that can be exported)"
        )
        action.add_argument(
            "--folder",
            type=Path,
            metavar="DIR",
            help="where cards and weights lie; default: what this package ships, and the folder that the "
            f"environment variable {cards.FOLDER_VARIABLE} names, which comes first",
        )
        action.add_argument("--json", action="store_true", help="print one JSON object")
    _add_import(actions)


def _add_import(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    imported = actions.add_parser(
        "import-tamrf",
        help="write card and safetensors of a checkpoint of TAMRF-SITS as its authors publish it",
        description="Write card and safetensors of a checkpoint of TAMRF-SITS as its authors publish it "
        "(doi:10.5281/zenodo.17474541). Nothing in the file is run. Processes find the model by its name in "
        f"the folder that the environment variable {cards.FOLDER_VARIABLE} names.",
    )
    imported.add_argument("file", type=Path, metavar="FILE", help="the checkpoint, .ckpt")
    imported.add_argument("--out", type=Path, required=True, metavar="DIR", help="where they go")
    imported.add_argument(
        "--name", default="tamrf_published", help="of the model and its files; default: tamrf_published"
    )
    imported.add_argument("--overwrite", action="store_true", help="replace a model of this name")
    imported.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; 1 where a file is not what its card promises."""
    if args.action == "import-tamrf":
        return _import(args)
    chosen = _chosen(args)
    if args.action == "export-onnx":
        return _export(chosen, args)
    found: Json = {
        card.name: {"version": card.version, "folder": str(folder), "files": files(card, folder)}
        for card, folder in chosen
    }
    results: Json = {"models": found}
    if args.action == "list":
        results["runtimes"] = runtimes()
    print(json.dumps(results) if args.json else table(results))
    return int(args.action == "verify" and not all(map(sound, found.values())))


def _chosen(args: argparse.Namespace) -> list[tuple[cards.Card, Path]]:
    """Cards of the models asked for, with their folders; of all there are if none was named."""
    if args.folder is not None:
        found = [
            (cards.read(name, args.folder), args.folder) for name in args.names or cards.names(args.folder)
        ]
    else:
        places = [(name, cards.folder_of(name)) for name in args.names or cards.all_names()]
        found = [(cards.read(name, folder), folder) for name, folder in places]
    if not found:
        raise CorruptWeights(f"there is no model in {args.folder}; give the folder of a card with --folder")
    return found


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


def _export(chosen: list[tuple[cards.Card, Path]], args: argparse.Namespace) -> int:
    from openeo_udf_fusion.models.weights import PIXELWISE
    from openeo_udf_fusion.training.onnx_export import export_model

    found = {}
    for card, folder in chosen:
        if not args.names and card.bands.keys() != PIXELWISE:
            continue  # the others run on torch alone
        print(f"exporting {card.name}; this takes a minute or more ...", file=sys.stderr, flush=True)
        done = export_model(card.name, folder, args.out)
        found[card.name] = {"file": str(done.file), "size": done.size, "largest_difference": done.difference}
    if args.json:
        print(json.dumps({"exported": found}))
    for name, about in {} if args.json else found.items():
        print(
            f"{name}: {about['file']}, {about['size']} bytes, differs from torch by at most "
            f"{about['largest_difference']:.1e}"
        )
    return 0


def _import(args: argparse.Namespace) -> int:
    """Turn an official checkpoint into a model of this project."""
    from openeo_udf_fusion.models import tamrf
    from openeo_udf_fusion.training import tamrf_card

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", args.name):
        raise InvalidParameter(f"a model's name has letters, digits, _ and - alone, got {args.name!r}")
    there = [args.out / f"{args.name}.{suffix}" for suffix in ("json", "safetensors")]
    if any(file.exists() for file in there) and not args.overwrite:
        raise InvalidParameter(
            f"there is a model {args.name} in {args.out}; choose another --name or --out, or --overwrite it"
        )
    model = tamrf.of_checkpoint(args.file)
    origin = {"file": args.file.name, "sha256": hashlib.sha256(args.file.read_bytes()).hexdigest()}
    try:
        card = tamrf_card.write_published(model, origin, args.out, args.name)
    except OSError as error:
        raise InvalidParameter(
            f"{args.out} is no folder that can be written to ({error.strerror}); give another with --out"
        ) from error
    about = {
        "name": args.name,
        "card": str(card),
        "weights": str(there[1]),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "checkpoint": origin,
        "bfloat16": cards.read(args.name, args.out).skill["bfloat16"],
    }
    print(json.dumps({"imported": about}) if args.json else _imported(about, args.out))
    return 0


def _imported(about: Json, folder: Path) -> str:
    return (
        f"{about['card']}: {about['parameters']} parameters from {about['checkpoint']['file']}; bfloat16 "
        f"differs from float32 by at most {about['bfloat16']['largest_difference']:.1e} of reflectance\n"
        f"to run it: set {cards.FOLDER_VARIABLE}={folder.resolve()} and ask for the model {about['name']}"
    )
