import json

import pytest

from openeo_udf_fusion import udfs
from openeo_udf_fusion.cli.udp import page, published_files
from openeo_udf_fusion.udps import definitions

REQUIREMENTS = ["openeo-udf-fusion==0.1.0", "openeo-udf-fusion>=9", "https://example.org/a.whl"]


def udf_of(file):
    graph = json.loads(file.read_text())["process_graph"]
    (tiles,) = (node for node in graph.values() if node["process_id"] == "apply_neighborhood")
    (run,) = tiles["arguments"]["process"]["process_graph"].values()
    return run["arguments"]["udf"]


def test_what_is_written_agrees_with_the_code(command, tmp_path):
    assert command("udp", "write", "--out", tmp_path / "new").status == 0
    assert {file.name for file in (tmp_path / "new").iterdir()} == set(published_files())
    done = command("udp", "check", "--out", tmp_path / "new")
    assert (done.status, done.stdout) == (0, "")


def test_writing_twice_changes_nothing(command, tmp_path):
    command("udp", "write", "--out", tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    command("udp", "write", "--out", tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def change(file):
    file.write_text(file.read_text().replace("P8D", "P9D"))


def remove(file):
    file.unlink()


def add(file):
    file.with_name("stranger.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (change, "harmonize_modis_viirs.json"),
        (remove, "harmonize_modis_viirs.json"),
        (add, "stranger.json"),
    ],
)
def test_what_differs_is_named_with_the_command(command, tmp_path, spoil, named):
    command("udp", "write", "--out", tmp_path)
    spoil(tmp_path / "harmonize_modis_viirs.json")
    done = command("udp", "check", "--out", tmp_path)
    assert done.status == 1
    assert f"['{named}']" in done.stderr
    assert "openeo-udf-fusion udp write" in done.stderr


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


def test_the_page_has_every_parameter_in_its_table():
    for process in definitions().values():
        text = page(process)
        assert text.startswith(f"# {process['id']}\n")
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        assert [row.split("`")[1] for row in rows] == [
            parameter["name"] for parameter in process["parameters"]
        ]
        for row, parameter in zip(rows, process["parameters"], strict=True):
            default = f"`{json.dumps(parameter['default'])}`" if "default" in parameter else "required"
            assert f"| {default} |" in row
