"""The privacy report of a dataset: how much was found, by rule and kind. Never a value, never a text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import polars as pl


@dataclass
class PrivacyReport:
    """Counts that batches are added to; `as_dict` is the report's content.

    `findings`: by (rule, kind). `documents_with`: documents with at least one finding, by (rule, kind).
    """

    documents: int = 0
    characters: int = 0
    documents_found: int = 0
    findings: Counter[tuple[str, str]] = field(default_factory=Counter)
    documents_with: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, texts: pl.Series, findings: pl.DataFrame) -> None:
        """Count a batch: its texts and what the scanner found in them."""
        self.documents += len(texts)
        self.characters += int(texts.str.len_chars().sum() or 0)
        self.documents_found += findings["row"].n_unique()
        counted = findings.group_by("rule", "kind").agg(n=pl.len(), documents=pl.col("row").n_unique())
        for rule, kind, number, documents in counted.select("rule", "kind", "n", "documents").iter_rows():
            self.findings[rule, kind] += number
            self.documents_with[rule, kind] += documents

    def as_dict(self) -> dict[str, Any]:
        """Totals, and one entry by rule in the order of the rules' ids; shares are of all documents."""
        share = 1 / self.documents if self.documents else 0.0
        kinds: Counter[str] = Counter()
        for (_, kind), number in self.findings.items():
            kinds[kind] += number
        return {
            "documents": self.documents,
            "characters": self.characters,
            "documents_with_findings": self.documents_found,
            "share_with_findings": round(self.documents_found * share, 6),
            "findings": sum(self.findings.values()),
            "kinds": dict(sorted(kinds.items())),
            "rules": [
                {
                    "rule": rule,
                    "kind": kind,
                    "findings": number,
                    "documents": self.documents_with[rule, kind],
                    "share": round(self.documents_with[rule, kind] * share, 6),
                }
                for (rule, kind), number in sorted(self.findings.items())
            ],
        }
