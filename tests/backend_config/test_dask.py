"""The files for dask clusters, checked against what the code takes: no cluster is needed."""

import argparse
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from importlib import import_module

import dask.config
import distributed  # noqa: F401 - brings its part of dask's configuration
import pytest
import yaml
from dask.config import interpret_value
from distributed.cli.dask_scheduler import main as dask_scheduler
from distributed.cli.dask_worker import main as dask_worker
from packaging.requirements import Requirement

import openeo_udf_fusion
from openeo_udf_fusion.cli.main import _commands
from openeo_udf_fusion.local.cluster import GPU, SCHEDULER_PORT, parse_resources

IMAGES = {"openeo-udf-fusion-dask": "Containerfile", "openeo-udf-fusion-dask-cuda": "Containerfile.cuda"}


@pytest.fixture(scope="module")
def files(repository):
    return repository / "backend_config" / "dask"


@pytest.fixture(scope="module")
def documents(files):
    found = [
        document
        for name in ("cluster.yaml", "server.yaml")
        for document in yaml.safe_load_all((files / name).read_text())
    ]
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


@pytest.fixture(scope="module")
def pods(documents):
    cluster = documents["DaskCluster", "fusion"]["spec"]
    return {
        "scheduler": cluster["scheduler"]["spec"],
        "worker": cluster["worker"]["spec"],
        "gpu": documents["DaskWorkerGroup", "fusion-gpu"]["spec"]["worker"]["spec"],
        "server": documents["Deployment", "fusion-server"]["spec"]["template"]["spec"],
    }


def container(pod):
    (only,) = pod["containers"]
    return only


def parsed(command, arguments):
    """What dask makes of a command line; it raises for options that it does not know."""
    assert arguments[0] == "dask"
    return command.make_context(arguments[1], list(arguments[2:])).params


def mounts(pod):
    return {mount["mountPath"]: mount for mount in container(pod)["volumeMounts"]}


