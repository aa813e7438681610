"""What a version's model is trained and tested on: the pairs of all versions so far, newer ones counting more.

What belongs here: putting versions together, what contradicts and repeats across them, weights. What does not: which
row of one version is good (`interactions.py`), which pair is for training and which for a test (`split.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from automend_assets.datasets.typos.interactions import contradictory
from automend_assets.datasets.typos.split import Split, split
from automend_assets.datasets.typos.texts import Entry, Pair, distinct_entries, normalised

LEAST_WEIGHT = 0.1


@dataclass(frozen=True)
class TrainingSet:
    """The pairs of all versions, each once, with a weight for each that is trained on and every correction known.

    Rows of all versions = pairs of the split + `contradictory` + `repeated`.
    """

    split: Split
    weights: list[float]
    entries: list[Entry]
    contradictory: int
    repeated: int


def training_set(
    frames: Sequence[tuple[int, pl.DataFrame]], *, half_life: float, split_seed: int
) -> TrainingSet:
    """Put the training pairs of versions together; `frames` are their ages, in versions, and the pairs of each.

    A correction that most rows of all versions contradict goes. Of pairs that say the same the newest stays, with
    weight 0.5 ** (age / half_life), and 0.1 at least.
    """
    frames = sorted(frames, key=lambda one: -one[0])
    rows = pl.concat(
        [
            frame.select("typo", "corrected", "domain").with_columns(age=pl.lit(age, pl.Int64))
            for age, frame in frames
        ]
    )
    against = contradictory(rows)
    kept = rows.filter(~against)
    texts = pl.concat([kept["typo"], kept["corrected"]]).unique()
    forms = pl.Series([normalised(text) for text in texts], dtype=pl.String)
    said = [
        pl.col(name).replace_strict(texts, forms, return_dtype=pl.String).alias(f"said_{name}")
        for name in ("typo", "corrected")
    ]
    distinct = (
        kept.with_columns(*said)
        .group_by("said_typo", "said_corrected", "domain", maintain_order=True)
        .agg(
            pl.col("typo", "corrected").last(),
            pl.col("age").last(),
        )
    )
    pairs = [Pair(*row) for row in distinct.select("typo", "corrected", "domain").rows()]
    ages = dict(zip(pairs, distinct["age"].to_list(), strict=True))
    divided = split(pairs, seed=split_seed)
    return TrainingSet(
        split=divided,
        weights=[max(LEAST_WEIGHT, 0.5 ** (ages[pair] / half_life)) for pair in divided.training],
        entries=distinct_entries(pair.entry for pair in pairs),
        contradictory=int(against.sum()),
        repeated=kept.height - distinct.height,
    )
