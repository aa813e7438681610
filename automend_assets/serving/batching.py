"""Look-ups that arrive together are answered together: many at once cost less than one after the other.

What belongs here: gathering and handing out. What does not: the look-up itself (`datasets/typos/lookup.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from automend_assets.datasets.typos.lookup import Candidate
from automend_assets.serving.model import Served

# More at once would make the first of them wait for the last.
MOST_AT_ONCE = 32


@dataclass(frozen=True)
class _Query:
    text: str
    domain: str
    k: int
    answer: asyncio.Future[tuple[str, list[Candidate]] | None]


class Batcher:
    """Answers look-ups with the model that is served when their batch begins; one batch at a time, never waiting for
    more than what is there already."""

    def __init__(self, served: Callable[[], Served | None]) -> None:
        self._served = served
        self._waiting: list[_Query] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="look-up")
        self._worker: asyncio.Task[None] | None = None

    async def find(self, text: str, domain: str, k: int) -> tuple[str, list[Candidate]] | None:
        """The version that answers and its candidates, best first; None while no model is served."""
        query = _Query(text, domain, k, asyncio.get_running_loop().create_future())
        self._waiting.append(query)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await query.answer

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            try:
                answers = await loop.run_in_executor(self._pool, self._answer, batch)
            except BaseException as error:
                for query in batch:
                    if not query.answer.done():
                        query.answer.set_exception(error if isinstance(error, Exception) else RuntimeError())
                if not isinstance(error, Exception):
                    raise
                continue
            for query, answer in zip(batch, answers, strict=True):
                if not query.answer.done():  # a client that went away
                    query.answer.set_result(answer)

    def _answer(self, batch: list[_Query]) -> list[tuple[str, list[Candidate]] | None]:
        served = self._served()
        answers: list[tuple[str, list[Candidate]] | None] = [None] * len(batch)
        if served is None:
            return answers
        for domain in dict.fromkeys(query.domain for query in batch):
            places = [at for at, query in enumerate(batch) if query.domain == domain]
            found = served.lookup.find_many(
                [batch[at].text for at in places], domain, max(batch[at].k for at in places)
            )
            for at, candidates in zip(places, found, strict=True):
                answers[at] = served.version, candidates[: batch[at].k]
        return answers
