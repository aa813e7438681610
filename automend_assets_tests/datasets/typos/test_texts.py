"""What is the same text, and reading pairs from files that people hand over."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from automend_assets.datasets.typos.texts import (
    Entry,
    Pair,
    UnreadablePairs,
    distinct_entries,
    normalised,
    prompted,
    read_entries,
    read_pairs,
)


def test_case_width_and_white_space_make_no_difference() -> None:
    assert normalised("  Ｍercedes-Benz \t C\u00a0200 ") == "mercedes-benz c 200"


def test_the_prefixes_are_those_of_the_original() -> None:
    assert prompted("Toyota", "brand") == "car brand: toyota"
    assert prompted("X50", "model") == "car model: x50"
    assert prompted("X50", "colour") == "car model: x50"


def test_entries_are_distinct_by_domain_and_normalised_text() -> None:
    entries = [Entry("City", "model"), Entry("CITY", "model"), Entry("City", "brand"), Entry(" ", "model")]
    assert distinct_entries(entries) == [Entry("City", "model"), Entry("City", "brand")]


def test_texts_that_look_like_nothing_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(
        '\ufeffid,typo,corrected,domain\n1,NA,NX,model\n2,",yvi",null, Model \n', encoding="utf-8"
    )
    assert read_pairs(file) == [Pair("NA", "NX", "model"), Pair(",yvi", "null", "model")]
    assert read_entries(file) == [Entry("NX", "model"), Entry("null", "model")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("typo,correct\na,b\n", "corrected, domain"),
        ("typo,corrected,domain\na,b,model\nc,d\n", "record 3"),
        ("typo,corrected,domain\na,b, Model \nc,d,truck\n", "record 3: the domain is 'truck'"),
        ("typo,corrected,domain\n", "no record"),
    ],
)
def test_a_file_that_is_no_list_of_pairs_says_why(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadablePairs, match=told):
        read_pairs(file)


def test_a_value_that_is_too_long_for_a_csv_is_told(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(f"typo,corrected,domain\na,b,model\n{'c' * 2_000},d,model\n", encoding="utf-8")
    # The limit is the process's, and reading interactions from a file raises it.
    limit = csv.field_size_limit(1_000)
    try:
        with pytest.raises(UnreadablePairs, match="after line 2: field larger"):
            read_pairs(file)
    finally:
        csv.field_size_limit(limit)
