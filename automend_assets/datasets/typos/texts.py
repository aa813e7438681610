"""Pairs of typo and correction, how a text is compared with another, and the prefix a domain puts before it.

What belongs here: what every other module of this dataset means by "the same text". What does not: which pairs are
valid (the contract of the dataset) and where they come from.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from automend_assets.errors import PermanentError

BRAND = "brand"
MODEL = "model"
DOMAINS = (BRAND, MODEL)

# The prefixes of the original, which models trained by it know.
PREFIXES = {BRAND: "car brand: ", MODEL: "car model: "}


class UnreadablePairs(PermanentError):
    """A file of pairs or candidates lacks columns or rows."""


class Entry(NamedTuple):
    """A known correction: its text as it is to be shown, and its domain."""

    text: str
    domain: str


class Pair(NamedTuple):
    """What somebody typed, what was meant, and the domain of the field it was typed into."""

    typo: str
    corrected: str
    domain: str

    @property
    def entry(self) -> Entry:
        """The correction as an entry to look up."""
        return Entry(self.corrected, self.domain)


def normalised(text: str) -> str:
    """The text without what nobody means: compatibility forms, case, and white space beyond one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def prompted(text: str, domain: str) -> str:
    """The text as the models see it: `car brand: ` or `car model: ` before its normalised form."""
    return PREFIXES.get(domain, PREFIXES[MODEL]) + normalised(text)


def distinct_entries(entries: Iterable[Entry]) -> list[Entry]:
    """One entry per domain and normalised text, the first that comes, in their order; empty texts go."""
    found: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        if key := normalised(entry.text):
            found.setdefault((entry.domain, key), entry)
    return list(found.values())


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a CSV with the columns typo, corrected, domain.

    Texts are taken as they stand: `NA` and `null` are names like others. Raises UnreadablePairs, also for a file
    without records and for a domain that is none of DOMAINS, whatever its case.
    """
    return [Pair(row["typo"], row["corrected"], row["domain"]) for row in _rows(path, Pair._fields)]


def read_entries(path: Path) -> list[Entry]:
    """The distinct entries of a CSV with the columns corrected and domain; other columns are not looked at."""
    rows = _rows(path, ("corrected", "domain"))
    return distinct_entries(Entry(row["corrected"], row["domain"]) for row in rows)


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadablePairs(f"{path} is not UTF-8 (byte {error.start}): save it as that.") from error
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise UnreadablePairs(
                f"{path} has no column {', '.join(missing)}. Give a CSV whose first line names {', '.join(columns)}."
            )
        try:
            rows = list(reader)
        except csv.Error as error:
            raise UnreadablePairs(f"{path}, after line {reader.line_num}: {error}.") from error
    if not rows:
        raise UnreadablePairs(f"{path} has no record below its first line.")
    for number, row in enumerate(rows, start=2):
        if any(row[column] is None for column in columns):
            raise UnreadablePairs(
                f"{path}, record {number}: a value is missing. Each record needs {', '.join(columns)}."
            )
        row["domain"] = row["domain"].strip().lower()
        if row["domain"] not in DOMAINS:
            raise UnreadablePairs(
                f"{path}, record {number}: the domain is {row['domain'][:40]!r} and none of {', '.join(DOMAINS)}."
            )
    return rows
