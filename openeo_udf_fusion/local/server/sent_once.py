"""Answers that are a file of their own: sent once, then removed, whatever becomes of the client."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio.to_thread
from anyio import CancelScope
from fastapi.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from openeo_udf_fusion.local.server.result_files import media_type

logger = logging.getLogger(__name__)


class SentOnce(FileResponse):
    """A file and the folder around it, which is removed when the answer has been sent or given up.

    Parameters
    ----------
    file
        In a folder that was made for this answer.
    patience_s
        How long the client may take for each part (64 KiB) before the server hangs up.
    done
        Called once, when nothing of it is left.
    """

    def __init__(self, file: Path, patience_s: float, done: Callable[[], None]) -> None:
        super().__init__(file, media_type=media_type(file.name), filename=file.name)
        self._folder = file.parent
        self._patience_s = patience_s
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""

        async def send_in_time(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                # With its last part a client may ask for the next result: its place is free by then.
                await self._clean_up()
            async with asyncio.timeout(self._patience_s):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            # The web server closes the connection of an answer that ends too soon.
            logger.warning("a client took nothing of its result for %g s; it was hung up", self._patience_s)
        finally:
            await self._clean_up()

    async def _clean_up(self) -> None:
        done, self._done = self._done, _nothing
        if done is _nothing:
            return
        with CancelScope(shield=True):
            await anyio.to_thread.run_sync(partial(shutil.rmtree, self._folder, ignore_errors=True))
        done()


def _nothing() -> None:
    """It is cleaned up already."""
