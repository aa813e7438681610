"""The adapters of other tools: what they say where their extra is missing, and how findings are put into our form."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import polars as pl
import pytest

from automend_assets.privacy.replacement import replace
from automend_assets.privacy.scanner import FINDINGS_SCHEMA
from automend_assets.privacy.second_opinion import CredSweeperScanner, ExtraMissing, PresidioScanner


@dataclass
class Result:
    """The fields of Presidio's `RecognizerResult`."""

    entity_type: str
    start: int
    end: int
    score: float


class Analyzer:
    """Finds "Jane Doe", and less surely "Jane"."""

    def analyze(self, text: str, language: str, entities: list[str]) -> list[Result]:
        start = text.find("Jane Doe")
        if start < 0 or language != "en" or "PERSON" not in entities:
            return []
        return [Result("LOCATION", start, start + 4, 0.4), Result("PERSON", start, start + 8, 0.85)]


def test_presidio_findings_have_our_form_and_do_not_overlap() -> None:
    texts = pl.Series([None, "é Jane Doe went home", "nobody"])

    found = PresidioScanner(Analyzer()).scan(texts)

    assert found.schema == FINDINGS_SCHEMA
    assert found.rows() == [(1, 2, 10, "presidio-person", "person", 0.85)]
    assert replace(texts, found).to_list() == [None, "é <PERSON_1> went home", "nobody"]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    monkeypatch.setitem(sys.modules, "credsweeper", None)

    with pytest.raises(ExtraMissing, match=r"pip install automend-assets\[presidio\]"):
        PresidioScanner()
    with pytest.raises(ExtraMissing, match=r"pip install automend-assets\[credsweeper\]"):
        CredSweeperScanner()
