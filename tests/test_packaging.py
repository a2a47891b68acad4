"""What surrounds the code: locks, Makefile, systemd unit, container, wheel."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXPOSURE_MAX = 1.5


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # `make test` hands its own flags down: a make under test must not inherit them.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


# --- locks ----------------------------------------------------------------------------------------


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(path: str) -> set[str]:
    """Names in a requirements*.in."""
    lines = (ROOT / path).read_text().splitlines()
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines)
    return {normalized(match[0]) for match in found if match}


def locked(path: str) -> dict[str, tuple[str, list[str]]]:
    """Name -> version and hashes, of a lock; fails on a line of any other form."""
    text = (ROOT / path).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)((?: +--hash=sha256:[0-9a-f]{64})+) *", line)
        assert match, f"{path}: {line[:100]}"
        found[normalized(match[1])] = (match[2], re.findall(r"[0-9a-f]{64}", match[3]))
    return found


@pytest.mark.parametrize(
    ("inputs", "lock"),
    [
        (["requirements.in"], "requirements.lock"),
        (["requirements.in", "requirements-dev.in"], "requirements-dev.lock"),
    ],
)
def test_lock_pins_all_that_is_wanted(inputs: list[str], lock: str) -> None:
    pins = locked(lock)
    for path in inputs:
        assert wanted(path) <= pins.keys()
    assert all(hashes for _, hashes in pins.values())


def test_locks_agree_so_that_tests_run_what_users_run() -> None:
    users, tests = locked("requirements.lock"), locked("requirements-dev.lock")
    assert users == {name: tests[name] for name in users}


def test_tools_stay_out_of_what_users_install() -> None:
    assert not wanted("requirements-dev.in") & locked("requirements.lock").keys()


def test_project_file_takes_its_dependencies_from_the_locked_list() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["dependencies"]
    assert "dependencies" not in project["project"]
    source = project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"]
    assert source == ["requirements.in"]


# --- Makefile -------------------------------------------------------------------------------------

TARGETS = {"demo", "test", "check", "bench", "crash", "simulate", "soak", "lock", "clean", "help"}


def test_help_lists_every_target() -> None:
    answer = run("make", "help")
    assert {line.split()[0] for line in answer.stdout.splitlines()} >= TARGETS


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["demo", "DEMO_ARGS=--exit --speed 60"], "-m riskbot demo --exit --speed 60"),
        (["test", "TEST_ARGS=-k ladder"], "-k ladder"),
    ],
)
def test_arguments_are_passed_on(arguments: list[str], expected: str) -> None:
    answer = run("make", "--dry-run", *arguments)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.rstrip().endswith(expected)


def test_demo_installs_no_tools(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path)
    answer = run("make", "--dry-run", "demo", cwd=tmp_path)
    assert "requirements.lock" in answer.stdout
    assert "requirements-dev.lock" not in answer.stdout


def interpreter(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    ("script", "says"),
    [
        # As on a Debian without python3-venv: everything works but ensurepip.
        ('case "$*" in *ensurepip*) exit 1;; esac', "apt install python3-venv"),
        ('case "$*" in *version_info*) exit 1;; esac', "needs Python 3.11 or newer"),
        # Making the environment breaks in the middle: the next try must not take it for whole.
        ('case "$*" in *"-m venv"*) mkdir -p .venv/bin; touch .venv/bin/python; exit 1;; esac', ""),
    ],
)
def test_setup_on_a_bare_machine_says_what_is_missing(
    script: str, says: str, tmp_path: Path
) -> None:
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    python = interpreter(tmp_path / "python3", script)
    answer = run("make", "demo", f"PYTHON={python}", cwd=tmp_path)
    assert answer.returncode != 0
    assert says in answer.stderr
    assert not (tmp_path / ".venv").exists()


# --- systemd --------------------------------------------------------------------------------------

UNIT = ROOT / "systemd" / "riskbot.service"
SYSTEMD = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(SYSTEMD is None, reason="no systemd-analyze: package systemd")


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Section -> key -> values in order; a unit may repeat a key."""
    sections: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), {})
        elif line.strip() and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            current.setdefault(key, []).append(value)
    return sections


