"""Finds, for every document, the first kept one that it is nearly the same as.

Documents are taken in order; one is removed when it is at least `threshold` similar (Jaccard of the shingle sets),
or equal once normalised, to a document before it that is *kept*. That is not the same as connected components,
where A ~ B ~ C removes C for its likeness to B although B is gone.

Comparing all pairs is avoided in three steps, of which none loses a pair of that similarity except where said:

1. *Shared shingles.* Two documents that similar share at least `ceil(threshold * n)` of the n shingles of either. A
   table of counters tells which shingles surely occur in one document only; most documents have too many of those.
2. *Keys.* Up to `exact_documents`: the `n - ceil(threshold * n) + 1` rarest shingles of each document (the prefix
   filter: in any order that is the same for all documents, two similar ones have one of these in common). Beyond:
   keys of MinHash bands, of which a pair at the threshold has none in common once in a million.
3. *Jaccard* of the documents that share a key and whose sizes allow it, computed on the whole sets.

What belongs here: candidates and verdicts by document number. What does not: rows, texts, keys of the caller
(`deduplicate.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from automend_assets.dedup.shingle_store import ShingleStore
from automend_assets.dedup.shingles import Counts, Hashes, ShingleBlock, jaccard, segment_sums

#: Up to so many documents candidates are found by the exact prefix filter.
EXACT_DOCUMENTS = 100_000

_MISSED_AT_THRESHOLD = 1e-6
_MOST_PERMUTATIONS = 128
_LEAST_TABLE_BITS, _MOST_TABLE_BITS = 16, 30
_COUNTERS_PER_SHINGLE = 8
_MOST_COUNTED = 255
_KEY_BYTES = 16

Ranks = NDArray[np.int64]


class Verdict(NamedTuple):
    """Why a document is not kept: the number of the kept one, and how similar the two are."""

    kept: int
    similarity: float
    same_form: bool


@dataclass
class Search:
    """What it took: pairs that shared a key and had fitting sizes, and those whose sets were compared."""

    shared_enough: int = 0
    candidates: int = 0
    compared: int = 0


def find_repeats(
    store: ShingleStore,
    order: Counts,
    forms: Counts,
    *,
    threshold: float,
    folder: Path,
    memory_bytes: int,
    exact_documents: int = EXACT_DOCUMENTS,
) -> tuple[dict[int, Verdict], Search]:
    """A verdict for every document that is not kept.

    `order`: document numbers in provenance order. `forms`: for every document a number that is the same for those
    that are equal once normalised.
    """
    search = Search()
    rank_of = np.empty(len(order), np.int64)
    rank_of[order] = np.arange(len(order))
    keys = _SharedKeys(folder, memory_bytes // 4)
    rarity = _Rarity(int(store.sizes.sum()), memory_bytes // 4)
    for block in store.blocks():
        rarity.add(block.values)
    bands = None if len(order) <= exact_documents else _Bands(threshold)
    first = 0
    for block in store.blocks():
        ranks = rank_of[first : first + len(block.sizes)]
        first += len(block.sizes)
        counted = rarity.of(block.values)
        required = least_common(block.sizes, threshold)
        possible = (segment_sums(counted > 1, block.sizes) >= required) & (block.sizes > 0)
        search.shared_enough += int(np.count_nonzero(possible))
        if bands is None:
            keys.add(*_prefixes(block, counted, required, possible, ranks))
        else:
            keys.add(*bands.keys(block, possible, ranks))
    del rarity
    return _first_kept(store, order, forms[order], keys.groups(), threshold, search), search


def least_common(sizes: Counts, threshold: float) -> Counts:
    """How many shingles two documents have in common at least when they are similar enough and one has this size."""
    # A little less than the product, whose rounding must not demand one too many.
    least: Counts = np.maximum(np.ceil(sizes * threshold - 1e-6).astype(np.int64), 1)
    return least


class _Rarity:
    """In how many documents a shingle occurs: exactly or overestimated, since shingles may share a counter."""

    def __init__(self, shingles: int, memory_bytes: int) -> None:
        wanted = max(shingles * _COUNTERS_PER_SHINGLE, 1).bit_length()
        affordable = max(memory_bytes, 1).bit_length() - 1
        bits = min(max(min(wanted, affordable), _LEAST_TABLE_BITS), _MOST_TABLE_BITS)
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, np.uint8)

    def add(self, values: Hashes) -> None:
        """Count the sets of a block."""
        if not len(values):
            return
        slots = np.sort(values) >> self._shift
        firsts = np.flatnonzero(np.concatenate(([True], slots[1:] != slots[:-1])))
        counts = np.diff(firsts, append=len(slots))
        places = slots[firsts].astype(np.int64)
        self._table[places] = np.minimum(self._table[places] + counts, _MOST_COUNTED)

    def of(self, values: Hashes) -> NDArray[np.uint8]:
        """At most 255."""
        return self._table[(values >> self._shift).astype(np.int64)]


def _prefixes(
    block: ShingleBlock,
    counted: NDArray[np.uint8],
    required: Counts,
    possible: NDArray[np.bool_],
    ranks: Ranks,
) -> tuple[Hashes, Ranks]:
    """The rarest shingles of each possible document, those aside that no other has."""
    found: list[Hashes] = []
    ends = np.cumsum(block.sizes)
    for document in np.flatnonzero(possible).tolist():
        end = int(ends[document])
        start = end - int(block.sizes[document])
        shared = counted[start:end] > 1
        values = block.values[start:end][shared]
        # The prefix begins with the shingles that only this document has; they find nobody.
        taken = len(values) - int(required[document]) + 1
        if taken < len(values):
            rarity = counted[start:end][shared].astype(np.uint64) << np.uint64(56) | values >> np.uint64(8)
            values = values[rarity <= np.partition(rarity, taken - 1)[taken - 1]]
        found.append(values)
    sizes = [len(values) for values in found]
    return np.concatenate(found or [np.empty(0, np.uint64)]), np.repeat(ranks[possible], sizes)


class _Bands:
    """Keys by MinHash: bands of `rows` minima, as many rows as a pair at the threshold can bear."""

    def __init__(self, threshold: float) -> None:
        self.rows = 1
        for rows in range(1, _MOST_PERMUTATIONS + 1):
            if (1 - threshold**rows) ** (_MOST_PERMUTATIONS // rows) <= _MISSED_AT_THRESHOLD:
                self.rows = rows
        self.bands = _MOST_PERMUTATIONS // self.rows
        seeded = np.random.Generator(np.random.PCG64(5)).integers(
            0, 1 << 63, (2, _MOST_PERMUTATIONS), np.uint64
        )
        self._factors, self._terms = seeded[0] << np.uint64(1) | np.uint64(1), seeded[1]

    def keys(self, block: ShingleBlock, possible: NDArray[np.bool_], ranks: Ranks) -> tuple[Hashes, Ranks]:
        """One key per band of each possible document."""
        if not possible.any():
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        sizes = block.sizes[possible]
        values = block.values[np.repeat(possible, block.sizes)]
        starts = np.cumsum(sizes) - sizes
        keys = np.empty((self.bands, len(sizes)), np.uint64)
        for band in range(self.bands):
            key = np.full(len(sizes), band, np.uint64)
            for row in range(band * self.rows, (band + 1) * self.rows):
                permuted = values * self._factors[row] + self._terms[row]
                permuted ^= permuted >> np.uint64(32)
                key = (key ^ np.minimum.reduceat(permuted, starts)) * self._factors[0]
                key ^= key >> np.uint64(29)
            keys[band] = key
        return keys.ravel(), np.tile(ranks[possible], self.bands)


class _SharedKeys:
    """Collects (key, rank) pairs, in a Parquet file when they exceed the memory, and groups the ranks by key."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._path = folder / "keys.parquet"
        self._memory_bytes = memory_bytes
        self._parts: list[tuple[Hashes, Ranks]] = []
        self._held = 0
        self._total = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, keys: Hashes, ranks: Ranks) -> None:
        self._parts.append((keys, ranks))
        self._held += len(keys) * _KEY_BYTES
        self._total += len(keys) * _KEY_BYTES
        if self._held > self._memory_bytes:
            self._flush()

    def groups(self) -> tuple[Ranks, Counts]:
        """Pairs (rank, group) of all keys that more than one document has, ascending in both."""
        if self._writer is not None:
            self._flush()
            self._writer.close()
        # Sorting takes four times the space of what is sorted.
        passes = max(1, ceil(4 * self._total / max(self._memory_bytes, 1))) if self._writer is not None else 1
        all_ranks, all_groups, number = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
        for turn in range(passes):
            keys, ranks = self._of_turn(turn, passes)
            ranks, groups = _grouped(keys, ranks)
            all_ranks.append(ranks)
            all_groups.append(groups + number)
            number += int(groups.max()) + 1 if len(groups) else 0
        ranks, groups = np.concatenate(all_ranks), np.concatenate(all_groups)
        by_rank = np.lexsort((groups, ranks))
        return ranks[by_rank], groups[by_rank]

    def _flush(self) -> None:
        table = pa.table(
            {
                "key": np.concatenate([k for k, _ in self._parts] or [np.empty(0, np.uint64)]),
                "rank": np.concatenate([r for _, r in self._parts] or [np.empty(0, np.int64)]),
            }
        )
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path, table.schema, compression="none", use_dictionary=False
            )
        self._writer.write_table(table)
        self._parts.clear()
        self._held = 0

    def _of_turn(self, turn: int, turns: int) -> tuple[Hashes, Ranks]:
        """The pairs whose key falls to this of several turns."""
        parts = [
            (keys[mine], ranks[mine])
            for keys, ranks in self._read()
            for mine in [keys % np.uint64(turns) == turn]
        ]
        parts.append((np.empty(0, np.uint64), np.empty(0, np.int64)))
        return np.concatenate([keys for keys, _ in parts]), np.concatenate([ranks for _, ranks in parts])

    def _read(self) -> Iterator[tuple[Hashes, Ranks]]:
        if self._writer is None:
            yield from self._parts
            return
        with pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(batch_size=1 << 20):
                yield batch.column("key").to_numpy(), batch.column("rank").to_numpy()


