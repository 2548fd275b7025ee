"""Ways out of the data folder: ids, URLs, what STAC files name, links. Nothing outside is ever read."""

import json
import shutil

import pytest
import xarray as xr

from openeo_udf_fusion.local.server.app import create_app
from openeo_udf_fusion.local.server.serving import running
from openeo_udf_fusion.local.server.settings import Settings
from tests.local.referring_files import write_traps

from .conftest import Client, StagedExecutor


@pytest.fixture(scope="module")
def folders(data, tmp_path_factory):
    """A data folder with `inside`; beside it a folder with the same cube, which is no user's business."""
    base = tmp_path_factory.mktemp("folders")
    for folder, name in (("data", "inside"), ("outside", "secret")):
        (base / folder).mkdir()
        shutil.copytree(data / "modis", base / folder / name)
    secret = base / "outside" / "secret" / "cube.nc"
    hrefs = {
        "absolute": str(secret),
        "upwards": "../../outside/secret/cube.nc",
        "upwards_deep": "./x/../../../outside/secret/cube.nc",
        "file_url": secret.as_uri(),
        "file_url_host": f"file://localhost{secret}",
        "file_url_encoded": secret.as_uri().replace("outside", "%6futside"),
        "http": "http://127.0.0.1:9/cube.nc",
        "https": "HTTPS://127.0.0.1:9/cube.nc",
        "s3": "s3://bucket/cube.nc",
        "vsicurl": "/vsicurl/http://127.0.0.1:9/x.tif",
        "vsizip": f"/vsizip/{secret}.zip/x.tif",
        "driver": f'NETCDF:"{secret}":modis_B1',
        "network": "//127.0.0.1/share/cube.nc",
        "windows": "..\\..\\outside\\secret\\cube.nc",
        "encoded": "%2e%2e/%2e%2e/outside/secret/cube.nc",
        "nul": "a\0.nc",
        "surrogate": "\ud800.nc",
        "long": "x" * 5000 + ".nc",
        "linked": "link.nc",
        "through_a_linked_folder": "linked/cube.nc",
    }
    for name, href in hrefs.items():
        write_item(base / "data" / f"stac_{name}", href)
    (base / "data" / "stac_linked" / "link.nc").symlink_to(secret)
    (base / "data" / "stac_through_a_linked_folder" / "linked").symlink_to(secret.parent)
    write_item(base / "outside" / "item", str(secret))
    with xr.open_dataset(secret, decode_coords="all") as cube:
        (base / "outside" / "store").mkdir()
        store = base / "outside" / "store" / "cube.zarr"
        cube.to_zarr(store, consolidated=False)
    for name, inner in (("chunks", "modis_B1/c"), ("array", "modis_B1"), ("metadata", "modis_B1/zarr.json")):
        copy = base / "data" / f"store_{name}.zarr"
        shutil.copytree(store, copy)
        shutil.rmtree(copy / inner) if (copy / inner).is_dir() else (copy / inner).unlink()
        (copy / inner).symlink_to(store / inner)
    shutil.copytree(store, base / "data" / "stac_store" / "cube.zarr")
    write_item(base / "data" / "stac_store", "cube.zarr")
    (base / "data" / "stac_store" / "cube.zarr" / "modis_B2" / "c").rename(base / "outside" / "c")
    (base / "data" / "stac_store" / "cube.zarr" / "modis_B2" / "c").symlink_to(base / "outside" / "c")
    for name, href in (("child", "http://127.0.0.1:9/c.json"), ("item", "../../outside/item/item.json")):
        write_catalogue(base / "data" / f"catalogue_{name}", name, href)
    write_traps(secret, base / "data")
    (base / "data" / "linked_folder").symlink_to(secret.parent)
    (base / "data" / "linked_file.nc").symlink_to(secret)
    (base / "data" / "linked_inside").mkdir()
    (base / "data" / "linked_inside" / "cube.nc").symlink_to(secret)
    return base


def write_item(folder, href: str) -> None:
    folder.mkdir(exist_ok=True)
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "item",
        "geometry": None,
        "properties": {"datetime": "2022-06-01T00:00:00Z"},
        "links": [],
        "assets": {"data": {"href": href, "roles": ["data"]}},
    }
    (folder / "item.json").write_text(json.dumps(item))


