"""Other tools' findings in the scanner's form: Presidio for names in prose, CredSweeper for secrets by its model.

Here: thin adapters, each behind an extra of the package that nothing else needs. Not here: models; whoever wants
Presidio's recognition of names installs a spaCy model, or passes an analyzer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from automend_assets.errors import PermanentError
from automend_assets.privacy.scanner import FINDINGS_SCHEMA

PROSE_ENTITIES = ("PERSON", "LOCATION", "NRP", "DATE_TIME")


class ExtraMissing(PermanentError):
    """A tool is asked for whose extra is not installed."""


class PresidioScanner:
    """Names, places, groups and dates in prose, by Presidio (about 0.3 MB per CPU second).

    `analyzer`: a `presidio_analyzer.AnalyzerEngine`; Presidio's default, which needs a spaCy model, where it is None.
    Raises ExtraMissing.
    """

    def __init__(
        self, analyzer: Any = None, language: str = "en", entities: Sequence[str] = PROSE_ENTITIES
    ) -> None:
        if analyzer is None:
            try:
                from presidio_analyzer import AnalyzerEngine  # type: ignore[import-not-found]
            except ImportError as missing:
                raise ExtraMissing(
                    "Presidio is not installed. Install it with `pip install automend-assets[presidio]`."
                ) from missing
            analyzer = AnalyzerEngine()
        self._analyzer = analyzer
        self._language = language
        self._entities = list(entities)

    def scan(self, texts: pl.Series) -> pl.DataFrame:
        """Findings as a frame of `FINDINGS_SCHEMA`; where Presidio's overlap, the surest."""
        rows = []
        for row, text in enumerate(texts):
            if not text:
                continue
            results = self._analyzer.analyze(text, self._language, entities=self._entities)
            taken: list[tuple[int, int]] = []
            for found in sorted(results, key=lambda r: (-r.score, r.start, -r.end, r.entity_type)):
                if all(found.end <= start or found.start >= end for start, end in taken):
                    taken.append((found.start, found.end))
                    kind = found.entity_type.lower()
                    rule = f"presidio-{kind.replace('_', '-')}"
                    rows.append((row, found.start, found.end, rule, kind, float(found.score)))
        return pl.DataFrame(rows, schema=FINDINGS_SCHEMA, orient="row").sort("row", "start")


class CredSweeperScanner:
    """Secrets by CredSweeper's rules and model (about 0.5 MB per CPU second): a second pass over texts with findings.

    Raises ExtraMissing.
    """

    def __init__(self) -> None:
        try:
            from credsweeper import CredSweeper  # type: ignore[import-not-found]
            from credsweeper.file_handler.string_content_provider import (  # type: ignore[import-not-found]
                StringContentProvider,
            )
        except ImportError as missing:
            raise ExtraMissing(
                "CredSweeper is not installed. Install it with `pip install automend-assets[credsweeper]`."
            ) from missing
        self._new = CredSweeper
        self._provider = StringContentProvider

    def scan(self, texts: pl.Series) -> pl.DataFrame:
        """Findings as a frame of `FINDINGS_SCHEMA`; where CredSweeper's overlap, the first and longest."""
        rows = []
        for row, text in enumerate(texts):
            if not text:
                continue
            # `splitlines` would also split at separators that CredSweeper's line numbers don't know.
            lines = text.split("\n")
            starts = [0]
            for line in lines:
                starts.append(starts[-1] + len(line) + 1)
            sweeper = self._new()
            sweeper.credential_manager.set_credentials(sweeper.file_scan(self._provider(lines)))
            sweeper.post_processing(lambda *_: None)
            places = sorted(
                {
                    (
                        starts[part.line_num - 1] + part.value_start,
                        starts[part.line_num - 1] + part.value_end,
                        found.rule_name,
                    )
                    for found in sweeper.credential_manager.get_credentials()
                    for part in found.line_data_list
                    if 0 <= part.value_start < part.value_end
                },
                key=lambda place: (place[0], -place[1], place[2]),
            )
            reach = 0
            for start, end, name in places:
                if start >= reach:
                    rule = f"credsweeper-{'-'.join(name.lower().split())}"
                    rows.append((row, start, end, rule, "secret", 0.8))
                    reach = end
        return pl.DataFrame(rows, schema=FINDINGS_SCHEMA, orient="row")
