"""The evaluation of a version: what is measured beside what, and how it is shown."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from automend_assets.datasets.typos import comparison
from automend_assets.datasets.typos.comparison import Contender, evaluate_models, evaluate_pairs
from automend_assets.datasets.typos.encoder import encode_with
from automend_assets.datasets.typos.gate import gate
from automend_assets.datasets.typos.lookup import Scores
from automend_assets.datasets.typos.noise import noisy_pairs
from automend_assets.datasets.typos.report import (
    WAYS,
    evaluation_plot,
    evaluation_table,
    metrics,
    not_below_edit_distance,
)
from automend_assets.datasets.typos.texts import Entry, Pair

SEED = 42


def blind(texts: Sequence[str]) -> Scores:
    """An embedding that tells apart what is not equal, and finds nothing alike."""
    vectors = [
        np.random.default_rng(list(hashlib.sha256(text.encode()).digest())).normal(size=32) for text in texts
    ]
    return np.stack([vector / np.linalg.norm(vector) for vector in vectors]).astype(np.float32)


@pytest.fixture(scope="module")
def known(names: list[Entry]) -> list[Entry]:
    brands = [entry for entry in names if entry.domain == "brand"]
    return [*brands[:20], *[entry for entry in names if entry.domain == "model"][:60]]


@pytest.fixture(scope="module")
def tests(known: list[Entry]) -> dict[str, list[Pair]]:
    return {"seen": noisy_pairs(known[::2], 2, 1), "unseen": noisy_pairs(known[1::2], 1, 2)}


@pytest.fixture(scope="module")
def good(known: list[Entry], untrained: SentenceTransformer) -> Contender:
    return Contender("v0002", encode_with(untrained), known)


@pytest.fixture(scope="module")
def bad(known: list[Entry]) -> Contender:
    return Contender("v0001", blind, known)


def evaluated(
    new: Contender, in_use: Contender | None, tests: dict[str, list[Pair]], base: Contender | None = None
) -> dict[str, Any]:
    return evaluate_models(
        new=new, base=base or new, in_use=in_use, tests=tests, candidates=new.entries, seed=SEED
    )


@pytest.fixture(scope="module")
def evaluation(good: Contender, bad: Contender, tests: dict[str, list[Pair]]) -> dict[str, Any]:
    return evaluated(good, bad, tests)


def test_every_way_is_measured_on_every_test(
    evaluation: dict[str, Any], tests: dict[str, list[Pair]]
) -> None:
    assert (evaluation["version"], evaluation["against"]) == ("v0002", "v0001")
    assert list(evaluation["tests"]) == ["seen", "unseen", "all"]
    for name, test in evaluation["tests"].items():
        assert set(test["ways"]) == set(WAYS)
        count = sum(map(len, tests.values())) if name == "all" else len(tests[name])
        assert test["pairs"] == test["of"] == count
        for way in test["ways"].values():
            assert way["pairs"] == count
            assert set(way["by_domain"]) == {"brand", "model"}
    assert len({test["sha256"] for test in evaluation["tests"].values()}) == 3


def test_differences_are_of_the_figures_that_are_shown(evaluation: dict[str, Any]) -> None:
    ways = evaluation["tests"]["all"]["ways"]
    for what in ("serving", "embedding"):
        new, old = ways[f"new_{what}"], ways[f"in_use_{what}"]
        differences = evaluation["differences"][what]
        assert differences["all"][0] == pytest.approx(new["recall_at_1"] - old["recall_at_1"])
        for domain in ("brand", "model"):
            expected = new["by_domain"][domain]["recall_at_1"] - old["by_domain"][domain]["recall_at_1"]
            assert differences[domain][0] == pytest.approx(expected)
        assert all(low <= value <= high for value, low, high in differences.values())


def test_a_better_model_is_promoted_and_a_worse_one_is_not(
    evaluation: dict[str, Any], good: Contender, bad: Contender, tests: dict[str, list[Pair]]
) -> None:
    assert evaluation["differences"]["embedding"]["all"][1] > 0.3
    assert gate(evaluation).promoted
    assert not gate(evaluated(bad, good, tests)).promoted
    same = evaluated(good, good, tests)
    assert same["differences"]["serving"]["all"] == [0, 0, 0]
    assert not gate(same).promoted


def test_each_serves_what_it_knows_and_alone_all_look_up_the_same(
    good: Contender, tests: dict[str, list[Pair]]
) -> None:
    half = Contender("v0001", good.encode, good.entries[::2])
    found = evaluated(good, half, tests)
    unseen = found["tests"]["unseen"]["ways"]
    assert unseen["in_use_serving"]["recall_at_1"] == 0, "its corrections are those of the other test"
    assert unseen["in_use_serving"]["unknown"] == len(tests["unseen"])
    assert unseen["in_use_embedding"] == unseen["new_embedding"]
    assert gate(found).promoted


def test_nothing_in_use_finds_nothing(good: Contender, tests: dict[str, list[Pair]]) -> None:
    found = evaluated(good, None, tests)
    assert found["against"] is None
    assert found["differences"]["embedding"] is None
    ways = found["tests"]["all"]["ways"]
    assert not {way for way in ways if way.startswith("in_use")}
    assert found["differences"]["serving"]["all"][0] == pytest.approx(ways["new_serving"]["recall_at_1"])
    assert gate(found).promoted
    assert "in use" not in evaluation_table(found).replace("nothing in use", "")
    assert evaluation_plot(found).startswith(b"\x89PNG")


def test_without_pairs_nothing_is_measured_and_nothing_fails(good: Contender, bad: Contender) -> None:
    found = evaluated(good, bad, {"seen": [], "unseen": []})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert not gate(found).promoted
    assert metrics(found) == {}
    assert not_below_edit_distance(found) == (True, "no pair to test on")
    assert "nothing was measured" in evaluation_table(found)
    assert evaluation_plot(found).startswith(b"\x89PNG")


def test_one_test_may_be_empty(good: Contender, bad: Contender, tests: dict[str, list[Pair]]) -> None:
    found = evaluated(good, bad, {"seen": [], "unseen": tests["unseen"]})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert gate(found).promoted
    assert "seen: recall@1" not in evaluation_table(found).replace("unseen: recall@1", "")
    assert evaluation_plot(found).startswith(b"\x89PNG")


def test_the_same_again_is_the_same_bytes(
    evaluation: dict[str, Any], good: Contender, bad: Contender, tests: dict[str, list[Pair]]
) -> None:
    again = evaluated(good, bad, tests)
    assert json.dumps(again, allow_nan=False) == json.dumps(evaluation, allow_nan=False)
    assert evaluation_plot(again) == evaluation_plot(evaluation)


def test_metrics_are_flat_figures(evaluation: dict[str, Any]) -> None:
    flat = metrics(evaluation)
    assert len(flat) == 3 * len(WAYS) * 3
    measured = evaluation["tests"]["unseen"]["ways"]["new_serving"]
    assert flat["unseen.new_serving.recall_at_1"] == measured["recall_at_1"]
    assert flat["unseen.new_serving.mrr"] == measured["mrr"]


def test_the_table_has_a_row_for_each_way_and_its_figures(evaluation: dict[str, Any]) -> None:
    counts, _, head, rule, *rows = evaluation_table(evaluation).splitlines()
    assert counts == "80 pairs of seen corrections, 40 pairs of unseen corrections; 80 candidates."
    assert len(rows) == len(WAYS)
    assert {line.count("|") for line in (head, rule, *rows)} == {8}
    measured = evaluation["tests"]["seen"]["ways"]["new_serving"]
    low, high = measured["intervals"]["recall_at_1"]
    (row,) = (row for row in rows if WAYS["new_serving"] in row)
    assert f"| {measured['recall_at_1']:.3f} [{low:.3f}, {high:.3f}] | {measured['recall_at_5']:.3f} |" in row


def test_edit_distance_is_compared_in_each_domain_of_each_test(
    evaluation: dict[str, Any], good: Contender, bad: Contender, tests: dict[str, list[Pair]]
) -> None:
    holds, told = not_below_edit_distance(evaluation)
    assert holds, told
    assert told.count(" beside ") == 4
    lost = json.loads(json.dumps(evaluation))
    lost["tests"]["unseen"]["ways"]["new_serving"]["by_domain"]["brand"]["recall_at_1"] = 0.25
    holds, told = not_below_edit_distance(lost)
    assert not holds
    assert "unseen, brand: 0.250 beside" in told


def test_many_pairs_are_drawn_by_correction(good: Contender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "MOST_TESTED", 200)
    corrections = [entry for entry in good.entries if entry.domain == "model"][:30]
    many = [Pair(f"{entry.text} {at}", *entry) for entry in corrections for at in range(20)]
    drawn = evaluated(good, None, {"seen": many, "unseen": []})
    test = drawn["tests"]["seen"]
    assert (test["pairs"], test["of"]) == (200, 600)
    assert test["ways"]["new_serving"]["corrections"] == 10
    assert "200 pairs of seen corrections (drawn from 600)" in evaluation_table(drawn)
    random.Random(3).shuffle(many)  # noqa: S311
    assert evaluated(good, None, {"seen": many, "unseen": []})["tests"]["seen"]["sha256"] == test["sha256"]
    # One correction with more pairs than are measured does not make a test endless.
    one = [Pair(f"typo {at}", *corrections[0]) for at in range(250)]
    assert evaluated(good, None, {"seen": one, "unseen": []})["tests"]["seen"]["pairs"] == 200


def test_one_model_on_pairs_of_anybody(
    good: Contender, tests: dict[str, list[Pair]], known: list[Entry]
) -> None:
    embedded: list[str] = []

    def encode(texts: Sequence[str]) -> Scores:
        embedded.extend(texts)
        return good.encode(texts)

    found = evaluate_pairs(tests["seen"], known, encode, seed=SEED)
    assert list(found) == ["in_use", "serving", "edit_distance"]
    for way in found.values():
        assert {"recall_at_1", "recall_at_5", "mrr", "by_domain", "intervals"} <= set(way)
        assert {"recall_at_1", "recall_at_5", "mrr"} <= set(way["by_domain"]["brand"])
    assert found["serving"]["recall_at_1"] > found["in_use"]["recall_at_1"]
    assert len(embedded) == len(set(embedded)), "each text is embedded once"
