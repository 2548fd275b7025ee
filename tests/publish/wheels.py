"""Tiny fakes of wheels in a folder, for the tests of archives: pip is real, and asks no index."""

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from openeo_udf_fusion.publish.archive_wheels import Target

BASE = ("numpy", "openeo", "pystac", "xarray")
LINUX = "manylinux_2_28_x86_64"
TARGET = Target("3.11", "2.28", "x86_64")


def given_wheels_only(patch: pytest.MonkeyPatch) -> None:
    """Let the machine's own configuration of pip bring nothing in."""
    patch.setenv("PIP_CONFIG_FILE", "/dev/null")
    patch.delenv("PIP_FIND_LINKS", raising=False)


def write_wheel(
    folder: Path,
    name: str,
    version: str = "9.9",
    tag: str = "py3-none-any",
    requires: tuple[str, ...] = (),
    files: dict[str, str] | None = None,
    licence: str = "MIT",
) -> None:
    """Write a wheel that pip takes."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    lines = [f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: {licence}\n"]
    lines += [f"Requires-Dist: {need}\n" for need in requires]
    content = {
        f"{stem}/__init__.py": f"__version__ = {version!r}\n",
        **(files or {}),
        f"{info}/METADATA": "".join(lines),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/licenses/LICENSE": "do as you like\n",
    }
    record = []
    with zipfile.ZipFile(folder / f"{stem}-{version}-{tag}.whl", "w") as wheel:
        for path, text in content.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(text)}\n")
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "".join(record) + f"{info}/RECORD,,\n")