def _grouped(keys: Hashes, ranks: Ranks) -> tuple[Ranks, Counts]:
    """The ranks whose key is not alone, and the number of their group."""
    order = np.argsort(keys)
    keys, ranks = keys[order], ranks[order]
    firsts = (
        np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        if len(keys)
        else np.empty(0, np.int64)
    )
    sizes = np.diff(firsts, append=len(keys))
    several = sizes > 1
    groups = np.repeat(np.arange(np.count_nonzero(several)), sizes[several])
    return ranks[np.repeat(several, sizes)], groups


def _first_kept(
    store: ShingleStore,
    order: Counts,
    forms: Counts,
    shared: tuple[Ranks, Counts],
    threshold: float,
    search: Search,
) -> dict[int, Verdict]:
    """Go through all documents that share a key or a form, in rank order, keeping those that repeat no kept one."""
    ranks, groups = shared
    kept = _KeptByGroup(groups)
    sizes = store.sizes[order]
    occurrences = np.bincount(forms) if len(forms) else forms
    with_form = np.flatnonzero(occurrences[forms] > 1) if len(forms) else forms
    concerned = np.union1d(ranks, with_form)
    group_starts = np.searchsorted(ranks, concerned).tolist()
    group_ends = np.searchsorted(ranks, concerned, side="right").tolist()
    kept_of_form: dict[int, int] = {}
    verdicts: dict[int, Verdict] = {}
    for rank, start, end in zip(concerned.tolist(), group_starts, group_ends, strict=True):
        document, form, own_groups = int(order[rank]), int(forms[rank]), groups[start:end]
        same = kept_of_form.get(form)
        others = kept.sharing(own_groups)
        if same is not None:
            others = others[others < same]
        size = sizes[rank]
        other_sizes = sizes[others]
        others = others[np.minimum(other_sizes, size) / np.maximum(other_sizes, size) >= threshold]
        search.candidates += len(others)
        verdict = None if same is None else Verdict(int(order[same]), 1.0, same_form=True)
        if len(others):
            own = store.get(document)
            for other in order[others].tolist():
                search.compared += 1
                similarity = jaccard(own, store.get(other))
                if similarity >= threshold:
                    verdict = Verdict(other, similarity, same_form=False)
                    break
        if verdict is None:
            kept.add(rank, own_groups)
            kept_of_form[form] = rank
        else:
            verdicts[document] = verdict
    return verdicts


class _KeptByGroup:
    """Which kept documents share which keys, in one array: a dict of lists takes ten times the space."""

    def __init__(self, groups: Counts) -> None:
        sizes = np.bincount(groups) if len(groups) else np.empty(0, np.int64)
        self._starts = np.cumsum(sizes) - sizes
        self._filled = np.zeros(len(sizes), np.int64)
        self._ranks = np.empty(len(groups), np.int64)

    def add(self, rank: int, groups: Counts) -> None:
        self._ranks[self._starts[groups] + self._filled[groups]] = rank
        self._filled[groups] += 1

    def sharing(self, groups: Counts) -> Ranks:
        """The kept documents of these groups, ascending."""
        filled = self._filled[groups]
        total = int(filled.sum())
        if not total:
            return self._ranks[:0]
        before = np.cumsum(filled) - filled
        places = np.arange(total) + np.repeat(self._starts[groups] - before, filled)
        return np.unique(self._ranks[places])
