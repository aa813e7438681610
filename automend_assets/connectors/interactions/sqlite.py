"""Corrections in a SQLite file: the default that needs no server. Nothing about other databases belongs here.

SQLite lets one transaction write at a time and gives a row its id inside that transaction, so ids are in the order of
commits and every visible row is settled; AUTOINCREMENT keeps the ids of deleted rows from being given again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from automend_assets.connectors.interactions.log import (
    COLUMNS,
    TABLE,
    Correction,
    InteractionLog,
    InteractionsColumnMissing,
    InteractionsMisconfigured,
    InteractionsRefused,
    InteractionsTableMissing,
    InteractionsUnavailable,
    Settled,
    parse_time,
)

_WAIT_SECONDS = 30.0
_DDL = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    typo TEXT NOT NULL,
    corrected TEXT NOT NULL,
    domain TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""


class SqliteLog(InteractionLog):
    """The table in the file `path`. Writing makes file and table; reading makes nothing."""

    page_rows = 10_000

    def __init__(self, path: Path) -> None:
        self.table = f"main.{TABLE}"
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def add(self, corrections: Sequence[Correction]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=_WAIT_SECONDS)) as connection, connection:
                connection.execute(_DDL)
                connection.executemany(
                    f"INSERT INTO {TABLE} (typo, corrected, domain) VALUES (?, ?, ?)",  # noqa: S608
                    corrections,
                )
        except OSError as error:
            raise InteractionsMisconfigured(
                f"{self._path} cannot be made ({error.strerror}): set AUTOMEND_INTERACTIONS to a file that this user "
                f"can write."
            ) from None
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _settled(self, lo: int) -> Settled:
        return Settled(self._query(f"SELECT coalesce(max(id), 0) FROM {TABLE}")[0][0])  # noqa: S608

    def _row_at(self, lo: int, hi: int, offset: int) -> tuple[int, datetime | None] | None:
        rows = self._query(
            f"SELECT id, created_at FROM {TABLE} WHERE id > ? AND id <= ? ORDER BY id LIMIT 1 OFFSET ?",  # noqa: S608
            lo,
            hi,
            offset,
        )
        return (rows[0][0], parse_time(rows[0][1], self.table)) if rows else None

    def _count(self, lo: int, hi: int) -> int:
        found: int = self._query(f"SELECT count(*) FROM {TABLE} WHERE id > ? AND id <= ?", lo, hi)[0][0]  # noqa: S608
        return found

    def _page(self, after: int, hi: int) -> Sequence[Sequence[Any]]:
        return self._query(
            f"SELECT {', '.join(COLUMNS)} FROM {TABLE} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",  # noqa: S608
            after,
            hi,
            self.page_rows,
        )

    def _query(self, statement: str, *values: int) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
                self._connection.execute(f"PRAGMA busy_timeout = {_WAIT_SECONDS * 1000:.0f}")
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def _failure(self, error: sqlite3.Error) -> Exception:
        words = str(error)
        if not self._path.exists():
            return InteractionsTableMissing(
                f"There are no interactions yet: {self._path} is missing. Record one with POST /interactions of "
                f"`automend serve`, set AUTOMEND_INTERACTIONS to another file, or SUPABASE_URL and a key."
            )
        if "no such table" in words:
            return InteractionsTableMissing(
                f"{self._path} has no table {TABLE}: set AUTOMEND_INTERACTIONS to the file that has it."
            )
        if "no such column" in words or "has no column" in words:
            return InteractionsColumnMissing(
                f"The table {TABLE} in {self._path} lacks a column ({words}); it needs {', '.join(COLUMNS)}."
            )
        if isinstance(error, sqlite3.IntegrityError):
            return InteractionsRefused(f"The table {TABLE} in {self._path} refuses a row ({words}).")
        if "locked" in words:
            return InteractionsUnavailable(
                f"{self._path} is in use ({words}): another process has been writing to it for {_WAIT_SECONDS:.0f} s."
            )
        return InteractionsMisconfigured(
            f"{self._path} cannot be used as a SQLite file ({words}): set AUTOMEND_INTERACTIONS to one that can."
        )
