"""The one alias for JSON, so that no signature says `Any` for it."""

from typing import Any, TypeAlias

JsonValue: TypeAlias = Any
"""Whatever `json.loads` returns: dict, list, str, int, float, bool or None."""

Json: TypeAlias = dict[str, Any]
"""A JSON object."""
