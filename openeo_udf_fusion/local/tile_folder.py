"""The folder that keeps the tiles of a run: whose it is, which run is at work in it, and how it goes.

Below it each run has a folder of its own, named for its key (`local.ledger`): what a worker of an earlier run
still writes never lands among the tiles of another.

    lock              held by the process that conducts the run
    <key>/            the ledger of that run
"""

import fcntl
import os
import re
import shutil
import stat
from contextlib import suppress
from glob import escape
from pathlib import Path
from secrets import token_hex
from typing import TextIO

from openeo_udf_fusion.errors import InvalidParameter, StorageFailed
from openeo_udf_fusion.local.ledger import Ledger, is_of_a_ledger, require_private
from openeo_udf_fusion.local.writers.storage import storing

_LOCK = "lock"
_ASIDE = "removed"
_KEY_DIGITS = 32


class TileFolder:
    """A folder for tiles; one process at a time conducts a run in it.

    Others of this machine can neither read nor write it: workers run what a run notes there.

    Parameters
    ----------
    folder
        Where; it need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: TextIO | None = None

    def open(self, key: str) -> Ledger:
        """Take the folder for a run, and remove from it what belongs to others; returns the run's ledger.

        Raises
        ------
        InvalidParameter
            The folder holds other things, is not this user's alone, or another run is at work in it.
        StorageFailed
            Also where the file system has no locks.
        """
        with storing(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            require_private(self.folder)
            if not self._is_ours():
                raise InvalidParameter(
                    f"{self.folder} holds other files than finished tiles; move it away, or choose another "
                    "output"
                )
            self._take_lock()
            self._sweep()
            own = self.folder / key[:_KEY_DIGITS]
            for other in self.folder.iterdir():
                if other.name not in (_LOCK, own.name):
                    remove_folder(other)
            own.mkdir(mode=0o700, exist_ok=True)
            require_private(own)
        ledger = Ledger(own)
        ledger.end_attempts()  # workers of an attempt that ended badly stop by this, too
        return ledger

    def close(self) -> None:
        """Let go of the folder; what is in it stays."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Remove the folder with everything in it, also while workers of an ended run write to it."""
        remove_folder(self.folder)
        self.close()

    def forget(self) -> None:
        """Remove what an earlier run has left; another folder of that name stays, and `open` refuses it.

        Raises
        ------
        InvalidParameter
            Another run is at work in it.
        StorageFailed
        """
        with storing(self.folder):
            self._sweep()
            if not self.folder.is_symlink() and self.folder.is_dir() and self._is_ours():
                self._take_lock()
                self.remove()

    def count(self) -> int:
        """How many finished tiles there are."""
        if not self.folder.is_dir():
            return 0
        return sum(len(Ledger(run).finished()) for run in self.folder.iterdir() if run.is_dir())

    def _is_ours(self) -> bool:
        return all(_is_known(entry) for entry in self.folder.iterdir())

    def _sweep(self) -> None:
        """Remove what was put aside by a process that was killed before it had removed it."""
        for left in self.folder.parent.glob(f"{escape(self.folder.name)}.*.{_ASIDE}"):
            shutil.rmtree(left, ignore_errors=True)

    def _take_lock(self) -> None:
        self.close()
        path = self.folder / _LOCK
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            file = os.fdopen(os.open(path, flags, 0o600), "r+", encoding="ascii")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                raise InvalidParameter(
                    f"another run is at work on the tiles in {self.folder}; wait for it, or stop it first"
                ) from None
            except OSError as error:
                file.close()
                raise StorageFailed(
                    f"{self.folder.name} cannot be locked: {error.strerror}; its file system needs locks, so "
                    "that two runs do not take one folder (NFS: version 4, or lockd)"
                ) from error
            if _is_the_same(path, file):
                self._lock = file
                return
            file.close()  # the run that held it has removed the folder meanwhile
            self.folder.mkdir(mode=0o700, exist_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder of tiles: its name is free at once, whoever still writes to it."""
    aside = folder.with_name(f"{folder.name}.{token_hex(4)}.{_ASIDE}")
    with suppress(OSError):
        folder.rename(aside)
    for path in (aside, folder):
        shutil.rmtree(path, ignore_errors=True)


def _is_known(entry: Path) -> bool:
    mode = entry.lstat().st_mode
    if entry.name == _LOCK:
        return stat.S_ISREG(mode)
    is_run = re.fullmatch(rf"[0-9a-f]{{{_KEY_DIGITS}}}(\.[0-9a-f]{{8}}\.{_ASIDE})?", entry.name)
    return is_run is not None and stat.S_ISDIR(mode) and all(map(is_of_a_ledger, entry.iterdir()))


def _is_the_same(path: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
