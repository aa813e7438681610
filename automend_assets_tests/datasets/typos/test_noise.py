"""The noise model: each kind does what its name says, pairs depend on the seed and nothing else."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from rapidfuzz.distance import OSA

from automend_assets.datasets.typos.noise import KINDS, Noise, noisy_pairs
from automend_assets.datasets.typos.texts import MODEL, Entry, normalised

CASES = [
    ("keyboard", "civic", {"xivic", "civuc", "cicvic"}, {"pivic", "cvic"}),
    ("omission", "cx-30", {"cx30", "x-30"}, {"cx-301"}),
    ("doubling", "city", {"ciity", "cityy"}, {"cit"}),
    ("transposition", "toyota", {"toyoat", "otyota"}, {"tooyta a"}),
    ("phonetic", "axia", {"aksia"}, {"asia"}),
    ("ocr", "ram", {"rarn"}, {"ran"}),
]


@pytest.mark.parametrize(("kind", "text", "made", "never"), CASES)
def test_a_kind_makes_its_errors_and_no_others(kind: str, text: str, made: set[str], never: set[str]) -> None:
    noise = Noise(shares={kind: 1.0}, second=0)
    rng = random.Random(1)  # noqa: S311
    typos = {noise.typo(text, rng) for _ in range(2000)}
    assert made <= typos
    assert not never & typos
    assert text not in typos


def test_a_single_error_is_one_edit_or_a_respelling(names: list[Entry]) -> None:
    noise = Noise(shares=dict.fromkeys(("keyboard", "omission", "doubling", "transposition"), 1.0), second=0)
    for pair in noisy_pairs(names, 3, 1, noise):
        assert OSA.distance(pair.typo, normalised(pair.corrected)) == 1


def test_the_shares_are_those_of_the_mixture() -> None:
    noise = Noise(shares={"omission": 0.25, "doubling": 0.75}, second=0)
    rng = random.Random(3)  # noqa: S311
    lengths = Counter(len(noise.typo("mustang", rng)) for _ in range(4000))
    assert lengths[6] / 4000 == pytest.approx(0.25, abs=0.03)
    assert lengths[8] / 4000 == pytest.approx(0.75, abs=0.03)
    assert set(KINDS) == set(Noise().shares)


def test_pairs_depend_on_the_seed_and_not_on_the_order(names: list[Entry]) -> None:
    pairs = noisy_pairs(names, 2, 7)
    assert pairs == noisy_pairs(names, 2, 7)
    assert sorted(pairs) == sorted(noisy_pairs(names[::-1], 2, 7))
    assert pairs != noisy_pairs(names, 2, 8)


def test_no_typo_is_empty_or_a_known_name(real_names: list[Entry]) -> None:
    some = real_names[::20]
    pairs = noisy_pairs(some, 2, 1, known=real_names)
    known = {(entry.domain, normalised(entry.text)) for entry in real_names}
    assert len(pairs) > 1.9 * len(some)
    assert not [pair for pair in pairs if not pair.typo or (pair.domain, pair.typo) in known]


def test_a_name_whose_every_typo_is_a_name_gets_no_pair() -> None:
    every = [Entry(char, MODEL) for char in "0123456789abcdefghijklmnopqrstuvwxyz-.,/;[ "]
    noise = Noise(shares={"keyboard": 1.0}, second=0)
    assert all(len(pair.typo) == 2 for pair in noisy_pairs(every, 5, 1, noise))


def test_a_name_that_offers_no_error_gets_no_pair() -> None:
    noise = Noise(shares={"omission": 1.0})
    assert noisy_pairs([Entry("C", MODEL), Entry(" ", MODEL)], 2, 1, noise) == []
    assert noise.typo("C", random.Random(1)) == "c"  # noqa: S311
