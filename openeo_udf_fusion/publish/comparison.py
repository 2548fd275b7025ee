"""Whose a stored process is, and whether it is what would be published.

What is published carries a mark at the end of its description, a field that every backend keeps: the
package, its version, and a fingerprint of what the process does. A process whose mark is missing, or whose
graph is not the one of its mark, is somebody else's work.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal

from openeo_udf_fusion import __version__
from openeo_udf_fusion.jsontypes import Json, JsonValue

_MARK = re.compile(r"\*openeo-udf-fusion (?P<version>\S+), fingerprint (?P<fingerprint>[0-9a-f]{16})\*\s*$")
_UNSAID = {"optional": False, "deprecated": False, "experimental": False, "result": False}
"""What may be left out of JSON without a change of meaning; so may null."""
_TOLD = ("summary", "description", "returns")

State = Literal["absent", "same", "ours", "changed", "foreign"]


@dataclass(frozen=True)
class Standing:
    """What a backend has under the id of a process.

    Attributes
    ----------
    state : str
        "absent"; "same" as what would be published; "ours", another version of it; "changed" by somebody
        after it was published; "foreign", not of this package.
    version : str, optional
        The version of the package that published it, where it says so.
    """

    state: State
    version: str | None = None

    @property
    def replaceable(self) -> bool:
        """Whether nothing of somebody else is lost when it is replaced."""
        return self.state in ("absent", "same", "ours")


def marked(process: Json) -> Json:
    """Return a process with the mark in its description."""
    mark = f"*openeo-udf-fusion {__version__}, fingerprint {fingerprint(process)}*"
    return process | {"description": f"{process['description'].rstrip()}\n\n{mark}\n"}


def fingerprint(process: Json) -> str:
    """Return a digest of what a process takes and does; texts for people do not count."""
    takes = [
        {name: parameter.get(name) for name in ("name", "schema", "default", "optional")}
        for parameter in process.get("parameters") or []
    ]
    content = _plain({"parameters": takes, "process_graph": process.get("process_graph")})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def standing(process: Json, there: Json | None) -> Standing:
    """Compare a process with the one that a backend has under its id.

    Parameters
    ----------
    process : dict
        As it is built, without a mark.
    there : dict, optional
        As the backend describes it: fields other than `process_graph` and `parameters` may be missing.
    """
    if there is None:
        return Standing("absent")
    found = _MARK.search(there.get("description") or "")
    version = found["version"] if found else None
    equal = fingerprint(there) == fingerprint(process)
    if equal and _says_the_same(marked(process), there):
        return Standing("same", version)
    if equal or (found and found["fingerprint"] == fingerprint(there)):
        return Standing("ours", version)
    return Standing("changed", version) if found else Standing("foreign")


def _says_the_same(process: Json, there: Json) -> bool:
    told = all(not there.get(name) or _text(there[name]) == _text(process[name]) for name in _TOLD)
    known = there.get("parameters") or []
    before = {parameter["name"]: parameter.get("description") for parameter in known}
    return told and all(
        not before.get(parameter["name"]) or before[parameter["name"]] == parameter["description"]
        for parameter in process["parameters"]
    )


def _text(value: JsonValue) -> JsonValue:
    return value.strip() if isinstance(value, str) else _plain(value)


def _plain(value: JsonValue) -> JsonValue:
    """Bring JSON into one form: nothing that may be left out, whole numbers as integers."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {
            key: _plain(item)
            for key, item in value.items()
            if item is not None and not (key in _UNSAID and item is _UNSAID[key])
        }
    return int(value) if isinstance(value, float) and value.is_integer() else value
