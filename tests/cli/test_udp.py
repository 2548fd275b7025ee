import json
import subprocess
import sys

import pytest

from openeo_udf_fusion import __version__, publish, udfs
from openeo_udf_fusion.publish.files import published_files
from openeo_udf_fusion.udps import definitions

REQUIREMENTS = ["openeo-udf-fusion==0.1.0", "openeo-udf-fusion>=9", "https://example.org/a.whl"]


def udf_of(file):
    graph = json.loads(file.read_text())["process_graph"]
    (tiles,) = (node for node in graph.values() if node["process_id"] == "apply_neighborhood")
    (run,) = tiles["arguments"]["process"]["process_graph"].values()
    return run["arguments"]["udf"]


def test_what_is_written_agrees_with_the_code(command, tmp_path):
    assert command("udp", "write", "--out", tmp_path / "new").status == 0
    written = {file for file in (tmp_path / "new").rglob("*") if file.is_file()}
    assert {file.relative_to(tmp_path / "new").as_posix() for file in written} == set(published_files())
    done = command("udp", "check", "--out", tmp_path / "new")
    assert (done.status, done.stdout) == (0, "")


def test_writing_twice_changes_nothing(command, tmp_path):
    command("udp", "write", "--out", tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.*")}
    command("udp", "write", "--out", tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.*")} == before


def change(file):
    file.write_text(file.read_text().replace("P8D", "P9D"))


def remove(file):
    file.unlink()


def add(file):
    file.with_name("stranger.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (change, ["['harmonize_modis_viirs.json']", "openeo-udf-fusion udp write"]),
        (remove, ["['harmonize_modis_viirs.json']", "openeo-udf-fusion udp write"]),
        (add, ["['stranger.json']", "remove"]),
    ],
)
def test_what_differs_is_named_with_what_to_do(command, tmp_path, spoil, said):
    command("udp", "write", "--out", tmp_path)
    spoil(tmp_path / "harmonize_modis_viirs.json")
    done = command("udp", "check", "--out", tmp_path)
    assert done.status == 1
    assert all(text in done.stderr for text in said)


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_a_requirement_lands_in_every_udf(command, tmp_path, requirement):
    command("udp", "write", "--out", tmp_path, "--requirement", requirement)
    for name in definitions():
        stated = f"openeo-udf-fusion @ {requirement}" if "://" in requirement else requirement
        process = name.removesuffix("_cube")
        assert udf_of(tmp_path / f"{name}.json") == udfs.with_requirement(process, stated)
    assert command("udp", "check", "--out", tmp_path, "--requirement", requirement).status == 0


def test_what_is_no_requirement_is_refused(command, tmp_path):
    done = command("udp", "write", "--out", tmp_path / "new", "--requirement", "bad one !!")
    assert done.status == 1
    assert "PEP 508" in done.stderr
    assert not (tmp_path / "new").exists()


def test_the_named_command_writes_what_was_checked(command, tmp_path):
    missing = tmp_path / "new"
    done = command("udp", "check", "--out", missing, "--requirement", "none")
    assert f"udp write --out {missing} --requirement none" in done.stderr


def test_no_requirement_for_images_that_bring_the_package(command, tmp_path):
    command("udp", "write", "--out", tmp_path, "--requirement", "none")
    text = udf_of(tmp_path / "harmonize_modis_viirs.json")
    assert "# ///" not in text
    assert udfs.is_shipped(text)
    assert command("udp", "check", "--out", tmp_path).status == 1


def test_addresses_land_in_records_scenarios_and_the_catalogue(command, tmp_path):
    options = [
        "--base-url",
        "https://files.example/v{version}/udp/",
        "--service-url",
        "https://backend.example",
    ]
    options += ["--platform", "mine"]
    command("udp", "write", "--out", tmp_path, *options)
    record = (tmp_path / "records" / "fill_gaps.json").read_text()
    assert f"https://files.example/v{__version__}/udp/fill_gaps.json" in record
    assert "platform_catalog/mine.json" in record
    assert all("your-" not in file.read_text() for file in tmp_path.rglob("*/*.json"))
    assert command("udp", "check", "--out", tmp_path, *options).status == 0
    done = command("udp", "check", "--out", tmp_path / "none", *options)
    assert "udp write --out" in done.stderr
    assert (
        "--base-url 'https://files.example/v{version}/udp/' --service-url https://backend.example"
        in done.stderr
    )


def local_links(folder):
    """Every file that the catalogue of models and its cards lead to, as (document, href)."""
    waiting, found = [folder / "models" / "catalog.json"], []
    for document in waiting:
        content = json.loads(document.read_text())
        for entry in [*content["links"], *content.get("assets", {}).values()]:
            if "://" not in entry["href"]:
                found.append((document, entry["href"]))
                waiting += [document.parent / entry["href"]] if entry.get("rel") == "item" else []
    return found


@pytest.mark.parametrize("options", [[], ["--base-url", "https://files.example/v{version}/udp/"]])
def test_a_folder_for_the_web_is_whole(command, tmp_path, options):
    """Wherever it is served: each link ends in the folder, and the weights are those of the card."""
    command("udp", "write", "--out", tmp_path / "web", *options)
    links = local_links(tmp_path / "web")
    ends = {(document.parent / href).resolve() for document, href in links}
    assert {path.suffix for path in ends} >= {".json", ".safetensors", ".onnx"}
    assert all(path.is_file() and path.is_relative_to(tmp_path / "web") for path in ends)
    assert command("udp", "check", "--out", tmp_path / "web", *options).status == 0


def test_the_repositorys_own_folder_links_the_cards_where_they_lie(repository):
    links = [
        (document, href) for document, href in local_links(repository / "udp") if "catalog.json" not in href
    ]
    assert all((document.parent / href).is_file() for document, href in links)
    assert not list((repository / "udp").rglob("*.safetensors"))


# --- validate


def test_what_is_built_is_valid(command):
    done = command("udp", "validate", "--json")
    report = json.loads(done.stdout)
    assert done.status == 0
    assert report["valid"]
    assert report["errors"] == []
    assert report["processes"] == list(definitions())
    assert {note["rule"] for note in report["notes"]} == {"udf-changes-labels"}


def test_files_are_validated_and_errors_come_first(command, tmp_path):
    command("udp", "write", "--out", tmp_path, "--requirement", "none")
    file = tmp_path / "fill_gaps.json"
    process = json.loads(file.read_text())
    spare = {"name": "spare", "description": "Unused.", "schema": {"type": "number"}}
    process["parameters"].append(spare | {"optional": True, "default": 1})
    file.write_text(json.dumps(process))
    done = command("udp", "validate", "--out", tmp_path)
    assert done.status == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("fill_gaps: error [parameter-unused] the parameter 'spare'")
    assert lines[-1].startswith(f"{len(definitions())} processes, 1 errors, ")
    report = json.loads(command("udp", "validate", "--out", tmp_path, "--json").stdout)
    assert not report["valid"]
    (error,) = report["errors"]
    assert (error["process"], error["rule"]) == ("fill_gaps", "parameter-unused")
    assert "udf-no-requirement" in {note["rule"] for note in report["notes"]}


SPOILT = {
    "records/fill_gaps.json": (lambda found: found["properties"].pop("themes"), "record"),
    "benchmark_scenarios/fill_gaps.json": (lambda found: found[0].pop("backend"), "scenario"),
    "models/catalog.json": (
        lambda found: found["links"].append({"rel": "item", "href": "./no.json"}),
        "link",
    ),
    "models/satfusenet.json": (lambda found: found["properties"].pop("mlm:input"), "model"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_catalogues_get_is_validated_too(command, tmp_path, name):
    command("udp", "write", "--out", tmp_path)
    assert command("udp", "validate", "--out", tmp_path).status == 0
    spoil, rule = SPOILT[name]
    document = json.loads((tmp_path / name).read_text())
    spoil(document)
    (tmp_path / name).write_text(json.dumps(document))
    report = json.loads(command("udp", "validate", "--out", tmp_path, "--json").stdout)
    assert {(error["process"], error["rule"]) for error in report["errors"]} == {(name, rule)}


def test_the_repositorys_own_folder_is_valid(command, repository):
    assert command("udp", "validate", "--out", repository / "udp").status == 0


def test_a_folder_without_processes_cannot_be_validated(command, tmp_path):
    done = command("udp", "validate", "--out", tmp_path)
    assert (done.status, done.stdout) == (1, "")
    assert "no process" in done.stderr


def test_listing_needs_no_backend(command):
    assert command("udp", "list").stdout.splitlines() == [
        f"{name} {__version__}: {process['summary']}" for name, process in definitions().items()
    ]
    rows = json.loads(command("udp", "list", "--json").stdout)["processes"]
    assert [row["process"] for row in rows] == list(definitions())


def test_publishing_needs_a_backend(command):
    assert command("udp", "publish").status == 2


def test_an_operator_needs_neither_torch_nor_dask():
    code = "import sys; from openeo_udf_fusion.cli.main import main; "
    code += "main(['udp', 'validate']); main(['udp', 'list'])"
    heavy = "{'torch', 'dask', 'fastapi', 'rasterio', 'tqdm', 'openeo_processes_dask'}"
    listed = f"print(*sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", f"{code}; {listed}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr.split()) == (0, [])


def test_what_is_not_installed_is_named_with_its_extra(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    for name in ("structure", "validation"):
        monkeypatch.delitem(sys.modules, f"openeo_udf_fusion.publish.{name}", raising=False)
        monkeypatch.delattr(publish, name, raising=False)
    done = command("udp", "validate")
    assert done.status == 1
    assert "needs jsonschema" in done.stderr
    assert "pip install '.[publish]'" in done.stderr


def test_files_of_other_options_are_not_to_be_written_with_the_defaults_unawares(command, tmp_path):
    assert command("udp", "write", "--out", tmp_path, "--requirement", "none").status == 0
    done = command("udp", "check", "--out", tmp_path)
    assert done.status == 1
    assert "check with the same" in done.stderr
    assert command("udp", "check", "--out", tmp_path, "--requirement", "none").status == 0
