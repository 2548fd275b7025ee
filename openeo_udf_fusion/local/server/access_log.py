"""Keeps what opens results out of the log: the signatures of links, and whatever else a query may carry."""

import logging
import re

_SECRETS = re.compile(r"([?&](?:signature|token|access_token|password)=)[^&\s\"]*", re.IGNORECASE)


class WithoutSecrets(logging.Filter):
    """Replaces the values of secret query parameters in log records; lets every record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place."""
        if isinstance(record.args, tuple):
            record.args = tuple(_redacted(arg) for arg in record.args)
        record.msg = _redacted(record.msg)
        return True


def install() -> None:
    """Filter uvicorn's logs; a filter that is there already stays the only one."""
    for name in ("uvicorn.access", "uvicorn.error"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, WithoutSecrets) for each in logger.filters):
            logger.addFilter(WithoutSecrets())


def _redacted(value: object) -> object:
    return _SECRETS.sub(r"\1...", value) if isinstance(value, str) else value
