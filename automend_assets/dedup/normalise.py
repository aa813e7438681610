"""Forms of a text in which differences that do not matter are gone, as digests.

What belongs here: what is left out per language. What does not: which of two equal texts is kept
(`deduplicate.py`), similarity (`shingles.py`).

* no language, prose and YAML: a run of white space is one space, none at the ends.
* python, java, cpp, javascript: no comments, and white space only between two words. Strings are no comments,
  docstrings included. Comments are found by one regular expression per language, in linear time; it knows
  strings, raw strings, text blocks, templates and regular expression literals, but it is no parser. Indentation
  goes as well: two Python files that differ in nothing else count as the same.

White space is ASCII white space. A file of which nothing is left, such as one of comments alone, keeps the form
of prose: comments that differ do not make two files the same.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import polars as pl

from automend_assets.dedup.shingles import joined_bytes, word_bytes
from automend_assets.errors import PermanentError

DIGEST_BYTES = 16

_DOUBLE = r'"(?:[^"\\\n]|\\(?s:.))*"'
_SINGLE = r"'(?:[^'\\\n]|\\(?s:.))*'"
_TRIPLE = r'"""(?s:[^\\]|\\.)*?"""'
_C_COMMENT = r"//(?:[^\n\\]|\\(?s:.))*|/\*(?s:.)*?\*/"
# A slash begins a regular expression where no operand ends, after one of these, unless it begins a comment.
_JS_REGEX_PART = r"\\.|\[(?:[^\]\\\n]|\\.)*\]"
_JS_REGEX = (
    rf"[(,=:\[!&|?{{}};+\-*%<>~^]\s*/(?:[^/*\\\[\n]|{_JS_REGEX_PART})(?:[^/\\\[\n]|{_JS_REGEX_PART})*/"
)

# The first group is what stays; what else matches is a comment.
_COMMENTS = {
    "python": rf"({_TRIPLE}|'''(?s:[^\\]|\\.)*?'''|{_DOUBLE}|{_SINGLE})|#[^\n]*",
    "java": rf"({_TRIPLE}|{_DOUBLE}|{_SINGLE})|{_C_COMMENT}",
    # 1'000'000 is a number, not the beginning of a character.
    "cpp": rf'(R"[^(\s]{{0,16}}\((?s:.)*?\)[^(\s"]{{0,16}}"|{_DOUBLE}|\b[0-9][\w\'.]*|{_SINGLE})|{_C_COMMENT}',
    "javascript": rf"({_DOUBLE}|{_SINGLE}|`(?s:[^`\\]|\\.)*`|{_JS_REGEX})|{_C_COMMENT}",
}
_PLAIN = ("prose", "yaml")

LANGUAGES = (*_COMMENTS, *_PLAIN)


class UnknownLanguage(PermanentError):
    """There is no normalised form for this language."""


def check_language(language: str | None) -> None:
    """Raise UnknownLanguage unless the language is None or one of `LANGUAGES`."""
    if language is not None and language not in LANGUAGES:
        raise UnknownLanguage(
            f"No normalised form for the language {language!r}: use one of {', '.join(LANGUAGES)}, or none for "
            "white space alone."
        )


def normalised(texts: pl.Series, language: str | None = None) -> list[bytes]:
    """The normalised form of each text of a String series without nulls, as UTF-8."""
    check_language(language)
    plain = _squeezed(texts, between_words=False)
    if language is None or language in _PLAIN:
        return plain
    without_comments = texts.str.replace_all(_COMMENTS[language], "$1 ")
    code = _squeezed(without_comments, between_words=True)
    return [form or fallback for form, fallback in zip(code, plain, strict=True)]


def normalised_digests(texts: pl.Series, language: str | None = None) -> list[bytes]:
    """16 bytes per text that are equal when the normalised forms are."""
    return [sha256(form).digest()[:DIGEST_BYTES] for form in normalised(texts, language)]


def _squeezed(texts: pl.Series, *, between_words: bool) -> list[bytes]:
    """Each text with one space for every run of white space, or only for those that part two words."""
    if not len(texts):
        return []
    buffer, _ = joined_bytes(texts)
    blank = (buffer == 32) | ((buffer - 9) < 5)
    buffer[blank] = 32
    kept = ~blank
    kept[1:] |= ~blank[:-1]
    if between_words:
        positions = np.flatnonzero(kept)
        inside = word_bytes(buffer)[positions]
        parts_words = np.zeros(len(positions), np.bool_)
        parts_words[1:-1] = inside[:-2] & inside[2:]
        kept[positions[blank[positions] & ~parts_words]] = False
    # Each text and the line feed after it.
    segments = texts.str.len_bytes().to_numpy().astype(np.int64) + 1
    kept, buffer = kept[1 : segments.sum() + 1], buffer[1 : segments.sum() + 1]
    squeezed = buffer[kept].tobytes()
    forms = []
    start = end = 0
    for segment in segments.tolist():
        size = int(np.count_nonzero(kept[start : start + segment]))
        forms.append(squeezed[end : end + size].rstrip(b" "))
        start, end = start + segment, end + size
    return forms
