"""A row is removed exactly when the plain truth says so, however the work is cut."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from automend_assets.dedup.deduplicate import Deduplication, NotDeduplicable, deduplicate
from automend_assets.dedup.normalise import UnknownLanguage
from automend_assets_tests.dedup import truth

# The machine may be busy with other things.
UNHURRIED = [HealthCheck.too_slow]
WORDS = ["a", "bc", "def", "longer_than_eight", "é", "数据", "x" * 70, "0"]


@st.composite
def corpora(draw: Any) -> list[str | None]:
    """Texts of which many are edited copies of others: chains, not only pairs."""
    texts: list[str | None] = []
    for _ in range(draw(st.integers(0, 14))):
        originals = [text for text in texts if text is not None]
        if originals and draw(st.integers(0, 3)):
            words = draw(st.sampled_from(originals)).split(" ")
            for _ in range(draw(st.integers(0, 2))):
                place = draw(st.integers(0, len(words)))
                words[place : place + draw(st.integers(0, 1))] = [draw(st.sampled_from(WORDS))]
            texts.append(draw(st.sampled_from([" ", "  ", "\n", "-", " # "])).join(words))
        elif draw(st.integers(0, 9)):
            texts.append(" ".join(draw(st.lists(st.sampled_from(WORDS), max_size=40))))
        else:
            texts.append(draw(st.sampled_from([None, "", " ", "...", ". ..", "\ufeff", "\x00"])))
    return texts


def removals(result: Deduplication) -> list[truth.Removal]:
    return [truth.Removal(*row) for row in result.removed.iter_rows()]


@settings(max_examples=150, deadline=None, suppress_health_check=UNHURRIED)
@given(
    texts=corpora(),
    threshold=st.sampled_from([0.3, 0.5, 0.7, 0.85, 1.0]),
    language=st.sampled_from([None, "python"]),
    cut=st.fixed_dictionaries(
        {
            "block_bytes": st.sampled_from([1, 60, 1 << 20]),
            "workers": st.sampled_from([1, 3]),
            "memory_bytes": st.sampled_from([1 << 12, 1 << 15, 1 << 24]),
        }
    ),
)
def test_the_rows_removed_are_those_of_the_plain_truth(
    texts: list[str | None], threshold: float, language: str | None, cut: dict[str, Any]
) -> None:
    frame = pl.DataFrame({"text": texts}, schema={"text": pl.String}).lazy()
    result = deduplicate(frame, "text", threshold=threshold, language=language, **cut)
    expected = truth.removals(texts, threshold, language)
    assert removals(result) == expected
    gone = {removal.removed for removal in expected}
    assert result.kept.collect()["text"].to_list() == [t for row, t in enumerate(texts) if row not in gone]
    assert result.rows == len(texts)


@settings(max_examples=50, deadline=None, suppress_health_check=UNHURRIED)
@given(texts=corpora(), data=st.data())
@example(texts=["a b c d e f", "a b c d e f"], data=None)
def test_the_order_of_provenance_decides_who_is_kept(texts: list[str | None], data: Any) -> None:
    places = (
        data.draw(st.lists(st.integers(0, 3) | st.none(), min_size=len(texts), max_size=len(texts)))
        if data
        else [1, 0]
    )
    frame = pl.DataFrame({"text": texts, "place": places}, schema={"text": pl.String, "place": pl.Int64})
    order = sorted(range(len(texts)), key=lambda row: (places[row] is None, places[row] or 0))
    result = deduplicate(frame.lazy(), "text", order=["place"], threshold=0.5)
    assert removals(result) == truth.removals(texts, 0.5, order=order)


def test_a_chain_is_not_removed_for_its_likeness_to_what_is_gone() -> None:
    words = [f"w{number}" for number in range(104)]
    first, second, third = (" ".join(words[start : start + 100]) for start in (0, 2, 4))
    threshold = truth.similarity(first, second)
    assert truth.similarity(first, third) < threshold
    result = deduplicate(pl.LazyFrame({"text": [first, second, third]}), "text", threshold=threshold)
    assert removals(result) == [truth.Removal(1, 0, threshold, "near")]


def test_levels_and_keys_are_recorded() -> None:
    text = "def f(x): return x + 1  # " + " ".join(f"word{n}" for n in range(90))
    texts = [
        text,
        text,
        text.replace(" ", "  "),
        text.replace("+ 1", "+ 2"),
        "def f(x): return x+1",
        "other words only here now",
    ]
    frame = pl.LazyFrame({"id": list("ABCDEF"), "text": texts})
    result = deduplicate(frame, "text", key="id", language="python")
    assert result.removed.select("removed", "kept", "level").rows() == [
        ("B", "A", "exact"),
        ("C", "A", "normalised"),
        ("D", "A", "near"),
        ("E", "A", "normalised"),
    ]
    assert result.removed["similarity"].to_list() == [1.0, 1.0, truth.similarity(texts[0], texts[3]), 1.0]
    assert result.removed_by_level == {"exact": 1, "normalised": 2, "near": 1}
    assert result.kept.collect()["id"].to_list() == ["A", "F"]


@settings(max_examples=60, deadline=None, suppress_health_check=UNHURRIED)
@given(texts=corpora(), threshold=st.sampled_from([0.5, 0.7, 0.85, 1.0]))
def test_minhash_gives_the_answer_of_the_exact_join(texts: list[str | None], threshold: float) -> None:
    frame = pl.DataFrame({"text": texts}, schema={"text": pl.String}).lazy()
    by_bands = deduplicate(frame, "text", threshold=threshold, exact_documents=0)
    assert removals(by_bands) == truth.removals(texts, threshold)


def test_minhash_finds_every_pair_at_the_threshold() -> None:
    texts = []
    for pair in range(1_000):
        words = [f"p{pair}w{word}" for word in range(204)]
        texts += [" ".join(words), " ".join([*words[:-16], *(f"{word}x" for word in words[-16:])])]
    assert 0.85 <= truth.similarity(*texts[:2]) < 0.852
    result = deduplicate(pl.LazyFrame({"text": texts}), "text", threshold=0.85, exact_documents=0)
    assert result.removed.select("removed", "kept").rows() == [(row, row - 1) for row in range(1, 2_000, 2)]


def test_what_cannot_be_worked_with_is_named() -> None:
    frame = pl.LazyFrame({"text": ["a"], "number": [1]})
    with pytest.raises(NotDeduplicable, match=r"No column 'body': the frame has 'text', 'number'"):
        deduplicate(frame, "body")
    with pytest.raises(NotDeduplicable, match="'number' is Int64, not String"):
        deduplicate(frame, "number")
    for threshold in (0.0, 1.01, float("nan")):
        with pytest.raises(NotDeduplicable, match="Threshold"):
            deduplicate(frame, "text", threshold=threshold)
    with pytest.raises(NotDeduplicable, match="Memory of 100 bytes: give at least 4,096"):
        deduplicate(frame, "text", memory_bytes=100)
    with pytest.raises(UnknownLanguage, match="python, java, cpp, javascript"):
        deduplicate(frame, "text", language="cobol")
