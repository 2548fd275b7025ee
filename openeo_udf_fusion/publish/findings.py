"""What a check finds: errors, which stop a publication, and notes, which do not."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from openeo_udf_fusion.jsontypes import Json

Level = Literal["error", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that a rule has to say about a process.

    Attributes
    ----------
    level : "error" or "note"
    rule : str
        Short name of the rule, for scripts.
    message : str
        What was needed, what came, what to do.
    process : str, optional
        Id of the process, or path of the file, that it is about; None for a backend as a whole.
    """

    level: Level
    rule: str
    message: str
    process: str | None = None

    def __str__(self) -> str:
        """Return it as one line for people."""
        return f"{self.process or 'backend'}: {self.level} [{self.rule}] {self.message}"

    def to_json(self) -> Json:
        """Return it for scripts."""
        return {"process": self.process, "rule": self.rule, "message": self.message}


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return those findings that are errors."""
    return [finding for finding in findings if finding.level == "error"]
