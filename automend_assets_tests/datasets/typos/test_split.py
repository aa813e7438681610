"""The split: nothing of the unseen test is trained on, and a pair's place does not move."""

from __future__ import annotations

import random

from automend_assets.datasets.typos.noise import noisy_pairs
from automend_assets.datasets.typos.split import split
from automend_assets.datasets.typos.texts import Entry, Pair, normalised


def test_unseen_corrections_are_on_no_side_of_training(names: list[Entry]) -> None:
    confused = [Pair(entry.text.upper(), "Proton", "brand") for entry in names]
    pairs = [*noisy_pairs(names, 4, 1), *confused]
    parts = split(pairs, seed=1)
    unseen = {normalised(pair.corrected) for pair in parts.unseen}
    trained = {normalised(text) for pair in parts.training for text in (pair.typo, pair.corrected)}
    assert not unseen & trained
    assert parts.set_aside
    drawn = {pair for pair in parts.set_aside if normalised(pair.typo) not in unseen}
    trained_corrections = {(pair.domain, normalised(pair.corrected)) for pair in parts.training}
    assert not {(pair.domain, normalised(pair.corrected)) for pair in drawn} & trained_corrections
    assert sorted((*parts.training, *parts.seen, *parts.unseen, *parts.set_aside)) == sorted(pairs)
    assert 0.1 < len(unseen) / len({normalised(entry.text) for entry in names}) < 0.3


def test_seen_corrections_have_other_pairs_in_training(names: list[Entry]) -> None:
    pairs = noisy_pairs(names, 3, 1)
    parts = split([*pairs, *pairs[:100]], seed=1)
    trained = {(pair.domain, normalised(pair.corrected)) for pair in parts.training}
    assert parts.seen
    assert all((pair.domain, normalised(pair.corrected)) in trained for pair in parts.seen)
    assert not set(parts.seen) & set(parts.training)


def test_more_pairs_move_none_to_or_from_the_unseen_test(names: list[Entry]) -> None:
    pairs = noisy_pairs(names, 3, 1)
    few = list(pairs[:200])
    random.Random(1).shuffle(few)  # noqa: S311
    before, after = split(few, seed=1), split(pairs, seed=1)
    assert set(before.unseen) <= set(after.unseen)
    assert not set(before.training) & set(after.unseen)
    assert split(few, seed=2) != before


def test_no_pair_that_was_trained_on_is_ever_tested_whatever_comes_later(names: list[Entry]) -> None:
    pairs = noisy_pairs(names, 3, 1)
    random.Random(1).shuffle(pairs)  # noqa: S311
    every = split(pairs, seed=1)
    tested, only_one = {*every.seen, *every.unseen}, 0
    for few in (pairs[:40], pairs[:200], pairs[200:400], pairs[::3]):
        then = split(few, seed=1)
        assert not set(then.training) & tested
        only_one += len(set(then.set_aside) & set(every.seen))
    # Such pairs exist: drawn for the seen test before another pair of their correction came.
    assert only_one > 0


def test_a_pair_of_both_domains_is_not_trained_on_in_one_and_tested_in_the_other(names: list[Entry]) -> None:
    pairs = [
        pair._replace(domain=domain) for pair in noisy_pairs(names, 3, 1) for domain in ("brand", "model")
    ]
    parts = split(pairs, seed=1)
    trained = {(normalised(pair.typo), normalised(pair.corrected)) for pair in parts.training}
    assert parts.seen
    assert not {(normalised(pair.typo), normalised(pair.corrected)) for pair in parts.seen} & trained
