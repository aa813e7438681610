"""Measuring: ranks, ties, intervals and differences on cases whose figures are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from automend_assets.datasets.typos.edit_distance import EditDistance
from automend_assets.datasets.typos.evaluation import Found, difference, find_all, measure
from automend_assets.datasets.typos.texts import Entry, Pair

ENTRIES = [Entry("320i", "model"), Entry("325i", "model"), Entry("M3", "model"), Entry("BMW", "brand")]


class Fixed:
    """Scores that the test decides."""

    def __init__(self, scores: Sequence[Sequence[float]]) -> None:
        self.entries = ENTRIES
        self._scores = iter(np.array(scores, np.float32))

    def scores(self, texts: Sequence[str], domain: str) -> np.ndarray:
        rows = np.array([next(self._scores) for _ in texts])
        rows[:, [entry.domain != domain for entry in self.entries]] = -np.inf
        return rows


def found(before: list[int], level: list[int], pairs: list[Pair] | None = None) -> Found:
    pairs = pairs or [Pair(f"typo {at}", f"right {at}", "model") for at in range(len(before))]
    return Found(tuple(pairs), np.array(before), np.array(level))


def test_ranks_are_among_the_domain() -> None:
    pairs = [Pair("m3x", "m3", "model"), Pair("bmm", "BMW", "brand"), Pair("x", "Unheard of", "model")]
    # Brand comes first: domains are taken in order.
    result = find_all(Fixed([[9, 9, 9, 1], [3, 2, 2, 9]]), pairs)
    assert result.before.tolist() == [1, 0, 0]
    assert result.level.tolist() == [2, 1, 0]


def test_a_tie_is_worth_its_share() -> None:
    result = found([0, 0, 1, 4, 0], [1, 4, 2, 2, 0])
    assert result.recall(1).tolist() == [1, 0.25, 0, 0, 0]
    assert result.recall(5).tolist() == [1, 1, 1, 0.5, 0]
    third = (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    assert result.reciprocal_rank() == pytest.approx([1, third, (1 / 2 + 1 / 3) / 2, (1 / 5 + 1 / 6) / 2, 0])
    assert result.tied_first().tolist() == [0, 1, 0, 0, 0]


def test_edit_distance_ties_are_no_luck() -> None:
    result = find_all(EditDistance(ENTRIES), [Pair("32i", "320i", "model"), Pair("32i", "325i", "model")])
    assert result.recall(1).tolist() == [0.5, 0.5]


def test_the_table_has_every_figure_by_domain() -> None:
    pairs = [
        Pair("a", "M3", "model"),
        Pair("b", "M3", "model"),
        Pair("c", "BMW", "brand"),
        Pair("d", "?", "model"),
    ]
    table = measure(found([0, 1, 0, 0], [1, 1, 1, 0], pairs), seed=1, resamples=50)
    assert table["recall_at_1"] == 0.5
    assert table["mrr"] == pytest.approx((1 + 0.5 + 1) / 4)
    assert (table["pairs"], table["corrections"], table["unknown"]) == (4, 3, 1)
    assert table["by_domain"]["brand"]["recall_at_1"] == 1
    assert table["by_domain"]["model"]["recall_at_1"] == pytest.approx(1 / 3)
    low, high = table["intervals"]["recall_at_1"]
    assert low <= 0.5 <= high


def test_an_interval_is_of_corrections_and_not_of_pairs() -> None:
    """Ten typos of each of 40 corrections that stand or fall together tell no more than 40 pairs do."""
    right = [at % 2 for at in range(40)]
    alone = measure(found(right, [1] * 40), seed=1)["intervals"]["recall_at_1"]
    pairs = [Pair(f"typo {number}", f"right {at}", "model") for at in range(40) for number in range(10)]
    together = measure(found([value for value in right for _ in range(10)], [1] * 400, pairs), seed=1)[
        "intervals"
    ]["recall_at_1"]
    assert together == pytest.approx(alone)
    # The normal interval of 40 draws of one half.
    assert alone == pytest.approx([0.5 - 1.96 * 0.5 / 40**0.5, 0.5 + 1.96 * 0.5 / 40**0.5], abs=0.03)


def test_figures_depend_on_the_seed_and_nothing_else() -> None:
    result = found([at % 7 for at in range(90)], [1] * 90)
    assert measure(result, seed=1) == measure(result, seed=1)
    assert measure(result, seed=1)["intervals"] != measure(result, seed=2)["intervals"]


def test_a_difference_is_paired() -> None:
    """Two ways that fail on the same pairs but for some are told apart, though their own intervals overlap."""
    old = found([at % 2 for at in range(200)], [1] * 200)
    new = found([at % 2 if at > 40 else 0 for at in range(200)], [1] * 200)
    gained = difference(new, old, seed=1)
    assert gained.value == pytest.approx(0.1)
    assert gained.low > 0
    own = measure(new, seed=1)["intervals"]["recall_at_1"], measure(old, seed=1)["intervals"]["recall_at_1"]
    assert own[0][0] < own[1][1]
    assert np.isnan(difference(new, old, seed=1, domain="brand").value)
    with pytest.raises(ValueError, match="same pairs"):
        difference(new, found([0], [1]), seed=1)
