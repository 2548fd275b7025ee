"""Files that appear under their name whole, or not at all.

The local executor has helpers of its own for results; they need rasterio, which a publisher need not have,
and keep files to their owner, while these are for a web server to read.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from openeo_udf_fusion.errors import StorageFailed


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary name in the folder of `path`, which is made; what was written there becomes `path`.

    Raises
    ------
    StorageFailed
        It could not be written; what was at `path` before is untouched, and nothing is left beside it.
    """
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
