"""A candidate's place in its document, and what surrounds it: what validators and locators are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from automend_assets.privacy.allow import without_tags


class Place(NamedTuple):
    """A candidate: bytes `start` to `end` of the document `text`; `begin` is where its whole match starts."""

    text: bytes
    start: int
    end: int
    begin: int

    @property
    def value(self) -> str:
        """The candidate; Latin-1, so that one character is one byte."""
        return self.text[self.start : self.end].decode("latin-1")

    def before(self, length: int) -> str:
        """Up to `length` bytes before the candidate."""
        return self.text[max(0, self.start - length) : self.start].decode("latin-1")

    def words_before(self, length: int) -> str:
        """As `before`, without the tags of an earlier replacement, whose names are no words of the text."""
        return without_tags(self.before(length + 48))[-length:]

    def after(self, length: int) -> str:
        """Up to `length` bytes after the candidate."""
        return self.text[self.end : self.end + length].decode("latin-1")


Validator = Callable[[Place], bool]
Locator = Callable[[Place], Iterator[tuple[int, int]]]
