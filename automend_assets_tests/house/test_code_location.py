"""The code location: Dagster loads it by every file that names it, and loading it imports nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]

HEAVY = {
    "boto3",
    "datasets",
    "dvc",
    "great_expectations",
    "huggingface_hub",
    "matplotlib",
    "numpy",
    "pandas",
    "pyarrow",
    "s3fs",
    "sentence_transformers",
    "sklearn",
    "slack_sdk",
    "sqlalchemy",
    "torch",
    "transformers",
}


def _validate(*arguments: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dagster", "definitions", "validate", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_dagster_loads_the_workspace() -> None:
    validated = _validate("-w", "workspace.yaml")
    assert validated.returncode == 0, validated.stderr
    assert "Validation successful for code location automend_assets" in validated.stdout


def test_a_workspace_that_names_no_module_is_refused(tmp_path: Path) -> None:
    text = (PROJECT / "workspace.yaml").read_text()
    (tmp_path / "workspace.yaml").write_text(
        text.replace("automend_assets.definitions", "automend_assets.absent")
    )
    validated = _validate("-w", "workspace.yaml", cwd=tmp_path)
    assert validated.returncode == 1
    assert "automend_assets.absent" in validated.stdout


def test_dagster_cloud_names_a_code_location_that_loads() -> None:
    """Dagster ships no schema of this file to test against: these are the keys of its reference."""
    (location,) = yaml.safe_load((PROJECT / "dagster_cloud.yaml").read_text())["locations"]
    assert set(location) == {"location_name", "code_source", "working_directory", "build"}
    assert (PROJECT / location["build"]["directory"] / "pyproject.toml").exists()
    folder = str(PROJECT / location["working_directory"])
    validated = _validate("-m", location["code_source"]["module_name"], "-d", folder)
    assert validated.returncode == 0, validated.stderr


def test_pyproject_workspace_and_cloud_agree() -> None:
    tool = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["dagster"]
    (entry,) = yaml.safe_load((PROJECT / "workspace.yaml").read_text())["load_from"]
    (location,) = yaml.safe_load((PROJECT / "dagster_cloud.yaml").read_text())["locations"]
    named = [
        (tool["module_name"], tool["code_location_name"]),
        (entry["python_module"]["module_name"], entry["python_module"]["location_name"]),
        (location["code_source"]["module_name"], location["location_name"]),
    ]
    assert set(named) == {("automend_assets.definitions", "automend_assets")}


def test_loading_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import automend_assets.definitions, sys; print(*sys.modules)"
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    loaded = set(run.stdout.split())
    assert "dagster" in loaded
    assert loaded & HEAVY == set()
