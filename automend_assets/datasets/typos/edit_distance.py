"""The honest baseline: normalised edit distance to every known correction of the domain, ties counted as ties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automend_assets.datasets.typos.texts import Entry, normalised


class EditDistance:
    """Scores 1 minus the Levenshtein distance over the longer length, of texts in normalised form (rapidfuzz)."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._names = np.array([normalised(entry.text) for entry in entries], object)
        self._domains = np.array([entry.domain for entry in entries], object)

    def scores(self, texts: Sequence[str], domain: str) -> NDArray[np.float32]:
        """One row per text, one column per entry, -inf for those of other domains."""
        from rapidfuzz import process
        from rapidfuzz.distance import Levenshtein

        scores = np.full((len(texts), len(self.entries)), -np.inf, np.float32)
        rows = np.flatnonzero(self._domains == domain)
        scores[:, rows] = process.cdist(
            [normalised(text) for text in texts],
            self._names[rows].tolist(),
            scorer=Levenshtein.normalized_similarity,
            dtype=np.float32,
        )
        return scores
