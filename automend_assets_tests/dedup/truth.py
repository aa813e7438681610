"""What a repetition is, said as plainly as possible: every text compared with every kept one, in Python sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from automend_assets.dedup.normalise import normalised


class Removal(NamedTuple):
    removed: int
    kept: int
    similarity: float
    level: str


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    if len(words) < 5:
        return {tuple(words)} if words else set()
    return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}


def similarity(left: str, right: str) -> float:
    one, other = shingles(left), shingles(right)
    return len(one & other) / len(one | other) if one | other else 0.0


def removals(
    texts: Sequence[str | None],
    threshold: float,
    language: str | None = None,
    order: Sequence[int] | None = None,
) -> list[Removal]:
    """By row number; `order` has the row numbers in provenance order."""
    sets = [shingles(text or "") for text in texts]
    forms = normalised(pl.Series([text or "" for text in texts], dtype=pl.String), language)
    kept: list[int] = []
    found = []
    for row in range(len(texts)) if order is None else order:
        if texts[row] is None:
            continue
        removal = next(
            (
                Removal(row, other, similar, level)
                for other in kept
                for level, similar in [_alike(texts, sets, forms, row, other)]
                if level != "near" or similar >= threshold
            ),
            None,
        )
        if removal is None:
            kept.append(row)
        else:
            found.append(removal)
    return sorted(found)


def _alike(
    texts: Sequence[str | None], sets: list[set[tuple[str, ...]]], forms: list[bytes], row: int, other: int
) -> tuple[str, float]:
    if texts[row] == texts[other]:
        return "exact", 1.0
    if forms[row] == forms[other]:
        return "normalised", 1.0
    either = sets[row] | sets[other]
    return "near", len(sets[row] & sets[other]) / len(either) if either else 0.0
