"""The bundled interactions: what their generator writes, and dirt of each kind that validation knows."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl

from automend_assets.datasets.typos.interactions import validate
from automend_assets.datasets.typos.sample import COLUMNS, interactions
from automend_assets.privacy.scanner import Scanner

SAMPLE = Path(__file__).resolve().parents[3] / "data" / "samples" / "typos" / "interactions.csv"


def test_the_bundled_file_is_what_the_generator_writes() -> None:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(COLUMNS)
    assert rows[1:] == [[str(value) for value in row] for row in interactions(1500, 42)]


def test_nearly_all_of_it_can_be_trained_on() -> None:
    rows = pl.read_csv(SAMPLE, try_parse_dates=True).rename({"id": "row_number"})
    pairs, quarantine = validate(rows, Scanner())
    assert len(pairs) > 0.95 * len(rows)
    assert set(quarantine["reason"]) == {
        "too_long",
        "empty",
        "identical",
        "control_characters",
        "contradictory",
        "unknown_domain",
    }
