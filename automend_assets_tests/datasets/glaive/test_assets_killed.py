"""Materialisations that die or are stopped half-way, and two of one version at the same time."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from automend_assets.datasets.glaive.sample import write_json_lines
from automend_assets_tests.workplace import FILES, Workplace

ROWS = 20_000
BEFORE_PARSING = {"manifest.json", "raw_sample.parquet"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "rows.jsonl"
    write_json_lines(path, ROWS)
    return path


def cut_in(folder: Path, rows: Path) -> Workplace:
    folder.mkdir(exist_ok=True)
    workplace = Workplace(folder, AUTOMEND_WORKERS="2")
    assert workplace.cut("--source", "file", "--path", str(rows), "--rows", "all") == "v0001"
    return workplace


def staging(workplace: Workplace) -> Path:
    return Path(workplace.store.root, ".staging")


def stopped_half_way(workplace: Workplace) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A materialisation that has written some of its records and stands still, and the processes it has started."""
    process = workplace.start("automend", "materialize", "glaive", "v0001")
    deadline = time.monotonic() + 120
    written = "*/processed_records.parquet"
    while not any(path.stat().st_size > 1_000_000 for path in staging(workplace).glob(written)):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(process.communicate()[1])
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    return process, psutil.Process(process.pid).children(recursive=True)


def end(process: subprocess.Popen[str], started: list[psutil.Process], how: signal.Signals) -> str:
    """End it, and see that all it started ends too; what it told."""
    process.send_signal(how)
    process.send_signal(signal.SIGCONT)
    _, told = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == [], "processes outlived the one that they work for"
    return told


def test_a_killed_process_leaves_nothing_partial_and_the_rerun_completes(tmp_path: Path, rows: Path) -> None:
    workplace = cut_in(tmp_path, rows)
    process, started = stopped_half_way(workplace)
    assert started, "at least Dagster starts processes of its own, which capture output"
    end(process, started, signal.SIGKILL)
    assert workplace.artifacts("v0001").keys() == BEFORE_PARSING
    assert list(staging(workplace).glob("*/processed_records.parquet")), "it was to die with half a file"

    # Two at once, in what the dead one left behind.
    both = [workplace.start("automend", "materialize", "glaive", "v0001") for _ in range(2)]
    for running in both:
        _, err = running.communicate(timeout=240)
        assert running.returncode == 0, err
        assert "40 of 40 checks passed" in err
    assert list(staging(workplace).iterdir()) == []

    undisturbed = cut_in(tmp_path / "undisturbed", rows)
    told = undisturbed.materialize("v0001")
    assert told.code == 0, told.err
    assert undisturbed.artifacts("v0001").keys() == set(FILES)
    assert workplace.artifacts("v0001") == undisturbed.artifacts("v0001")


def test_ctrl_c_stops_at_once_and_tidies_up(tmp_path: Path, rows: Path) -> None:
    workplace = cut_in(tmp_path, rows)
    process, started = stopped_half_way(workplace)
    told = end(process, started, signal.SIGINT)
    assert process.returncode == 1
    assert "Traceback" not in told
    assert "failed   glaive/processed_records: interrupted. Nothing half-made is left" in told
    assert workplace.artifacts("v0001").keys() == BEFORE_PARSING
    assert list(staging(workplace).iterdir()) == []
