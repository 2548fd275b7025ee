"""Whose a stored process is, and whether it is what would be published.

What is published carries a mark at the end of its description, a field that every backend keeps: the
package, its version, a fingerprint of what the process does, and one of each of its texts (summary,
description, what it returns, the parameters' descriptions). A process whose mark is missing, or which is not
what its mark says, is somebody else's work. A text that is not there at all counts for nothing: some backends
keep only a few fields. Neither do spaces and line ends, nor what people do not read as text (categories,
links, examples).
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal

from openeo_udf_fusion import __version__
from openeo_udf_fusion.jsontypes import Json, JsonValue

_MARK = re.compile(
    r"\*openeo-udf-fusion (?P<version>\S+), fingerprint (?P<fingerprint>[0-9a-f]{16}), "
    r"texts (?P<texts>[0-9a-f]{8}(-[0-9a-f]{8}){3})\*\s*$"
)
_UNSAID = {"optional": False, "deprecated": False, "experimental": False, "result": False}
"""What may be left out of JSON without a change of meaning; so may null."""

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
    digests = "-".join(_digest(text, 8) for text in _texts(process))
    mark = f"*openeo-udf-fusion {__version__}, fingerprint {fingerprint(process)}, texts {digests}*"
    return process | {"description": f"{process['description'].rstrip()}\n\n{mark}\n"}


def fingerprint(process: Json) -> str:
    """Return a digest of what a process takes and does; texts for people do not count."""
    takes = [
        {name: parameter.get(name) for name in ("name", "schema", "default", "optional")}
        for parameter in process.get("parameters") or []
    ]
    return _digest(_plain({"parameters": takes, "process_graph": process.get("process_graph")}), 16)


def _digest(value: JsonValue, length: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]


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
    if fingerprint(there) == fingerprint(process) and _says_the_same(process, there):
        up_to_date = not there.get("description") or (found and found[0].strip() == _mark_of(process))
        return Standing("same" if up_to_date else "ours", version)
    if found is None:
        return Standing("foreign")
    return Standing("ours" if _is_as_marked(there, found) else "changed", version)


def _mark_of(process: Json) -> str:
    return str(marked(process)["description"]).strip().rpartition("\n")[2]


def _says_the_same(process: Json, there: Json) -> bool:
    """Whether every text that is there is that of the process."""
    *stored, described = _texts(there)
    *own, describes = _texts(process)
    told = all(not text or text == expected for text, expected in zip(stored, own, strict=True))
    return told and described.items() <= describes.items()


def _is_as_marked(there: Json, mark: re.Match[str]) -> bool:
    """Whether a process is, as far as it is there, the one that was marked."""
    texts = zip(_texts(there), mark["texts"].split("-"), strict=True)
    return fingerprint(there) == mark["fingerprint"] and all(
        not text or _digest(text, 8) == digest for text, digest in texts
    )


def _texts(process: Json) -> tuple[JsonValue, JsonValue, JsonValue, Json]:
    """Summary, description without a mark, what it returns, parameters' descriptions; falsy if not there."""
    described = {
        parameter["name"]: _words(parameter["description"])
        for parameter in process.get("parameters") or []
        if parameter.get("description")
    }
    description = _MARK.sub("", process.get("description") or "")
    return (
        _words(process.get("summary") or ""),
        _words(description),
        _words(_plain(process.get("returns"))),
        described,
    )


def _words(value: JsonValue) -> JsonValue:
    """Bring texts at any depth into one form: a single space between words."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        return [_words(item) for item in value]
    return {key: _words(item) for key, item in value.items()} if isinstance(value, dict) else value


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
