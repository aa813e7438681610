"""Versions that are ranges of a log: one after the other, whoever cuts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from automend_assets.versions.ledger import Ledger, RangeTaken
from automend_assets.versions.manifest import LogSource, Manifest
from automend_assets_tests.versions.manifests import manifest

TABLE = "public.typo_training_dataset"


def log_manifest(lo: int, hi: int, table: str = TABLE, **other: Any) -> Manifest:
    source = LogSource(table=table, lo=lo, hi=hi, rows=other.pop("rows", hi - lo), sha256="7" * 64)
    return Manifest(
        dataset=other.pop("dataset", "typos"),
        source=source,
        rows=None,
        seed=0,
        shuffle_buffer=1,
        options=other,
    )


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    if request.param == "postgres":
        return Ledger(request.getfixturevalue("postgres_url"))
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_a_range_begins_where_the_newest_one_ends(ledger: Ledger) -> None:
    assert ledger.log_end("typos", TABLE) == 0
    first = ledger.cut(log_manifest(0, 10))
    assert ledger.log_end("typos", TABLE) == 10
    for lo, hi in ((0, 12), (5, 12), (11, 12), (0, 5)):
        with pytest.raises(RangeTaken, match=r"end at id 10 .* cut again"):
            ledger.cut(log_manifest(lo, hi))
    assert ledger.cut(log_manifest(0, 10)) == first
    assert ledger.cut(log_manifest(10, 12)).key == "v0002"
    assert ledger.keys("typos") == ["v0001", "v0002"]


def test_versions_of_files_other_tables_and_datasets_are_in_nobodys_way(ledger: Ledger) -> None:
    ledger.cut(log_manifest(0, 10))
    ledger.cut(manifest(1, dataset="typos", note=f'"table":"{TABLE}"', **{"table": TABLE}))
    ledger.cut(log_manifest(0, 99, table="main.typo_training_dataset"))
    ledger.cut(log_manifest(0, 50, dataset="other"))
    assert ledger.log_end("typos", TABLE) == 10
    assert ledger.log_end("typos", "main.typo_training_dataset") == 99
    assert ledger.log_end("typos", "publicxtypo_training_dataset") == 0
    assert ledger.log_end("other", TABLE) == 50


def test_versions_can_be_listed_from_a_number_on(ledger: Ledger) -> None:
    for number in range(5):
        ledger.cut(log_manifest(number, number + 1))
    assert [version.number for version in ledger.versions("typos", after=2)] == [3, 4, 5]
    assert [version.number for version in ledger.versions("typos", after=1, limit=2)] == [2, 3]


@pytest.mark.parametrize(
    "wrong",
    [{"hi": 5}, {"hi": 4}, {"lo": -1}, {"rows": 0}, {"sha256": "x"}, {"table": "t"}, {"table": "a.b; DROP"}],
)
def test_a_source_that_is_no_range_is_refused(wrong: dict[str, Any]) -> None:
    right = {"table": TABLE, "lo": 5, "hi": 6, "rows": 1, "sha256": "7" * 64}
    assert LogSource(**right).kind == "log"
    with pytest.raises(ValidationError):
        LogSource(**(right | wrong))


def test_a_manifest_of_a_range_is_read_back(ledger: Ledger) -> None:
    cut = ledger.cut(log_manifest(0, 10))
    assert Manifest.parse(cut.manifest.canonical()) == cut.manifest == ledger.get("typos", "v0001").manifest
