"""Where the published files will lie, and which backend runs them: what a checkout cannot know."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from openeo_udf_fusion import __version__
from openeo_udf_fusion.errors import InvalidParameter

PLACEHOLDER_BASE = "https://your-catalogue.example/v{version}/udp/"
PLACEHOLDER_SERVICE = "https://your-backend.example"
PLACEHOLDER_PLATFORM = "your_platform"
"""`.example` is reserved (RFC 2606): whoever publishes replaces all three."""


@dataclass(frozen=True)
class Addresses:
    """The URLs that records and scenarios hold.

    Parameters
    ----------
    base_url : str
        Folder of the published files at a tag or commit; `{version}` stands for the package's version.
    service_url : str
        The backend that the records offer the processes on.
    platform : str
        File stem of that backend's record in the catalogue's `platform_catalog`.

    Raises
    ------
    InvalidParameter
        A URL is not http or https, or has no host.
    """

    base_url: str = PLACEHOLDER_BASE
    service_url: str = PLACEHOLDER_SERVICE
    platform: str = PLACEHOLDER_PLATFORM

    def __post_init__(self) -> None:
        for name, url in (("base", self.base_url), ("service", self.service_url)):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise InvalidParameter(f"the {name} URL must be an http(s) URL with a host, got {url!r}")

    def of(self, name: str) -> str:
        """Return the URL of a published file."""
        return self.base_url.replace("{version}", __version__).rstrip("/") + "/" + name
