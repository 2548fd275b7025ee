"""What an operator of openeo-geopyspark-driver copies: run with a stand-in for it, compared with the code.

The real driver brings versions of its own, so it is not installed here; the stand-in has the signature that
openeo-driver 0.136.0a4 has.
"""

import inspect
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from openeo_udf_fusion import udfs, udps
from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.publish import archive
from openeo_udf_fusion.publish.archive_wheels import Target

DRIVER = "openeo_driver.ProcessGraphDeserializer"


@pytest.fixture
def folder(repository):
    return repository / "backend_config" / "geotrellis"


@pytest.fixture
def registered(monkeypatch):
    """What was registered with the driver, as (namespace, process)."""
    calls = []

    class Registry:
        """As far as the preload file asks it."""

        def contains(self, name, namespace="backend"):
            return (namespace, name) in [(used, process["id"]) for used, process in calls]

    def custom_process_from_process_graph(
        process_spec, *, process_registries=(), namespace="backend", hidden=False
    ):
        calls.append((namespace, process_spec))

    module = ModuleType(DRIVER)
    module.process_registry_100 = module.process_registry_2xx = Registry()
    module.custom_process_from_process_graph = custom_process_from_process_graph
    monkeypatch.setitem(sys.modules, "openeo_driver", ModuleType("openeo_driver"))
    monkeypatch.setitem(sys.modules, DRIVER, module)
    monkeypatch.delenv("OPENEO_UDF_FUSION_PROCESSES", raising=False)
    return calls


@pytest.fixture
def deployed(folder, tmp_path):
    """The preload file with the processes beside it."""
    shutil.copy(folder / "custom_processes.py", tmp_path)
    out = tmp_path / "processes"
    assert main(["udp", "write", "--archive-folder", udfs.ARCHIVE_FOLDER, "--out", str(out)]) == 0
    return tmp_path / "custom_processes.py"


def preload(file):
    """Run the file as the driver does: its code in a namespace that has `__file__` alone."""
    exec(compile(file.read_text(encoding="utf-8"), file, "exec"), {"__file__": str(file)})


def test_every_process_is_registered_once_with_its_archives_text(deployed, registered):
    preload(deployed)
    assert {namespace for namespace, _ in registered} == {"backend"}
    found = {process["id"]: process for _, process in registered}
    assert len(found) == len(registered)
    assert found == udps.definitions(
        udps.Deployment(udps.PUBLISHED.sources, archive_folder=udfs.ARCHIVE_FOLDER)
    )


def test_the_environment_names_another_folder(deployed, registered, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "processes").rename(elsewhere)
    monkeypatch.setenv("OPENEO_UDF_FUSION_PROCESSES", str(elsewhere))
    preload(deployed)
    assert {process["id"] for _, process in registered} == set(udps.definitions())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("zz.json", "{", "no JSON"),
        ("zz.json", "[]", "needs to be a process"),
        ("zz.json", '{"id": "zz"}', "process_graph"),
        ("zz.json", '{"id": "other", "process_graph": {"a": {}}}', "the id 'zz'"),
    ],
)
def test_one_bad_file_registers_nothing(deployed, registered, name, content, said):
    (deployed.parent / "processes" / name).write_text(content)
    with pytest.raises(ValueError, match=said):
        preload(deployed)
    assert registered == []


def test_an_id_that_is_taken_registers_nothing(deployed, registered):
    registered.append(("backend", {"id": "self_test_cube"}))
    with pytest.raises(ValueError, match=r"\['self_test_cube'\] are registered already"):
        preload(deployed)
    assert len(registered) == 1


def test_the_same_id_elsewhere_is_no_collision(deployed, registered):
    registered.append(("user", {"id": "self_test_cube"}))
    preload(deployed)
    assert len(registered) == 1 + len(udps.definitions())


def test_an_empty_folder_is_an_error_that_says_how_to_fill_it(deployed, registered):
    shutil.rmtree(deployed.parent / "processes")
    with pytest.raises(FileNotFoundError, match="udp write --archive-folder"):
        preload(deployed)


# --- job options and instructions


@pytest.fixture
def options(folder):
    return json.loads((folder / "job_options.json").read_text(encoding="utf-8"))


def test_the_job_options_name_the_archive_as_the_package_builds_it(options):
    (value,) = options["udf-dependency-archives"]
    url, _, unpacked = value.partition("#")
    assert url.rpartition("/")[2] == archive.file_name("onnx", Target())
    assert unpacked == udfs.ARCHIVE_FOLDER


def test_the_job_options_are_the_drivers(options):
    """Those with a reason; the others stay as the backend sets them."""
    assert set(options) == {"udf-dependency-archives", "python-memory"}
    assert re.fullmatch(r"\d+(m|g)", options["python-memory"])


def test_the_instructions_name_what_there_is(folder, options):
    text = (folder / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    (?:\S+=\S+ )*openeo-udf-fusion (\w+) (\w+)(.*)$", text, re.MULTILINE)
    assert {(command, action) for command, action, _ in commands} == {
        *{("archive", "build"), ("archive", "check"), ("udp", "write")},
    }
    for command, action, rest in commands:
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in help_of(command, action), option
    assert archive.file_name("onnx", Target()) in text
    assert options["python-memory"] in text
    assert all(f"`{band}`" in text for band in ("passed", "checksum"))


def test_the_options_named_for_the_memory_are_the_scripts(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    script = folder / "measure_memory.py"
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    (command,) = re.findall(r"^    \S*python measure_memory\.py (.*)$", text, re.MULTILINE)
    for option in re.findall(r"--[a-z-]+", command):
        assert option in done.stdout


def test_the_memory_of_a_tile_is_measured_with_an_archive(folder, tmp_path):
    """The archive is this package alone: the interpreter brings the runtime."""
    package = Path(udfs.__file__).parents[1]
    file = tmp_path / "archive.zip"
    with zipfile.ZipFile(file, "w") as archived:
        for suffix in ("*.py", "*.json", "*.onnx", "*.safetensors"):
            for source in package.rglob(suffix):
                archived.write(source, f"openeo_udf_fusion/{source.relative_to(package)}")
    command = [sys.executable, folder / "measure_memory.py", file, "--pixels", "2", "--threads", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["tile_mb"] == round(365 * 19 * 4 * 4 / 1e6, 1)
    assert 0 < found["peak_resident_mib"] < found["peak_virtual_mib"]
    starved = subprocess.run([*command, "--limit", "150"], capture_output=True, text=True)
    assert starved.returncode != 0


def help_of(command: str, action: str) -> str:
    module = sys.modules[f"openeo_udf_fusion.cli.{command}"]
    return inspect.getsource(module)
