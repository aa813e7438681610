"""The ledger: a small SQL database that numbers the versions of every dataset and never forgets one.

Here: the table, and cutting and reading versions in one transaction each, on SQLite or Postgres. Not here:
the copy of a manifest in the store and the registration with Dagster (`cutting.py`, `partitions.py`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from automend_assets.errors import PermanentError
from automend_assets.versions.database import LedgerDatabase
from automend_assets.versions.manifest import (
    LogSource,
    Manifest,
    ManifestChanged,
    version_key,
    version_number,
)

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
        self._database = LedgerDatabase(url, _VERSIONS)

    def __repr__(self) -> str:
        return f"Ledger({str(self._database)!r})"

    def cut(self, manifest: Manifest) -> Version:
        """Give `manifest` the next number of its dataset, or find the version that it already is.

        One transaction that holds the dataset's lock: concurrent cuts get different, dense numbers, equal
        manifests one version, and a process that dies in between leaves nothing.

        Raises RangeTaken for a range of a log that is not the next one: somebody else was first.
        """
        self._database.create()
        with self._database.transaction(lock=f"automend versions of {manifest.dataset}") as connection:
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
        if not self._database.exists():
            return 0
        with self._database.transaction() as connection:
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
                f"versions end at id {end} in the ledger {self._database}, and the next one begins there. Another "
                f"process cut one meanwhile; cut again, and the range is taken from there."
            )

    def _rows(self, query: sa.Select[tuple[Any, ...]]) -> list[sa.Row[tuple[Any, ...]]]:
        if not self._database.exists():
            return []
        with self._database.transaction() as connection:
            return list(connection.execute(query.order_by(_VERSIONS.c.number)))

    def _version(self, row: sa.Row[tuple[Any, ...]]) -> Version:
        text = row.manifest.encode()
        found = hashlib.sha256(text).hexdigest()
        if found != row.manifest_sha256:
            raise ManifestChanged(
                f"The manifest of {row.dataset} {version_key(row.number)} in the ledger {self._database} "
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
            f"{dataset} has no version {key!r} in the ledger {self._database}. {existing} "
            f"Cut one with: automend cut {dataset} --source sample"
        )
