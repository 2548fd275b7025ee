"""STAC on disk: items, collections, what their properties say, and what they may not reach."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from rasterio.transform import from_origin

from openeo_udf_fusion.errors import ForbiddenPath, InvalidCollection
from openeo_udf_fusion.local.collections import find_collections, get_collection


def tif(path: Path, value: int, crs: str | None = "EPSG:32631") -> None:
    profile = {"driver": "GTiff", "dtype": "int16", "count": 1, "height": 4, "width": 4}
    with rasterio.open(
        path, "w", **profile, crs=crs, transform=from_origin(500_000, 5_600_000, 10, 10)
    ) as file:
        file.write(np.full((1, 4, 4), value, np.int16))


def item(day: int, **assets: pystac.Asset) -> pystac.Item:
    made = pystac.Item(f"item{day}", None, None, datetime(2022, 1, day, 10, 30, tzinfo=UTC), {})
    for key, asset in assets.items():
        made.add_asset(key, asset)
    return made


def save(made: pystac.Item, folder: Path) -> None:
    (folder / f"{made.id}.json").write_text(json.dumps(made.to_dict(include_self_link=False)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data" / "stac"
    made.mkdir(parents=True)
    return made


def test_items_give_dates_and_bands(folder: Path):
    for day in (2, 1):
        tif(folder / f"{day}.tif", 1000 * day)
        fields = {"bands": [{"name": "sur_refl_b01", "raster:scale": 0.001}]}
        save(item(day, red=pystac.Asset(f"./{day}.tif", extra_fields=fields)), folder)
    assert list(find_collections(folder.parent)) == ["stac"]
    cube = get_collection(folder.parent, "stac").open()
    assert cube["bands"].values.tolist() == ["modis_B1"]
    expected = np.array(["2022-01-01T10:30", "2022-01-02T10:30"], "datetime64[ns]")
    assert (cube["t"].values == expected).all()
    np.testing.assert_allclose(cube[:, 0, 0, 0], [1.0, 2.0])


def test_a_collection_leads_to_its_items_once(folder: Path):
    extent = pystac.Extent(
        pystac.SpatialExtent([[0, 0, 1, 1]]), pystac.TemporalExtent([[datetime(2022, 1, 1), None]])
    )
    collection = pystac.Collection("any", "Three days.", extent, "A title", license="CC0-1.0")
    for day in (1, 2, 3):
        tif(folder / f"{day}.tif", day)
        collection.add_item(item(day, height=pystac.Asset(str(folder / f"{day}.tif"))))
    collection.normalize_hrefs(str(folder))
    collection.make_all_asset_hrefs_relative()
    collection.save(pystac.CatalogType.SELF_CONTAINED)
    found = get_collection(folder.parent, "stac")
    assert found.open()[:, 0, 0, 0].values.tolist() == [1, 2, 3]
    metadata = found.metadata()
    assert [metadata[key] for key in ("title", "license")] == ["A title", "CC0-1.0"]


def test_the_item_s_crs_and_platform_serve_a_file_that_has_none(folder: Path):
    tif(folder / "a.tif", 2000, crs=None)
    made = item(1, B02=pystac.Asset("a.tif"))
    made.properties |= {"proj:code": "EPSG:3035", "constellation": "sentinel-2"}
    save(made, folder)
    found = get_collection(folder.parent, "stac")
    assert found.grid().crs.to_epsg() == 3035
    assert found.bands() == ["s2_B02"]


def test_thumbnails_are_no_data(folder: Path):
    tif(folder / "a.tif", 1)
    tif(folder / "small.tif", 2)
    save(item(1, a=pystac.Asset("a.tif"), b=pystac.Asset("small.tif", roles=["thumbnail"])), folder)
    assert get_collection(folder.parent, "stac").bands() == ["a"]


@pytest.mark.parametrize("href", ["../../secret.tif", "https://example.org/a.tif", "s3://bucket/a.tif"])
def test_hrefs_do_not_leave_the_data_folder(folder: Path, href: str):
    tif(folder.parent.parent / "secret.tif", 1)
    save(item(1, a=pystac.Asset(href)), folder)
    with pytest.raises(ForbiddenPath):
        get_collection(folder.parent, "stac").open()


def test_an_absolute_href_does_not_leave_the_data_folder(folder: Path):
    secret = folder.parent.parent / "secret.tif"
    tif(secret, 1)
    save(item(1, a=pystac.Asset(str(secret)), b=pystac.Asset(secret.as_uri())), folder)
    with pytest.raises(ForbiddenPath):
        get_collection(folder.parent, "stac").open()


@pytest.mark.parametrize("href", ["../../item1.json", "https://example.org/item.json"])
def test_links_do_not_leave_the_data_folder(folder: Path, href: str):
    save(item(1), folder.parent.parent)
    catalog = pystac.Catalog("c", "Leads out.").to_dict(include_self_link=False)
    catalog["links"].append({"rel": "item", "href": href})
    (folder / "catalog.json").write_text(json.dumps(catalog))
    with pytest.raises(ForbiddenPath):
        get_collection(folder.parent, "stac").open()


def test_a_missing_asset_is_named(folder: Path):
    save(item(1, a=pystac.Asset("gone.tif")), folder)
    with pytest.raises(InvalidCollection, match=r"item1.*gone\.tif"):
        get_collection(folder.parent, "stac").open()
