"""Corrections in Postgres, by URL. Nothing about HTTP belongs here.

Which rows are settled is known here and needs no margin of time. A transaction locks the table (ROW EXCLUSIVE) before
it draws an id, and gives the lock back after its rows can be seen. So: read the newest visible id, then look who holds
such a lock, and wait until all of those are gone; whoever comes later draws a higher id. Comparing transaction numbers
with a snapshot's xmin is not enough: an id is drawn before the number is given out, and a transaction with a low
number may draw its second id late.

This holds for ids that the table's own sequence gives one at a time (CACHE 1, the default), and on a primary: a
replica does not know the primary's locks, and is refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from automend_assets.connectors.interactions.log import (
    COLUMNS,
    TABLE,
    Correction,
    InteractionLog,
    InteractionsColumnMissing,
    InteractionsForbidden,
    InteractionsKeyInvalid,
    InteractionsMisconfigured,
    InteractionsRefused,
    InteractionsTableMissing,
    InteractionsUnavailable,
    Settled,
    parse_time,
)

if TYPE_CHECKING:
    import psycopg2  # type: ignore[import-untyped]

_CONNECT_SECONDS = 10
_POLL_SECONDS = 0.02
_RANGE = f"FROM public.{TABLE} WHERE id > %s AND id <= %s"
_NEWEST = f"""
SELECT coalesce(max(id), 0), row_security_active('public.{TABLE}'), pg_is_in_recovery() FROM public.{TABLE}
"""  # noqa: S608
_WRITERS = f"""
SELECT virtualtransaction, pid FROM pg_locks
WHERE locktype = 'relation' AND relation = 'public.{TABLE}'::regclass AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""  # noqa: S608


