"""Looking a typed text up among the known corrections: the nearest by embedding, put in order by how they are spelt.

What belongs here: the exact index, the shortlist, the score that decides, and the weights of that score. What does
not: the embedding (`encoder.py`), the cost of an error (`channel.py`), whether it is any good (`evaluation.py`).

The score of a candidate of the shortlist is

    similarity * cosine - channel * cost of the errors

and `EMBEDDING_ALONE` leaves the cost out. The shortlist is what the embedding finds nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from automend_assets.datasets.typos.channel import Channel
from automend_assets.datasets.typos.texts import Entry, normalised, prompted

Scores = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Scores]

# Characters of a query that are looked at; no name is as long.
LONGEST_QUERY = 200

# A candidate outside the shortlist comes after all of it.
_BEHIND = np.float32(1e4)


class Weights(BaseModel):
    """What each part of the score counts, and how many candidates get one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    similarity: float = Field(default=1.0, ge=0, description="Of the cosine between the embeddings.")
    channel: float = Field(default=1.0, ge=0, description="Of the cost of the errors.")
    shortlist: int = Field(default=64, ge=1, description="Candidates taken from the embedding.")


EMBEDDING_ALONE = Weights(similarity=1, channel=0)


class Candidate(NamedTuple):
    """A correction that may be meant. `score` orders the candidates of one query; `similarity` is the cosine."""

    text: str
    domain: str
    score: float
    similarity: float


class Lookup:
    """An exact index over known corrections; safe to use from several threads, for nothing changes after it is built.

    `encode` gives one embedding of length 1 per prompted text.
    """

    def __init__(self, entries: Sequence[Entry], encode: Encode, weights: Weights | None = None) -> None:
        self.entries = entries
        self.weights = weights or Weights()
        self._encode = encode
        domains = np.array([entry.domain for entry in entries], object)
        self._parts = {
            domain: _Part(np.flatnonzero(domains == domain), entries, encode)
            for domain in dict.fromkeys(domains.tolist())
        }

    def find(self, text: str, domain: str, k: int = 5) -> list[Candidate]:
        """The `k` best candidates of a domain, best first; none for a text or a domain with nothing in it."""
        return self.find_many([text], domain, k)[0]

    def find_many(self, texts: Sequence[str], domain: str, k: int = 5) -> list[list[Candidate]]:
        """`find` for several texts of one domain at once, which costs less per text."""
        part = self._parts.get(domain)
        texts = [text[:LONGEST_QUERY] for text in texts]
        if part is None or not texts:
            return [[] for _ in texts]
        cosines, rows, scores = self._score(part, texts)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [
            [
                Candidate(
                    *self.entries[int(part.numbers[rows[at, column]])],
                    float(scores[at, column]),
                    float(cosines[at, rows[at, column]]),
                )
                for column in order[at]
                if normalised(text)
            ]
            for at, text in enumerate(texts)
        ]

    def scores(self, texts: Sequence[str], domain: str) -> Scores:
        """One row per text, one column per entry, -inf for those of other domains; what evaluation ranks by."""
        every = np.full((len(texts), len(self.entries)), -np.inf, np.float32)
        if (part := self._parts.get(domain)) is not None:
            cosines, rows, scores = self._score(part, texts)
            ranked = cosines - _BEHIND
            np.put_along_axis(ranked, rows, scores, axis=1)
            every[:, part.numbers] = ranked
        return every

    def _score(self, part: _Part, texts: Sequence[str]) -> tuple[Scores, NDArray[np.int64], Scores]:
        """Every cosine; the rows of the shortlist, the nearest first; their scores."""
        weights = self.weights
        cosines = self._encode([prompted(text, part.domain) for text in texts]) @ part.embeddings.T
        rows = _largest(cosines, weights.shortlist)
        scores = np.float32(weights.similarity) * np.take_along_axis(cosines, rows, axis=1)
        if weights.channel:
            scores -= np.float32(weights.channel) * part.channel.costs(texts, rows)
        return cosines, rows, scores


class _Part:
    """What is known of one domain: numbers into the entries, and arrays with one row for each."""

    def __init__(self, numbers: NDArray[np.int64], entries: Sequence[Entry], encode: Encode) -> None:
        chosen = [entries[number] for number in numbers]
        self.domain = chosen[0].domain
        self.numbers = numbers
        self.names = [normalised(entry.text) for entry in chosen]
        self.embeddings = np.ascontiguousarray(encode([prompted(*entry) for entry in chosen]), np.float32)
        self.channel = Channel(self.names)


def _largest(values: Scores, count: int) -> NDArray[np.int64]:
    """The columns of the `count` largest values of each row, in falling order, ties by column."""
    count = min(count, values.shape[1])
    columns = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
