"""What operators are given works: the unit, the container file, and the commands of the README.

No machine of the tests has a service manager to start the unit with, or base images to build from; so the
files are read as those programs would, and what they run is run.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import requests

from openeo_udf_fusion.cli import serve, user
from openeo_udf_fusion.local.server.health import LEAST_FREE_BYTES
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "backend_config" / "embedded"
UNIT, CONTAINER = FOLDER / "openeo-udf-fusion.service", FOLDER / "Containerfile"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def unit() -> dict[str, list[str]]:
    """The directives of the [Service] section, each with all its values."""
    text = UNIT.read_text(encoding="utf-8").replace("\\\n", " ")
    section = text.partition("[Service]\n")[2].partition("\n[")[0]
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def instructions() -> list[tuple[str, str]]:
    """The instructions of the container file, in order."""
    text = CONTAINER.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1].strip()) for line in lines]


def last(instruction: str) -> str:
    return [value for name, value in instructions() if name == instruction][-1]


def served(command: list[str]) -> argparse.Namespace:
    """The options of a `serve` command, as our command line reads them."""
    assert Path(command[0]).name == "openeo-udf-fusion"
    assert command[1] == "serve"
    parser = argparse.ArgumentParser(exit_on_error=False)
    serve.add_parser(parser.add_subparsers())
    return parser.parse_args(command[1:])


def test_the_unit_starts_a_command_that_we_have():
    (command,) = unit()["ExecStart"]
    args = served(shlex.split(command))
    assert args.host == "127.0.0.1"
    assert args.log_format == "json"
    assert str(args.state) == f"%S/{unit()['StateDirectory'][0]}"
    # The file itself, not a copy: else a removed user stays in until the next start.
    assert "LoadCredential" not in unit()
    assert f"user add {args.users} " in README
    (group,) = unit()["SupplementaryGroups"]
    assert f"groupadd --system {group}\nchgrp {group} {args.users}\nchmod 640 {args.users}\n" in README
    assert args.disk_quota > LEAST_FREE_BYTES


def test_the_unit_stops_the_server_no_sooner_than_it_can():
    from openeo_udf_fusion.local.server import serving, worker

    (grace_s,) = worker.Worker.stop.__defaults__
    assert int(unit()["TimeoutStopSec"][0]) > serving.GRACE_S + grace_s
    assert unit()["KillMode"] == ["mixed"]  # the server ends UDFs, not the service manager
    assert unit()["OOMPolicy"] == ["continue"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit(tmp_path):
    copy = tmp_path / UNIT.name
    # It must exist for the check.
    copy.write_text(UNIT.read_text().replace("/opt/openeo-udf-fusion/bin/openeo-udf-fusion", sys.executable))
    verified = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", copy]
    rated = subprocess.run(command, capture_output=True, text=True)
    assert rated.returncode == 0, rated.stdout[-200:]  # at most 2.0 of 10


def test_torch_and_udfs_can_run_in_the_unit():
    directives = unit()
    assert "MemoryDenyWriteExecute" not in directives
    assert "ProcSubset" not in directives
    assert "PrivateUsers" not in directives
    filters = " ".join(directives["SystemCallFilter"])
    assert "@system-service" in filters
    assert "@resources" not in filters  # the limits of UDFs are set by these calls


def test_the_container_starts_a_command_that_we_have():
    command = json.loads(last("ENTRYPOINT")) + json.loads(last("CMD"))
    args = served(command)
    assert (str(args.data), str(args.state), args.log_format) == ("/data", "/state", "json")
    assert last("EXPOSE") == str(args.port)
    assert last("VOLUME") == str(args.state)
    assert args.users is not None  # it listens on all addresses


def test_the_container_installs_what_the_package_has():
    runs = " && ".join(value for name, value in instructions() if name == "RUN")
    (requirement,) = re.findall(r"'\.\[([\w,]+)\]'", runs)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert set(requirement.split(",")) <= set(project["optional-dependencies"])
    assert "-c constraints.txt" in runs
    copied = " ".join(value for name, value in instructions() if name == "COPY" and "--from" not in value)
    ignored = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
    for name in {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "openeo_udf_fusion"}:
        assert (REPOSITORY / name).exists()
        assert name in copied
        assert f"!{name}" in ignored
    (version,) = re.findall(r"python:(\d+\.\d+)-slim", " ".join(v for k, v in instructions() if k == "ARG"))
    assert tuple(map(int, version.split("."))) >= (3, 11)
    assert project["requires-python"] == ">=3.11"


def test_the_container_runs_as_nobody_special():
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last("USER"))
    names = [name for name, _ in instructions()]
    assert names.index("USER") < names.index("ENTRYPOINT")


@pytest.fixture(scope="module")
def running_server(tmp_path_factory):
    """The container's command, on folders and a port of ours; yields its URL and the process."""
    home = tmp_path_factory.mktemp("container")
    (home / "data").mkdir()
    environment = {**os.environ, "OPENEO_UDF_FUSION_PASSWORD": "correct-horse-battery"}
    add = [sys.executable, "-m", "openeo_udf_fusion.cli.main", "user", "add", str(home / "users"), "ada"]
    subprocess.run(add, env=environment, check=True)
    command = json.loads(last("ENTRYPOINT")) + json.loads(last("CMD"))
    last_users = str(served(command).users)
    ours = {"/data": home / "data", "/state": home / "state", last_users: home / "users"}
    ours |= {"0.0.0.0": "127.0.0.1", "8080": "0"}
    arguments = [str(ours.get(word, word)) for word in command[1:]]
    start = [sys.executable, "-m", "openeo_udf_fusion.cli.main", *arguments]
    with subprocess.Popen(start, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stderr.readline()]
            while "openEO API at" not in lines[-1]:
                assert lines[-1], lines
                lines.append(process.stderr.readline())
            entry = json.loads(lines[-1])
            yield entry["message"].split()[-1], process
        finally:
            process.kill()