class PostgresLog(InteractionLog):
    """The table in the database at `url`, `postgresql://user:password@host/database`.

    `wait_seconds`: how long one look waits for transactions that are writing. `statement_seconds`: how long one
    statement may take, or wait for somebody's lock.
    """

    page_rows = 10_000

    def __init__(self, url: str, *, wait_seconds: float = 5.0, statement_seconds: float = 30.0) -> None:
        self.table = f"public.{TABLE}"
        self._url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
        if not self._url.startswith("postgresql://"):
            raise InteractionsMisconfigured(
                "SUPABASE_DB_URL is no database URL: set it to postgresql://user:password@host:5432/database."
            )
        self._wait_seconds = wait_seconds
        self._timeout = f"SET LOCAL statement_timeout = {round(statement_seconds * 1000)}"
        self._connection: psycopg2.extensions.connection | None = None

    def __repr__(self) -> str:
        return f"PostgresLog({self.table!r})"

    def add(self, corrections: Sequence[Correction]) -> None:
        rows = ", ".join(["(%s, %s, %s)"] * len(corrections))
        values = [value for correction in corrections for value in correction]
        if corrections:
            self._execute(f"INSERT INTO public.{TABLE} (typo, corrected, domain) VALUES {rows}", values)  # noqa: S608

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _settled(self, lo: int) -> Settled:
        [(newest, hidden, replica)] = self._query(_NEWEST)
        if replica:
            raise InteractionsMisconfigured(
                f"SUPABASE_DB_URL is a replica, where nobody can see who is writing to {self.table}: set it to the "
                f"primary, or unset it and set SUPABASE_URL and SUPABASE_SERVICE_KEY."
            )
        if newest == 0 and hidden:
            raise InteractionsForbidden(
                f"The user of SUPABASE_DB_URL sees no row of {self.table}, which is empty or hides its rows from that "
                f"user: grant it the role automend_reader of deploy/supabase/typo_training_dataset.sql."
            )
        if newest <= lo:
            return Settled(newest)
        writing = dict(self._query(_WRITERS))
        deadline = time.monotonic() + self._wait_seconds
        while writing and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            still = dict(self._query(_WRITERS))
            writing = {transaction: pid for transaction, pid in writing.items() if transaction in still}
        if not writing:
            return Settled(newest)
        processes = ", ".join(str(pid) for pid in sorted(filter(None, writing.values()))) or "prepared"
        return Settled(
            0,
            f"transactions have been writing to {self.table} for over {self._wait_seconds:g} s and may still add rows "
            f"with lower ids (server processes: {processes}; see pg_stat_activity)",
        )

    def _row_at(self, lo: int, hi: int, offset: int) -> tuple[int, datetime | None] | None:
        rows = self._query(f"SELECT id, created_at {_RANGE} ORDER BY id LIMIT 1 OFFSET %s", lo, hi, offset)
        return (rows[0][0], parse_time(rows[0][1], self.table)) if rows else None

    def _count(self, lo: int, hi: int) -> int:
        found: int = self._query(f"SELECT count(*) {_RANGE}", lo, hi)[0][0]
        return found

    def _page(self, after: int, hi: int) -> Sequence[Sequence[Any]]:
        return self._query(
            f"SELECT {', '.join(COLUMNS)} {_RANGE} ORDER BY id LIMIT %s", after, hi, self.page_rows
        )

    def _query(self, statement: str, *values: float) -> list[tuple[Any, ...]]:
        return self._execute(statement, values)

    def _execute(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = self._connected()
        import psycopg2

        try:
            # A transaction each: every statement sees what was committed before it, and a pooler that keeps no
            # session is as good as a server.
            with connection, connection.cursor() as cursor:
                cursor.execute(self._timeout)
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            if connection.closed:
                self._connection = None
            raise self._failure(error) from None

    def _connected(self) -> psycopg2.extensions.connection:
        if self._connection is None:
            try:
                import psycopg2
            except ImportError:
                raise InteractionsMisconfigured(
                    "Reading Postgres needs a driver: pip install 'automend-assets[postgres]'."
                ) from None
            try:
                self._connection = psycopg2.connect(
                    self._url,
                    connect_timeout=_CONNECT_SECONDS,
                    keepalives_idle=30,
                    application_name="automend",
                )
            except psycopg2.Error as error:
                raise self._failure(error) from None
        return self._connection

    def _failure(self, error: psycopg2.Error) -> Exception:
        code = error.pgcode or ""
        words = " ".join(str(error).split("\n")[0].split())
        secret = re.search(r"//[^/@]*:([^@/]+)@", self._url)
        if secret:
            words = words.replace(secret[1], "***")
        if code == "42P01" or (code == "3F000"):
            return InteractionsTableMissing(
                f"The database of SUPABASE_DB_URL has no table {self.table}: create it with "
                f"`psql $SUPABASE_DB_URL -f deploy/supabase/typo_training_dataset.sql`."
            )
        if code == "42703":
            return InteractionsColumnMissing(
                f"The table {self.table} lacks a column ({words}); it needs {', '.join(COLUMNS)}: compare it with "
                f"deploy/supabase/typo_training_dataset.sql."
            )
        if code == "42501":
            return InteractionsForbidden(
                f"The user of SUPABASE_DB_URL has no right to do this ({words}): grant it the role automend_reader of "
                f"deploy/supabase/typo_training_dataset.sql."
            )
        if code.startswith("28") or re.search(
            "password authentication failed|role .* does not exist|no password", words
        ):
            return InteractionsKeyInvalid(
                f"The server does not accept user and password of SUPABASE_DB_URL ({words})."
            )
        if code == "3D000" or re.search(
            "database .* does not exist|invalid dsn|invalid connection option", words
        ):
            return InteractionsMisconfigured(f"SUPABASE_DB_URL cannot be used ({words}): check it.")
        if not code or code[:2] in ("08", "53", "55", "57", "40"):
            return InteractionsUnavailable(
                f"The database of SUPABASE_DB_URL gave no answer ({words}): check that it runs and can be reached."
            )
        return InteractionsRefused(f"The database refuses this for {self.table} ({words}).")
