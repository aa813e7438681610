"""Which model is in use: decisions in order, each once, on SQLite and Postgres, whoever decides at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automend_assets.versions.ledger import Ledger, VersionNotFound
from automend_assets.versions.manifest import Manifest, SampleSource
from automend_assets.versions.promotions import InUseChanged, NothingToRollBackTo, Promotions


def with_versions(url: str, number: int = 5) -> Promotions:
    for seed in range(number):
        Ledger(url).cut(
            Manifest(
                dataset="typos",
                source=SampleSource(sha256="0" * 64, bytes=1),
                rows=None,
                seed=seed,
                shuffle_buffer=1,
            )
        )
    return Promotions(url)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


def test_what_is_promoted_is_in_use_and_what_is_not_changes_nothing(url: str) -> None:
    promotions = with_versions(url)
    assert promotions.in_use("typos") is None
    assert promotions.history("typos") == []
    first = promotions.decide("typos", "v0001", against=None, promoted=True, reason="the first")
    second = promotions.decide("typos", "v0002", against="v0001", promoted=False, reason="no better")
    assert (first.before, first.in_use, second.before, second.in_use) == (None, "v0001", "v0001", "v0001")
    assert promotions.in_use("typos") == "v0001"
    assert promotions.decision_on("typos", "v0002") == second
    assert promotions.decision_on("typos", "v0003") is None
    assert Promotions(url).history("typos") == [first, second]
    assert promotions.in_use("another") is None


def test_a_version_is_decided_on_once(url: str) -> None:
    promotions = with_versions(url)
    first = promotions.decide("typos", "v0001", against=None, promoted=True, reason="the first")
    promotions.decide("typos", "v0002", against="v0001", promoted=True, reason="better")
    # Rerun later: v0001 does not take the place of v0002 again.
    assert promotions.decide("typos", "v0001", against=None, promoted=True, reason="another") == first
    assert promotions.in_use("typos") == "v0002"
    assert len(promotions.history("typos")) == 2


def test_a_comparison_with_what_is_not_in_use_any_more_decides_nothing(url: str) -> None:
    promotions = with_versions(url)
    promotions.decide("typos", "v0001", against=None, promoted=True, reason="the first")
    with pytest.raises(InUseChanged, match=r"v0002 was compared with nothing, and v0001 is in use") as raised:
        promotions.decide("typos", "v0002", against=None, promoted=True, reason="stale")
    assert raised.value.in_use == "v0001"
    assert promotions.decision_on("typos", "v0002") is None


def test_rolling_back_goes_further_back_each_time(url: str) -> None:
    promotions = with_versions(url)
    with pytest.raises(NothingToRollBackTo, match="is in use"):
        promotions.rollback("typos", "by mistake")
    for number, against in (("v0001", None), ("v0002", "v0001"), ("v0003", "v0002")):
        promotions.decide("typos", number, against=against, promoted=True, reason="better")
    promotions.promote("typos", "v0001", "by hand")
    for expected in ("v0003", "v0002", "v0001"):
        decision = promotions.rollback("typos", "worse in production")
        assert decision.action == "rolled_back"
        assert promotions.in_use("typos") == decision.in_use == expected
    with pytest.raises(NothingToRollBackTo, match="before v0001"):
        promotions.rollback("typos", "again")
    # What was rolled back does not come back by itself, and the next one is compared with what is in use.
    assert promotions.decide("typos", "v0004", against="v0001", promoted=False, reason="no").before == "v0001"


def test_only_versions_that_were_cut_can_be_promoted(url: str) -> None:
    promotions = with_versions(url, 1)
    with pytest.raises(VersionNotFound):
        promotions.promote("typos", "v0002", "by hand")
    with pytest.raises(VersionNotFound):
        promotions.decide("typos", "v0002", against=None, promoted=True, reason="x")


def test_of_versions_decided_on_at_the_same_time_one_is_first(url: str) -> None:
    with_versions(url)

    def decide(version: str) -> str | None:
        try:
            return Promotions(url).decide("typos", version, against=None, promoted=True, reason="x").version
        except InUseChanged:
            return None

    with ThreadPoolExecutor(5) as pool:
        decided = list(pool.map(decide, [f"v000{number}" for number in range(1, 6)]))
    (winner,) = [version for version in decided if version]
    promotions = Promotions(url)
    assert promotions.in_use("typos") == winner
    assert [decision.version for decision in promotions.history("typos")] == [winner]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["promote", "rollback", "refuse"]), max_size=12))
def test_what_is_in_use_is_a_stack(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    promotions = with_versions(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.sqlite'}", 12)
    stack: list[str] = []
    for number, step in enumerate(steps, start=1):
        version = f"v{number:04d}"
        against = stack[-1] if stack else None
        if step == "rollback":
            if len(stack) < 2:
                with pytest.raises(NothingToRollBackTo):
                    promotions.rollback("typos", "x")
                continue
            promotions.rollback("typos", "x")
            stack.pop()
        else:
            promotions.decide("typos", version, against=against, promoted=step == "promote", reason="x")
            stack += [version] if step == "promote" else []
        assert promotions.in_use("typos") == (stack[-1] if stack else None)
