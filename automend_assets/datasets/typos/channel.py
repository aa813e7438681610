"""The noise channel: what it costs to explain a typed text as a misspelling of each of some corrections.

What belongs here: the cost of one error by its kind and the weighted edit distance built from them. What does not:
which corrections are looked at and how the cost is weighed against likeness (`lookup.py`).

A cost is roughly the negative logarithm of how often the error is made where it can be made. The figures are set by
hand from what is known of typing (a neighbouring key, a doubled letter, two letters swapped, a letter left out are
common; any other character in place of one that belongs there is rare) and are no fit to any data.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from automend_assets.datasets.typos.noise import NEIGHBOURS, SHAPES, SOUNDS
from automend_assets.datasets.typos.texts import normalised

Costs = NDArray[np.float32]
_Units = NDArray[np.int16]
Codes = NDArray[np.uint8]

# Texts are compared by their first characters only: the cost of a comparison must have a bound.
LONGEST = 48

# Costs are whole numbers of this, in nats: sums are exact and, at two bytes each, quick.
_UNIT = 0.05


def _cost(nats: float) -> np.int16:
    return np.int16(round(nats / _UNIT))


_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789 -./&'+[];,!"
_SEPARATORS = " -./'"
_VOWELS = "aeiouy"
_PADDING = 0
_OTHER = len(_ALPHABET) + 1
_SIZE = _OTHER + 1

_SUBSTITUTION = _cost(4.5)
_SUBSTITUTED_KEY = _cost(2.6)
_SUBSTITUTED_SOUND = _cost(2.4)
_SUBSTITUTED_SHAPE = _cost(2.4)
_SUBSTITUTED_VOWEL = _cost(3.5)
_OMISSION = _cost(1.9)
_OMITTED_REPEAT = _cost(1.5)
_OMITTED_SEPARATOR = _cost(1.6)
_INSERTION = _cost(4.2)
_INSERTED_KEY = _cost(3.4)
_INSERTED_REPEAT = _cost(2.0)
_INSERTED_SEPARATOR = _cost(2.0)
_TRANSPOSITION = _cost(1.9)
_RESPELT = _cost(2.4)
_SPELT_OUT = _cost(1.0)
# A run of characters left out on purpose, as in `benz`: whatever its length about as rare as two slips.
_ABBREVIATION = _cost(5.0)
_ABBREVIATED_CHARACTER = _cost(0.15)
_NEVER = np.iinfo(np.int16).max

_NUMBERS = (
    *(("zero", "0"), ("one", "1"), ("two", "2"), ("three", "3"), ("four", "4"), ("five", "5"), ("six", "6")),
    *(("seven", "7"), ("eight", "8"), ("nine", "9"), ("ten", "10"), ("twenty", "20"), ("thirty", "30")),
    *(
        ("forty", "40"),
        ("fifty", "50"),
        ("sixty", "60"),
        ("seventy", "70"),
        ("eighty", "80"),
        ("ninety", "90"),
    ),
)


def folded(text: str) -> str:
    """The normalised text without accents, which keyboards often lack."""
    decomposed = unicodedata.normalize("NFKD", normalised(text))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _codes(text: str) -> Codes:
    return _CODES_OF[np.minimum(np.frombuffer(text[:LONGEST].encode("utf-32-le"), np.uint32), 128)]


def _codes_of() -> Codes:
    codes = np.full(129, _OTHER, np.uint8)
    for number, char in enumerate(_ALPHABET, start=1):
        codes[ord(char)] = number
    return codes


_CODES_OF = _codes_of()


def _tables() -> tuple[_Units, _Units]:
    """Costs by (typed, meant) of a substitution, and by (typed, before * _SIZE + after) of an insertion."""
    substitution = np.full((_SIZE, _SIZE), _SUBSTITUTION, np.int16)
    insertion = np.full((_SIZE, _SIZE), _INSERTION, np.int16)
    code = {char: number for number, char in enumerate(_ALPHABET, start=1)}

    def cheaper(one: str, other: str, cost: np.int16) -> None:
        for typed, meant in ((one, other), (other, one)):
            substitution[code[typed], code[meant]] = min(substitution[code[typed], code[meant]], cost)

    for typed, near in NEIGHBOURS.items():
        for other in near:
            cheaper(typed, other, _SUBSTITUTED_KEY)
            insertion[code[typed], code[other]] = _INSERTED_KEY
    for rules, cost in ((SOUNDS, _SUBSTITUTED_SOUND), (SHAPES, _SUBSTITUTED_SHAPE)):
        for one, other in rules:
            if len(one) == len(other) == 1:
                cheaper(one, other, cost)
    for one in _VOWELS:
        for other in _VOWELS:
            cheaper(one, other, _SUBSTITUTED_VOWEL)
    for one in _SEPARATORS:
        insertion[code[one]] = _INSERTED_SEPARATOR
        for other in _SEPARATORS:
            cheaper(one, other, _INSERTED_SEPARATOR)
    np.fill_diagonal(substitution, 0)
    np.fill_diagonal(insertion, _INSERTED_REPEAT)
    substitution[_OTHER, _OTHER] = _SUBSTITUTION
    return substitution, np.minimum(insertion[:, :, None], insertion[:, None, :]).reshape(_SIZE, -1)


_SUBSTITUTIONS, _INSERTIONS = _tables()


def _rewrites() -> tuple[dict[str, list[int]], list[tuple[str, str, np.int16]]]:
    """Spellings of different length, as (typed, meant, cost), and their numbers by the last typed character."""
    rules = []
    for one, other in (*SOUNDS, *SHAPES):
        if len(one) != len(other):
            rules += [(one, other, _RESPELT), (other, one, _RESPELT)]
    rules += [(word, digits, _SPELT_OUT) for word, digits in _NUMBERS]
    by_last: dict[str, list[int]] = {}
    for number, (typed, _, _) in enumerate(rules):
        by_last.setdefault(typed[-1], []).append(number)
    return by_last, rules


_RULES_BY_LAST, _RULES = _rewrites()


class Channel:
    """Corrections laid out for comparison: arrays of one column per correction, built once.

    A column and not a row: what runs along a correction then goes through memory in long strides of many corrections
    at once, which is what processors are good at.
    """

    def __init__(self, corrections: Sequence[str]) -> None:
        texts = [folded(text)[:LONGEST] for text in corrections]
        width = max((len(text) for text in texts), default=0)
        self._lengths = np.array([len(text) for text in texts], np.int64)
        self._meant = np.zeros((width, len(texts)), np.int64)
        for column, text in enumerate(texts):
            self._meant[: len(text), column] = _codes(text)
        omitted = np.full(self._meant.shape, _OMISSION, np.int16)
        omitted[np.isin(self._meant, _codes(_SEPARATORS))] = _OMITTED_SEPARATOR
        repeated = self._meant[1:] == self._meant[:-1]
        omitted[1:][repeated] = np.minimum(omitted[1:][repeated], _OMITTED_REPEAT)
        # What it costs to leave out the first characters of a correction, for each number of them.
        self._omitted = np.zeros((width + 1, len(texts)), np.int16)
        np.cumsum(omitted, axis=0, out=self._omitted[1:])
        # The characters before and after each place, as one number: an inserted key may be beside either.
        self._beside = np.zeros((width + 1, len(texts)), np.int64)
        self._beside[1:] = self._meant
        self._beside *= _SIZE
        self._beside[:width] += self._meant
        # Where the meant side of each rewrite ends: one bit per rule.
        self._ends = np.zeros((width + 1, len(texts)), np.uint64)
        for number, (_, meant, _) in enumerate(_RULES):
            for column, text in enumerate(texts):
                at = text.find(meant)
                while at >= 0:
                    self._ends[at + len(meant), column] |= np.uint64(1 << number)
                    at = text.find(meant, at + 1)

    def costs(self, typed: Sequence[str], rows: NDArray[np.int64]) -> Costs:
        """What corrections cost as explanations of typed texts, in nats; 0 is the same text.

        `rows` has one row per typed text, of the numbers of the corrections to compare it with; so has the result.
        """
        texts = [folded(text)[:LONGEST] for text in typed]
        # The longest text first: those that are done are then behind those that are not.
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        texts = [texts[place] for place in order]
        numbers = rows[order].ravel()
        owners = np.repeat(np.arange(len(texts)), rows.shape[1])
        costs = np.empty(rows.shape, np.float32)
        if costs.size:
            costs[order] = self._explain(texts, owners, numbers).reshape(rows.shape) * np.float32(_UNIT)
        return costs

    def _explain(self, texts: Sequence[str], owners: NDArray[np.int64], numbers: NDArray[np.int64]) -> _Units:
        """The costs of pairs of a text (its place, in rising order; the longest is first) and a correction."""
        lengths = self._lengths[numbers]
        width = int(lengths.max())
        meant = self._meant[:width].take(numbers, axis=1)
        letters = meant.astype(np.uint8)
        omitted = self._omitted[: width + 1].take(numbers, axis=1)
        beside = self._beside[: width + 1].take(numbers, axis=1)
        ends = self._ends[: width + 1].take(numbers, axis=1)
        beginnings = np.searchsorted(owners, np.arange(len(texts) + 1)).tolist()
        codes = np.zeros((len(texts[0]), len(texts)), np.int64)
        for column, text in enumerate(texts):
            codes[: len(text), column] = _codes(text)
        codes = codes.take(owners, axis=1)
        typed = codes.astype(np.uint8)
        # done[n][m, p]: the cheapest way to type the first n characters of a text for the first m of its correction.
        run = np.arange(width + 1, dtype=np.int16)[:, None] * _ABBREVIATED_CHARACTER
        done = [np.minimum(omitted, run + _ABBREVIATION)]
        done[0][0] = 0
        going_on = len(texts)
        for at in range(len(codes)):
            while len(texts[going_on - 1]) <= at:
                going_on -= 1
            pairs = beginnings[going_on]
            code, last = codes[at, :pairs], done[-1][:, :pairs]
            now = last + _INSERTIONS.take(beside[:, :pairs] + code * _SIZE**2)
            np.minimum(now[1:], last[:-1] + _SUBSTITUTIONS.take(meant[:, :pairs] + code * _SIZE), out=now[1:])
            if at:
                swapped = (letters[:-1, :pairs] == typed[at, :pairs]) & (
                    letters[1:, :pairs] == typed[at - 1, :pairs]
                )
                places = np.flatnonzero(swapped)
                if len(places):
                    rows, columns = np.divmod(places, pairs)
                    way = done[-2][rows, columns] + _TRANSPOSITION
                    now[rows + 2, columns] = np.minimum(now[rows + 2, columns], way)
            for place, text in enumerate(texts[:going_on]):
                of_text = slice(beginnings[place], beginnings[place + 1])
                for number in _RULES_BY_LAST.get(text[at : at + 1], ()):
                    spelling, intended, price = _RULES[number]
                    size = len(intended)
                    if size > width or not text.endswith(spelling, 0, at + 1):
                        continue
                    here = ends[size:, of_text] & np.uint64(1 << number)
                    if here.any():
                        way = done[at + 1 - len(spelling)][: width + 1 - size, of_text] + price
                        cost = np.where(here != 0, way, _NEVER)
                        np.minimum(now[size:, of_text], cost, out=now[size:, of_text])
            # Leaving characters out after this one, one by one or as a run: running minima, for the costs add up.
            ways = np.empty((width + 1, 2 * pairs), np.int16)
            one_by_one, as_run = ways[:, :pairs], ways[:, pairs:]
            np.subtract(now, omitted[:, :pairs], out=one_by_one)
            np.subtract(now, run, out=as_run)
            _running_minimum(ways)
            one_by_one += omitted[:, :pairs]
            as_run += run + _ABBREVIATION
            done.append(np.minimum(one_by_one, as_run))
        found = np.empty(len(numbers), np.int16)
        for place, text in enumerate(texts):
            columns = np.arange(beginnings[place], beginnings[place + 1])
            found[columns] = done[len(text)][lengths[columns], columns]
        return found


def _running_minimum(values: _Units) -> None:
    """The minimum of each row and those before it, in place."""
    # One call per row: numpy's accumulate takes one column after the other, which is many times as long.
    for before, row in pairwise(list(values)):
        np.minimum(row, before, out=row)
