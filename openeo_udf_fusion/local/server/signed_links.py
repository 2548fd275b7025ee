"""Links to results that work without a token for a while, as the openEO API recommends."""

import hashlib
import hmac
import logging
import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

from openeo_udf_fusion.errors import StorageFailed
from openeo_udf_fusion.local.server.errors import ExpiredLink, InvalidToken
from openeo_udf_fusion.local.server.storage import read_json, write_json

logger = logging.getLogger(__name__)


class LinkSigner:
    """Signs paths with a secret that survives a restart, and checks the signatures."""

    def __init__(self, secret_file: Path, lifetime_s: float, clock: Callable[[], float] = time.time) -> None:
        self._secret = _secret(secret_file)
        self._lifetime_s = lifetime_s
        self._clock = clock

    def expiry(self) -> int:
        """When a link that is signed now expires, in seconds since 1970."""
        return math.ceil(self._clock() + self._lifetime_s)

    def sign(self, path: str, expires: int) -> str:
        """`path`, quoted, with the query that opens it until `expires`."""
        query = urlencode({"expires": expires, "signature": self._signature(path, str(expires))})
        return f"{quote(path)}?{query}"

    def check(self, path: str, expires: str, signature: str) -> int:
        """Raise unless the signature is the one of this path and not expired.

        Returns
        -------
        int
            When it expires, in seconds since 1970.

        Raises
        ------
        InvalidToken, ExpiredLink
        """
        if not hmac.compare_digest(
            self._signature(path, expires).encode(), signature.encode("utf-8", "replace")
        ):
            raise InvalidToken("the signature of the link is wrong; ask for the results again")
        # Only text that was signed here gets so far, hence it is a number.
        moment = int(expires)
        if moment <= self._clock():
            raise ExpiredLink("the link has expired; GET /jobs/{job_id}/results gives new ones")
        return moment

    def _signature(self, path: str, expires: str) -> str:
        text = f"{expires}\n{path}".encode("utf-8", "replace")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()


def _secret(file: Path) -> bytes:
    try:
        return bytes.fromhex(read_json(file))
    except (OSError, ValueError, TypeError):
        secret = secrets.token_bytes(32)
    try:
        write_json(file, secret.hex())
    except StorageFailed:
        logger.exception("links to results will not survive a restart")
    return secret
