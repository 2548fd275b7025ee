"""Putting the application on a port, in a thread or for good."""

import logging
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.local import executor as local_executor
from openeo_udf_fusion.local.server import access_log
from openeo_udf_fusion.local.server.app import create_app
from openeo_udf_fusion.local.server.executors import Executor
from openeo_udf_fusion.local.server.proxies import ForwardedHeaders
from openeo_udf_fusion.local.server.settings import Settings, check_address
from openeo_udf_fusion.local.udf.confinement import hide_from_udfs
from openeo_udf_fusion.local.udf.pool import close_processes

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_START_TIMEOUT_S = 60.0
GRACE_S = 5


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
    """Run a server on 127.0.0.1 in a thread of its own for as long as the context lasts; yields its URL.

    Parameters
    ----------
    data
        Folder of the collections.
    port
        0 takes a free one.
    user, password
        The one account; without them the server is open to this machine.
    state
        Where jobs, results and stored processes are kept; by default a temporary folder that goes with the
        context.
    namespaces, private_namespaces
        What the URL of a namespace may begin with, at public addresses, and at those of this machine and its
        network; by default none is read.

    Raises
    ------
    InvalidParameter
        When the data folder does not exist, the port or the state folder is in use, or only one of user and
        password is given.
    """
    with tempfile.TemporaryDirectory(prefix="openeo-udf-fusion-", ignore_cleanup_errors=True) as temporary:
        settings = Settings(
            Path(data),
            Path(state or temporary),
            user,
            password,
            namespaces=tuple(namespaces),
            private_namespaces=tuple(private_namespaces),
        )
        with closing(_listen(LOOPBACK, port)) as listener, running(create_app(settings), listener) as url:
            yield url


def serve(settings: Settings, host: str, port: int, executor: Executor = local_executor) -> None:
    """Run a server until it is interrupted or told to terminate, from the main thread.

    It then takes no more requests, gives those that are being answered 5 seconds and the running job 10 to
    end after its tile, and returns.

    Parameters
    ----------
    settings
        Folders, credentials and limits.
    host, port
        Where to listen.
    executor
        What runs process graphs, see `create_app`.

    Raises
    ------
    InvalidParameter
        When `host` is not a loopback address and there are no credentials, or the port is in use.
    """
    check_address(host, settings)
    with closing(_listen(host, port)) as listener:
        server = _Server(create_app(settings, executor))
        address = f"[{host}]" if ":" in host else host
        logger.info("openEO API at http://%s:%s", address, listener.getsockname()[1])
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        hide_from_udfs()
        # Signals are how it ends: uvicorn shuts down, then passes them on.
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
        close_processes()


@contextmanager
def running(app: FastAPI, listener: socket.socket | None = None) -> Iterator[str]:
    """Run an application in a thread for as long as the context lasts; yields its URL.

    Parameters
    ----------
    listener
        A bound socket; by default one on a free port of 127.0.0.1.
    """
    with closing(_listen(LOOPBACK, 0) if listener is None else listener) as bound:
        server = _Server(app)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [bound]}, name="openeo-server", daemon=True
        )
        host, port = bound.getsockname()[:2]
        thread.start()
        try:
            _wait_for_start(server, thread)
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            thread.join()


def _wait_for_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the server did not start; its log says why")
        time.sleep(0.01)


class _Server(uvicorn.Server):
    """Ends the runs that clients wait for before it waits for the answers to be sent."""

    def __init__(self, app: FastAPI) -> None:
        access_log.install()
        config = uvicorn.Config(
            ForwardedHeaders(app, app.state.trusted_proxies),
            proxy_headers=False,
            # uvicorn's own sends the access log to stdout, which belongs to the caller; ours is in `logs`.
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
            server_header=False,
            # The other implementation has no limit of its own for headers. Twice what is granted, so that the
            # application can say what is wrong; beyond, the connection ends.
            http="h11",
            h11_max_incomplete_event_size=2 * app.state.header_bytes,
        )
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.stop()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: asyncio turns Nagle's delay of 40 ms an answer off for sockets that name it.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
        # From here on whoever connects waits for the application instead of being refused.
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise InvalidParameter(
            f"cannot listen on {host} port {port}: {error}; choose another --port"
        ) from None
    return listener
