"""Checks that processes make of their parameters; each error names the parameter and what came."""

from collections.abc import Sequence

from openeo_udf_fusion.errors import InvalidParameter


def check_choice(parameter: str, value: object, choices: Sequence[str]) -> None:
    """Raise InvalidParameter unless the value is one of the choices."""
    if value not in choices:
        raise InvalidParameter(f"{parameter} must be one of {list(choices)}, got {value!r}")


def check_flag(parameter: str, value: object) -> None:
    """Raise InvalidParameter unless the value is true or false; the text "false" is neither."""
    if not isinstance(value, bool):
        raise InvalidParameter(f"{parameter} must be true or false, got {value!r}")
