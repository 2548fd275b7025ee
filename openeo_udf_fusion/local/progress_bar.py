"""A progress bar on stderr for what takes longer than two seconds, and the log of the run above it."""

import sys
from types import TracebackType
from typing import NoReturn, Self

from tqdm import tqdm

from openeo_udf_fusion.local.executor import LogEntry, Progress

SHOWN_AFTER_S = 2.0


class ProgressBar:
    """Shows tiles done and pixels per second, where stderr is a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] = tqdm(unit="tile", delay=SHOWN_AFTER_S, leave=False, disable=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def update(self, progress: Progress) -> None:
        """Take what the executor reports after each tile."""
        self._bar.total = progress.total
        self._bar.set_postfix_str(f"{progress.pixels_per_s:,.0f} pixels/s", refresh=False)
        self._bar.update(progress.done - self._bar.n)

    def log(self, entry: LogEntry) -> None:
        """Print a line of the log above the bar."""
        tqdm.write(f"{entry.level}: {entry.message}", file=sys.stderr)
