"""Who may import whom: the package keeps the rules of `[tool.importlinter]`, and each rule can be broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE_ROOMS = ("chat", "contracts", "dedup", "privacy")

# For each contract a module that breaks it: its path in the package, and what it imports.
VIOLATIONS = {
    "Rooms import only rooms below them": ("storage/v.py", "automend_assets.automation"),
    "Nothing but the command line imports the definitions": (
        "automation/v1.py",
        "automend_assets.definitions",
    ),
    "The pure rooms know no Dagster, settings or outside world, the check factory aside": (
        "chat/v.py",
        "dagster",
    ),
    "The pure rooms do not reach Dagster through the check factory": (
        "contracts/v.py",
        "automend_assets.contracts.checks",
    ),
    "Datasets never import each other": ("datasets/other/v1.py", "automend_assets.datasets.glaive.contract"),
    "Within a dataset only assets and source know Dagster or a connector": (
        "datasets/glaive/v1.py",
        "automend_assets.connectors.hub",
    ),
    "Within a dataset only assets build on assets and source": (
        "datasets/glaive/v2.py",
        "automend_assets.datasets.glaive.source",
    ),
    "Automation knows datasets by their contracts and keys": (
        "automation/v2.py",
        "automend_assets.datasets.glaive.parse",
    ),
}


def _lint_imports(root: Path) -> dict[str, str]:
    """Run import-linter on the package under `root`; return 'KEPT' or 'BROKEN' by contract."""
    script = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [script, "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "400"},
        capture_output=True,
        text=True,
    )
    verdicts = {
        contract["name"]: line.removeprefix(contract["name"]).split()[0]
        for contract in CONTRACTS
        for line in run.stdout.splitlines()
        if line.startswith(contract["name"] + " ")
    }
    assert set(verdicts) == {contract["name"] for contract in CONTRACTS}, run.stdout + run.stderr
    assert (run.returncode == 0) == (set(verdicts.values()) == {"KEPT"})
    return verdicts


@pytest.fixture
def package_copy(tmp_path: Path) -> Path:
    shutil.copytree(
        PROJECT / "automend_assets",
        tmp_path / "automend_assets",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_package_keeps_the_rules(package_copy: Path) -> None:
    assert set(_lint_imports(package_copy).values()) == {"KEPT"}


def test_every_rule_can_be_broken(package_copy: Path) -> None:
    assert set(VIOLATIONS) == {contract["name"] for contract in CONTRACTS}
    other = package_copy / "automend_assets" / "datasets" / "other"
    other.mkdir()
    (other / "__init__.py").touch()
    for path, imported in VIOLATIONS.values():
        (package_copy / "automend_assets" / path).write_text(f"import {imported}\n")
    assert set(_lint_imports(package_copy).values()) == {"BROKEN"}


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_a_pure_room_that_exists_is_held_to_be_pure(room: str) -> None:
    listed = {
        module.removesuffix(".*").removeprefix("automend_assets.")
        for contract in CONTRACTS
        if contract["name"].startswith("The pure rooms know")
        for module in contract["source_modules"]
    }
    assert (room in listed) == (PROJECT / "automend_assets" / room).is_dir()
