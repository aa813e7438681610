"""What a version is compared with, on the same pairs: the model in use, the base, and edit distance.

What belongs here: which ways are measured on what. What does not: the figures themselves (`evaluation.py`), and how
they are shown (`report.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import numpy as np

from automend_assets.datasets.typos.edit_distance import EditDistance
from automend_assets.datasets.typos.evaluation import Found, Ranker, difference, find_all, measure
from automend_assets.datasets.typos.lookup import EMBEDDING_ALONE, Encode, Lookup, Scores
from automend_assets.datasets.typos.texts import DOMAINS, Entry, Pair, normalised

MOST_TESTED = 2_000
"""Pairs of one test that are measured; of more, the seed draws corrections and takes all pairs of each."""


@dataclass(frozen=True)
class Contender:
    """A model that is measured: its version, how it embeds, and the corrections that it knows.

    A base knows no corrections of its own: it gets the new model's, so that the two differ in the training only.
    """

    name: str
    encode: Encode
    entries: Sequence[Entry]


def evaluate_models(
    *,
    new: Contender,
    base: Contender,
    in_use: Contender | None,
    tests: Mapping[str, Sequence[Pair]],
    candidates: Sequence[Entry],
    seed: int,
) -> dict[str, Any]:
    """Measure all ways on each test and on all of them together, as plain JSON values.

    `differences` are new less in use in recall@1 with 95 % intervals, on all pairs and by domain: `embedding` on the
    same candidates (None where nothing is in use), `serving` with what each knows (nothing in use finds nothing).
    Nothing depends on the clock: the same models, tests and seed give the same values.
    """
    drawn = {name: _drawn(pairs, seed) for name, pairs in tests.items()}
    together = [pair for pairs in drawn.values() for pair in pairs]
    rankers: dict[str, Ranker] = {"edit_distance": EditDistance(candidates)}
    for role, contender in (("new", new), ("in_use", in_use), ("base", base)):
        if contender is not None:
            encode = _remembering(contender.encode)
            rankers[f"{role}_serving"] = Lookup(contender.entries, encode)
            rankers[f"{role}_embedding"] = Lookup(candidates, encode, EMBEDDING_ALONE)
    found = {way: find_all(ranker, together) for way, ranker in rankers.items()}
    nothing = Found(tuple(together), np.zeros(len(together), np.int64), np.zeros(len(together), np.int64))
    parts = {**_places(drawn), "all": range(len(together))}
    return {
        "version": new.name,
        "against": in_use.name if in_use else None,
        "candidates": len(candidates),
        "seed": seed,
        "tests": {
            name: {
                "pairs": len(places),
                "of": len(tests[name]) if name in tests else sum(map(len, tests.values())),
                "sha256": _sha256([together[place] for place in places]),
                "ways": {way: measure(_part(one, places), seed=seed) for way, one in found.items()}
                if len(places)
                else {},
            }
            for name, places in parts.items()
        },
        "differences": {
            "embedding": _differences(found["new_embedding"], found["in_use_embedding"], seed)
            if in_use
            else None,
            "serving": _differences(found["new_serving"], found.get("in_use_serving", nothing), seed),
        },
    }


def evaluate_pairs(
    pairs: Sequence[Pair], candidates: Sequence[Entry], encode: Encode, *, seed: int
) -> dict[str, Any]:
    """Measure one model on pairs and candidates: `in_use` (alone), `serving` (re-ranked) and `edit_distance`."""
    once = _remembering(encode)
    ways: dict[str, Ranker] = {
        "in_use": Lookup(candidates, once, EMBEDDING_ALONE),
        "serving": Lookup(candidates, once),
        "edit_distance": EditDistance(candidates),
    }
    return {name: measure(find_all(way, pairs), seed=seed) for name, way in ways.items()}


def _remembering(encode: Encode) -> Encode:
    """Embeds each text once, for several ways look the same ones up."""
    known: dict[str, Scores] = {}

    def remembered(texts: Sequence[str]) -> Scores:
        unknown = [text for text in dict.fromkeys(texts) if text not in known]
        if unknown:
            known.update(zip(unknown, encode(unknown), strict=True))
        return np.stack([known[text] for text in texts])

    return remembered


def _drawn(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """All pairs, or MOST_TESTED of them: one correction after the other in an order that the seed decides."""
    if len(pairs) <= MOST_TESTED:
        return list(pairs)

    def order(pair: Pair) -> tuple[bytes, bytes]:
        correction = (pair.domain, normalised(pair.corrected))
        return _digest(seed, *correction), _digest(seed, *correction, normalised(pair.typo))

    return sorted(pairs, key=order)[:MOST_TESTED]


def _digest(seed: int, *texts: str) -> bytes:
    return blake2b("\0".join((str(seed), *texts)).encode(), digest_size=8).digest()


def _places(drawn: Mapping[str, Sequence[Pair]]) -> dict[str, Sequence[int]]:
    places: dict[str, Sequence[int]] = {}
    start = 0
    for name, pairs in drawn.items():
        places[name] = range(start, start + len(pairs))
        start += len(pairs)
    return places


def _part(found: Found, places: Sequence[int]) -> Found:
    at = np.asarray(places, np.int64)
    return Found(tuple(found.pairs[place] for place in places), found.before[at], found.level[at])


def _differences(new: Found, old: Found, seed: int) -> dict[str, list[float]]:
    if not new.pairs:
        return {}
    domains = [domain for domain in DOMAINS if any(pair.domain == domain for pair in new.pairs)]
    return {
        "all": list(difference(new, old, seed=seed)),
        **{domain: list(difference(new, old, seed=seed, domain=domain)) for domain in domains},
    }


def _sha256(pairs: Sequence[Pair]) -> str:
    return sha256("\n".join("\t".join(pair) for pair in pairs).encode()).hexdigest()
