"""Splits the rows of a frame into those that are kept and those that repeat a kept one.

What belongs here: rows, their order and their account; streaming the texts through hashing. What does not: hashing
(`exact.py`, `normalise.py`, `shingles.py`), similarity (`near.py`), files (`files.py`).
"""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from automend_assets.dedup.exact import NO_DOCUMENT, Documents
from automend_assets.dedup.near import EXACT_DOCUMENTS, Verdict, find_repeats
from automend_assets.dedup.normalise import check_language, normalised_digests
from automend_assets.dedup.shingle_store import ShingleStore
from automend_assets.dedup.shingles import Counts, ShingleBlock, shingle_sets
from automend_assets.errors import PermanentError

THRESHOLD = 0.85
MEMORY_BYTES = 1 << 30
LEAST_MEMORY_BYTES = 1 << 12
BLOCK_BYTES = 1 << 20

LEVELS = ("exact", "normalised", "near")

_ROWS_PER_BATCH = 256


class NotDeduplicable(PermanentError):
    """The frame or the parameters cannot be worked with: says which and what is expected."""


@dataclass(frozen=True)
class Deduplication:
    """The answer: every row of the frame is in `kept` or named in `removed`.

    `kept` has the rows of the frame in their order; it reads the frame again. `removed` has a row per removed row, in
    the order of the frame: `removed` and `kept` (the key of the removed row and of the one kept in its place, or
    their zero-based row numbers), `similarity` (1.0 for the levels exact and normalised) and `level`.
    """

    kept: pl.LazyFrame
    removed: pl.DataFrame
    rows: int

    @property
    def removed_by_level(self) -> dict[str, int]:
        """Removed rows of each of `LEVELS`."""
        return {level: int((self.removed["level"] == level).sum()) for level in LEVELS}


