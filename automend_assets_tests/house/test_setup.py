"""The scripts, on a copy of the project that never gets as far as a download, and what they go by."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
LOCK = (PROJECT / "requirements.lock").read_text()
LOCKED = set(re.findall(r"^([a-z0-9-]+)==", LOCK, flags=re.MULTILINE))
SETUP = (PROJECT / "scripts" / "setup.sh").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the set-up reads, with a finished `.venv` that holds nothing else."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT / "scripts", folder / "scripts")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(PROJECT / name, folder)
    interpreter = folder / ".venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.touch(mode=0o755)
    (folder / ".venv" / ".made-from").write_text(f"{folder.resolve()}\n{SETUP}{LOCK}")
    shutil.copy(folder / "pyproject.toml", folder / ".venv" / ".installed-from")
    return folder


def _set_up(
    project: Path, *arguments: str, python: str = "/absent/python"
) -> subprocess.CompletedProcess[str]:
    """Run the set-up with an interpreter that is not there: it fails as soon as it has something to do."""
    return subprocess.run(
        [project / "scripts" / "setup.sh", *arguments],
        env={**os.environ, "PYTHON": python},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_nothing_happens_when_nothing_changed(project: Path) -> None:
    started = time.monotonic()
    done = _set_up(project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - started < 1


def _change_lock(project: Path) -> None:
    with (project / "requirements.lock").open("a") as lock:
        lock.write("another==1.0\n")


def _change_pyproject(project: Path) -> None:
    with (project / "pyproject.toml").open("a") as pyproject:
        pyproject.write("# another line\n")


def _interrupt(project: Path) -> None:
    (project / ".venv" / ".made-from").unlink()


def _remove_interpreter(project: Path) -> None:
    (project / ".venv" / "bin" / "python").unlink()


@pytest.mark.parametrize("change", [_change_lock, _change_pyproject, _interrupt, _remove_interpreter])
def test_what_changed_or_is_not_finished_is_made_again(project: Path, change: Callable[[Path], None]) -> None:
    change(project)
    done = _set_up(project)
    assert done.returncode == 1
    assert "needs Python 3.11 or 3.12, tried: /absent/python" in done.stderr
    assert "PYTHON=" in done.stderr


def test_an_environment_that_was_moved_is_made_again(project: Path) -> None:
    moved = project.rename(project.with_name("moved"))
    assert "needs Python" in _set_up(moved).stderr


def test_an_old_python_is_refused(project: Path, tmp_path: Path) -> None:
    _interrupt(project)
    old = tmp_path / "python3"
    old.write_text(
        "#!/bin/sh\nexit 1\n"
    )  # what `sys.exit(not (3, 11) <= sys.version_info)` does on Python 3.9
    old.chmod(0o755)
    assert f"tried: {old}" in _set_up(project, python=str(old)).stderr


def test_two_at_the_same_time_wait_for_each_other(project: Path) -> None:
    _change_pyproject(project)
    (project / "data").mkdir()
    with (project / "data" / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            [project / "scripts" / "setup.sh"], stderr=subprocess.PIPE, text=True
        ) as second:
            assert second.stderr is not None
            assert "waiting for another set-up" in second.stderr.readline()
            shutil.copy(
                project / "pyproject.toml", project / ".venv" / ".installed-from"
            )  # what the first makes
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert "set-up: done" in second.stderr.read()
    assert second.returncode == 0


def test_an_unknown_argument_is_refused(project: Path) -> None:
    done = _set_up(project, "--tests")
    assert done.returncode == 1
    assert "usage: scripts/setup.sh [--test]" in done.stderr


def test_the_ui_refuses_a_port_that_is_taken(project: Path) -> None:
    interpreter = project / ".venv" / "bin" / "python"
    interpreter.unlink()
    interpreter.symlink_to(sys.executable)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = subprocess.run(
            [project / "scripts" / "ui.sh"], env={**os.environ, "PORT": port}, capture_output=True, text=True
        )
    assert refused.returncode == 1
    assert f"cannot listen on port {port}" in refused.stderr
    assert "choose another: PORT=3001 make ui" in refused.stderr


def test_the_lock_covers_what_the_project_needs() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    # Left out of the lock on purpose: they bring spaCy and ONNX, and `docs/privacy.md` says how to get them.
    locked = ("postgres", "supabase", "serve", "mlflow", "dev")
    assert set(project["optional-dependencies"]) == {"presidio", "credsweeper", *locked}
    extras = [project["optional-dependencies"][name] for name in locked]
    stated = {
        re.split(r"[\[<>=!~; ]", requirement)[0].lower()
        for requirements in (project["dependencies"], *extras)
        for requirement in requirements
    }
    assert stated - {"torch", "automend-assets"} <= LOCKED


def test_the_lock_brings_no_cuda_and_names_no_address() -> None:
    assert "torch" not in LOCKED
    assert not {name for name in LOCKED if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert "://" not in LOCK


def test_the_lock_resolves_beside_the_torch_that_is_installed() -> None:
    (constraint,) = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["uv"][
        "constraint-dependencies"
    ]
    assert f"TORCH_VERSION={constraint.removeprefix('torch==')}\n" in SETUP


def test_ci_checks_what_contributors_check() -> None:
    """CI runs `make check` and the README's `make test`; pre-commit runs the commands of `make check`."""
    commands = re.findall(r"^check (.+)$", (PROJECT / "scripts" / "check.sh").read_text(), flags=re.MULTILINE)
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in hooks] == commands
    assert len(commands) >= 5
    ci = (PROJECT / ".ci" / "run").read_text().splitlines()
    assert [line for line in ci if line.startswith("make ")] == ["make check", "make test"]
    assert "make test" in (PROJECT / "README.md").read_text()


@pytest.mark.parametrize("script", sorted((PROJECT / "scripts").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_stop_at_the_first_failure(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert "\nset -euo pipefail\n" in script.read_text()
