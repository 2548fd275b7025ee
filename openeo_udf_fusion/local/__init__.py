"""The local executor: runs process graphs on files as a production backend would."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["backend"]


@contextmanager
def backend(
    data: Path | str,
    *,
    port: int = 0,
    user: str | None = None,
    password: str | None = None,
    state: Path | str | None = None,
    namespaces: Sequence[str] = (),
    private_namespaces: Sequence[str] = (),
) -> Iterator[str]:
    """Run an openEO server on the folder `data` for as long as the context lasts; yields its URL.

    >>> with backend("data/") as url:          # doctest: +SKIP
    ...     connection = openeo.connect(url)

    See `openeo_udf_fusion.local.server.serving.backend`, of which this is the face that is quick to import.
    """
    from openeo_udf_fusion.local.server.serving import backend as run_backend

    with run_backend(
        data,
        port=port,
        user=user,
        password=password,
        state=state,
        namespaces=namespaces,
        private_namespaces=private_namespaces,
    ) as url:
        yield url