def test_the_health_check_of_the_container_asks_what_answers(running_server):
    url, _ = running_server
    check = json.loads(last("HEALTHCHECK").partition("CMD")[2])
    check[0] = sys.executable
    assert "127.0.0.1:8080" in check[-1]
    check[-1] = check[-1].replace("http://127.0.0.1:8080", url)
    assert requests.get(f"{url}/conformance", timeout=30).ok  # it may still be starting
    assert subprocess.run(check).returncode == 0
    check[-1] = check[-1].replace("/health/live", "/nowhere")
    assert subprocess.run(check, stderr=subprocess.DEVNULL).returncode != 0


def test_accounts_of_the_readme_can_log_in(running_server):
    url, _ = running_server
    login = requests.get(f"{url}/credentials/basic", auth=("ada", "correct-horse-battery"), timeout=30)
    assert login.ok
    assert requests.get(f"{url}/jobs", timeout=30).status_code == 401


def test_it_stops_as_the_unit_wants_it(running_server):
    _, process = running_server
    process.send_signal(signal.SIGTERM)
    log = process.stderr.read()
    assert process.wait(int(unit()["TimeoutStopSec"][0])) == 0
    assert all(json.loads(line)["level"] for line in log.splitlines())


def commands() -> list[str]:
    """Every command of this package that the README shows."""
    blocks = re.findall(r"```(?:sh|ini)?\n(.*?)```", README, flags=re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    return re.findall(r"openeo-udf-fusion ((?:serve|user) .*?)(?:\s*#.*)?$", text, flags=re.MULTILINE)


def test_every_command_of_the_readme_is_understood():
    found = commands()
    assert {command.split()[0] for command in found} == {"serve", "user"}
    parser = argparse.ArgumentParser(exit_on_error=False)
    subparsers = parser.add_subparsers()
    serve.add_parser(subparsers)
    user.add_parser(subparsers)
    for command in found:
        parser.parse_args(shlex.split(command))


def test_every_option_is_in_the_readme():
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    serve.add_parser(subparsers)
    (action,) = (a for a in subparsers.choices.values())
    hidden = {"--help", "--password"}
    options = {o for a in action._actions for o in a.option_strings if o.startswith("--")} - hidden
    assert [option for option in sorted(options) if option not in README] == []


def test_the_proxy_snippets_name_the_port_of_the_unit():
    port = served(shlex.split(unit()["ExecStart"][0])).port
    proxied = re.findall(r"(?:reverse_proxy|proxy_pass) (?:http://)?127\.0\.0\.1:(\d+)", README)
    assert proxied
    assert len(proxied) == 2
    assert {int(found) for found in proxied} == {port}


def test_the_folder_of_the_accounts_is_mounted_not_the_file():
    """A change makes a new file; a mounted file would stay the old one."""
    (users,) = {str(served(["openeo-udf-fusion", *command.split()]).users) for command in json_commands()}
    mounts = dict(re.findall(r"--volume (\S+?):(\S+?)(?::ro)?\s", README))
    assert str(Path(users).parent) in mounts.values()
    assert users not in mounts.values()


def json_commands() -> list[str]:
    """What the container is started with: by default, and by the README."""
    (shown,) = re.findall(r"^ +openeo-udf-fusion (--users .*?)\n```", README, flags=re.MULTILINE | re.DOTALL)
    entry = " ".join(json.loads(last("ENTRYPOINT"))[1:])
    return [f"{entry} {' '.join(json.loads(last('CMD')))}", f"{entry} {shown}".replace("\\\n", " ")]


def test_the_sandbox_shows_nothing_of_the_server():
    """Neither the unit's folders nor the container's, nor those of the README's commands."""
    (line,) = re.findall(r"'(bwrap .*)'", README)
    words = shlex.split(line)
    shown = [
        Path(words[i + 1]) for i, word in enumerate(words) if "bind" in word and words[i + 1] != "{folder}"
    ]
    assert shown
    name = unit()["StateDirectory"][0]
    hidden = [
        Path(f"/var/lib/private/{name}"),
        Path(f"/var/lib/{name}"),
        Path("/run"),
        Path("/home"),
        Path("/root"),
    ]
    unit_args = served(shlex.split(unit()["ExecStart"][0]))
    container_args = served(json.loads(last("ENTRYPOINT")) + json.loads(last("CMD")))
    for args in (unit_args, container_args):
        hidden += [path for path in (args.data, args.state, args.users) if path.is_absolute()]
    assert len(hidden) > 8
    for secret in hidden:
        for path in shown:
            assert not secret.is_relative_to(path), f"{path} shows {secret}"
            assert not path.is_relative_to(secret), f"{path} is in {secret}"
