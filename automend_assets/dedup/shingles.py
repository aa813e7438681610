"""Words of texts and the sets of hashed word 5-grams (shingles) that near-duplicates are measured by.

What belongs here: what a word and a shingle are, how they are hashed, and the Jaccard similarity of two sets.
What does not: which documents are compared (`near.py`), where sets are kept (`shingle_store.py`).

A word is what Python's `re` matches with `\\w+`. A text of 1 to 4 words has one shingle, all its words; a text
without words has none. The set of a text is the same whatever texts are hashed with it, in every process and on
every machine: nothing depends on a seed or on a library's hash function. Two different shingles share a 64-bit
hash once in 10^19 pairs.

All work is done on arrays of bytes and of words: a loop over words in Python is 10 to 20 times slower.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

SHINGLE_WORDS = 5

Hashes = NDArray[np.uint64]
Counts = NDArray[np.int64]

_LOADED_BYTES = 8
# Longer words are rare in text, but one can be as long as its document: these are hashed one by one.
_LONGEST_LOADED = 64
_PADDING = 2 * _LOADED_BYTES
_SEPARATOR = 10

# Odd constants: 2^64 over the golden ratio, and those of splitmix64 and murmur3 (public domain).
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_NEXT_CHUNK = np.uint64(0xFF51AFD7ED558CCD)
_NEXT_WORD = np.uint64(0xC4CEB9FE1A85EC53)


class ShingleBlock(NamedTuple):
    """The sets of some texts, one after the other: `values` ascend and differ within a text, `sizes` per text."""

    values: Hashes
    sizes: Counts


def shingle_sets(texts: pl.Series) -> ShingleBlock:
    """The shingle set of every text of a String series without nulls, in its order."""
    sizes = np.zeros(len(texts), np.int64)
    if not len(texts):
        return ShingleBlock(np.empty(0, np.uint64), sizes)
    buffer, starts = joined_bytes(texts)
    word_starts, word_ends = _words(buffer)
    words = _word_hashes(buffer, word_starts, word_ends)
    first_words = np.searchsorted(word_starts, starts)
    word_counts = np.diff(first_words, append=len(words))
    shingles, multiplicity = _shingles(words, first_words, word_counts)
    ends = np.cumsum(multiplicity)
    for start, end in zip((ends - multiplicity).tolist(), ends.tolist(), strict=True):
        shingles[start:end].sort()
    different = np.ones(len(shingles), np.bool_)
    np.not_equal(shingles[1:], shingles[:-1], out=different[1:])
    different[(ends - multiplicity)[multiplicity > 0]] = True
    return ShingleBlock(shingles[different], segment_sums(different, multiplicity))


def jaccard(left: Hashes, right: Hashes) -> float:
    """The Jaccard similarity of two sets, each without repetition; 0.0 when both are empty."""
    both = np.concatenate((left, right))
    both.sort()
    common = int(np.count_nonzero(both[1:] == both[:-1]))
    return common / (len(both) - common) if len(both) else 0.0


def segment_sums(flags: NDArray[np.bool_], sizes: Counts) -> Counts:
    """How many of the `flags` are set in each of the segments that follow each other with these `sizes`."""
    running = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=running[1:])
    ends = np.cumsum(sizes)
    sums: Counts = running[ends] - running[ends - sizes]
    return sums


def joined_bytes(texts: pl.Series) -> tuple[NDArray[np.uint8], Counts]:
    """UTF-8 of all texts with a line feed before and after each, zeros at the end, and where each text starts."""
    sizes = texts.str.len_bytes().to_numpy().astype(np.int64)
    data = texts.str.join("\n").to_arrow()[0].as_buffer()
    size = int(sizes.sum()) + len(sizes) + 1
    buffer = np.zeros((size // _LOADED_BYTES + 1) * _LOADED_BYTES + _PADDING, np.uint8)
    if data is not None:
        buffer[1 : size - 1] = np.frombuffer(data, np.uint8)
    buffer[0] = buffer[size - 1] = _SEPARATOR
    return buffer, np.cumsum(sizes + 1) - sizes


def word_bytes(buffer: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which bytes of UTF-8 text, ended by at least three zeros, belong to characters of words."""
    letters = ((buffer | 32) - 97) < 26
    inside: NDArray[np.bool_] = letters | ((buffer - 48) < 10) | (buffer == 95)
    if buffer.max() >= 0x80:
        _mark_beyond_ascii(buffer, inside)
    return inside


