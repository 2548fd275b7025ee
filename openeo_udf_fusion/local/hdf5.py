"""One lock for everything that calls the netCDF and HDF5 libraries, neither of which is safe for threads.

xarray locks its reads of values, but not what it reads of attributes, types and filters while it opens or
lays out a file; two of those at once end the process. Whoever opens, reads, writes or closes such a file
holds `HDF5`, and gives it to xarray as the lock of the file, which then takes it for its lazy reads, too.
"""

import threading
from types import TracebackType
from typing import Literal

from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK


class _Lock:
    """The lock that xarray itself uses, made reentrant: xarray takes it inside of what already holds it."""

    def __init__(self) -> None:
        self._own = threading.RLock()
        self._depth = 0

    def acquire(self, blocking: bool = True) -> bool:
        """As of threading.RLock."""
        if not self._own.acquire(blocking):
            return False
        if self._depth == 0 and not NETCDF4_PYTHON_LOCK.acquire(blocking):
            self._own.release()
            return False
        self._depth += 1
        return True

    def release(self) -> None:
        """As of threading.RLock."""
        self._depth -= 1
        if self._depth == 0:
            NETCDF4_PYTHON_LOCK.release()
        self._own.release()

    def __enter__(self) -> Literal[True]:
        self.acquire()
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __reduce__(self) -> str:
        # A pickled dataset finds the lock of the process that it comes to.
        return "HDF5"


HDF5 = _Lock()
