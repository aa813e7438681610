"""Words are those of Python's `re`, sets are those of tuples of words, and hashes never change."""

from __future__ import annotations

import re

import polars as pl
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from automend_assets.dedup.shingles import SHINGLE_WORDS, jaccard, shingle_sets
from automend_assets_tests.dedup import truth

TEXTS = st.text(st.sampled_from("aZ09_ -.\n\t\x00\x7fé·ªßǅ中文。 \u200d\u0301٣𝟙𐍈😀")) | st.text(max_size=80)


def _sets(texts: list[str]) -> list[set[int]]:
    block = shingle_sets(pl.Series(texts, dtype=pl.String))
    values, sets = block.values.tolist(), []
    for size in block.sizes.tolist():
        sets.append(set(values[:size]))
        assert values[:size] == sorted(sets[-1])
        values = values[size:]
    assert not values
    return sets


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(TEXTS, max_size=6))
@example(texts=["", "", "word"])
@example(texts=["x" * 1_000 + " " + "x" * 1_001, "eight888 eight888! nine_nine", "a " * 10])
def test_sets_stand_for_the_word_tuples(texts: list[str]) -> None:
    sets = _sets(texts)
    expected = [truth.shingles(text) for text in texts]
    assert [len(found) for found in sets] == [len(shingles) for shingles in expected]
    hashed = {shingle for shingles in expected for shingle in shingles}
    assert len(set().union(*sets)) == len(hashed)
    for one, first in zip(sets, expected, strict=True):
        for other, second in zip(sets, expected, strict=True):
            assert len(one & other) == len(first & second)


def test_every_character_is_in_a_word_when_re_says_so() -> None:
    characters = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    block = shingle_sets(pl.Series(characters))
    assert [bool(size) for size in block.sizes] == [bool(re.match(r"\w", each)) for each in characters]


def test_the_hashes_are_the_same_for_ever() -> None:
    text = "The same five words, whatever_the_machine_or_the_release: naïve 数据 " + "long" * 30
    block = shingle_sets(pl.Series(["one", "two words", text]))
    assert [f"{value:016x}" for value in block.values.tolist()] == [
        "6cca781a2d682859",
        "180cad6989cd85cd",
        "11e5784d3c74d281",
        "6e039af4a02d87ee",
        "ce81f32bf8a8e1a3",
        "ddfad3d1ec1bc848",
    ]


def test_a_text_is_hashed_the_same_in_any_company() -> None:
    texts = ["", "a b c d e f", "short one", "数据 " * 9, "x" * 500, "a b c d e"]
    alone = [_sets([text])[0] for text in texts]
    assert _sets(texts) == alone
    assert _sets(texts[::-1]) == alone[::-1]


def test_jaccard_is_that_of_the_word_tuples() -> None:
    texts = [f"{'common ' * (SHINGLE_WORDS + 1)}{tail}" for tail in ("", "a b", "a b c d e f", "other")]
    sets = [shingle_sets(pl.Series([text])).values for text in [*texts, ""]]
    for one, first in zip(sets, [*texts, ""], strict=True):
        for other, second in zip(sets, [*texts, ""], strict=True):
            assert jaccard(one, other) == truth.similarity(first, second)
