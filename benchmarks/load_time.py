"""What loading the code location costs, beside `import dagster, polars`, in CPU seconds of fresh processes.

    .venv/bin/python benchmarks/load_time.py [--rounds N]

CPU time, for wall time would count other work on the machine too; the two sides take turns, and the median
round counts.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile

BASELINE = "import dagster, polars"
LOADING = "import automend_assets.definitions"


def cpu_seconds(code: str) -> float:
    """User and system seconds of a Python process that runs `code` and nothing else."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as home:
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "DAGSTER_HOME": home})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, print each side's median, end with the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", help="taken as by every benchmark, and not used: loading reads no rows")
    rounds = parser.parse_args().rounds
    cpu_seconds(BASELINE)  # so that no round reads from a cold disk
    cpu_seconds(LOADING)
    sides = [(cpu_seconds(BASELINE), cpu_seconds(LOADING)) for _ in range(rounds)]
    baseline, loading = (statistics.median(side) for side in zip(*sides, strict=True))
    print(f"{BASELINE}: {baseline:.2f} CPU s")
    print(f"{LOADING}: {loading:.2f} CPU s")
    print(f"ratio: {loading / baseline:.2f} loading the code location vs {BASELINE}")


if __name__ == "__main__":
    main()
