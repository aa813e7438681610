"""Whether a machine drew a string: entropy, the mix of its characters, and the words in it."""

from __future__ import annotations

import math
import re
from itertools import pairwise

_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VERSIONED = re.compile(r"(?:^|[-_@v])\d{1,3}\.\d{1,3}(?:\.\d{1,3})?(?:[-.][A-Za-z]+\d*)?$|\d{4}-\d\d-\d\d")
# Pairs of letters that make up three quarters of written English, and a quarter of random letters.
_COMMON_PAIRS = frozenset(
    """
    ab ac ad ag ai al am an ap ar as at ay ba be bo br ca ce ch ck cl co cr ct cu da de di do dr du ea ec ed ee ef el em
    en er es et ev ex ey fa fi fo fr ga ge go gr ha he hi ho ic id ie if ig il im in io ip ir is it ke ki la ld le li ll
    lo ly ma me mi mo mp na nc nd ne nf ng no ns nt ob of og ol om on oo op or os ot ou ow pa pe ph pi pl po pr ra rd re
    ri rm ro rs rt rv ry sa sc se sh si so sp ss st su sy ta te th ti to tr ts tt tu ty ul um un up ur us ut va ve vi wa
    we wh wi wo ys
    """.split()  # noqa: SIM905
)
_LETTERS = re.compile(r"[A-Za-z]{2,}")
# Where a camel-case name starts a new word, the pair across the border says nothing.
_BORDER = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")

# The symbols that names, paths, addresses and versions have say nothing.
_KINDS = tuple(map(re.compile, ("[a-z]", "[A-Z]", "[0-9]", r"[^A-Za-z0-9\s._/:-]")))


def entropy(value: str) -> float:
    """Shannon entropy in bits per character; 0.0 for the empty string."""
    length = len(value)
    counts = (value.count(character) for character in set(value))
    return -sum(count / length * math.log2(count / length) for count in counts)


def _switches(value: str) -> float:
    """Share of neighbouring characters of different classes: near 0 in words, above 0.4 in random text."""
    classes = ["d" if c.isdigit() else "u" if c.isupper() else "l" if c.islower() else "s" for c in value]
    return sum(a != b for a, b in pairwise(classes)) / max(1, len(value) - 1)


def _wordiness(value: str) -> float:
    """Share of its pairs of neighbouring letters that are common in words, from 0 to 1."""
    pairs = [
        run[i : i + 2].lower()
        for part in _LETTERS.findall(value)
        for run in _BORDER.split(part)
        for i in range(len(run) - 1)
    ]
    # Of few pairs, all are common now and then.
    return sum(pair in _COMMON_PAIRS for pair in pairs) / max(len(pairs), 5)


def _letters_look_random(value: str) -> bool:
    return entropy(value) > 3.9 and _switches(value) > 0.3 and _wordiness(value) < 0.5


def mixes_characters(value: str) -> bool:
    """Whether `value` mixes letters of both cases, digits and symbols throughout, as generated passwords do.

    Short ones may look like words by their pairs of letters, which `looks_random` goes by.
    """
    return (
        len(value) >= 8
        and value.isascii()
        and all(kind.search(value) for kind in _KINDS)
        and "://" not in value
        and _switches(value) > 0.3
        and _wordiness(value) < 0.7
    )


def looks_random(value: str) -> bool:
    """Whether a machine drew `value`: letters and digits mixed as no name, word, path or version mixes them."""
    length = len(value)
    if length < 10 or not value.isascii() or value.isalpha():
        return length >= 20 and value.isalpha() and value.isascii() and _letters_look_random(value)
    if _VERSIONED.search(value):
        return False
    if _UUID.fullmatch(value):
        return entropy(value) > 2.8
    digits = sum(c.isdigit() for c in value)
    letters = sum(c.isalpha() for c in value)
    if letters < 2:
        return False
    bits = entropy(value)
    if digits + letters < 0.75 * length:
        symbols = {c for c in value if not c.isalnum()}
        return length >= 16 and bits > 3.8 and digits > 0 and len(symbols - set("-_./: ")) > 2
    if _HEX.fullmatch(value):
        return length >= 16 and digits >= 2 and bits > 2.7
    if digits == 0:
        return length >= 20 and _letters_look_random(value)
    if _wordiness(value) > 0.56:
        return False
    return bits > (2.8 if length < 16 else 3.1) and (_switches(value) > 0.12 or (length >= 24 and bits > 4.2))
