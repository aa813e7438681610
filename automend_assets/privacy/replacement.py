"""Replacement: puts a tag or a stand-in where the scanner found a value.

Here: what stands in for each kind of value, numbering, and the loop that scans what it has written. Not here: finding
(`privacy.scanner`), and what the scanner lets through as a stand-in (`privacy.allow`).

Tags (`<EMAIL_1>`) say what was there. Stand-ins have the shape of what was there: an address of RFC 5737 or 3849, a
mailbox at example.com, a number of the same layout, a token with the same prefix, length and kinds of characters.
Either way the same value gets the same replacement within a document, quotes and line breaks stay where they are, and
the scanner finds nothing in the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import polars as pl

from automend_assets.errors import PermanentError
from automend_assets.privacy.personal import iban_checksum, luhn
from automend_assets.privacy.rules import RULES
from automend_assets.privacy.scanner import Scanner

Style = Literal["placeholder", "stand_in"]

_MAX_ROUNDS = 4


class ResidualFindings(PermanentError):
    """What was written in place of findings is itself found: a rule that knows no end."""


class FindingsMismatch(PermanentError):
    """Findings do not belong to the texts that they came with."""


def redact(
    texts: pl.Series, scanner: Scanner, style: Style = "placeholder", findings: pl.DataFrame | None = None
) -> tuple[pl.Series, pl.DataFrame]:
    """`texts` without what `scanner` finds, and the findings (of the first pass, places in `texts`).

    Replaced texts are scanned again, and again replaced where a replacement uncovered another finding, so that the
    result holds none. `findings`: those of `scanner.scan(texts)`, where they are there already.

    Raises ResidualFindings.
    """
    first = scanner.scan(texts) if findings is None else findings
    result = texts
    found = first
    for _ in range(_MAX_ROUNDS):
        if not len(found):
            return result, first
        result = replace(result, found, style)
        rows = found["row"].unique().sort()
        again = scanner.scan(result.gather(rows))
        found = again.with_columns(row=rows.gather(again["row"]))
    raise ResidualFindings(
        f"Replacing left findings in row {found['row'][0]}, rule {found['rule'][0]!r}, after {_MAX_ROUNDS} passes. "
        "Make the rule's validator let `privacy.allow.is_stand_in` through."
    )


def replace(texts: pl.Series, findings: pl.DataFrame, style: Style = "placeholder") -> pl.Series:
    """`texts` with each of `findings` (a frame of `FINDINGS_SCHEMA`) replaced; name, length and nulls are kept.

    Raises FindingsMismatch when a finding lies outside its text or overlaps another.
    """
    if not len(findings):
        return texts
    ordered = findings.sort("row", "start", maintain_order=True)
    replaced: dict[int, str] = {}
    for (row,), group in ordered.group_by("row", maintain_order=True):
        assert isinstance(row, int)  # noqa: S101
        text = texts[row] if row < len(texts) else None
        if text is None:
            raise FindingsMismatch(
                f"There is no text in row {row}. Pass the texts that the findings were made from."
            )
        places = zip(group["start"], group["end"], group["rule"], group["kind"], strict=True)
        replaced[row] = _replace_in(text, list(places), style, row)
    rows = pl.Series(list(replaced), dtype=pl.UInt32)
    return texts.clone().scatter(rows, pl.Series(list(replaced.values()), dtype=pl.String))


def _replace_in(text: str, places: list[tuple[int, int, str, str]], style: Style, row: int) -> str:
    numbers = _Numbers(text)
    parts: list[str] = []
    position = 0
    for start, end, rule, kind in places:
        if not position <= start < end <= len(text):
            raise FindingsMismatch(
                f"A finding of row {row} lies outside its text or overlaps another. Pass the texts that the findings "
                "were made from, and the findings of one scan."
            )
        parts.append(text[position:start])
        value = text[start:end]
        if style == "placeholder" and not _is_number_in_code(text, start, end, kind):
            parts.append(_tags(value, kind, numbers))
        else:
            parts.append(_stand_ins(value, rule, kind, numbers))
        position = end
    parts.append(text[position:])
    return "".join(parts)


class _Numbers:
    """Numbers of the distinct values of one document, by kind, beyond those that tags of an earlier pass use."""

    _TAG = re.compile(r"<([A-Z][A-Z_]{1,30})_(\d{1,9})>")

    def __init__(self, text: str) -> None:
        self._last: dict[str, int] = {}
        for tag in self._TAG.finditer(text):
            kind = tag.group(1).lower()
            self._last[kind] = max(self._last.get(kind, 0), int(tag.group(2)))
        self._known: dict[tuple[str, str], int] = {}

    def of(self, kind: str, value: str) -> int:
        number = self._known.get((kind, value))
        if number is None:
            number = self._last.get(kind, 0) + 1
            self._last[kind] = self._known[kind, value] = number
        return number


# A value over several lines or string literals (a private key) is replaced piece by piece, so that line breaks, quotes,
# escapes and indentation stay.
_PIECES = re.compile(r"\\+[nrt]|(?:Proc-Type|DEK-Info|Version|Comment)\b:?|[A-Za-z0-9+/=]{2,}")
_BREAKS = re.compile(r"[\r\n\"'`]|\\+[nrt]")


def _by_piece(value: str, replacement: str | Callable[[str], str]) -> str:
    def one(piece: re.Match[str]) -> str:
        found = piece.group()
        if found[0] == "\\" or found[0:4] in ("Proc", "DEK-", "Vers", "Comm"):
            return found
        return replacement if isinstance(replacement, str) else replacement(found)

    return _PIECES.sub(one, value)


def _tags(value: str, kind: str, numbers: _Numbers) -> str:
    tag = f"<{kind.upper()}_{numbers.of(kind, value)}>"
    return _by_piece(value, tag) if _BREAKS.search(value) else tag


def _stand_ins(value: str, rule: str, kind: str, numbers: _Numbers) -> str:
    make = _STAND_INS.get(kind)
    number = numbers.of(kind, value)
    if make is not None:
        return make(value, number)
    if _BREAKS.search(value):
        return _by_piece(value, lambda piece: _filler(piece, number))
    keep = _kept(rule, value)
    return value[:keep] + _filler(value[keep:], number)


def _is_number_in_code(text: str, start: int, end: int, kind: str) -> bool:
    """Whether a value of digits alone stands where a program has a number: a tag there would not parse."""
    if kind not in ("card", "ssn", "phone") or not text[start:end].isdigit():
        return False
    before = text[max(0, start - 64) : start].rstrip(" \t")
    after = text[end : end + 64].lstrip(" \t")
    return before[-1:] in tuple("=([{,:<>+-*/%&|^~") and (not after or after[0] in ",;)]}+-*/%&|^<>=\r\n#:")


@lru_cache(maxsize=1)
def _prefixes() -> dict[str, re.Pattern[str]]:
    return {rule.id: re.compile(rule.keep) for rule in RULES if rule.keep}


def _kept(rule: str, value: str) -> int:
    """Length of the beginning of `value` that says whose token it is."""
    prefix = _prefixes().get(rule)
    found = prefix.match(value) if prefix else None
    return found.end() if found else 0


# --- stand-ins ------------------------------------------------------------------------------------

_PADDING = re.compile(r"=*$")


def _filler(value: str, number: int) -> str:
    """`value` with `x`, `X` and `0` for its letters and digits (`a`, `A` in hexadecimal), its last digits `number`.

    Ends in four fillers and four digits, by which `privacy.allow.is_stand_in` knows it; eight characters at least.
    """
    padding = _PADDING.search(value)
    body = value[: padding.start()] if padding else value
    hexadecimal = len(body) >= 16 and re.fullmatch(r"[0-9a-fA-F-]+", body) is not None
    lower, upper = ("a", "A") if hexadecimal else ("x", "X")
    shape = "".join(
        lower
        if c.islower()
        else upper
        if c.isupper()
        else "0"
        if c.isdigit()
        else c
        if c in "-_./+~"
        else lower
        for c in body[:-8]
    )
    last = body[-8:-4].ljust(4, "x")
    tail = "".join(upper if c.isupper() else "0" if c.isdigit() else lower for c in last)
    return f"{shape}{tail}{number % 10_000:04d}{value[len(body) :]}"


def _email(value: str, number: int) -> str:
    if re.search(r"[ \t\[({<]", value):
        return f"user{number} [at] example [dot] com"
    return f"user{number}@example.com"


def _ip(value: str, number: int) -> str:
    if ":" in value:
        return f"2001:db8::{number % 65_536:x}"
    block = ("192.0.2", "198.51.100", "203.0.113")[(number - 1) // 254 % 3]
    return f"{block}.{(number - 1) % 254 + 1}"


def _refill(value: str, digits: str) -> str:
    """`value` with its digits, in order, replaced by `digits`."""
    source = iter(digits)
    return "".join(next(source) if c.isdigit() else c for c in value)


def _phone(value: str, number: int) -> str:
    """The same layout, ending in 555-01xx: numbers that are kept for fiction."""
    main = re.match(r"[^xe]*", value)
    kept = main.group() if main else value
    length = sum(c.isdigit() for c in kept)
    fiction = f"55501{number % 100:02d}"
    digits = ("2" * length + fiction)[-length:]
    code = re.match(r"\+\d{1,3}(?=\D)", kept)
    if code is not None:
        country = code.group()[1:]
        digits = country + digits[len(country) :] if length >= len(country) + 7 else digits
    return _refill(kept, digits) + re.sub(r"\d", "0", value[len(kept) :])


def _card(value: str, number: int) -> str:
    """The same layout and a valid checksum, with the prefix 9, which no card network issues."""
    length = sum(c.isdigit() for c in value)
    body = "9" + f"{number:0{length - 2}d}"[-(length - 2) :]
    check = next(str(digit) for digit in range(10) if luhn(body + str(digit)))
    return _refill(value, body + check)


def _ssn(value: str, number: int) -> str:
    """The same layout in the area 000, or, where that could be no number of a program, 900: neither is assigned."""
    return _refill(value, f"{'900' if value.isdigit() else '000'}00{number % 10_000:04d}")


def _iban(value: str, number: int) -> str:
    """The same country, length and layout with a valid checksum, and no bank."""
    compact = re.sub(r"[ -]", "", value)
    inner = "".join("X" if c.isalpha() else "0" for c in compact[4:-3]) + f"{number % 1_000:03d}"
    check = 98 - iban_checksum(compact[:2] + "00" + inner)
    source = iter(f"{compact[:2]}{check:02d}{inner}")
    return "".join(c if c in " -" else next(source) for c in value)


def _mac(value: str, number: int) -> str:
    """The same separators, in the range that RFC 7042 keeps for documentation."""
    digits = f"00005e0053{number % 256:02x}"
    source = iter(digits.upper() if value.upper() == value else digits)
    return "".join(next(source) if c.isalnum() else c for c in value)


_STAND_INS: dict[str, Callable[[str, int], str]] = {
    "email": _email,
    "ip_address": _ip,
    "phone": _phone,
    "card": _card,
    "ssn": _ssn,
    "iban": _iban,
    "mac_address": _mac,
}
