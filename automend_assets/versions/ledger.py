"""The ledger: a small SQL database that numbers the versions of every dataset and never forgets one.

Here: the table, and cutting and reading versions in one transaction each, on SQLite or Postgres. Not here:
the copy of a manifest in the store and the registration with Dagster (`cutting.py`, `partitions.py`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from automend_assets.errors import PermanentError, TransientError
from automend_assets.versions.manifest import (
    LogSource,
    Manifest,
    ManifestChanged,
    version_key,
    version_number,
)

# Long enough for dozens of processes to cut one after the other, short enough to report a stuck writer.
_LOCK_WAIT_SECONDS = 60
_CONNECT_SECONDS = 10

_METADATA = sa.MetaData()
_VERSIONS = sa.Table(
    "versions",
    _METADATA,
    sa.Column("dataset", sa.String(63), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("manifest_sha256", sa.String(64), nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("dataset", "number"),
    sa.UniqueConstraint("dataset", "manifest_sha256", name="versions_one_per_manifest"),
)


class LedgerMisconfigured(PermanentError):
    """A URL that cannot be a ledger's, or one whose driver is not installed."""


class LedgerUnavailable(TransientError):
    """The ledger cannot be opened, read or written. The message never holds the password of its URL."""


class VersionNotFound(PermanentError):
    """A version that was never cut."""


class RangeTaken(PermanentError):
    """A range of a log that does not begin where the newest version of that log ends."""


@dataclass(frozen=True)
class Version:
    """One cut version. `created_at` is when it was cut, in UTC; it is no part of the version's identity."""

    dataset: str
    number: int
    manifest: Manifest
    sha256: str
    created_at: datetime

    @property
    def key(self) -> str:
        """The partition key, such as `v0001`."""
        return version_key(self.number)


