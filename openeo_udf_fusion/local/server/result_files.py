"""The files of a result as they are offered for download."""

import shutil
import zipfile
from pathlib import Path

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.executor import RunResult
from openeo_udf_fusion.local.formats import FORMATS
from openeo_udf_fusion.local.server.storage import storage_failed

ASSETS_FOLDER = "assets"

MEDIA_TYPES = {format.suffix: format.media_type for format in FORMATS.values()} | {
    ".json": "application/json",
    ".zip": "application/zip",
}


def media_type(name: str) -> str:
    """Media type of a file by its suffix."""
    return MEDIA_TYPES.get(Path(name).suffix.lower(), "application/octet-stream")


def pack(folder: Path, result: RunResult) -> Json:
    """Turn a result into flat files and describe them.

    Folders (Zarr stores) become zip archives whose root is the root of the store, so that a zip store can be
    opened as it is.

    Returns
    -------
    dict
        `{"files": [names in folder], "metadata": ...}`

    Raises
    ------
    StorageFailed
    """
    names = []
    for path in result.files:
        if path.is_dir():
            zipped = folder / f"{path.name}.zip"
            _zip(
                zipped,
                {str(file.relative_to(path)): file for file in sorted(path.rglob("*")) if file.is_file()},
            )
            shutil.rmtree(path, ignore_errors=True)
            names.append(zipped.name)
        else:
            names.append(path.name)
    return {"files": names, "metadata": result.metadata}


def single_file(folder: Path, result: RunResult) -> Path:
    """The one file that a synchronous request is answered with: a zip archive when there are several.

    Raises
    ------
    StorageFailed
    """
    names = pack(folder, result)["files"]
    if len(names) == 1:
        return folder / str(names[0])
    archive = folder / "result.zip"
    _zip(archive, {name: folder / name for name in names})
    return archive


def _zip(archive: Path, files: dict[str, Path]) -> None:
    # Stored, not deflated: the formats compress their own chunks.
    try:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
            for name, path in files.items():
                target.write(path, name)
    except OSError as error:
        archive.unlink(missing_ok=True)
        raise storage_failed(error) from error
