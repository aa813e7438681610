"""A growing table of corrections as a log: read by ranges of ids, in batches, never cut short.

What belongs here: what every backend has in common, which is reading page by page, which rows are settled, the
content's fingerprint, and the errors. What does not: how a backend asks its server (`sqlite.py`, `postgres.py`,
`supabase.py`), which one is asked (`resource.py`), whether a row is any good (each dataset's own modules).

**Settled.** A database hands out ids before the rows are committed, so a row with a low id can appear after one with
a high id. A version is a range of ids, and a row that appears in a range that was cut already would be in no version.
A backend therefore says up to which id nothing can appear any more.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson
import polars as pl

from automend_assets.errors import PermanentError, TransientError
from automend_assets.versions.manifest import LogSource

#: `id`: grows with every row, from 1. `created_at`: null where the table has none.
INTERACTIONS_SCHEMA = pl.Schema(
    {
        "id": pl.Int64(),
        "typo": pl.String(),
        "corrected": pl.String(),
        "domain": pl.String(),
        "created_at": pl.Datetime("us", "UTC"),
    }
)
COLUMNS = tuple(INTERACTIONS_SCHEMA)
TABLE = "typo_training_dataset"


class InteractionsMisconfigured(PermanentError):
    """A URL that is none, a key that is missing, a client that is not installed."""


class InteractionsTableMissing(PermanentError):
    """The database has no such table."""


class InteractionsColumnMissing(PermanentError):
    """The table lacks a column, or has one of another type."""


class InteractionsKeyInvalid(PermanentError):
    """The server does not accept the key or the password."""


class InteractionsForbidden(PermanentError):
    """The key or user is known and may not do this."""


class InteractionsRefused(PermanentError):
    """The server refuses the request or the row for another reason."""


class InteractionsChanged(PermanentError):
    """The rows of a range are not those that its version was cut from."""


class InteractionsUnavailable(TransientError):
    """No useful answer: no network, a server that is down or overloaded, a timeout."""


class Correction(NamedTuple):
    """What somebody typed, what it was corrected to, and the domain of both."""

    typo: str
    corrected: str
    domain: str


class Settled(NamedTuple):
    """Up to which id nothing can appear any more, 0 for nothing at all; and what later rows wait for, if they do."""

    id: int
    waiting: str | None = None


@dataclass(frozen=True)
class Backlog:
    """The settled rows `lo < id <= hi` of which no version is cut yet, the first `limit` that were asked for.

    `oldest` is when the row with the lowest id came in. `full`: `rows` is the limit, and there may be more.
    `waiting`: why later rows are not settled yet; None when they are, or when there are none.
    """

    lo: int
    hi: int
    rows: int
    oldest: datetime | None = None
    full: bool = False
    waiting: str | None = None


class InteractionLog(ABC):
    """One table of corrections. Use it as a context manager; nothing connects before the first call.

    Not to be shared between threads, each of which opens its own.

    `table` is its name with the schema, as in a `LogSource`. Every method raises the errors of this module.
    """

    table: str
    page_rows: int

    def backlog(self, lo: int, limit: int) -> Backlog:
        """What is settled after id `lo`, at most `limit` rows; its cost does not grow with the rows behind them."""
        settled = self._settled(lo)
        first = self._row_at(lo, settled.id, 0) if settled.id > lo else None
        if first is None:
            return Backlog(lo, lo, 0, waiting=settled.waiting)
        last = self._row_at(lo, settled.id, limit - 1)
        if last is not None:
            return Backlog(lo, last[0], limit, first[1], full=True)
        return Backlog(lo, settled.id, self._count(lo, settled.id), first[1], waiting=settled.waiting)

    def batches(self, lo: int, hi: int) -> Iterator[pl.DataFrame]:
        """The rows `lo < id <= hi` in the order of their ids, as frames of INTERACTIONS_SCHEMA of a page each.

        A server may answer with fewer rows than it was asked for, so only an empty answer is the end.
        """
        after = lo
        while after < hi:
            page = self._page(after, hi)
            if not page:
                return
            yield self._frame(page)
            after = int(page[-1][0])

    def pin(self, lo: int, hi: int) -> LogSource:
        """The range `lo < id <= hi` as it is now, for a manifest. Reads it once. Raises InteractionsChanged when it
        is empty."""
        found = fingerprint(self.batches(lo, hi))
        if found.rows == 0:
            raise InteractionsChanged(f"The rows {lo} < id <= {hi} of {self.table} were deleted meanwhile.")
        return LogSource(table=self.table, lo=lo, hi=hi, rows=found.rows, sha256=found.sha256)

    def pinned(self, source: LogSource) -> Iterator[pl.DataFrame]:
        """The rows of a version in batches; after the last one, that they are those that it was cut from.

        Raises InteractionsChanged, also at once for a source that is a range of another table.
        """
        if source.table != self.table:
            raise InteractionsChanged(
                f"This version is a range of the table {source.table}, and {self.table} is what is configured: set "
                f"SUPABASE_URL and its key, SUPABASE_DB_URL or AUTOMEND_INTERACTIONS as they were when it was cut."
            )
        digest = _Digest()
        for batch in self.batches(source.lo, source.hi):
            digest.add(batch)
            yield batch
        found = digest.result()
        if found != Fingerprint(source.rows, source.sha256):
            raise InteractionsChanged(
                f"The rows {source.lo} < id <= {source.hi} of {self.table} are not those that this version was cut "
                f"from: {source.rows:,} then and {found.rows:,} now, sha256 {source.sha256[:12]}... then and "
                f"{found.sha256[:12]}... now. Rows were edited, deleted or added with ids of their own; put them back, "
                f"or keep what was made of the version so far."
            )

    @abstractmethod
    def add(self, corrections: Sequence[Correction]) -> None:
        """Append corrections, all or none of them; the database gives them ids and times."""

    @abstractmethod
    def close(self) -> None:
        """End the connection, if there is one."""

    @abstractmethod
    def _settled(self, lo: int) -> Settled: ...

    @abstractmethod
    def _row_at(self, lo: int, hi: int, offset: int) -> tuple[int, datetime | None] | None:
        """Id and time of the row after `offset` others in the range; None when the range is shorter."""

    @abstractmethod
    def _count(self, lo: int, hi: int) -> int: ...

    @abstractmethod
    def _page(self, after: int, hi: int) -> Sequence[Sequence[Any]]:
        """The next rows after the id `after`, at most `page_rows`, in the order of their ids; values as COLUMNS."""

    def _frame(self, page: Sequence[Sequence[Any]]) -> pl.DataFrame:
        ids, typos, corrected, domains, times = zip(*page, strict=True)
        try:
            values = {
                "id": ids,
                "typo": typos,
                "corrected": corrected,
                "domain": domains,
                "created_at": [_utc(value) for value in times],
            }
            return pl.DataFrame(values, schema=INTERACTIONS_SCHEMA, strict=True)
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise InteractionsColumnMissing(
                f"A row of {self.table} between id {ids[0]} and {ids[-1]} has a value of another type: typo, corrected "
                f"and domain are text and created_at is a time ({type(error).__name__}). Compare the table with "
                f"deploy/supabase/typo_training_dataset.sql."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Fingerprint(NamedTuple):
    """Number of rows and hex sha256 of their content."""

    rows: int
    sha256: str


def fingerprint(batches: Iterable[pl.DataFrame]) -> Fingerprint:
    """The fingerprint of rows in the order of their ids; how they are cut into batches makes no difference.

    It is that of one JSON array per line: id, typo, corrected, domain, and the time in microseconds since 1970.
    """
    digest = _Digest()
    for batch in batches:
        digest.add(batch)
    return digest.result()


class _Digest:
    def __init__(self) -> None:
        self._rows = 0
        self._sha256 = hashlib.sha256()

    def add(self, batch: pl.DataFrame) -> None:
        plain = batch.select(*COLUMNS[:-1], pl.col("created_at").to_physical())
        for row in plain.iter_rows():
            self._sha256.update(orjson.dumps(row))
            self._sha256.update(b"\n")
        self._rows += batch.height

    def result(self) -> Fingerprint:
        return Fingerprint(self._rows, self._sha256.hexdigest())


def _utc(value: object) -> datetime | None:
    """A time as a driver or JSON gives it; one without a zone is in UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} is no time")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def parse_time(value: object, table: str) -> datetime | None:
    """The same for one value of `table`, with an error that says where it is."""
    try:
        return _utc(value)
    except (TypeError, ValueError):
        raise InteractionsColumnMissing(
            f"The column created_at of {table} holds something that is no time. Compare the table with "
            f"deploy/supabase/typo_training_dataset.sql."
        ) from None
