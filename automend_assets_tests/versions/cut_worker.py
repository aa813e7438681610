"""A process that cuts versions, for tests of what happens between processes. Run by its path.

cut_worker.py LEDGER race ROWS...   after a line on standard input, cut one manifest per ROWS, print both
cut_worker.py LEDGER hang ROWS      cut one manifest, stop before the commit, print `uncommitted` and wait
"""

from __future__ import annotations

import sys
import time

import sqlalchemy as sa

from automend_assets.versions.ledger import Ledger
from automend_assets.versions.manifest import Manifest, SampleSource


def main(url: str, mode: str, rows: list[int]) -> None:
    ledger = Ledger(url)
    source = SampleSource(sha256="5" * 64, bytes=1_000)
    manifests = [
        Manifest(dataset="glaive", source=source, rows=number, seed=42, shuffle_buffer=10_000)
        for number in rows
    ]
    if mode == "hang":
        ledger.cut(manifests[0])  # the table exists from here on
        sa.event.listen(sa.Engine, "commit", wait_for_the_end)
        ledger.cut(manifests[1])
    print("ready", flush=True)
    sys.stdin.readline()
    for manifest in manifests:
        print(manifest.rows, ledger.cut(manifest).number, flush=True)


def wait_for_the_end(_connection: sa.Connection) -> None:
    print("uncommitted", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(rows) for rows in sys.argv[3:]])
