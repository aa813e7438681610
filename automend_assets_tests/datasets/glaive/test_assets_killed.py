"""Materialisations that die half-way, and two of one version at the same time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil

from automend_assets.datasets.glaive.sample import write_json_lines
from automend_assets_tests.workplace import FILES, Workplace

ROWS = 20_000
WORKERS = "2"


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_a_killed_process_leaves_nothing_partial_and_the_rerun_completes(
    tmp_path: Path,
) -> None:
    rows = tmp_path / "rows.jsonl"
    write_json_lines(rows, ROWS)
    workplace = Workplace(tmp_path, AUTOMEND_WORKERS=WORKERS)
    (tmp_path / "undisturbed").mkdir()
    undisturbed = Workplace(tmp_path / "undisturbed", AUTOMEND_WORKERS=WORKERS)
    for place in (workplace, undisturbed):
        assert place.cut("--source", "file", "--path", str(rows), "--rows", "all") == "v0001"

    staging = tmp_path / "store" / ".staging"
    with workplace.start("automend", "materialize", "glaive", "v0001") as process:
        try:
            # Until some of the records are written, beside none of which may be seen.
            deadline = time.monotonic() + 120
            while not any(
                path.stat().st_size > 1_000_000 for path in staging.glob("*/processed_records.parquet")
            ):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGSTOP)  # it would go on while its children are listed
            started = descendants(process.pid)
            assert started, "at least Dagster starts processes of its own, which capture output"
        finally:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == [], "processes outlived the one that they work for"
    assert workplace.artifacts("v0001").keys() == {"manifest.json", "raw_sample.parquet"}
    assert list(staging.glob("*/processed_records.parquet")) != [], "it was to die with half a file"

    # Two at once, in what the dead one left behind.
    both = [workplace.start("automend", "materialize", "glaive", "v0001") for _ in range(2)]
    for running in both:
        _, err = running.communicate(timeout=240)
        assert running.returncode == 0, err
        assert "40 of 40 checks passed" in err
    assert list(staging.iterdir()) == []

    told = undisturbed.materialize("v0001")
    assert told.code == 0, told.err
    assert undisturbed.artifacts("v0001").keys() == set(FILES)
    assert workplace.artifacts("v0001") == undisturbed.artifacts("v0001")
