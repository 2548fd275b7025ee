"""What every shipped UDF text must be, so that any backend takes it."""

import ast
import importlib.util
import re
import sys
import tomllib
from types import SimpleNamespace

import pytest
from openeo.udf.run_code import extract_udf_dependencies

import openeo_udf_fusion
from openeo_udf_fusion import udfs
from openeo_udf_fusion.errors import InvalidParameter

REQUIREMENT = f"openeo-udf-fusion=={openeo_udf_fusion.__version__}"
BLOCK = f'# /// script\n# dependencies = ["{REQUIREMENT}"]\n# ///\n'
EVERY = pytest.mark.parametrize("name", udfs.names())


def functions(name):
    tree = ast.parse(udfs.source(name))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_there_is_a_udf_of_each_process():
    assert "harmonize_modis_viirs" in udfs.names()
    for name in udfs.names():
        assert importlib.util.find_spec(f"openeo_udf_fusion.processes.{name}")


@EVERY
def test_the_text_is_short_plain_unix_text(name):
    text = udfs.source(name)
    assert "\r" not in text
    assert text.endswith("\n")
    assert text.isascii()
    assert len(text.splitlines()) <= 40


@EVERY
def test_the_script_block_is_exact_and_the_only_one(name):
    text = udfs.source(name)
    assert text.startswith(BLOCK)
    assert text.count("# ///") == 2
    assert extract_udf_dependencies(text) == [REQUIREMENT]


@EVERY
def test_the_block_asks_for_no_runtime(name):
    block = udfs.source(name).split("# ///")[1]
    assert not re.search(r"torch|onnx|numpy", block)


@EVERY
def test_annotations_exist_at_run_time(name):
    text = udfs.source(name)
    assert "__future__" not in text
    applied = functions(name)["apply_datacube"]
    assert [ast.unparse(argument.annotation) for argument in applied.args.args] == [
        "xarray.DataArray",
        "dict",
    ]
    assert [argument.arg for argument in applied.args.args] == ["cube", "context"]
    assert ast.unparse(applied.returns) == "xarray.DataArray"


@EVERY
def test_production_finds_apply_metadata_by_its_text(name):
    assert re.search(r"^def apply_metadata\(metadata: CubeMetadata, context: dict\)", udfs.source(name), re.M)


@EVERY
def test_no_other_function_could_be_taken_for_the_udf(name):
    assert list(functions(name)) == ["apply_metadata", "apply_datacube"]


@EVERY
def test_only_what_a_worker_has_is_imported(name):
    tree = ast.parse(udfs.source(name))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert all(node in tree.body for node in nodes)
    assert not any(getattr(node, "level", 0) for node in nodes)
    log = {"from openeo.udf import inspect", "from openeo_udf_fusion.models import weights"}
    assert {ast.unparse(node) for node in nodes} - log == {
        "import xarray",
        "from openeo.metadata import CubeMetadata",
        f"from openeo_udf_fusion.processes import {name} as process",
    }


@EVERY
def test_nothing_depends_on_where_the_text_lies(name):
    named = {node.id for node in ast.walk(ast.parse(udfs.source(name))) if isinstance(node, ast.Name)}
    assert not named & {"__file__", "__name__", "__package__", "open", "globals"}


# --- other requirements


@EVERY
@pytest.mark.parametrize(
    "requirement",
    [
        "openeo-udf-fusion>=9",
        "openeo-udf-fusion @ https://example.org/openeo_udf_fusion-0.1.0-py3-none-any.whl",
        'openeo-udf-fusion==0.1.0; python_version < "3.14"',
        r"openeo-udf-fusion @ file:///C:\wheels",
    ],
)
def test_another_requirement_changes_nothing_but_the_block(name, requirement):
    text = udfs.with_requirement(name, requirement)
    start, content, *_ = text.split("# ///")
    assert start == ""
    lines = content.removeprefix(" script\n").splitlines()
    assert tomllib.loads("\n".join(line.removeprefix("# ") for line in lines)) == {
        "dependencies": [requirement]
    }
    assert extract_udf_dependencies(text) == [requirement]
    assert text.partition("# ///\n")[2] == udfs.source(name).removeprefix(BLOCK)


@EVERY
def test_an_image_that_brings_the_package_needs_no_block(name):
    assert udfs.with_requirement(name, None) == udfs.source(name).removeprefix(BLOCK)
    assert udfs.with_requirement(name, REQUIREMENT) == udfs.source(name)


@EVERY
def test_a_shipped_text_is_known_whatever_it_requires(name):
    for requirement in (REQUIREMENT, "openeo-udf-fusion>=9", None):
        assert udfs.is_shipped(udfs.with_requirement(name, requirement))
    for folder in (udfs.ARCHIVE_FOLDER, "elsewhere_2"):
        assert udfs.is_shipped(udfs.with_archive(name, folder))


@EVERY
def test_an_archive_is_found_only_where_the_package_is_not_installed(name, monkeypatch):
    text = udfs.with_archive(name, "unpacked")
    assert extract_udf_dependencies(text) is None
    assert text.endswith(udfs.with_requirement(name, None))
    before = text.removesuffix(udfs.with_requirement(name, None))
    monkeypatch.setattr(sys, "path", list(sys.path))
    exec(before, {})
    assert "unpacked" not in sys.path
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "pyspark", raising=False)
    exec(before, {})
    assert sys.path[0] == "unpacked"
    spark = SimpleNamespace(SparkFiles=SimpleNamespace(get="/spark/files/{}".format))
    monkeypatch.setitem(sys.modules, "pyspark", spark)
    exec(before, {})
    assert sys.path[:2] == ["unpacked", "/spark/files/unpacked"]


@pytest.mark.parametrize("folder", ["", "fusion-deps", "../deps", "a b", 'x")\nprint("', "dép"])
def test_the_folder_of_an_archive_is_a_plain_word(folder):
    with pytest.raises(InvalidParameter, match="plain word"):
        udfs.with_archive("fill_gaps", folder)


@EVERY
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\nimport os\n",
        lambda text: "import os\n" + text,
        lambda text: text.replace("**context", "**context, smooth=True"),
        lambda text: text.replace("# ///\n", "# ///\nimport os\n", 2),
        lambda text: text + text,
        lambda _text: "",
    ],
)
def test_a_changed_text_is_not_shipped(name, change):
    assert not udfs.is_shipped(change(udfs.source(name)))


@pytest.mark.parametrize("name", ["fuse_everything", "__init__", "../errors", "", "harmonize_modis_viirs.py"])
def test_an_unknown_name_is_an_error_that_lists_the_known(name):
    with pytest.raises(InvalidParameter, match="harmonize_modis_viirs"):
        udfs.source(name)
