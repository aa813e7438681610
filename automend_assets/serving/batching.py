"""Look-ups that arrive together are answered together: many at once cost less than one after the other.

What belongs here: gathering and handing out. What does not: the look-up itself (`datasets/typos/lookup.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
    """Answers look-ups with the model that is served when their batch begins, never waiting for more than has arrived.

    In the event loop's own thread: a look-up is many short steps of Python, so from another thread the two would keep
    each other waiting for the interpreter, and batches would be half as full.
    """

    def __init__(self, served: Callable[[], Served | None]) -> None:
        self._served = served
        self._waiting: list[_Query] = []

    async def find(self, text: str, domain: str, k: int) -> tuple[str, list[Candidate]] | None:
        """The version that answers and its candidates, best first; None while no model is served."""
        loop = asyncio.get_running_loop()
        query = _Query(text, domain, k, loop.create_future())
        if not self._waiting:
            # One turn of the loop later, after all that came in with this one.
            loop.call_soon(loop.call_soon, self._work)
        self._waiting.append(query)
        return await query.answer

    def _work(self) -> None:
        batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        if self._waiting:
            # What is answered now is sent first.
            asyncio.get_running_loop().call_soon(self._work)
        try:
            answers = self._answer(batch)
        except Exception as error:
            for query in batch:
                if not query.answer.done():
                    query.answer.set_exception(error)
            return
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