def deduplicate(
    frame: pl.LazyFrame,
    column: str,
    *,
    key: str | None = None,
    order: Sequence[str] = (),
    language: str | None = None,
    threshold: float = THRESHOLD,
    memory_bytes: int = MEMORY_BYTES,
    workers: int | None = None,
    exact_documents: int = EXACT_DOCUMENTS,
    block_bytes: int = BLOCK_BYTES,
) -> Deduplication:
    """Find the rows of `frame` whose text in `column` repeats that of a kept row.

    Rows are taken in the order of the columns `order`, ascending, nulls last, ties in the order of the frame (that
    alone by default). A row is removed exactly when a *kept* row before it has the same bytes, the same normalised
    form in `language` (see `normalise.py`; none: white space), or a Jaccard similarity of word 5-grams of at least
    `threshold`. The first such row is the one named. A null is no text: its row is kept.

    The answer depends on the rows alone, not on `memory_bytes`, `workers` (threads, by default one per core up to 4)
    or `block_bytes` (of text hashed at a time). Above `exact_documents` distinct texts, candidates come from MinHash,
    which may miss a pair at the threshold once in a million; every removal is still verified.

    Memory: sets, counters and keys stay within `memory_bytes` and go to Parquet files in the temporary folder beyond
    it. On top of that come about 500 bytes per distinct text, the columns of `order` and `key`, ten times the largest
    text, and what polars needs to read the frame, which must give the same rows each time.

    Raises NotDeduplicable for a missing or non-String column, a threshold not in (0, 1] and less memory than 4 KiB;
    UnknownLanguage.
    """
    _check(frame, [column, *order, *([] if key is None else [key])], column, threshold, memory_bytes)
    check_language(language)
    documents, forms = Documents(), _Forms()
    with TemporaryDirectory(prefix="automend-dedup-") as folder:
        store = ShingleStore(Path(folder), memory_bytes // 2)
        try:
            texts = (documents.add(batch) for batch in _batches(frame, column))
            for block, digests in _hashed(
                texts, language, block_bytes, workers or min(os.cpu_count() or 1, 4)
            ):
                store.append(block)
                forms.add(digests)
            store.seal()
            of_rows = documents.of_rows()
            first_rows, first_ranks = _first_rows(frame, order, of_rows, len(documents))
            verdicts = find_repeats(
                store,
                np.argsort(first_ranks),
                forms.numbers(),
                threshold=threshold,
                folder=Path(folder),
                memory_bytes=memory_bytes,
                exact_documents=exact_documents,
            )
        finally:
            store.close()
    removed = _removed_rows(of_rows, first_rows, verdicts)
    row = _free_name(frame)
    kept = frame.with_row_index(row).filter(~pl.col(row).is_in(removed["removed"].implode())).drop(row)
    return Deduplication(kept, _with_keys(frame, key, removed), len(of_rows))


class _Forms:
    """Numbers of normalised forms: the same for documents that are equal once normalised."""

    def __init__(self) -> None:
        self._number_of: dict[bytes, int] = {}
        self._numbers = array("q")

    def add(self, digests: list[bytes]) -> None:
        for digest in digests:
            self._numbers.append(self._number_of.setdefault(digest, len(self._number_of)))

    def numbers(self) -> Counts:
        return np.frombuffer(self._numbers, np.int64)


def _check(
    frame: pl.LazyFrame, columns: Sequence[str], column: str, threshold: float, memory_bytes: int
) -> None:
    schema = frame.collect_schema()
    if missing := [name for name in columns if name not in schema]:
        raise NotDeduplicable(
            f"No column {', '.join(map(repr, missing))}: the frame has {', '.join(map(repr, schema))}."
        )
    if schema[column] != pl.String:
        raise NotDeduplicable(f"Column {column!r} is {schema[column]}, not String: cast it, or name another.")
    if not 0 < threshold <= 1:
        raise NotDeduplicable(
            f"Threshold {threshold}: it must be above 0 and at most 1, such as {THRESHOLD}."
        )
    if memory_bytes < LEAST_MEMORY_BYTES:
        raise NotDeduplicable(f"Memory of {memory_bytes} bytes: give at least {LEAST_MEMORY_BYTES:,}.")


def _batches(frame: pl.LazyFrame, column: str) -> Iterator[pl.Series]:
    for batch in frame.select(column).collect_batches(chunk_size=_ROWS_PER_BATCH, maintain_order=True):
        yield batch[column]


def _hashed(
    texts: Iterator[pl.Series], language: str | None, block_bytes: int, workers: int
) -> Iterator[tuple[ShingleBlock, list[bytes]]]:
    """Sets and digests of blocks in order; as many are under way as there are workers, and one that waits."""
    under_way: deque[Future[tuple[ShingleBlock, list[bytes]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="dedup") as pool:
        for block in _blocks(texts, block_bytes):
            under_way.append(pool.submit(_hash_block, block, language))
            if len(under_way) > workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _blocks(texts: Iterator[pl.Series], block_bytes: int) -> Iterator[pl.Series]:
    """The texts in pieces of about `block_bytes`: a longer one makes a piece of its own."""
    waiting: list[pl.Series] = []
    waiting_bytes = 0
    for batch in texts:
        start = 0
        for place, size in enumerate(batch.str.len_bytes().to_list()):
            if waiting_bytes and waiting_bytes + size > block_bytes:
                waiting.append(batch[start:place])
                yield pl.concat(waiting)
                waiting, waiting_bytes, start = [], 0, place
            waiting_bytes += size
        waiting.append(batch[start:])
    if waiting:
        yield pl.concat(waiting)


def _hash_block(texts: pl.Series, language: str | None) -> tuple[ShingleBlock, list[bytes]]:
    return shingle_sets(texts), normalised_digests(texts, language)


def _first_rows(
    frame: pl.LazyFrame, order: Sequence[str], of_rows: Counts, documents: int
) -> tuple[Counts, Counts]:
    """Of every document the first row in provenance order, and that row's place in the order."""
    if order:
        row = _free_name(frame)
        keys = frame.select(order).with_row_index(row)
        in_order = (
            keys.sort(*order, nulls_last=True, maintain_order=True).select(row).collect()[row].to_numpy()
        ).astype(np.int64)
        if len(in_order) != len(of_rows):
            raise NotDeduplicable(
                f"The frame gave {len(of_rows)} rows, then {len(in_order)}: collect it or write it to a file first."
            )
    else:
        in_order = np.arange(len(of_rows))
    first_ranks = np.full(documents, len(of_rows), np.int64)
    with_text = of_rows[in_order] != NO_DOCUMENT
    np.minimum.at(first_ranks, of_rows[in_order][with_text], np.flatnonzero(with_text))
    return in_order[first_ranks], first_ranks


def _free_name(frame: pl.LazyFrame) -> str:
    names, name = frame.collect_schema().names(), "row"
    while name in names:
        name += "_"
    return name


def _removed_rows(of_rows: Counts, first_rows: Counts, verdicts: dict[int, Verdict]) -> pl.DataFrame:
    """Row numbers of what is removed and kept: all rows of a removed document, all but the first of a kept one."""
    documents = len(first_rows)
    kept = np.arange(documents)
    similarity = np.ones(documents)
    level = np.full(documents, LEVELS.index("exact"))
    for document, verdict in verdicts.items():
        kept[document], similarity[document] = verdict.kept, verdict.similarity
        level[document] = LEVELS.index("normalised" if verdict.same_form else "near")
    rows = np.flatnonzero(of_rows != NO_DOCUMENT)
    rows = rows[rows != first_rows[kept[of_rows[rows]]]]
    found = of_rows[rows]
    return pl.DataFrame(
        {
            "removed": rows,
            "kept": first_rows[kept[found]],
            "similarity": similarity[found],
            "level": level[found],
        }
    ).with_columns(pl.col("level").replace_strict(range(len(LEVELS)), LEVELS, return_dtype=pl.String))


def _with_keys(frame: pl.LazyFrame, key: str | None, removed: pl.DataFrame) -> pl.DataFrame:
    if key is None:
        return removed
    keys = frame.select(key).collect()[key]
    return removed.with_columns(
        keys[removed["removed"]].alias("removed"), keys[removed["kept"]].alias("kept")
    )
