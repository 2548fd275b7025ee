"""Removing folders in two steps: out of the way at once, off the disk when nobody waits for it.

Removing large results takes long, and may fail half-way; what is left of a job then must not be one again
after the next start.
"""

import logging
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

logger = logging.getLogger(__name__)


class Trash:
    """A folder beside those whose content it takes, on the same file system.

    Parameters
    ----------
    folder
        Made when it is needed; what an earlier server left in it goes with the first `empty` or `sweep`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._waiting = sorted(folder.iterdir()) if folder.is_dir() else []

    def put(self, path: Path) -> None:
        """Take a file or folder out of its place; nothing happens where there is none.

        Where it cannot be moved it is removed where it is, its description of a job first.
        """
        aside = self._folder / f"{path.name}.{token_hex(4)}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.rename(aside)
        except FileNotFoundError:
            return
        except OSError as error:
            logger.error("%s cannot be moved into the trash: %s", path.name, error)
            with suppress(OSError):
                (path / "job.json").unlink()
            _remove(path)
            return
        with self._lock:
            self._waiting.append(aside)

    def empty(self) -> None:
        """Remove what is in it; what cannot be removed stays until the next start, and the log says so."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for path in waiting:
            _remove(path)

    def sweep(self) -> None:
        """As `empty`, in a thread of its own."""
        threading.Thread(target=self.empty, name="openeo-trash", daemon=True).start()


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        logger.error("%s cannot be removed, and takes room until it is: %s", path, error)
