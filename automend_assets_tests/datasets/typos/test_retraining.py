"""The training set of several versions: what repeats, what contradicts, what counts how much, and no leak."""

from __future__ import annotations

import random
from collections.abc import Sequence

import polars as pl
import pytest

from automend_assets.datasets.typos.noise import noisy_pairs
from automend_assets.datasets.typos.retraining import LEAST_WEIGHT, TrainingSet, training_set
from automend_assets.datasets.typos.texts import Entry, Pair

SEED = 42


def frame(*pairs: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        pairs, schema={"typo": pl.String, "corrected": pl.String, "domain": pl.String}, orient="row"
    )


def put_together(*versions: Sequence[tuple[str, str, str]], half_life: float = 1.0) -> TrainingSet:
    """The training set of the last of `versions`, given from the oldest on."""
    frames = [(len(versions) - 1 - number, frame(*pairs)) for number, pairs in enumerate(versions)]
    return training_set(frames, half_life=half_life, split_seed=SEED)


def every_pair(chosen: TrainingSet) -> list[Pair]:
    parts = chosen.split
    return [*parts.training, *parts.seen, *parts.unseen, *parts.set_aside]


def weight_of(chosen: TrainingSet, typo: str) -> float:
    (weight,) = (
        weight
        for pair, weight in zip(chosen.split.training, chosen.weights, strict=True)
        if pair.typo == typo
    )
    return weight


@pytest.fixture(scope="module")
def trained(names: list[Entry]) -> list[Pair]:
    """Pairs that seed 42 draws for training."""
    pairs = noisy_pairs(names[:60], 2, 3)
    return list(put_together(pairs).split.training)


def test_a_pair_counts_less_with_every_version_but_never_nothing(trained: list[Pair]) -> None:
    old, middle, new, again = trained[:4]
    chosen = put_together([old, again], [], [], [middle], [again, new], half_life=2.0)
    assert weight_of(chosen, new.typo) == 1.0
    assert weight_of(chosen, middle.typo) == pytest.approx(0.5**0.5)
    assert weight_of(chosen, old.typo) == 0.25
    assert weight_of(chosen, again.typo) == 1.0, "what comes again is as good as new"
    assert weight_of(put_together([old], *[[]] * 40, [new]), old.typo) == LEAST_WEIGHT


def test_pairs_that_say_the_same_are_one_as_last_written(trained: list[Pair]) -> None:
    pair = trained[0]
    loud = Pair(pair.typo.upper(), f" {pair.corrected}", pair.domain)
    chosen = put_together([pair, pair], [loud])
    assert every_pair(chosen) == [loud]
    assert chosen.repeated == 2
    # A typo of one domain says nothing about the other.
    elsewhere = Pair(pair.typo, pair.corrected, "model" if pair.domain == "brand" else "brand")
    assert put_together([pair], [elsewhere]).repeated == 0


def test_versions_can_outvote_one_another(trained: list[Pair]) -> None:
    pair, other = trained[0], trained[-1]
    wrong = Pair(pair.typo, other.corrected, pair.domain)
    undecided = put_together([pair, other], [wrong])
    assert (undecided.contradictory, every_pair(undecided)) == (2, [other])
    decided = put_together([pair, other], [wrong], [pair])
    assert (decided.contradictory, decided.repeated) == (1, 1)
    assert set(every_pair(decided)) == {pair, other}


def test_every_row_is_accounted_for_and_every_correction_known(names: list[Entry]) -> None:
    rng = random.Random(7)  # noqa: S311
    pairs = noisy_pairs(names[:40], 3, 7)
    wrong = [Pair(pair.typo, rng.choice(names).text, pair.domain) for pair in rng.sample(pairs, 20)]
    rows = [*pairs, *rng.choices(pairs, k=60), *wrong]
    rng.shuffle(rows)
    chosen = put_together(rows[:50], rows[50:51], [], rows[51:])
    kept = every_pair(chosen)
    assert chosen.contradictory > 0
    assert chosen.repeated > 0
    assert len(kept) + chosen.contradictory + chosen.repeated == len(rows)
    assert len(chosen.weights) == len(chosen.split.training)
    assert {entry.domain for entry in chosen.entries} == {"brand", "model"}
    assert {pair.entry for pair in kept} == set(chosen.entries), "those kept for testing are looked up too"


def test_versions_without_a_pair_make_an_empty_set() -> None:
    chosen = put_together([], [])
    assert (every_pair(chosen), chosen.entries, chosen.weights) == ([], [], [])


def test_the_order_of_the_versions_files_makes_no_difference(names: list[Entry]) -> None:
    pairs = noisy_pairs(names[:30], 3, 7)
    frames = [(age, frame(*pairs[age::3])) for age in (2, 1, 0)]
    chosen = [
        training_set(order, half_life=8.0, split_seed=SEED) for order in (frames, list(reversed(frames)))
    ]
    assert chosen[0] == chosen[1]


def test_no_version_tests_what_an_earlier_model_was_trained_on(names: list[Entry]) -> None:
    rng = random.Random(5)  # noqa: S311
    pairs = noisy_pairs(names, 3, 5)
    pairs += [Pair(pair.typo, rng.choice(names).text, pair.domain) for pair in rng.sample(pairs, 60)]
    rng.shuffle(pairs)
    versions = [pairs[:60], pairs[60:100], pairs[100:400], pairs[400:]]
    trained: set[Pair] = set()
    moved = 0
    for number in range(1, len(versions) + 1):
        # The second version's pairs arrive late: they were not in the store when the third was trained.
        known = [found if at != 1 or number != 3 else [] for at, found in enumerate(versions[:number])]
        parts = put_together(*known).split
        assert not trained & {*parts.seen, *parts.unseen}
        moved += len(trained - set(parts.training))
        trained |= set(parts.training)
    # Contradicted later, or the typo is a correction of the unseen test by now: not trained on again, nor tested.
    assert moved > 0
