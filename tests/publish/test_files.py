"""The published files equal the code, and are written and compared as a whole."""

import json
import os

import pytest

from openeo_udf_fusion import udps
from openeo_udf_fusion.errors import InvalidGraph, StorageFailed
from openeo_udf_fusion.publish.addresses import Addresses
from openeo_udf_fusion.publish.files import check, published_files, write
from openeo_udf_fusion.publish.pages import page
from tests.conftest import REPOSITORY

WRITE = "openeo-udf-fusion udp write"


OWN = published_files(out=REPOSITORY / "udp")


@pytest.mark.parametrize("name", sorted(OWN))
def test_what_is_published_equals_the_code(name, repository):
    published = (repository / "udp" / name).read_bytes()
    assert published == OWN[name], f"udp/{name} is not what the code builds; run: {WRITE}"


def test_nothing_else_is_published(repository):
    check(OWN, repository / "udp")


def test_every_process_has_a_page_and_those_for_an_area_a_record_and_scenarios():
    expected = {"models/catalog.json"}
    for name in udps.definitions():
        expected |= {f"{name}.json", f"{name}.md"}
        if not name.endswith("_cube"):
            expected |= {f"records/{name}.json", f"benchmark_scenarios/{name}.json"}
    assert set(OWN) == expected
    assert {name for name in published_files() if not name.startswith("models/")} == expected - {
        "models/catalog.json"
    }


def test_building_twice_gives_the_same():
    assert published_files() == published_files()


def test_a_requirement_changes_the_processes_alone():
    one, other = published_files(), published_files("none")
    assert {name for name in one if one[name] != other[name]} == {
        f"{name}.json" for name in udps.definitions()
    }


def test_addresses_change_records_and_scenarios_alone():
    one, other = (
        published_files(),
        published_files(addresses=Addresses("https://x.example/", "https://y.example")),
    )
    changed = {name for name in one if one[name] != other[name]}
    assert changed == {name for name in one if name.startswith(("records/", "benchmark_scenarios/"))}


# --- writing and comparing

FILES = {"a.json": b"{}\n", "records/a.json": b"[]\n"}


def test_what_was_written_agrees(tmp_path):
    write(FILES, tmp_path / "new")
    check(FILES, tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").rglob("*")} == {"a.json", "records"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda folder: (folder / "records/a.json").write_text("[] \n"),
            r"differs.*\['records/a.json'\]; run: WRITE",
        ),
        (lambda folder: (folder / "a.json").write_bytes(b"{}\r\n"), r"differs.*\['a.json'\]; run: WRITE"),
        (lambda folder: (folder / "a.json").unlink(), r"differs.*\['a.json'\]; run: WRITE"),
        (lambda folder: (folder / "records/b.json").write_text("{}"), r"holds \['records/b.json'\].*remove"),
    ],
)
def test_what_differs_is_named(tmp_path, spoil, said):
    write(FILES, tmp_path)
    spoil(tmp_path)
    with pytest.raises(InvalidGraph, match=said):
        check(FILES, tmp_path, "WRITE")


def test_a_missing_folder_is_named_with_the_command(tmp_path):
    with pytest.raises(InvalidGraph, match=r"no folder .*new; run: WRITE"):
        check(FILES, tmp_path / "new", "WRITE")


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    write(FILES, tmp_path)

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageFailed, match=r"a\.json: No space left"):
        write({"a.json": b"changed"}, tmp_path)
    assert (tmp_path / "a.json").read_text() == "{}\n"
    assert not list(tmp_path.glob(".*"))


# --- pages


def test_a_page_has_every_parameter_in_its_table():
    for process in udps.definitions().values():
        text = page(process)
        assert text.startswith(f"# {process['id']}\n")
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        names = [parameter["name"] for parameter in process["parameters"]]
        assert [row.split("`")[1] for row in rows] == names
        for row, parameter in zip(rows, process["parameters"], strict=True):
            default = f"`{json.dumps(parameter['default'])}`" if "default" in parameter else "required"
            assert f"| {default} |" in row
