"""A parser of arguments that says what a misspelt option may have meant."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """As argparse's; what it parses knows as `parser` the one of the innermost command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - those of argparse
        super().__init__(*args, **kwargs)
        self.set_defaults(parser=self)
        self._given: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As of argparse."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(self._given, namespace)

    def error(self, message: str) -> NoReturn:
        """End with the usage of this very command, and a hint for every option that it does not know."""
        super().error("; ".join([message, *self._meant()]))

    def _meant(self) -> Iterator[str]:
        known = [option for option in self._option_string_actions if option.startswith("--")]
        for given in self._given:
            option = given.partition("=")[0]
            if option == "--":
                return
            if not option.startswith("--") or any(name.startswith(option) for name in known):
                continue
            if meant := get_close_matches(option, known, n=1):
                yield f"did you mean {meant[0]} instead of {option}?"
