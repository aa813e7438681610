"""A process that looks at a log and cuts versions, for tests of what happens between processes. Run by its path.

tick_worker.py LEDGER LOG STORE race     after a line on standard input, look until LOG.done exists and nothing is left;
                                         make LOG.late when somebody else was faster
tick_worker.py LEDGER LOG STORE POINT    look once and die at POINT: before the commit, before the copy in the store
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import sqlalchemy as sa

from automend_assets.automation.cutting_sensor import CuttingRules, Outcome, cut_next
from automend_assets.connectors.interactions.sqlite import SqliteLog
from automend_assets.storage.store import Store
from automend_assets.versions.ledger import Ledger
from automend_assets.versions.manifest import LogSource, Manifest

RULES = CuttingRules(min_rows=1, max_rows=7)


def plan(source: LogSource) -> Manifest:
    return Manifest(dataset="typos", source=source, rows=None, seed=0, shuffle_buffer=1)


def look(ledger: str, log: str, store: str, rules: CuttingRules = RULES) -> Outcome:
    with SqliteLog(Path(log)) as opened:
        return cut_next(
            "typos",
            log=opened,
            ledger=Ledger(ledger),
            store=Store(store),
            plan=plan,
            rules=rules,
            now=datetime.now(UTC),
        )


def main(ledger: str, log: str, store: str, mode: str) -> None:
    if mode == "commit":
        Ledger(ledger).keys("typos")
        sa.event.listen(sa.Engine, "commit", lambda connection: _die_if_inserted(connection))
        sa.event.listen(
            sa.Engine,
            "after_cursor_execute",
            lambda connection, _c, statement, *_: _note(connection, statement),
        )
    if mode == "copy":
        Store.write = _die  # type: ignore[method-assign,assignment]
    if mode != "race":
        print(look(ledger, log, store), flush=True)
        return
    print("ready", flush=True)
    sys.stdin.readline()
    while True:
        done = Path(f"{log}.done").exists()
        outcome = look(ledger, log, store, CuttingRules(min_rows=1))
        if outcome.version is not None:
            print("cut", outcome.version.key, flush=True)
        elif "were not cut" in outcome.reason:
            Path(f"{log}.late").touch()
        elif done:
            return


def _note(connection: sa.Connection, statement: str) -> None:
    connection.info["inserted"] = statement.startswith("INSERT INTO versions")


def _die_if_inserted(connection: sa.Connection) -> None:
    if connection.info.get("inserted"):
        _die()


def _die(*_args: object, **_kwargs: object) -> NoReturn:
    os._exit(9)


if __name__ == "__main__":
    main(*sys.argv[1:])
