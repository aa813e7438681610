"""How often the right correction is found, by domain, with intervals; and whether one way is better than another.

What belongs here: ranks, recall, MRR, bootstrap intervals, paired differences, latency. What does not: the ways that
are measured (`lookup.py`, `edit_distance.py`) and what follows from the figures (the promotion gate).

Ties are counted as what a tie is worth: of `t` equal candidates the right one comes first with probability 1/t.
Intervals are percentiles of a bootstrap over corrections, not pairs: typos of one correction stand or fall together.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from automend_assets.datasets.typos.lookup import Lookup
from automend_assets.datasets.typos.texts import DOMAINS, Entry, Pair, normalised

RESAMPLES = 1000

Values = NDArray[np.float64]

_BLOCK = 64
_INTERVAL = (2.5, 97.5)


class Ranker(Protocol):
    """A way to look up: a score for each entry, higher is better, -inf for those of other domains."""

    entries: Sequence[Entry]

    def scores(self, texts: Sequence[str], domain: str) -> NDArray[np.float32]: ...


class Figure(NamedTuple):
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Found:
    """For each pair, how many candidates came before the right one and how many are level with it, itself included.

    `level` is 0 where the correction is not among the entries: such a pair counts as not found.
    """

    pairs: tuple[Pair, ...]
    before: NDArray[np.int64]
    level: NDArray[np.int64]

    def recall(self, k: int) -> Values:
        """For each pair, the probability that the right one is among the first `k`."""
        return np.asarray(np.clip((k - self.before) / np.maximum(self.level, 1), 0, 1) * (self.level > 0))

    def reciprocal_rank(self) -> Values:
        """For each pair, the expected reciprocal of the right one's rank."""
        harmonic = np.concatenate(
            [[0.0], np.cumsum(1 / np.arange(1, (self.before + self.level).max(initial=0) + 2))]
        )
        summed = harmonic[self.before + self.level] - harmonic[self.before]
        return np.asarray(np.where(self.level > 0, summed / np.maximum(self.level, 1), 0.0))

    def tied_first(self) -> Values:
        """For each pair, 1 where the right one shares the first place with others."""
        return np.asarray((self.before == 0) & (self.level > 1), np.float64)


def find_all(ranker: Ranker, pairs: Sequence[Pair]) -> Found:
    """Rank every pair's correction among the entries of its domain."""
    numbers = {(entry.domain, normalised(entry.text)): at for at, entry in enumerate(ranker.entries)}
    right = np.array([numbers.get((pair.domain, normalised(pair.corrected)), -1) for pair in pairs], np.int64)
    before, level = np.zeros(len(pairs), np.int64), np.zeros(len(pairs), np.int64)
    for domain in sorted({pair.domain for pair in pairs}):
        places = np.array(
            [at for at, pair in enumerate(pairs) if pair.domain == domain and right[at] >= 0], np.int64
        )
        for start in range(0, len(places), _BLOCK):
            some = places[start : start + _BLOCK]
            scores = ranker.scores([pairs[at].typo for at in some], domain)
            own = np.take_along_axis(scores, right[some][:, None], axis=1)
            before[some] = (scores > own).sum(axis=1)
            level[some] = (scores == own).sum(axis=1)
    return Found(tuple(pairs), before, level)


def measure(found: Found, *, seed: int, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Recall@1, recall@5 and MRR of all pairs and `by_domain`, with intervals, as plain JSON values."""
    every = _measured(found, np.ones(len(found.pairs), np.bool_), seed, resamples)
    domains = np.array([pair.domain for pair in found.pairs], object)
    every["by_domain"] = {
        domain: _measured(found, domains == domain, seed, resamples)
        for domain in DOMAINS
        if (domains == domain).any()
    }
    return every


def difference(
    new: Found, old: Found, *, seed: int, domain: str | None = None, resamples: int = RESAMPLES
) -> Figure:
    """Recall@1 of `new` less that of `old` on the same pairs, resampled together; NaN without pairs."""
    if new.pairs != old.pairs:
        raise ValueError("Two ways can be compared only on the same pairs in the same order.")
    chosen = np.array([domain in (None, pair.domain) for pair in new.pairs], np.bool_)
    clusters = _clusters(new.pairs, chosen)
    return _figure((new.recall(1) - old.recall(1))[chosen], clusters, seed, resamples)


def latency(lookup: Lookup, pairs: Sequence[Pair], k: int = 5) -> dict[str, float]:
    """Milliseconds that one look-up after the other takes: median and 99th percentile; look-ups per second."""
    for pair in pairs[:20]:
        lookup.find(pair.typo, pair.domain, k)
    seconds = []
    for pair in pairs:
        started = time.perf_counter()
        lookup.find(pair.typo, pair.domain, k)
        seconds.append(time.perf_counter() - started)
    median, last = np.percentile(seconds, [50, 99])
    return {
        "p50_ms": 1e3 * float(median),
        "p99_ms": 1e3 * float(last),
        "per_second": len(seconds) / sum(seconds),
    }


def _measured(found: Found, chosen: NDArray[np.bool_], seed: int, resamples: int) -> dict[str, Any]:
    clusters = _clusters(found.pairs, chosen)
    values = {"recall_at_1": found.recall(1), "recall_at_5": found.recall(5), "mrr": found.reciprocal_rank()}
    figures = {name: _figure(value[chosen], clusters, seed, resamples) for name, value in values.items()}
    return {
        "pairs": int(chosen.sum()),
        "corrections": int(clusters.max(initial=-1)) + 1,
        "unknown": int((found.level[chosen] == 0).sum()),
        "tied_first": float(found.tied_first()[chosen].mean()) if chosen.any() else 0.0,
        **{name: figure.value for name, figure in figures.items()},
        "intervals": {name: [figure.low, figure.high] for name, figure in figures.items()},
    }


def _clusters(pairs: Sequence[Pair], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    numbers: dict[tuple[str, str], int] = {}
    keys = [
        (pair.domain, normalised(pair.corrected)) for pair, taken in zip(pairs, chosen, strict=True) if taken
    ]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _figure(values: Values, clusters: NDArray[np.int64], seed: int, resamples: int) -> Figure:
    if not len(values):
        return Figure(float("nan"), float("nan"), float("nan"))
    sums, counts = np.bincount(clusters, values), np.bincount(clusters)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    for number in range(resamples):
        drawn = generator.integers(0, len(counts), len(counts))
        means[number] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.percentile(means, _INTERVAL)
    return Figure(float(values.mean()), float(low), float(high))