@needs_systemd
@pytest.mark.parametrize("name", ["riskbot.service", "riskbot-onfailure@.service"])
def test_unit_is_hardened(name: str) -> None:
    answer = run("systemd-analyze", "security", "--offline=true", "--no-pager", f"systemd/{name}")
    match = re.search(r"exposure level for \S+: ([0-9.]+)", answer.stdout)
    assert match, answer.stderr
    assert float(match[1]) <= EXPOSURE_MAX


@needs_systemd
def test_unit_has_no_key_that_systemd_does_not_know(tmp_path: Path) -> None:
    text = UNIT.read_text()
    program = interpreter(tmp_path / "riskbot", "exit 0")
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={program}", text, flags=re.MULTILINE)
    text = re.sub(r"^OnFailure=.*$", "", text, flags=re.MULTILINE)
    copy = tmp_path / "riskbot.service"
    copy.write_text(text)
    answer = run("systemd-analyze", "verify", "--man=no", copy)
    # Other units of the machine may have faults of their own.
    assert "riskbot.service" not in answer.stderr + answer.stdout


def test_unit_keeps_the_contract() -> None:
    service = unit(UNIT)["Service"]
    expected = {
        "Type": "notify",
        "NotifyAccess": "main",
        "WatchdogSec": "30",
        "Restart": "always",
        "RestartSec": "2",
        "RestartPreventExitStatus": "78",
        "TimeoutStopSec": "45",
        "StateDirectory": "riskbot",
        "StateDirectoryMode": "0700",
        "ConfigurationDirectory": "riskbot",
        "UMask": "0077",
        "LimitCORE": "0",
    }
    assert {key: service[key][-1] for key in expected} == expected
    assert unit(UNIT)["Unit"]["StartLimitIntervalSec"] == ["0"]


def test_unit_leaves_room_for_the_second_process() -> None:
    service = unit(UNIT)["Service"]
    assert int(service["TasksMax"][-1]) >= 64  # two processes, each with resolver and storage
    assert int(service["MemoryHigh"][-1].removesuffix("M")) >= 350  # performance goal, all of it
    assert service["KillMode"] == ["mixed"]  # the guard stops its child, in its own order


# --- container ------------------------------------------------------------------------------------


def dockerfile() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word, rest.strip()) for word, _, rest in (li.partition(" ") for li in text.split("\n"))
    ]


def test_container_is_multi_stage_hashed_and_without_root() -> None:
    steps = dockerfile()
    last = max(n for n, (word, _) in enumerate(steps) if word == "FROM")
    assert last > 0
    assert any("--require-hashes" in rest for word, rest in steps[:last] if word == "RUN")
    assert not any("pip install" in rest for _, rest in steps[last:])
    user = [rest for word, rest in steps[last:] if word == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[-1])
    assert ("STOPSIGNAL", "SIGTERM") in steps
    assert ("VOLUME", '["/var/lib/riskbot"]') in steps


def test_container_carries_only_what_runs() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    copied = {rest.split()[0] for word, rest in dockerfile() if word == "COPY" and "--" not in rest}
    assert copied == {line[1:] for line in ignored if line.startswith("!")}


def entry_points() -> list[list[str]]:
    """Arguments with which unit and container call riskbot."""
    steps = dict(dockerfile())
    health = json.loads(steps["HEALTHCHECK"].partition("CMD ")[2])
    return [
        unit(UNIT)["Service"]["ExecStart"][0].split()[1:],
        json.loads(steps["CMD"]),
        health[3:],
    ]


@pytest.mark.parametrize("arguments", entry_points(), ids=" ".join)
def test_arguments_of_unit_and_container_are_understood(
    arguments: list[str], tmp_path: Path
) -> None:
    elsewhere = [a.replace("/etc/riskbot", str(tmp_path)) for a in arguments]
    answer = run(sys.executable, "-m", "riskbot", *elsewhere)
    # There is no configuration, and the answer says so; 2 would be a usage error.
    assert answer.returncode == 78, answer.stderr
    assert str(tmp_path / "riskbot.yaml") in answer.stderr


# --- wheel ----------------------------------------------------------------------------------------


def test_wheel_carries_the_whole_package(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "requirements.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "riskbot", tree / "riskbot", ignore=skip)
    answer = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, tree)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        (scripts,) = (name for name in inside if name.endswith("entry_points.txt"))
        assert "riskbot = riskbot.__main__:main" in archive.read(scripts).decode()
    files = {p.relative_to(tree).as_posix() for p in (tree / "riskbot").rglob("*") if p.is_file()}
    assert files <= inside
