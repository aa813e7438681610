"""Whether a machine drew a string: entropy, the mix of its characters, and the words in it."""

from __future__ import annotations

import math
import re
from itertools import pairwise

_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VERSIONED = re.compile(r"(?:^|[-_@v])\d{1,3}\.\d{1,3}(?:\.\d{1,3})?(?:[-.][A-Za-z]+\d*)?$|\d{4}-\d\d-\d\d")
_RUN = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_UNSPEAKABLE = re.compile(r"[bcdfghjklmnpqrstvwxz]{4}|[aeiou]{4}", re.IGNORECASE)


def entropy(value: str) -> float:
    """Shannon entropy in bits per character; 0.0 for the empty string."""
    length = len(value)
    counts = (value.count(character) for character in set(value))
    return -sum(count / length * math.log2(count / length) for count in counts)


def _switches(value: str) -> float:
    """Share of neighbouring characters of different classes: near 0 in words, above 0.4 in random text."""
    classes = ["d" if c.isdigit() else "u" if c.isupper() else "l" if c.islower() else "s" for c in value]
    return sum(a != b for a, b in pairwise(classes)) / max(1, len(value) - 1)


def _letters_look_random(value: str) -> bool:
    return entropy(value) > 3.9 and _switches(value) > 0.3 and _worded(value) < 0.5 * len(value)


def _worded(value: str) -> int:
    """Characters of `value` in runs of letters that could be words."""
    runs = (run for run in _RUN.findall(value) if len(run) > 3 and not _UNSPEAKABLE.search(run))
    return sum(len(run) for run in runs if any(c in "aeiouyAEIOUY" for c in run))


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
    worded = _worded(value)
    if digits == 0:
        return length >= 20 and _letters_look_random(value)
    if worded > 0.55 * length:
        return False
    return bits > (2.9 if length < 16 else 3.2) and (_switches(value) > 0.22 or (length >= 24 and bits > 4.2))
