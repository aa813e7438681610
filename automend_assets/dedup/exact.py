"""Tells texts apart by the bytes they consist of.

Texts with the same bytes are one document here, which has the number at which it was first seen and the rank of
its first row in provenance order. Not here: documents that are only alike (`near.py`).
"""

from __future__ import annotations

from array import array
from hashlib import sha256

import numpy as np
import polars as pl

from automend_assets.dedup.shingles import Counts

DIGEST_BYTES = 16

#: The document number of a row without text.
NO_DOCUMENT = -1


class Documents:
    """The distinct texts of a stream of rows. A text is known by 16 bytes of its SHA-256, about 170 bytes each."""

    def __init__(self) -> None:
        self._number_of: dict[bytes, int] = {}
        self._rows = array("q")

    def __len__(self) -> int:
        return len(self._number_of)

    def add(self, texts: pl.Series) -> pl.Series:
        """Take the next rows, nulls among them; returns the texts that were not seen before, in order."""
        new = []
        for row, text in enumerate(texts.to_list()):
            if text is None:
                self._rows.append(NO_DOCUMENT)
                continue
            digest = sha256(text.encode()).digest()[:DIGEST_BYTES]
            unseen = len(self._number_of)
            number = self._number_of.setdefault(digest, unseen)
            if number == unseen:
                new.append(row)
            self._rows.append(number)
        return texts.gather(new)

    def of_rows(self) -> Counts:
        """The document number of every row, `NO_DOCUMENT` for a null."""
        return np.frombuffer(self._rows, np.int64)
