"""Files that look like any other of a data folder and read what lies outside of it."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import rasterio
import xarray as xr
from rasterio.transform import from_origin

TRAPS = ("vrt", "external_link", "virtual", "raw")


def write_traps(secret: Path, data: Path) -> None:
    """One collection a way out in the folder `data`: each shows the values of the netCDF file `secret`."""
    raster, raw = secret.with_suffix(".tif"), secret.with_suffix(".raw")
    with xr.open_dataset(secret) as cube:
        values = cube.modis_B1.values
    profile = {
        "driver": "GTiff",
        "height": 6,
        "width": 5,
        "count": 1,
        "dtype": "float32",
        "crs": "EPSG:32632",
    }
    with rasterio.open(raster, "w", transform=from_origin(690_000, 5_330_000, 20, 20), **profile) as file:
        file.write(values[0], 1)
    raw.write_bytes(values.astype("<f4").tobytes())
    for name in TRAPS:
        (data / f"trap_{name}").mkdir()
    _write_vrt(raster, data / "trap_vrt" / "modis_B1_2022-06-01.tif")
    for name, refer in (("external_link", _link), ("virtual", _virtual), ("raw", _raw)):
        copy = data / f"trap_{name}" / "cube.nc"
        shutil.copy(secret, copy)
        with h5py.File(copy, "r+") as file:
            before = file["modis_B1"]
            attributes, scales = dict(before.attrs), [file[dimension] for dimension in ("t", "y", "x")]
            del file["modis_B1"]
            refer(file, secret, values.shape)
            if name == "external_link":
                continue
            file["modis_B1"].attrs["grid_mapping"] = np.bytes_(b"crs")
            assert "grid_mapping" in attributes
            for index, scale in enumerate(scales):
                file["modis_B1"].dims[index].attach_scale(scale)


def _link(file: h5py.File, secret: Path, shape: tuple[int, ...]) -> None:
    file["modis_B1"] = h5py.ExternalLink(str(secret), "modis_B1")


def _virtual(file: h5py.File, secret: Path, shape: tuple[int, ...]) -> None:
    layout = h5py.VirtualLayout(shape, "<f4")
    layout[:] = h5py.VirtualSource(str(secret), "modis_B1", shape)
    file.create_virtual_dataset("modis_B1", layout)


def _raw(file: h5py.File, secret: Path, shape: tuple[int, ...]) -> None:
    source = str(secret.with_suffix(".raw"))
    file.create_dataset("modis_B1", shape, "<f4", external=[(source, 0, h5py.h5f.UNLIMITED)])


def _write_vrt(raster: Path, vrt: Path) -> None:
    with rasterio.open(raster) as source:
        wkt, geo = source.crs.to_wkt(), source.transform.to_gdal()
    vrt.write_text(
        f"""<VRTDataset rasterXSize="5" rasterYSize="6"><SRS>{wkt.replace('"', "&quot;")}</SRS>
        <GeoTransform>{", ".join(map(str, geo))}</GeoTransform>
        <VRTRasterBand dataType="Float32" band="1"><SimpleSource>
        <SourceFilename relativeToVRT="0">{raster}</SourceFilename><SourceBand>1</SourceBand>
        </SimpleSource></VRTRasterBand></VRTDataset>"""
    )