class Ledger:
    """The versions of all datasets in the database at `url`: `sqlite:///path` or `postgresql://...`.

    Nothing connects before the first call, and no connection outlives a call, so that a ledger can be carried
    over a fork. Reading never creates anything: a ledger that does not exist yet has no versions.
    """

    def __init__(self, url: str) -> None:
        self._url = _parse(url)
        self._engine = _engine(self._url)
        self._prepared = False

    def __repr__(self) -> str:
        return f"Ledger({_shown(self._url)!r})"

    def cut(self, manifest: Manifest) -> Version:
        """Give `manifest` the next number of its dataset, or find the version that it already is.

        One transaction that holds the dataset's lock: concurrent cuts get different, dense numbers, equal
        manifests one version, and a process that dies in between leaves nothing.

        Raises RangeTaken for a range of a log that is not the next one: somebody else was first.
        """
        self._create_table()
        with self._transaction(lock=f"automend versions of {manifest.dataset}") as connection:
            of_dataset = _VERSIONS.c.dataset == manifest.dataset
            same = connection.execute(
                sa.select(_VERSIONS).where(of_dataset, _VERSIONS.c.manifest_sha256 == manifest.sha256)
            ).one_or_none()
            if same is not None:
                return self._version(same)
            if isinstance(manifest.source, LogSource):
                self._require_next_range(connection, manifest.dataset, manifest.source)
            last = connection.execute(sa.select(sa.func.max(_VERSIONS.c.number)).where(of_dataset)).scalar()
            version = Version(
                dataset=manifest.dataset,
                number=(last or 0) + 1,
                manifest=manifest,
                sha256=manifest.sha256,
                created_at=datetime.now(UTC),
            )
            connection.execute(
                _VERSIONS.insert().values(
                    dataset=version.dataset,
                    number=version.number,
                    manifest_sha256=version.sha256,
                    manifest=manifest.canonical().decode(),
                    created_at=version.created_at,
                )
            )
        return version

    def get(self, dataset: str, key: str) -> Version:
        """The version `key` of `dataset`, its manifest verified against its sha256.

        Raises VersionNotFound, or ManifestChanged when the row was edited after the cut.
        """
        number = version_number(key)
        query = sa.select(_VERSIONS).where(_VERSIONS.c.dataset == dataset, _VERSIONS.c.number == number)
        rows = self._rows(query)
        if not rows:
            raise VersionNotFound(self._not_found(dataset, key))
        return self._version(rows[0])

    def versions(self, dataset: str, *, after: int = 0, limit: int | None = None) -> list[Version]:
        """The versions of `dataset` with numbers above `after`, oldest first, at most `limit`, verified as by `get`."""
        query = sa.select(_VERSIONS).where(_VERSIONS.c.dataset == dataset, _VERSIONS.c.number > after)
        return [self._version(row) for row in self._rows(query.limit(limit))]

    def log_end(self, dataset: str, table: str) -> int:
        """The last id of `table` that is in a version of `dataset`; 0 when none is."""
        if not self._prepared and not self._has_table():
            return 0
        with self._transaction() as connection:
            return self._log_end(connection, dataset, table)

    def keys(self, dataset: str) -> list[str]:
        """The keys of every version of `dataset`, oldest first, without reading the manifests."""
        query = sa.select(_VERSIONS.c.number).where(_VERSIONS.c.dataset == dataset)
        return [version_key(row.number) for row in self._rows(query)]

    def _log_end(self, connection: sa.Connection, dataset: str, table: str) -> int:
        # Newest first and one at a time: what a tick costs must not grow with the number of versions. The text
        # is that of `Manifest.canonical`, whose keys are sorted.
        query = (
            sa.select(_VERSIONS)
            .where(
                _VERSIONS.c.dataset == dataset,
                _VERSIONS.c.manifest.contains(f'"table":"{table}"', autoescape=True),
            )
            .order_by(_VERSIONS.c.number.desc())
            .limit(1)
        )
        row = connection.execute(query).one_or_none()
        while row is not None:
            source = self._version(row).manifest.source
            if isinstance(source, LogSource) and source.table == table:
                return source.hi
            row = connection.execute(query.where(_VERSIONS.c.number < row.number)).one_or_none()
        return 0

    def _require_next_range(self, connection: sa.Connection, dataset: str, source: LogSource) -> None:
        end = self._log_end(connection, dataset, source.table)
        if source.lo != end:
            raise RangeTaken(
                f"The rows {source.lo} < id <= {source.hi} of {source.table} cannot be a version of {dataset}: its "
                f"versions end at id {end} in the ledger {_shown(self._url)}, and the next one begins there. Another "
                f"process cut one meanwhile; cut again, and the range is taken from there."
            )

    def _rows(self, query: sa.Select[tuple[Any, ...]]) -> list[sa.Row[tuple[Any, ...]]]:
        if not self._prepared and not self._has_table():
            return []
        with self._transaction() as connection:
            return list(connection.execute(query.order_by(_VERSIONS.c.number)))

    def _version(self, row: sa.Row[tuple[Any, ...]]) -> Version:
        text = row.manifest.encode()
        found = hashlib.sha256(text).hexdigest()
        if found != row.manifest_sha256:
            raise ManifestChanged(
                f"The manifest of {row.dataset} {version_key(row.number)} in the ledger {_shown(self._url)} "
                f"was edited: it was cut with sha256 {row.manifest_sha256} and now has {found}. Versions "
                "never change. Put the original text back (from a backup, or manifest.json of this version "
                "in the store), and cut a new version for the new settings: "
                f"automend cut {row.dataset} --help"
            )
        created_at = row.created_at
        # SQLite keeps no time zone; what was written is UTC.
        aware = created_at.replace(tzinfo=UTC) if created_at.tzinfo is None else created_at.astimezone(UTC)
        return Version(row.dataset, row.number, Manifest.parse(text), found, aware)

    def _not_found(self, dataset: str, key: str) -> str:
        keys = self.keys(dataset)
        if not keys:
            existing = "It has no versions yet."
        elif len(keys) <= 10:
            existing = f"It has {', '.join(keys)}."
        else:
            existing = f"It has {len(keys)} versions, {keys[0]} to {keys[-1]}."
        return (
            f"{dataset} has no version {key!r} in the ledger {_shown(self._url)}. {existing} "
            f"Cut one with: automend cut {dataset} --source sample"
        )

    def _has_table(self) -> bool:
        path = _sqlite_path(self._url)
        try:
            if path is not None and not path.exists():
                return False
        except OSError as error:
            raise self._unavailable(error) from None
        with self._transaction() as connection:
            self._prepared = sa.inspect(connection).has_table(_VERSIONS.name)
        return self._prepared

    def _create_table(self) -> None:
        if self._prepared:
            return
        path = _sqlite_path(self._url)
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._unavailable(error) from None
        with self._transaction(lock="automend versions table") as connection:
            _METADATA.create_all(connection)
        self._prepared = True

    @contextmanager
    def _transaction(self, lock: str | None = None) -> Iterator[sa.Connection]:
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
            f"The ledger {_shown(self._url)} cannot be used: {reason}. {fix}, or set AUTOMEND_LEDGER to "
            "another database."
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
