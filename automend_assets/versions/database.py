"""The database of the ledger: opening it, one table of it, transactions that exclude each other.

Here: what every table of the ledger needs, on SQLite or Postgres. Not here: what is in the tables (`ledger.py`,
`promotions.py`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from automend_assets.errors import PermanentError, TransientError

# Long enough for dozens of processes to cut one after the other, short enough to report a stuck writer.
_LOCK_WAIT_SECONDS = 60
_CONNECT_SECONDS = 10


class LedgerMisconfigured(PermanentError):
    """A URL that cannot be a ledger's, or one whose driver is not installed."""


class LedgerUnavailable(TransientError):
    """The ledger cannot be opened, read or written. The message never holds the password of its URL."""


class LedgerDatabase:
    """One table of the ledger's database. No connection outlives a transaction; `str` shows the URL without secrets."""

    def __init__(self, url: str, table: sa.Table) -> None:
        self._url = _parse(url)
        self._engine = _engine(self._url)
        self._table = table
        self._prepared = False

    def __str__(self) -> str:
        return _shown(self._url)

    def exists(self) -> bool:
        """Whether the table is there. Raises LedgerUnavailable."""
        if self._prepared:
            return True
        path = _sqlite_path(self._url)
        try:
            if path is not None and not path.exists():
                return False
        except OSError as error:
            raise self._unavailable(error) from None
        with self.transaction() as connection:
            self._prepared = sa.inspect(connection).has_table(self._table.name)
        return self._prepared

    def create(self) -> None:
        """Make the table if it is not there. Raises LedgerUnavailable."""
        if self._prepared:
            return
        path = _sqlite_path(self._url)
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._unavailable(error) from None
        with self.transaction(lock=f"automend {self._table.name} table") as connection:
            self._table.create(connection, checkfirst=True)
        self._prepared = True

    @contextmanager
    def transaction(self, lock: str | None = None) -> Iterator[sa.Connection]:
        """One transaction, committed on a clean exit; with `lock`, no other holds that name meanwhile."""
        try:
            with self._engine.connect() as connection:
                if lock is not None and self._engine.dialect.name == "sqlite":
                    # SQLite has one writer; taking its place before the first read is what makes
                    # read-then-insert safe.
                    connection = connection.execution_options(automend_begin="BEGIN IMMEDIATE")
                with connection.begin():
                    if lock is not None and self._engine.dialect.name == "postgresql":
                        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT_SECONDS}s'")
                        number = int.from_bytes(hashlib.sha256(lock.encode()).digest()[:8], signed=True)
                        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
                    yield connection
        except sa.exc.DBAPIError as error:
            raise self._unavailable(error.orig or error) from None

    def _unavailable(self, error: BaseException) -> LedgerUnavailable:
        reason = " ".join(str(error).split()).rstrip(".?")
        if self._url.password:
            reason = reason.replace(str(self._url.password), "***")
        fix = (
            "Check that this user can write the file and its folder, and that the disk is not full"
            if self._engine.dialect.name == "sqlite"
            else "Check that the server runs and that user, password and database are right"
        )
        return LedgerUnavailable(
            f"The ledger {self} cannot be used: {reason}. {fix}, or set AUTOMEND_LEDGER to another database."
        )


def _parse(url: str) -> sa.URL:
    hint = "Set AUTOMEND_LEDGER to sqlite:///path/to/ledger.db or postgresql://user:password@host/database."
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # The text is not repeated: it may hold a password.
        raise LedgerMisconfigured(f"The ledger's URL is not a database URL. {hint}") from None
    backend = parsed.get_backend_name()
    if backend in ("postgres", "postgresql") and parsed.drivername in ("postgres", "postgresql"):
        # SQLAlchemy 2.1 reads a bare postgresql:// as psycopg 3, which is not what the extra installs.
        parsed = parsed.set(drivername="postgresql+psycopg2")
    elif backend not in ("sqlite", "postgresql"):
        raise LedgerMisconfigured(f"The ledger cannot be kept in {backend}. {hint}")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise LedgerMisconfigured(f"A ledger in memory would forget its versions. {hint}")
    return parsed


def _engine(url: sa.URL) -> sa.Engine:
    sqlite = url.get_backend_name() == "sqlite"
    try:
        engine = sa.create_engine(
            url,
            poolclass=sa.pool.NullPool,
            hide_parameters=True,
            connect_args={"timeout": _LOCK_WAIT_SECONDS} if sqlite else {"connect_timeout": _CONNECT_SECONDS},
        )
    except ImportError as error:
        raise LedgerMisconfigured(
            f"A Postgres ledger needs a driver that is not installed ({error.name}). "
            "Install it with: pip install 'automend-assets[postgres]'"
        ) from None
    if sqlite:
        # Python's sqlite3 begins late, at the first write; here SQLAlchemy's begin is the begin. The rollback
        # journal is kept (no WAL): transactions are tiny, and WAL breaks on network file systems.
        sa.event.listen(engine, "connect", lambda raw, _record: setattr(raw, "isolation_level", None))
        sa.event.listen(
            engine,
            "begin",
            lambda connection: connection.exec_driver_sql(
                connection.get_execution_options().get("automend_begin", "BEGIN")
            ),
        )
    return engine


def _sqlite_path(url: sa.URL) -> Path | None:
    """The file of a SQLite ledger; None for Postgres and for SQLite's own file: URIs."""
    database = url.database or ""
    if url.get_backend_name() != "sqlite" or database.startswith("file:"):
        return None
    return Path(database)


def _shown(url: sa.URL) -> str:
    secret = {name: "hidden" for name in url.query if re.search("password", name, re.IGNORECASE)}
    return url.update_query_dict(secret).render_as_string(hide_password=True)
