"""Names and a model that several tests of typos share; nothing here changes after it is made."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

from automend_assets.datasets.typos.encoder import character_model
from automend_assets.datasets.typos.sample import entries
from automend_assets.datasets.typos.texts import BRAND, MODEL, Entry, distinct_entries

REALDATA = Path(__file__).resolve().parents[4] / "shared" / "realdata" / "typos"


@pytest.fixture(scope="session")
def names() -> list[Entry]:
    """The makes and models of the bundled sample."""
    return entries()


@pytest.fixture(scope="session")
def real_names() -> list[Entry]:
    """The 7,399 distinct makes and models of the real list."""
    with (REALDATA / "makes_models.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    makes = [Entry(row["make"], BRAND) for row in rows]
    return distinct_entries([*makes, *(Entry(row["model"], MODEL) for row in rows)])


@pytest.fixture(scope="session")
def untrained() -> SentenceTransformer:
    """The offline default as it is made; not to be trained."""
    return character_model(seed=1)
