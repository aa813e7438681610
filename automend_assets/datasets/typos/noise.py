"""The noise model: how people and scanners misspell a name, drawn from a seed.

What belongs here: the kinds of error, their shares, and pairs made from corrections. What does not: what an error
costs when it is to be undone (`channel.py`, which shares the tables of keys, sounds and shapes below).

A typo has one error, and with probability `second` another one. Each error is of one of six kinds, drawn by its
share among those that the text offers, at a place drawn evenly among those where that kind is possible:

| kind | what | examples |
| --- | --- | --- |
| keyboard | a character becomes its neighbour on a QWERTY keyboard, or a neighbour is hit too | civic: xivic |
| omission | a character is left out, spaces and hyphens like others | hilux: hilx; cx-30: cx30 |
| doubling | a character comes twice | city: ciity |
| transposition | two characters swap places | toyota: toyoat |
| phonetic | a spelling becomes one that sounds alike | axia: aksia; civic: sivic |
| ocr | a shape becomes one that looks alike | vios: vi0s; ram: rarn |

A typo is lower case, is never empty, and is never the correction itself nor another known name of its domain:
nothing could tell that one from a name typed well.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from automend_assets.datasets.typos.texts import Entry, Pair, distinct_entries, normalised

# The rows of a QWERTY keyboard and how far each begins to the right of the first, in keys.
_ROWS = (("1234567890-", 0.0), ("qwertyuiop[", 0.5), ("asdfghjkl;", 0.75), ("zxcvbnm,./", 1.25))

# Spellings that sound alike, in both directions.
SOUNDS = (
    *(("c", "k"), ("c", "s"), ("ck", "k"), ("k", "q"), ("ks", "x"), ("kw", "qu"), ("ph", "f"), ("s", "z")),
    *(("g", "j"), ("v", "w"), ("v", "f"), ("a", "e"), ("e", "i"), ("i", "y"), ("o", "u"), ("a", "u")),
    *(("ee", "i"), ("oo", "u"), ("ai", "ay"), ("ei", "ai"), ("sh", "ch"), ("th", "t"), ("ght", "t")),
)
# Shapes that look alike, in both directions.
SHAPES = (
    *(
        ("0", "o"),
        ("1", "l"),
        ("1", "i"),
        ("i", "l"),
        ("5", "s"),
        ("8", "b"),
        ("6", "b"),
        ("2", "z"),
        ("9", "g"),
    ),
    *(("m", "rn"), ("w", "vv"), ("d", "cl"), ("c", "e"), ("u", "v"), ("4", "a"), ("n", "h")),
)

KINDS = ("keyboard", "omission", "doubling", "transposition", "phonetic", "ocr")


def _neighbours() -> dict[str, str]:
    places = {
        key: (row, start + at) for row, (keys, start) in enumerate(_ROWS) for at, key in enumerate(keys)
    }
    return {
        key: "".join(
            other
            for other, (other_row, other_at) in places.items()
            if other != key and abs(other_row - row) <= 1 and abs(other_at - at) <= 1
        )
        for key, (row, at) in places.items()
    }


NEIGHBOURS: Mapping[str, str] = _neighbours()


@dataclass(frozen=True)
class Noise:
    """A mixture of errors: the share of each kind, and how often a typo has a second error."""

    shares: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 1 / len(KINDS)))
    second: float = 0.15

    def typo(self, correction: str, rng: random.Random) -> str:
        """`correction` in normalised form with its errors; as it is where no kind of the mixture is possible."""
        text = normalised(correction)
        typo = self._error(text, rng)
        if rng.random() < self.second:
            typo = self._error(typo, rng)
        return typo

    def _error(self, text: str, rng: random.Random) -> str:
        offered = {kind: made for kind in self.shares if (made := _errors(kind, text))}
        if not offered:
            return text
        kind = rng.choices(list(offered), [self.shares[kind] for kind in offered])[0]
        return rng.choice(offered[kind])


def noisy_pairs(
    entries: Iterable[Entry],
    per_entry: int,
    seed: int,
    noise: Noise | None = None,
    *,
    known: Iterable[Entry] = (),
) -> list[Pair]:
    """`per_entry` pairs for each distinct entry, in their order; a pair depends on nothing but its entry, its number
    and the seed, and on the names (`entries` and `known`) that no typo may be.

    An entry of one character, most of whose typos are names themselves, can get fewer.
    """
    noise = noise or Noise()
    wanted = distinct_entries(entries)
    names = {(entry.domain, normalised(entry.text)) for entry in (*wanted, *known)}
    pairs = []
    for entry in wanted:
        for number in range(per_entry):
            rng = random.Random(f"{seed}\0{entry.domain}\0{normalised(entry.text)}\0{number}")  # noqa: S311
            for _ in range(20):
                typo = noise.typo(entry.text, rng)
                if normalised(typo) == typo and (entry.domain, typo) not in names:
                    pairs.append(Pair(typo, entry.text, entry.domain))
                    break
    return pairs


def _errors(kind: str, text: str) -> list[str]:
    """Every text that one error of a kind makes of `text`, once per place."""
    if kind == "keyboard":
        made = [
            text[:at] + near + text[at + taken :]
            for at, char in enumerate(text)
            for near in NEIGHBOURS.get(char, "")
            for taken in (0, 1, 1)
        ]
    elif kind == "omission":
        made = [text[:at] + text[at + 1 :] for at in range(len(text))]
    elif kind == "doubling":
        made = [text[:at] + char + text[at:] for at, char in enumerate(text)]
    elif kind == "transposition":
        made = [text[:at] + text[at + 1] + text[at] + text[at + 2 :] for at in range(len(text) - 1)]
    else:
        rules = SOUNDS if kind == "phonetic" else SHAPES
        made = [
            text[:at] + new + text[at + len(old) :]
            for rule in rules
            for old, new in (rule, rule[::-1])
            for at in range(len(text))
            if text.startswith(old, at)
        ]
    return [typo for typo in made if typo and typo != text]
