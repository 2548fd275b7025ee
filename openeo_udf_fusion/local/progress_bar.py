"""Progress on stderr of what takes longer than two seconds: a bar, or lines where it is no terminal."""

import sys
import time
from types import TracebackType
from typing import NoReturn, Self

from tqdm import tqdm

from openeo_udf_fusion.local.executor import LogEntry, Progress

SHOWN_AFTER_S = 2.0


class ProgressBar:
    """Shows tiles done and pixels per second: always at a terminal, else a line for about every tenth."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] = tqdm(unit="tile", delay=SHOWN_AFTER_S, leave=False, disable=None)
        self._begin = time.monotonic()
        self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def update(self, progress: Progress) -> None:
        """Take what the executor reports after each tile."""
        if self._bar.disable:
            self._tell(progress)
            return
        self._bar.total = progress.total
        self._bar.set_postfix_str(f"{progress.pixels_per_s:,.0f} pixels/s", refresh=False)
        self._bar.update(progress.done - self._bar.n)

    def _tell(self, progress: Progress) -> None:
        tenths = 10 * progress.done // max(progress.total, 1)
        if tenths > self._told and time.monotonic() - self._begin >= SHOWN_AFTER_S:
            self._told = tenths
            speed = f"{progress.pixels_per_s:,.0f} pixels/s"
            tqdm.write(f"tile {progress.done} of {progress.total}, {speed}", file=sys.stderr)

    def log(self, entry: LogEntry) -> None:
        """Print a line of the log above the bar."""
        tqdm.write(f"{entry.level}: {entry.message}", file=sys.stderr)
