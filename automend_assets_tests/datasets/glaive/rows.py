"""Rows for tests that need more, fewer or worse ones than the bundled sample has, and files of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from automend_assets.datasets.glaive.sample import generate

Row = dict[str, Any]


def generated(rows: int, *, seed: int = 1) -> list[Row]:
    """Ordinary rows."""
    return [{"system": row.system, "chat": row.chat} for row in generate(rows, seed=seed)]


def mostly_without_calls(rows: int, *, seed: int = 1) -> list[Row]:
    """Rows that all checks take but one: 3 in 4 have no call, where 60 % are allowed."""
    endless = generate(rows * 100, seed=seed)
    quiet = (row for row in endless if row.truth.tier == "none" and row.truth.functions)
    others = (row for row in endless if row.truth.tier == "simple" and not row.truth.has_malformed)
    mixed = [next(others if number % 4 == 0 else quiet) for number in range(rows)]
    return [{"system": row.system, "chat": row.chat} for row in mixed]


def write(path: Path, rows: Iterable[Any]) -> Path:
    """Write upstream's layout, one JSON array; the path, for convenience."""
    path.write_bytes(orjson.dumps(list(rows)))
    return path