def write_catalogue(folder, rel: str, href: str) -> None:
    folder.mkdir()
    catalogue = {"type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "d"}
    (folder / "catalog.json").write_text(json.dumps(catalogue | {"links": [{"rel": rel, "href": href}]}))


@pytest.fixture(scope="module")
def client(folders):
    settings = Settings(folders / "data", folders / "state")
    with running(create_app(settings)) as url:
        yield Client(url, settings.state, StagedExecutor())


@pytest.fixture(scope="module")
def traps(folders) -> list[str]:
    """The collections that lead outside, or to nowhere."""
    return sorted(path.stem for path in (folders / "data").iterdir() if path.name != "inside")


def answers(client, process_id: str, argument: str, value) -> tuple[list[str], int, str]:
    """The codes of /validation, and status and code of /result, for a graph that loads something."""
    node = {"process_id": process_id, "arguments": {argument: value}, "result": True}
    if process_id == "load_collection":
        node["arguments"] |= {"spatial_extent": None, "temporal_extent": None}
    process = {"process_graph": {"n": node}}
    errors = client("POST", "/validation", json=process).json()["errors"]
    result = client("POST", "/result", json={"process": process})
    is_json = result.headers["Content-Type"] == "application/json"
    return (
        [error["code"] for error in errors],
        result.status_code,
        result.json()["code"] if is_json else "data",
    )


REFUSALS = ("PermissionsInsufficient", "CollectionNotFound", "ProcessParameterInvalid", "CollectionInvalid")


def test_what_lies_inside_is_read(client):
    assert answers(client, "load_collection", "id", "inside") == ([], 200, "data")
    assert answers(client, "load_stac", "url", "inside/cube.nc") == ([], 200, "data")


def test_nothing_that_leads_outside_is_a_collection(client, traps, folders):
    listed = {found["id"] for found in client("GET", "/collections").json()["collections"]}
    assert listed == {"inside"}
    assert len(traps) > 20
    for trap in traps:
        described = client("GET", f"/collections/{trap}")
        assert described.json()["code"] in REFUSALS, trap
        codes, status, code = answers(client, "load_collection", "id", trap)
        assert code in REFUSALS, trap
        assert codes == [code], trap
        assert status != 200, trap
        assert str(folders / "data") not in described.json()["message"], trap


@pytest.mark.parametrize("process_id", ["load_collection", "load_stac"])
@pytest.mark.parametrize(
    "name",
    [
        "../outside/secret",
        "../outside/secret/cube.nc",
        "inside/../../outside/secret",
        "./../outside/secret",
        "..",
        "../",
        "/",
        "/etc/passwd",
        "//etc/passwd",
        "~/secret",
        "..\\outside\\secret",
        "C:\\secret",
        "\\\\host\\share\\secret",
        "inside\0",
        "\0",
        "../outside/secret\0.nc",
        "\ud800",
        "x" * 5000,
        "linked_folder/cube.nc",
        "linked_inside/cube.nc",
        "%2e%2e/outside/secret",
        "..%2foutside%2fsecret",
        "$HOME",
        "inside*",
    ],
)
def test_no_name_leads_outside(client, folders, process_id, name):
    argument = "id" if process_id == "load_collection" else "url"
    codes, status, code = answers(client, process_id, argument, name)
    assert status in (400, 403, 404)
    assert code in REFUSALS
    assert codes == [code]


@pytest.mark.parametrize(
    "url",
    [
        "{secret}",
        "file://{secret}",
        "file:{secret}",
        "FILE://localhost{secret}",
        "file://evil.example{secret}",
        "file:///%2e%2e{secret}",
        "http://127.0.0.1:9/c.json",
        "https://127.0.0.1:9/c.json",
        "ftp://127.0.0.1/c.json",
        "//127.0.0.1/c.json",
        "data:application/json,{{}}",
        "s3://bucket/c.json",
        "/vsicurl/http://127.0.0.1:9/c.tif",
    ],
)
def test_load_stac_reads_files_inside_alone(client, folders, url):
    secret = folders / "outside" / "secret" / "cube.nc"
    codes, status, code = answers(client, "load_stac", "url", url.format(secret=secret))
    assert (codes, status, code) == (["PermissionsInsufficient"], 403, "PermissionsInsufficient")


@pytest.mark.parametrize("value", [None, 1, True, ["inside"], {"id": "inside"}])
@pytest.mark.parametrize(("process_id", "argument"), [("load_collection", "id"), ("load_stac", "url")])
def test_what_is_no_text_is_no_name(client, process_id, argument, value):
    _, status, code = answers(client, process_id, argument, value)
    assert status in (400, 404)
    assert code != "Internal"


def test_the_data_folder_itself_may_be_a_link(folders, tmp_path):
    """An operator's own: what it leads to is the folder, and links in it lead out as before."""
    (tmp_path / "link").symlink_to(folders / "data")
    with running(create_app(Settings(tmp_path / "link", tmp_path / "state"))) as url:
        client = Client(url, tmp_path / "state", StagedExecutor())
        assert [found["id"] for found in client("GET", "/collections").json()["collections"]] == ["inside"]
        assert answers(client, "load_collection", "id", "inside") == ([], 200, "data")
        assert answers(client, "load_collection", "id", "linked_folder")[2] == "PermissionsInsufficient"


def test_the_state_folder_is_for_the_server_alone(client):
    assert client.state.stat().st_mode & 0o077 == 0
    assert (client.state / "link_secret.json").stat().st_mode & 0o077 == 0