def _mark_beyond_ascii(buffer: NDArray[np.uint8], inside: NDArray[np.bool_]) -> None:
    leads = np.flatnonzero(buffer >= 0xC0)
    lead = buffer[leads].astype(np.int32)
    second, third, fourth = (buffer[leads + offset].astype(np.int32) & 0x3F for offset in (1, 2, 3))
    two, three = (lead & 0x1F) << 6 | second, (lead & 0x0F) << 12 | second << 6 | third
    four = (lead & 0x07) << 18 | second << 12 | third << 6 | fourth
    characters = np.where(lead < 0xE0, two, np.where(lead < 0xF0, three, four))
    distinct, place = np.unique(characters, return_inverse=True)
    in_word = np.array([chr(character).isalnum() for character in distinct.tolist()])[place]
    leads, lead = leads[in_word], lead[in_word]
    inside[leads] = inside[leads + 1] = True
    inside[leads[lead >= 0xE0] + 2] = True
    inside[leads[lead >= 0xF0] + 3] = True


def _words(buffer: NDArray[np.uint8]) -> tuple[Counts, Counts]:
    inside = word_bytes(buffer)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    return edges[0::2], edges[1::2]


def _word_hashes(buffer: NDArray[np.uint8], starts: Counts, ends: Counts) -> Hashes:
    sizes = ends - starts
    chunks = buffer.view("<u8")
    hashes = mixed(_load(chunks, starts, sizes))
    longer = np.flatnonzero(sizes > _LOADED_BYTES)
    for done in range(_LOADED_BYTES, _LONGEST_LOADED, _LOADED_BYTES):
        if not len(longer):
            return hashes
        chunk = _load(chunks, starts[longer] + done, sizes[longer] - done)
        hashes[longer] = mixed((hashes[longer] + GOLDEN) * _NEXT_CHUNK + chunk)
        longer = longer[sizes[longer] > done + _LOADED_BYTES]
    for word in longer.tolist():
        digest = blake2b(buffer[starts[word] : ends[word]].data, digest_size=8).digest()
        hashes[word] = int.from_bytes(digest, "little")
    return hashes


def _load(chunks: Hashes, positions: Counts, sizes: Counts) -> Hashes:
    """Up to 8 bytes from each position. No byte of a word is zero, so what a shorter word leaves is unambiguous."""
    aligned = positions >> 3
    shift = ((positions & 7) << 3).astype(np.uint64)
    loaded: Hashes = chunks[aligned] >> shift | chunks[aligned + 1] << np.uint64(1) << (np.uint64(63) - shift)
    missing = ((_LOADED_BYTES - np.minimum(sizes, _LOADED_BYTES)) << 3).astype(np.uint64)
    loaded <<= missing
    return loaded


def mixed(hashes: Hashes) -> Hashes:
    """The finaliser of splitmix64: a bijection, so that words of up to 8 bytes never collide."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX_1
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX_2
    return hashes ^ (hashes >> np.uint64(31))


def _shingles(words: Hashes, first_words: Counts, word_counts: Counts) -> tuple[Hashes, Counts]:
    """Shingles of all texts in order, repetitions included, and how many each text has."""
    padded = np.concatenate((words, np.zeros(SHINGLE_WORDS, np.uint64)))
    rolled = padded[: len(words)].copy()
    for offset in range(1, SHINGLE_WORDS):
        rolled *= _NEXT_WORD
        rolled += padded[offset : len(words) + offset]
    starts_one = np.ones(len(words), np.bool_)
    last_words = first_words + word_counts
    for back in range(1, SHINGLE_WORDS):
        starts_one[(last_words - back)[word_counts >= back]] = False
    for count in range(1, SHINGLE_WORDS):
        short = first_words[word_counts == count]
        whole = np.full(len(short), count, np.uint64) * GOLDEN
        for offset in range(count):
            whole = whole * _NEXT_WORD + words[short + offset]
        rolled[short] = whole
        starts_one[short] = True
    per_text = np.where(
        word_counts < SHINGLE_WORDS, np.minimum(word_counts, 1), word_counts - SHINGLE_WORDS + 1
    )
    return mixed(rolled[starts_one]), per_text
