"""The gate: what is promoted and what is not, on evaluations whose figures the test sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from automend_assets.datasets.typos.gate import gate

BETTER, LEVEL, WORSE = (0.05, 0.01, 0.09), (0.004, -0.02, 0.03), (-0.05, -0.09, -0.01)

Differences = Mapping[str, tuple[float, float, float]]


def evaluation(
    serving: Differences, embedding: Differences | None, *, pairs: int = 400, against: str | None = "v0001"
) -> dict[str, Any]:
    return {
        "version": "v0002",
        "against": against,
        "tests": {"all": {"pairs": pairs}},
        "differences": {"serving": serving, "embedding": embedding},
    }


def everywhere(figures: tuple[float, float, float]) -> Differences:
    return {"all": figures, "brand": figures, "model": figures}


@pytest.mark.parametrize(
    ("serving", "embedding", "promoted"),
    [
        (BETTER, LEVEL, True),
        (LEVEL, BETTER, True),
        (BETTER, BETTER, True),
        (LEVEL, LEVEL, False),
        (BETTER, WORSE, False),
        (WORSE, BETTER, False),
    ],
)
def test_better_in_one_and_worse_in_neither(
    serving: tuple[float, float, float], embedding: tuple[float, float, float], promoted: bool
) -> None:
    assert gate(evaluation(everywhere(serving), everywhere(embedding))).promoted is promoted


@pytest.mark.parametrize("what", ["serving", "embedding"])
@pytest.mark.parametrize("where", ["all", "brand", "model"])
@pytest.mark.parametrize(
    ("figures", "worse"),
    [
        ((-0.011, -0.05, 0.03), True),
        # One pair of a hundred, which is a little less than -0.01 as a difference of floats.
        ((0.99 - 1.0, -0.05, 0.03), False),
        ((-0.005, -0.05, 0.03), False),
        ((-0.005, -0.009, -0.001), True),
        ((-0.005, -0.009, 0.0), False),
    ],
)
def test_worse_anywhere_is_not_promoted(
    what: str, where: str, figures: tuple[float, float, float], worse: bool
) -> None:
    differences = {"serving": dict(everywhere(BETTER)), "embedding": dict(everywhere(BETTER))}
    differences[what][where] = figures
    verdict = gate(evaluation(differences["serving"], differences["embedding"]))
    assert verdict.promoted is not worse
    if worse:
        told = {"serving": "what serves", "embedding": "the embedding alone"}[what]
        assert told + ("" if where == "all" else f", {where}") in verdict.reason
        assert "v0001" in verdict.reason


def test_better_in_one_domain_only_is_not_better() -> None:
    differences = {"all": LEVEL, "brand": BETTER, "model": LEVEL}
    verdict = gate(evaluation(differences, differences))
    assert not verdict.promoted
    assert "Not better" in verdict.reason


def test_the_first_model_is_better_than_nothing() -> None:
    verdict = gate(evaluation(everywhere((0.9, 0.85, 0.95)), None, against=None))
    assert verdict.promoted
    assert "nothing is in use" in verdict.reason
    assert not gate(evaluation(everywhere((0.0, 0.0, 0.0)), None, against=None)).promoted


@pytest.mark.parametrize(("pairs", "promoted"), [(0, False), (19, False), (20, True)])
def test_few_pairs_tell_nothing(pairs: int, promoted: bool) -> None:
    differences = everywhere(BETTER) if pairs else {}
    verdict = gate(evaluation(differences, differences, pairs=pairs))
    assert verdict.promoted is promoted
    assert promoted or "automend models promote v0002" in verdict.reason
