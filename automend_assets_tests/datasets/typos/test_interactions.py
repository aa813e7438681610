"""Which corrections are trained on and which go into quarantine: every rule, and the account of the rows."""

from __future__ import annotations

import csv
import json
import random
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from automend_assets.datasets.typos.interactions import (
    MAX_CHARACTERS,
    REASONS,
    ROWS_SCHEMA,
    STAGE,
    contradictory,
    validate,
)
from automend_assets.privacy.scanner import Scanner
from automend_assets.storage.quarantine import QUARANTINE_SCHEMA, reconcile_rows

REAL = Path(__file__).resolve().parents[4] / "shared" / "realdata" / "typos"
Row = tuple[str | None, str | None, str | None]


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner()


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(
        [(number, *row, datetime(2026, 1, 1, tzinfo=UTC)) for number, row in enumerate(rows, start=1)],
        schema=ROWS_SCHEMA,
        orient="row",
    )


def reasons(rows: list[Row], scanner: Scanner) -> list[str | None]:
    """The reason of each row, None where it is kept."""
    pairs, quarantine = validate(frame(rows), scanner)
    assert pairs.schema == ROWS_SCHEMA
    assert quarantine.schema == QUARANTINE_SCHEMA
    assert reconcile_rows(frame(rows).lazy(), pairs.lazy(), quarantine.lazy()).ok
    found = dict(quarantine.select("row_number", "reason").iter_rows())
    return [found.get(number) for number in range(1, len(rows) + 1)]


LONG = "x" * MAX_CHARACTERS


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("hinda", "Honda", "brand"), None),
        (("  hinda ", "Honda", " Brand "), None),
        (("NA", "null", "model"), None),
        (("x-5o", "X50", "model"), None),
        (("日产", "ニッサン", "brand"), None),
        ((LONG, "Honda", "brand"), None),
        ((None, "Honda", "brand"), "empty"),
        (("", "Honda", "brand"), "empty"),
        (("hinda", " \u00a0", "brand"), "empty"),
        ((LONG + "x", "Honda", "brand"), "too_long"),
        (("hinda", "é" * (MAX_CHARACTERS + 1), "brand"), "too_long"),
        (("hin\x00da", "Honda", "brand"), "control_characters"),
        (("hinda\n", "Honda", "brand"), "control_characters"),
        (("hinda", "Hon\u202eda", "brand"), "control_characters"),
        (("hin\u200bda", "Honda", "brand"), "control_characters"),
        (("hinda", "Honda", "boat"), "unknown_domain"),
        (("hinda", "Honda", None), "unknown_domain"),
        (("hinda", "Honda", ""), "unknown_domain"),
        (("Honda", "Honda", "brand"), "identical"),
        (("  honda", "HONDA ", "brand"), "identical"),
        (("range  rover", "Range Rover", "model"), "identical"),
        (("jane.doe@corp-mail.io", "Honda", "brand"), "personal_data"),
        (("hinda", "+49 30 901820", "brand"), "personal_data"),
        # The first reason of several.
        (("", "", "boat"), "empty"),
        ((LONG + "x\n", "Honda", "boat"), "too_long"),
    ],
)
def test_a_row_is_kept_or_refused_for_the_first_reason(
    row: Row, reason: str | None, scanner: Scanner
) -> None:
    assert reasons([row], scanner) == [reason]


def test_what_is_kept_is_tidy_and_in_order(scanner: Scanner) -> None:
    pairs, _ = validate(frame([(" b ", "B2", "Model"), ("", "", ""), ("a", " A1 ", "brand ")]), scanner)
    assert pairs.drop("created_at").rows() == [(1, "b", "B2", "model"), (3, "a", "A1", "brand")]


def test_a_correction_that_most_agree_on_stays_and_the_others_go(scanner: Scanner) -> None:
    rows: list[Row] = [
        ("hinda", "Honda", "brand"),
        ("HINDA", "honda", "brand"),
        ("hinda", "Hino", "brand"),
        # Another domain is another question.
        ("hinda", "Hino", "model"),
        # One against one: nobody knows.
        ("cty", "City", "model"),
        ("cty ", "CTS", "model"),
        # Half is no majority.
        *[("mx", "MX-5", "model")] * 2,
        ("mx", "MX-3", "model"),
        ("mx", "MX-6", "model"),
    ]
    out = "contradictory"
    assert reasons(rows, scanner) == [None, None, out, None, out, out, out, out, out, out]


def test_a_row_that_is_refused_anyway_has_no_vote(scanner: Scanner) -> None:
    rows: list[Row] = [("hinda", "Honda", "brand"), ("hinda", "hinda", "brand"), ("hinda", "x\x07", "brand")]
    assert reasons(rows, scanner) == [None, "identical", "control_characters"]


def test_the_quarantine_says_why_and_holds_no_personal_data(scanner: Scanner) -> None:
    rows: list[Row] = [
        ("jane.doe@corp-mail.io", "Honda", "brand"),
        ("y" * 200 + " jane.doe@corp-mail.io " + "z" * 5_000, "Honda", "call jane.doe@corp-mail.io"),
        ("a\x00b", 'say "x"', "brand"),
    ]
    _, quarantine = validate(frame(rows), scanner)
    assert quarantine["stage"].to_list() == [STAGE] * 3
    assert quarantine["detail"].to_list() == [REASONS[reason] for reason in quarantine["reason"]]
    assert "corp-mail" not in quarantine.write_json()
    assert quarantine["text"].str.len_chars().max() == 1_000
    assert json.loads(quarantine["text"][2]) == {
        "typo": "a\x00b",
        "corrected": 'say "x"',
        "domain": "brand",
    }


def test_no_rows_are_no_error(scanner: Scanner) -> None:
    pairs, quarantine = validate(frame([]), scanner)
    assert (pairs.height, quarantine.height) == (0, 0)
    assert contradictory(pairs).to_list() == []


def test_real_makes_and_models_are_kept(scanner: Scanner) -> None:
    with (REAL / "makes_models.csv").open(encoding="utf-8-sig", newline="") as file:
        records = list(csv.DictReader(file))
    rows = [(f"{record['model']}q", record["model"], "model") for record in records]
    rows += [(f"{record['make']}q", record["make"], "brand") for record in records]
    found = [reason for reason in reasons(rows, scanner) if reason is not None]
    assert found == []


def test_the_real_corrections(scanner: Scanner) -> None:
    with (REAL / "typo_training_dataset.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [(record["typo"], record["corrected"], record["domain"]) for record in csv.DictReader(file)]
    found = reasons(rows, scanner)
    assert len(rows) == 73
    assert found.count("identical") == 8
    assert set(found) == {None, "identical"}


def test_any_text_is_in_exactly_one_of_the_two(scanner: Scanner) -> None:
    draw = random.Random(7)  # noqa: S311
    alphabet = "ab \n\u0000\u202e\ud7ffé漢@.0123"

    def text() -> str | None:
        return None if draw.random() < 0.1 else "".join(draw.choices(alphabet, k=draw.randrange(0, 12)))

    rows = [(text(), text(), draw.choice(["brand", "model", None, "x"])) for _ in range(3_000)]
    assert set(reasons(rows, scanner)) <= {None, *REASONS}
