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
3. *Jaccard* on the whole sets of those documents that share a key, whose sizes allow it and whose signatures do: 1,024
   bits, each telling whether an odd number of the shingles falls to it, differ in no more bits than the sets do.

What belongs here: candidates and verdicts by document number. What does not: rows, texts, keys of the caller
(`deduplicate.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from automend_assets.dedup.shingle_store import ShingleStore
from automend_assets.dedup.shingles import GOLDEN, Counts, Hashes, ShingleBlock, jaccard, mixed, segment_sums
from automend_assets.dedup.spill import SpillingRows

#: Up to so many documents candidates are found by the exact prefix filter.
EXACT_DOCUMENTS = 100_000

_MISSED_AT_THRESHOLD = 1e-6
_MOST_PERMUTATIONS = 128
_LEAST_TABLE_BITS, _MOST_TABLE_BITS = 16, 30
_COUNTERS_PER_SHINGLE = 8
_MOST_COUNTED = 255
_RANK_SHIFT, _GROUP_MASK = np.uint64(32), np.uint64(0xFFFFFFFF)
_SIGNATURE_BITS = 1 << 10
_SIGNATURE_SHIFT = np.uint64(54)

Ranks = NDArray[np.int64]


class Verdict(NamedTuple):
    """Why a document is not kept: the number of the kept one, and how similar the two are."""

    kept: int
    similarity: float
    same_form: bool


def find_repeats(
    store: ShingleStore,
    order: Counts,
    forms: Counts,
    *,
    threshold: float,
    folder: Path,
    memory_bytes: int,
    exact_documents: int = EXACT_DOCUMENTS,
) -> dict[int, Verdict]:
    """A verdict for every document that is not kept.

    `order`: document numbers in provenance order. `forms`: for every document a number that is the same for those
    that are equal once normalised.
    """
    rank_of = np.empty(len(order), np.int64)
    rank_of[order] = np.arange(len(order))
    rarity = _Rarity(int(store.sizes.sum()), memory_bytes // 4)
    for block in store.blocks():
        rarity.add(block.values)
    bands = None if len(order) <= exact_documents else _Bands(threshold)
    keys = SpillingRows(folder / "keys.parquet", memory_bytes // 8, np.uint64, np.uint32)
    signatures = _Signatures(len(order))
    first = 0
    for block in store.blocks():
        ranks = rank_of[first : first + len(block.sizes)]
        first += len(block.sizes)
        counted = rarity.of(block.values)
        required = least_common(block.sizes, threshold)
        possible = (segment_sums(counted > 1, block.sizes) >= required) & (block.sizes > 0)
        signatures.add(block, possible, ranks)
        if bands is None:
            keys.add(*_prefixes(block, counted, required, possible, ranks))
        else:
            keys.add(*bands.keys(block, possible, ranks))
    del rarity
    shared = _SharedKeys(keys, folder, memory_bytes // 8, len(order))
    return _first_kept(store, order, forms[order], shared, signatures, threshold)


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
    empty = np.empty(0, np.uint64)
    return np.concatenate([empty, *found]), np.repeat(ranks[possible], sizes).astype(np.uint32)


class _Bands:
    """Keys by MinHash: bands of `rows` minima, as many rows as a pair at the threshold can bear."""

    def __init__(self, threshold: float) -> None:
        self.rows = 1
        for rows in range(1, _MOST_PERMUTATIONS + 1):
            if (1 - threshold**rows) ** (_MOST_PERMUTATIONS // rows) <= _MISSED_AT_THRESHOLD:
                self.rows = rows
        self.bands = _MOST_PERMUTATIONS // self.rows
        # splitmix64 counted up, not numpy's generators: their streams may change between versions.
        stream = mixed(np.arange(2 * _MOST_PERMUTATIONS, dtype=np.uint64) * GOLDEN)
        self._factors, self._terms = stream[::2] | np.uint64(1), stream[1::2]

    def keys(self, block: ShingleBlock, possible: NDArray[np.bool_], ranks: Ranks) -> tuple[Hashes, Ranks]:
        """One key per band of each possible document."""
        if not possible.any():
            return np.empty(0, np.uint64), np.empty(0, np.uint32)
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
        return keys.ravel(), np.tile(ranks[possible].astype(np.uint32), self.bands)


class _Signatures:
    """128 bytes for every document that may have a partner, of which Jaccard similarity can be bounded from above."""

    def __init__(self, documents: int) -> None:
        self._place_of = np.zeros(documents, np.int64)
        self._parts: list[NDArray[np.uint64]] = []
        self._count = 0
        self._all: NDArray[np.uint64] | None = None

    def add(self, block: ShingleBlock, possible: NDArray[np.bool_], ranks: Ranks) -> None:
        """Sign the possible documents of a block."""
        sizes = block.sizes[possible]
        values = block.values[np.repeat(possible, block.sizes)]
        bits = np.repeat(np.arange(len(sizes)) * _SIGNATURE_BITS, sizes)
        bits += (values >> _SIGNATURE_SHIFT).astype(np.int64)
        odd = np.bincount(bits, minlength=len(sizes) * _SIGNATURE_BITS).astype(np.uint8) & 1
        self._parts.append(np.packbits(odd).view(np.uint64).reshape(len(sizes), _SIGNATURE_BITS // 64))
        self._place_of[ranks[possible]] = np.arange(self._count, self._count + len(sizes))
        self._count += len(sizes)

    def differing_bits(self, rank: int, others: Ranks) -> Counts:
        """In how many bits each of the `others` differs from `rank`: at most as many as shingles that differ."""
        if self._all is None:
            self._all = np.concatenate(self._parts)
            self._parts.clear()
        differing = self._all[self._place_of[others]] ^ self._all[self._place_of[rank]]
        bits: Counts = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
        return bits


class _SharedKeys:
    """Which documents share a key: `keys` are rows (key, rank), in any order; a key that is alone is let go.

    A shared key becomes a group number. The pairs (rank, group) are read in the order of ranks, a part at a time.
    """

    def __init__(self, keys: SpillingRows, folder: Path, memory_bytes: int, documents: int) -> None:
        keys.seal()
        self._pairs = SpillingRows(folder / "pairs.parquet", memory_bytes, np.uint64)
        self._pairs_of_rank = np.zeros(documents, np.int64)
        sizes = [np.empty(0, np.uint32)]
        number = 0
        for turn in range(keys.turns):
            mine = (
                (some[chosen], ranks[chosen])
                for some, ranks in keys.pieces()
                for chosen in [some % np.uint64(keys.turns) == turn]
            )
            ranks, group_sizes = _grouped(*keys.concatenated(mine))
            groups = np.repeat(np.arange(number, number + len(group_sizes), dtype=np.uint64), group_sizes)
            self._pairs_of_rank += np.bincount(ranks, minlength=documents)
            self._pairs.add(ranks.astype(np.uint64) << _RANK_SHIFT | groups)
            sizes.append(group_sizes.astype(np.uint32))
            number += len(group_sizes)
        self._pairs.seal()
        self.group_sizes = np.concatenate(sizes)

    def parts(self) -> Iterator[tuple[int, int, Ranks, Counts]]:
        """First rank, end, and the pairs (rank, group) of the documents between, ascending in both."""
        documents, turns = len(self._pairs_of_rank), self._pairs.turns
        running = np.cumsum(self._pairs_of_rank)
        total = int(running[-1]) if documents else 0
        ends = [
            *np.searchsorted(running, [total * turn // turns for turn in range(1, turns)]).tolist(),
            documents,
        ]
        for first, end in zip([0, *ends], ends, strict=False):
            low, high = np.uint64(first << 32), np.uint64(end << 32)
            (pairs,) = self._pairs.concatenated(
                (some[(some >= low) & (some < high)],) for (some,) in self._pairs.pieces()
            )
            pairs.sort()
            yield first, end, (pairs >> _RANK_SHIFT).astype(np.int64), (pairs & _GROUP_MASK).astype(np.int64)


def _grouped(keys: Hashes, ranks: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], Counts]:
    """The ranks whose key is not alone, group by group, and the sizes of the groups."""
    order = np.argsort(keys)
    keys, ranks = keys[order], ranks[order]
    firsts = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    sizes = np.diff(firsts, prepend=0, append=len(keys))
    several = sizes > 1
    return ranks[np.repeat(several, sizes)], sizes[several]


def _first_kept(
    store: ShingleStore,
    order: Counts,
    forms: Counts,
    shared: _SharedKeys,
    signatures: _Signatures,
    threshold: float,
) -> dict[int, Verdict]:
    """Go through all documents that share a key or a form, in rank order, keeping those that repeat no kept one."""
    kept = _KeptByGroup(shared.group_sizes)
    sizes = store.sizes[order]
    with_form = np.flatnonzero(np.bincount(forms)[forms] > 1) if len(forms) else forms
    most_different = (1 - threshold) / (1 + threshold)
    kept_of_form: dict[int, int] = {}
    verdicts: dict[int, Verdict] = {}
    for first, end, ranks, groups in shared.parts():
        concerned = np.union1d(ranks, with_form[(with_form >= first) & (with_form < end)])
        starts = np.searchsorted(ranks, concerned).tolist()
        ends = np.searchsorted(ranks, concerned, side="right").tolist()
        for rank, own_start, own_end in zip(concerned.tolist(), starts, ends, strict=True):
            document, form, own_groups = int(order[rank]), int(forms[rank]), groups[own_start:own_end]
            same = kept_of_form.get(form)
            verdict = None if same is None else Verdict(int(order[same]), 1.0, same_form=True)
            others = kept.sharing(own_groups)
            if same is not None:
                others = others[others < same]
            if len(others):
                size, other_sizes = sizes[rank], sizes[others]
                fitting = np.minimum(other_sizes, size) / np.maximum(other_sizes, size) >= threshold
                others, other_sizes = others[fitting], other_sizes[fitting]
                different = signatures.differing_bits(rank, others)
                others = others[different <= most_different * (other_sizes + size) + 1e-6]
                verdict = _first_similar(store, document, order[others].tolist(), threshold) or verdict
            if verdict is None:
                kept.add(rank, own_groups)
                kept_of_form[form] = rank
            else:
                verdicts[document] = verdict
    return verdicts


def _first_similar(store: ShingleStore, document: int, others: list[int], threshold: float) -> Verdict | None:
    own = store.get(document)
    for other in others:
        similarity = jaccard(own, store.get(other))
        if similarity >= threshold:
            return Verdict(other, similarity, same_form=False)
    return None


class _KeptByGroup:
    """Which kept documents share which keys, in one array: a dict of lists takes ten times the space."""

    def __init__(self, sizes: NDArray[np.uint32]) -> None:
        self._starts = np.cumsum(sizes, dtype=np.int64) - sizes
        self._filled = np.zeros(len(sizes), np.uint32)
        self._ranks = np.empty(int(sizes.sum(dtype=np.int64)), np.uint32)

    def add(self, rank: int, groups: Counts) -> None:
        """The document of this rank is kept and has these keys."""
        self._ranks[self._starts[groups] + self._filled[groups]] = rank
        self._filled[groups] += 1

    def sharing(self, groups: Counts) -> Ranks:
        """The kept documents of these groups, ascending."""
        filled = self._filled[groups].astype(np.int64)
        total = int(filled.sum())
        if not total:
            return np.empty(0, np.int64)
        before = np.cumsum(filled) - filled
        places = np.arange(total) + np.repeat(self._starts[groups] - before, filled)
        return np.unique(self._ranks[places]).astype(np.int64)
