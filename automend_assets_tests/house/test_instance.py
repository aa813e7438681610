"""The Dagster instance that `dagster.yaml` describes, and the same on Postgres."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]

LOAD = """
import logging, warnings
logging.basicConfig(level=logging.WARNING)
warnings.simplefilter("error")
from dagster import DagsterInstance
with DagsterInstance.get() as instance:
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled and instance.run_retries_max_retries > 0
    instance.add_dynamic_partitions("versions", ["v0001"])
    assert instance.get_dynamic_partitions("versions") == ["v0001"]
    print(type(instance.run_storage).__name__)
"""


def _load(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**os.environ, "DAGSTER_HOME": str(home), **environment},
        capture_output=True,
        text=True,
    )


def test_the_instance_loads_on_sqlite_without_a_warning(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    loaded = _load(tmp_path)
    assert (loaded.returncode, loaded.stdout.strip(), loaded.stderr) == (0, "SqliteRunStorage", "")


def test_a_setting_that_dagster_does_not_know_fails(tmp_path: Path) -> None:
    text = (PROJECT / "dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text.replace("max_retries", "max_tries"))
    assert "max_tries" in _load(tmp_path).stderr


def test_the_instance_loads_on_postgres(tmp_path: Path, postgres_url: str) -> None:
    shutil.copy(PROJECT / "deploy" / "dagster.yaml", tmp_path)
    url = postgres_url.replace("postgresql://", "postgresql+psycopg2://", 1)
    loaded = _load(tmp_path, DAGSTER_POSTGRES_URL=url)
    assert (loaded.returncode, loaded.stdout.strip()) == (0, "PostgresRunStorage"), loaded.stderr


def test_the_two_differ_in_storage_and_size_only() -> None:
    ours, theirs = (
        yaml.safe_load((PROJECT / name).read_text()) for name in ("dagster.yaml", "deploy/dagster.yaml")
    )
    different = {"storage", "concurrency"}
    assert {name: ours[name] for name in ours.keys() - different} == {
        name: theirs[name] for name in theirs.keys() - different
    }
