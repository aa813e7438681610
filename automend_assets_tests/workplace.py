"""A place of its own for a whole project: store, ledger and Dagster's home in a folder, and commands run in it.

What belongs here: running `automend` (in this process or another) and `dagster` against that place, and looking
at what came out. What does not: assertions about it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import DagsterInstance
from typer.testing import CliRunner

from automend_assets.cli import app
from automend_assets.storage.store import Store
from automend_assets.versions.ledger import Ledger

PROJECT = Path(__file__).resolve().parents[1]
REALDATA = PROJECT.parent / "shared" / "realdata"
BIN = Path(sys.executable).parent

ASSETS = (
    "raw_sample",
    "processed_records",
    "quarantine",
    "chatml",
    "tool_messages",
    "bias_report",
    "balanced_chatml",
    "run_summary",
    "release",
)
FILES = (
    "raw_sample.parquet",
    "processed_records.parquet",
    "quarantine.parquet",
    "chatml.jsonl",
    "tool_messages.jsonl",
    "balanced_chatml.jsonl",
    "bias_report.json",
    "run_summary.json",
    "release.json",
    "README.md",
    "manifest.json",
)

# Every variable that the project reads is set, to nothing where a test does not say otherwise, so that neither
# the shell's settings nor those of a `.env` come in; and nothing can reach the real Hub.
NEUTRAL = {
    "AUTOMEND_EXECUTOR": "",
    "AUTOMEND_WORKERS": "1",
    "AUTOMEND_DVC_REMOTE": "",
    "HF_ENDPOINT": "http://127.0.0.1:1",
    "HF_TOKEN": "",
    "SLACK_BOT_TOKEN": "",
    "SLACK_CHANNEL": "",
    "SLACK_WEBHOOK_URL": "",
    "SUPABASE_DB_URL": "",
    "SUPABASE_URL": "",
    "SUPABASE_SERVICE_KEY": "",
    "SUPABASE_ANON_KEY": "",
    "AUTOMEND_SETTLE_SECONDS": "",
    "AUTOMEND_CUT_MIN_ROWS": "",
    "AUTOMEND_CUT_MAX_AGE_HOURS": "",
    "AUTOMEND_CUT_MAX_ROWS": "",
    "AUTOMEND_CUT_INTERVAL_SECONDS": "",
    "AUTOMEND_HUB_MODEL_REPO": "",
    "MLFLOW_TRACKING_URI": "",
    "AUTOMEND_API_KEY": "",
    "AUTOMEND_INTERACTIONS_RATE": "",
    "AUTOMEND_MODEL_POLL_SECONDS": "",
    "COLUMNS": "400",
    "NO_COLOR": "1",
}


@dataclass(frozen=True)
class Told:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


class Workplace:
    """`settings` are environment variables beside or in place of the usual ones.

    `dataset` is the one that commands and files are about where nothing else is said.
    """

    def __init__(self, folder: Path, dataset: str = "glaive", **settings: str) -> None:
        self.folder = folder
        self.dataset = dataset
        self.home = folder / "dagster_home"
        self.environment = {
            **NEUTRAL,
            "AUTOMEND_STORE": str(folder / "store"),
            "AUTOMEND_LEDGER": f"sqlite:///{folder / 'ledger.sqlite'}",
            "AUTOMEND_PINS": str(folder / "pins"),
            "AUTOMEND_INTERACTIONS": str(folder / "interactions.sqlite"),
            "DAGSTER_HOME": str(self.home),
            "HF_HOME": str(folder / "hf_home"),
            **settings,
        }

    @property
    def store(self) -> Store:
        return Store(self.environment["AUTOMEND_STORE"])

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.environment["AUTOMEND_LEDGER"])

    def automend(self, *arguments: str) -> Told:
        """Run `automend` in this process. A defect, which the command line does not turn into a message, is raised."""
        done = CliRunner().invoke(app, list(arguments), env=self.environment, prog_name="automend")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Told(done.exit_code, done.stdout, done.stderr)

    def process(self, *command: str, cwd: Path | None = None, timeout: float = 240) -> Told:
        """Run a command of the virtual environment (`automend`, `dagster`) in a process of its own."""
        with self.start(*command, cwd=cwd) as process:
            out, err = process.communicate(timeout=timeout)
        return Told(process.returncode, out, err)

    def start(self, *command: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start such a process, as the leader of a process group of its own."""
        return subprocess.Popen(
            [BIN / command[0], *command[1:]],
            cwd=cwd or self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def cut(self, *options: str) -> str:
        """Cut a version; its key."""
        told = self.automend("cut", self.dataset, *options)
        assert told.code == 0, told.err
        return told.out.strip()

    def materialize(self, version: str) -> Told:
        return self.automend("materialize", self.dataset, version)

    def dagster_materialize(self, version: str) -> Told:
        """Materialise all of a version by Dagster's own command."""
        selection = ("--select", f"group:{self.dataset}", "--partition", version)
        return self.process(
            *("dagster", "asset", "materialize", "-m", "automend_assets.definitions"), *selection
        )

    def build(self, *options: str) -> str:
        """Cut a version and materialise it, which has to succeed; its key."""
        version = self.cut(*options)
        told = self.materialize(version)
        assert told.code == 0, told.err
        return version

    def bytes(self, version: str, name: str) -> bytes:
        return self.store.read_bytes(self.dataset, version, name)

    def json(self, version: str, name: str) -> Any:
        return json.loads(self.bytes(version, name))

    def lines(self, version: str, name: str) -> list[Any]:
        return [json.loads(line) for line in self.bytes(version, name).splitlines()]

    def frame(self, version: str, name: str) -> pl.DataFrame:
        return self.store.scan_parquet(self.dataset, version, name).collect()

    def artifacts(self, version: str) -> dict[str, bytes]:
        """Every file of FILES that exists, by name."""
        return {
            name: self.bytes(version, name)
            for name in FILES
            if self.store.exists(self.dataset, version, name)
        }

    def refused(self, version: str) -> list[tuple[int, str, str]]:
        """Row number, stage and reason of every row in quarantine, in order of the numbers."""
        frame = self.frame(version, "quarantine.parquet").sort("row_number")
        return frame.select("row_number", "stage", "reason").rows()

    @contextmanager
    def instance(self) -> Iterator[DagsterInstance]:
        """The Dagster instance that the commands use."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DAGSTER_HOME", str(self.home))
            with DagsterInstance.get() as found:
                yield found