def claims(pod):
    """The claim behind each path."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    return {
        path: volumes[mount["name"]]["persistentVolumeClaim"]["claimName"]
        for path, mount in mounts(pod).items()
        if "persistentVolumeClaim" in volumes[mount["name"]]
    }


def test_only_the_gpu_worker_offers_what_models_ask_for(pods):
    gpu, plain = (parsed(dask_worker, container(pods[name])["args"]) for name in ("gpu", "worker"))
    assert parse_resources(gpu["resources"]) == {GPU: 1}
    assert not plain["resources"]
    assert gpu["nthreads"] == plain["nthreads"] == 1


def test_the_gpu_worker_gets_a_card_on_a_node_that_has_one(pods):
    pod = pods["gpu"]
    assert container(pod)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu.present" in pod["nodeSelector"]
    assert [taint["key"] for taint in pod["tolerations"]] == ["nvidia.com/gpu"]
    assert container(pod)["image"].startswith("openeo-udf-fusion-dask-cuda:")


def test_the_server_connects_to_the_scheduler_of_the_cluster(pods):
    parser = argparse.ArgumentParser()
    _commands()["serve"].add_parser(parser.add_subparsers())
    program, *arguments = container(pods["server"])["args"]
    assert program == "openeo-udf-fusion"
    args = parser.parse_args(arguments)
    # The operator names the service <cluster>-scheduler.
    assert args.scheduler == f"tls://fusion-scheduler:{SCHEDULER_PORT}"
    assert parse_resources(args.resources) is None
    assert claims(pods["server"])[str(args.data)] == "fusion-data"
    assert claims(pods["server"])[str(args.state)] == "fusion-state"
    assert any(str(args.users).startswith(f"{path}/") for path in mounts(pods["server"]))
    (port,) = container(pods["server"])["ports"]
    assert port["containerPort"] == args.port


def test_the_scheduler_listens_where_its_service_sends(pods, documents):
    options = parsed(dask_scheduler, container(pods["scheduler"])["args"])
    ports = {port["name"]: port["containerPort"] for port in container(pods["scheduler"])["ports"]}
    service = documents["DaskCluster", "fusion"]["spec"]["scheduler"]["service"]["ports"]
    assert int(options["port"]) == ports["tcp-comm"] == SCHEDULER_PORT
    assert {port["targetPort"]: port["port"] for port in service} == ports


def test_server_and_workers_see_the_same_files_under_the_same_paths(pods):
    assert claims(pods["server"]) == claims(pods["worker"]) == claims(pods["gpu"])
    assert set(mounts(pods["scheduler"])) == {"/run/secrets/dask"}  # no pixel goes through it
    for name in ("server", "worker", "gpu"):
        assert mounts(pods[name])["/data"]["readOnly"]
        assert not mounts(pods[name])["/state"].get("readOnly")


def test_the_state_can_be_written_by_many_and_by_one_user(pods, documents, files):
    assert documents["PersistentVolumeClaim", "fusion-state"]["spec"]["accessModes"] == ["ReadWriteMany"]
    (user,) = {pod["securityContext"]["runAsUser"] for pod in pods.values()}
    for name in IMAGES.values():
        assert f"USER {user}:" in (files / name).read_text()


def test_one_server_at_a_time_uses_the_state(documents):
    spec = documents["Deployment", "fusion-server"]["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")


def test_the_scheduler_is_closed_to_others(documents):
    policy = documents["NetworkPolicy", "fusion-scheduler"]["spec"]
    rule, operators = policy["ingress"]
    assert policy["podSelector"]["matchLabels"] == {"dask.org/cluster-name": "fusion"}
    allowed = [peer["podSelector"]["matchLabels"] for peer in rule["from"]]
    assert allowed == [{"app": "fusion-server"}, {"dask.org/cluster-name": "fusion"}]
    (operator,) = operators["from"]
    assert operator["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "dask-operator"}


def test_all_speak_tls_with_keys_of_the_secret(pods):
    for name, role in {
        "scheduler": "SCHEDULER",
        "worker": "WORKER",
        "gpu": "WORKER",
        "server": "CLIENT",
    }.items():
        env = {item["name"]: item["value"] for item in container(pods[name])["env"]}
        own = {key.rpartition("TLS__")[2]: value for key, value in env.items() if "__TLS__" in key}
        assert set(own) == {"CA_FILE", f"{role}__CERT", f"{role}__KEY"}
        assert all(value.startswith("/run/secrets/dask/") for value in own.values())
        assert interpret_value(env["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"]) is True
        (secret,) = [volume["secret"] for volume in pods[name]["volumes"] if volume["name"] == "tls"]
        assert secret["secretName"] == "fusion-tls"
        assert mounts(pods[name])["/run/secrets/dask"]["readOnly"]
        assert pods[name]["automountServiceAccountToken"] is False
    for name in ("worker", "gpu"):
        options = parsed(dask_worker, container(pods[name])["args"])
        assert options["scheduler"] == f"tls://fusion-scheduler:{SCHEDULER_PORT}"
        for preload in (options["preload"], options["preload_nanny"]):
            assert [callable(import_module(module).dask_setup) for module in preload] == [True]
    assert parsed(dask_scheduler, container(pods["scheduler"])["args"])["protocol"] == "tls"


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_the_wrapper_takes_network_keys_and_state_from_udfs(pods, tmp_path):
    arguments = container(pods["server"])["args"]
    wrapper = shlex.split(arguments[arguments.index("--udf-wrapper") + 1].replace("{folder}", str(tmp_path)))
    for hidden in ("/data", "/state", "/run/secrets"):
        assert wrapper[wrapper.index(hidden) - 1] == "--tmpfs"
        if not os.path.isdir(hidden):  # the image has them
            place = wrapper.index(hidden)
            del wrapper[place - 1 : place + 1]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = (
            "import os, pathlib, socket\n"
            "pathlib.Path('written').touch()\n"
            f"assert not os.path.exists('/proc/{os.getpid()}/environ') or os.getpid() < 10\n"
            f"print(socket.socket().connect_ex(('127.0.0.1', {port})))"
        )
        plain = subprocess.run(
            [sys.executable, "-c", code.splitlines()[-1].join(["import socket\n", ""])],
            capture_output=True,
            text=True,
            check=True,
        )
        # The environment of the tests may lie in a folder that the wrapper hides, such as /tmp.
        interpreter = os.path.realpath(sys.executable)
        done = subprocess.run(
            [*wrapper, interpreter, "-c", code], capture_output=True, text=True, check=False
        )
    if "ermission" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("no user namespaces here")
    assert done.returncode == 0, done.stderr
    assert plain.stdout.strip() == "0"
    assert done.stdout.strip() != "0"
    assert (tmp_path / "written").exists()


def test_settings_of_dask_are_ones_that_dask_has(pods):
    given = [item["name"] for pod in pods.values() for item in container(pod).get("env", [])]
    settings = [name for name in given if name.startswith("DASK_")]
    assert settings
    for name in settings:
        key = name.removeprefix("DASK_").lower().replace("__", ".").replace("_", "-")
        assert dask.config.get(key, "no such setting") != "no such setting", key


def test_a_worker_uses_the_cores_that_it_asks_for(pods):
    for name in ("worker", "gpu"):
        threads = {item["name"]: item["value"] for item in container(pods[name])["env"]}["OMP_NUM_THREADS"]
        assert threads == container(pods[name])["resources"]["limits"]["cpu"]


def test_images_are_of_this_version_and_have_a_containerfile(pods, files):
    for pod in pods.values():
        name, _, tag = container(pod)["image"].partition(":")
        assert tag == openeo_udf_fusion.__version__
        assert f"-t {name}:{tag} ." in (files / IMAGES[name]).read_text()


@pytest.mark.parametrize("name", IMAGES.values())
def test_images_install_extras_that_there_are_and_copy_what_they_need(files, repository, name):
    text = (files / name).read_text().replace("\\\n", " ")
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    (install,) = re.findall(r"pip install .*", text)
    extras = re.search(r"'\.\[([\w,]+)\]'", install)[1].split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    assert "-c constraints.txt" in install
    needs = {Requirement(line).name for extra in extras for line in project["optional-dependencies"][extra]}
    assert {"dask", "cryptography", "zarr", "uvicorn"} <= needs
    assert any("torch" in line for extra in extras for line in project["optional-dependencies"][extra])
    copied = re.search(r"^COPY (pyproject.*) \./$", text, re.MULTILINE)[1].split()
    ignored = (files / f"{name}.dockerignore").read_text().splitlines()
    for path in [*copied, "openeo_udf_fusion"]:
        assert (repository / path).exists()
        assert f"!{path}" in ignored
    assert project["readme"] in copied
    assert set(project["license-files"]) <= set(copied)


def test_the_readme_names_every_file(files):
    text = (files / "README.md").read_text()
    named = [path.name for path in files.iterdir() if path.suffix not in (".dockerignore", ".md")]
    assert named
    assert [name for name in named if f"`{name}`" not in text and f"/{name}" not in text] == []
