"""Takes personal data and secrets out of a manifest without changing what it is: values, never structure.

Here: which parts of a text are replaced, by what, and the proof that nothing else changed. Not here: what is personal
data or a secret (`automend_assets.privacy`), reading YAML (`documents.py`).

Found are the places that the scanner names in the text, every value of a Secret, values beside a telling name (`name:
DB_PASSWORD`, `value: ...`), whole private keys and `user:password@` in an address. What lies inside a scalar value is
replaced by a tag such as `<EMAIL_1>`, the same value by the same tag within a file; in a Secret's `data`, which is
base64, by `xxxx0001`; a number, which must stay one, by 0. What lies in a comment is replaced there. What lies in a
key cannot be, and the file is refused.

Each changed text is read again and compared, event by event: the same documents, keys, types, anchors and tags, and
the same scalars wherever nothing was replaced. Then it is scanned again, and nothing may be found.
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

from automend_assets.datasets.iac.documents import Limits, Parsed, Scalar, YamlRefused, parse
from automend_assets.privacy.allow import is_filler
from automend_assets.privacy.scanner import Scanner

CODES = ("finding_in_key", "structure_changed", "finding_left")
"""Why a manifest is refused: see the docstring of this module; `finding_left`: a second scan finds something yet."""

SECRET_RULE = "kubernetes-secret"  # noqa: S105
NAMED_VALUE_RULE = "named-value-password"

_TELLING_NAME = re.compile(r"pass|pwd|secret|token|key|cred|auth|salt|cert|dsn|conn", re.IGNORECASE)
# What a template engine or a shell fills in; in a Secret everything else is taken for the secret.
_REFERENCE = re.compile(r"\$[({]|\{\{|^<[^>]*>$")
# What the last word of a name must be for its value to be the secret, not a place of it (`PASSWORD_FILE`).
_SECRETS_NAME = re.compile(
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|(?:api|access|secret|private|encryption)[_.-]?key)$",
    re.IGNORECASE,
)
# Behind what a telling name may be hidden in a text.
_HIDES = re.compile(r"\\[xuU\n]")
_CLASSES = tuple(map(re.compile, ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9._/:-]")))
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*[ \t]*(?:\r?\n[ \t]*)?)+")
_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*[ \t]*(?:#[^\n]*)?\n?")
# Whole where the scanner finds the secret part of them: of a key without its body nothing is left to read, and
# `user:pass@` is taken for credentials whatever stands there. Rule, kind, what they cannot be without, their look.
_WHOLE = (
    (
        "private-key",
        "private_key",
        "PRIVATE KEY",
        re.compile(r"-----BEGIN ([A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?)-----[^<>]{0,10000}?-----END \1-----"),
    ),
    (
        "url-credentials",
        "password",
        "@",
        re.compile(r"(?<=://)[^\s:/?#\[\]@\"'<>${}]+:[^\s:/?#\[\]@\"'<>${}]+(?=@)"),
    ),
)
_USER_BEFORE = re.compile(r"(?<=://)[^\s/@\"']*:$")
_TAG = re.compile(r"<([A-Z][A-Z_]{1,30})_(\d{1,9})>")
_NUMBERS = {"int": "0", "float": "0.0"}
_ROUNDS = 2


@dataclass
class Redacted:
    """A manifest after redaction; `text` and `parsed` are those to go on with.

    `rules` counts the places that were replaced, by rule; `left` what a last scan finds. `refused` is one of `CODES`
    when it cannot be used.
    """

    text: str
    parsed: Parsed
    rules: Counter[str] = field(default_factory=Counter)
    left: int = 0
    refused: str | None = None


class _Span(NamedTuple):
    start: int
    end: int
    rule: str
    kind: str


@lru_cache(maxsize=1)
def shared_scanner() -> Scanner:
    """The scanner of this process, whose rules are compiled once."""
    return Scanner()


class Redactor:
    """Redacts batches of manifests."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._scanner = shared_scanner()

    def redact(self, texts: list[str], parsed: list[Parsed]) -> list[Redacted]:
        """Redact `texts`, of which `parsed` are the readings."""
        results = [Redacted(text, reading) for text, reading in zip(texts, parsed, strict=True)]
        waiting = list(range(len(results)))
        for round_number in range(_ROUNDS):
            found = self._find([results[index] for index in waiting], named=round_number == 0)
            changed = []
            for index, spans in zip(waiting, found, strict=True):
                if spans and self._apply(results[index], spans):
                    changed.append(index)
            waiting = changed
        left = self._scanner.scan(pl.Series([results[index].text for index in waiting], dtype=pl.String))
        for row in left["row"].to_list():
            results[waiting[row]].left += 1
            results[waiting[row]].refused = "finding_left"
        return results

    def count_findings(self, texts: pl.Series) -> pl.Series:
        """The number of findings in each text."""
        counted = self._scanner.scan(texts).group_by("row").len("findings")
        rows = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.Int64, eager=True)})
        return (
            rows.join(counted, on="row", how="left", maintain_order="left")["findings"]
            .fill_null(0)
            .cast(pl.Int64)
        )

    def _find(self, manifests: list[Redacted], *, named: bool) -> list[list[_Span]]:
        found: list[list[_Span]] = [[] for _ in manifests]
        texts = pl.Series([manifest.text for manifest in manifests], dtype=pl.String)
        for row, start, end, rule, kind, _ in self._scanner.scan(texts).iter_rows():
            found[row].append(_Span(start, end, rule, kind))
        if named:
            for spans, manifest in zip(found, manifests, strict=True):
                whole = [
                    _Span(*match.span(), rule, kind)
                    for rule, kind, sign, pattern in _WHOLE
                    if sign in manifest.text
                    for match in pattern.finditer(manifest.text)
                ]
                if not manifest.parsed.scalars and (spans or whole or _may_be_named(manifest)):
                    manifest.parsed = parse(manifest.text, self._limits)
                spans += _secret_values(manifest)
                spans += whole
            for row, span in self._named_values(manifests):
                found[row].append(span)
        return found

    def _named_values(self, manifests: list[Redacted]) -> list[tuple[int, _Span]]:
        """Values whose name says that they are secret: as the scanner judges an assignment of them, or as mixed as only
        passwords are."""
        lines, places = [], []
        chosen = []
        for row, manifest in enumerate(manifests):
            scalars = manifest.parsed.scalars
            for name, value in manifest.parsed.named_values:
                told, secret = scalars[name].value, scalars[value].value
                if not secret or not _TELLING_NAME.search(told):
                    continue
                if _SECRETS_NAME.search(told) and _is_mixed(secret):
                    chosen.append((row, value))
                elif "\n" not in secret and '"' not in secret:
                    lines.append(f'{told}: "{secret}"\n')
                    places.append((row, value))
            chosen += [
                (row, index + 1)
                for index, (key, value) in enumerate(pairwise(scalars))
                if key.is_key and not value.is_key and key.depth == value.depth
                if _is_secrets_name(key.value) and _is_mixed(value.value)
            ]
        found = self._scanner.scan(pl.Series(lines, dtype=pl.String))
        chosen += [places[line] for line in found["row"].unique(maintain_order=True).to_list()]
        return [
            (
                row,
                _Span(
                    *_inner(manifests[row].text, manifests[row].parsed.scalars[value]),
                    NAMED_VALUE_RULE,
                    "password",
                ),
            )
            for row, value in chosen
        ]

    def _apply(self, manifest: Redacted, spans: list[_Span]) -> bool:
        """Replace `spans` in a manifest; whether its text changed. It is refused when that is not possible."""
        plan = _Plan(manifest)
        for span in spans:
            plan.add(span)
        if plan.in_key:
            manifest.refused = "finding_in_key"
            return False
        text = _spliced(manifest.text, plan.replacements())
        if text == manifest.text:
            return True  # the last scan will find what could not be replaced
        try:
            parsed = parse(text, self._limits)
        except YamlRefused:
            manifest.refused = "structure_changed"
            return False
        if not same_structure(manifest.parsed, parsed, plan.touched):
            manifest.refused = "structure_changed"
            return False
        manifest.text, manifest.parsed = text, parsed
        manifest.rules.update(plan.rules)
        return True


def same_structure(before: Parsed, after: Parsed, touched: set[int]) -> bool:
    """Whether two readings differ in nothing but the values of the scalars at the places `touched`."""
    if before.shape != after.shape or len(before.scalars) != len(after.scalars):
        return False
    return all(
        old.value == new.value or index in touched
        for index, (old, new) in enumerate(zip(before.scalars, after.scalars, strict=True))
    )


class _Plan:
    """What is replaced in one manifest: pieces of scalar values and of comments, each by its tag."""

    def __init__(self, manifest: Redacted) -> None:
        self._text = manifest.text
        self._scalars = manifest.parsed.scalars
        self._starts = [scalar.start for scalar in self._scalars]
        self._secrets = _secret_documents(manifest.parsed)
        self._pieces: dict[tuple[int, int], tuple[_Span, Scalar | None]] = {}
        self._tags: dict[tuple[str, str], str] = {}
        # Beyond the tags that an earlier round, or the file's author, wrote.
        self._numbers: Counter[str] = Counter()
        for tag in _TAG.finditer(manifest.text):
            self._numbers[tag[1]] = max(self._numbers[tag[1]], int(tag[2]))
        self.touched: set[int] = set()
        self.rules: Counter[str] = Counter()
        self.in_key = False

    def add(self, span: _Span) -> None:
        start, end = _trimmed(self._text, span.start, span.end)
        if span.rule == "url-credentials" and (
            user := _USER_BEFORE.search(self._text, max(0, start - 200), start)
        ):
            start = user.start()
        if start >= end:
            return
        values: list[tuple[int, tuple[int, int]]] = []
        keys: list[tuple[int, tuple[int, int]]] = []
        index = max(0, bisect_right(self._starts, start) - 1)
        while index < len(self._scalars) and self._scalars[index].start < end:
            scalar = self._scalars[index]
            inner_start, inner_end = _inner(self._text, scalar)
            piece = max(start, inner_start), min(end, inner_end)
            if piece[0] < piece[1]:
                (keys if scalar.is_key else values).append((index, piece))
            index += 1
        if values:
            for index, piece in values:
                self._add_value(index, piece, span)
        elif keys:
            self.in_key = True
        else:
            self._add_comment(start, end, span)

    def replacements(self) -> list[tuple[int, int, str]]:
        """Places and what comes there, in order, without overlaps."""
        done: list[tuple[int, int, str]] = []
        reach = -1
        for (start, end), (span, scalar) in sorted(self._pieces.items(), key=lambda p: (p[0][0], -p[0][1])):
            if start < reach:
                continue
            done.append((start, end, self._stand_in(self._text[start:end], span.kind, scalar)))
            self.rules[span.rule] += 1
            reach = end
        return done

    def _add_value(self, index: int, piece: tuple[int, int], span: _Span) -> None:
        scalar = self._scalars[index]
        if scalar.kind in ("bool", "null", "timestamp"):
            return
        whole = _inner(self._text, scalar)
        is_block = scalar.style in ("|", ">")
        if (
            scalar.kind in _NUMBERS
            or self._is_encoded(scalar)
            or (not is_block and "\n" in self._text[slice(*piece)])
        ):
            piece = whole
        piece = _trimmed(self._text, *piece)
        if piece[0] < piece[1]:
            self.touched.add(index)
            self._pieces.setdefault(piece, (span, scalar))

    def _add_comment(self, start: int, end: int, span: _Span) -> None:
        """Line by line: the `#` of a further line must stay."""
        for line in re.finditer(r"[^\n]+", self._text[start:end]):
            body = re.match(r"[ \t]*#*[ \t]*", line.group())
            begin = start + line.start() + (body.end() if body else 0)
            piece = _trimmed(self._text, begin, start + line.end())
            if piece[0] < piece[1]:
                self._pieces.setdefault(piece, (span, None))

    def _stand_in(self, secret: str, kind: str, scalar: Scalar | None) -> str:
        if scalar is not None and scalar.kind in _NUMBERS:
            return _NUMBERS[scalar.kind]
        tag = self._tags.get((kind, secret))
        if tag is None:
            name = re.sub(r"[^A-Z]+", "_", kind.upper()).strip("_") or "SECRET"
            self._numbers[name] += 1
            tag = self._tags[kind, secret] = f"<{name}_{self._numbers[name]}>"
        if scalar is not None and self._is_encoded(scalar):
            # Base64 as it stands, and a stand-in that the scanner knows; a tag in base64 would look like a secret.
            return f"xxxx{int(tag[:-1].rpartition('_')[2]):04d}"
        return tag

    def _is_encoded(self, scalar: Scalar) -> bool:
        return scalar.document in self._secrets and scalar.depth == 2 and scalar.section == "data"


def _may_be_named(manifest: Redacted) -> bool:
    """Whether the places of its scalars may show more secrets in a manifest than its text does: a glance at the text,
    then at what it says."""
    text, documents = manifest.text, manifest.parsed.documents
    if not _TELLING_NAME.search(text) and not _HIDES.search(text):
        return False
    # Of keys that are there twice, the documents have the last.
    if manifest.parsed.duplicate_keys or "<<" in text or _secret_documents(manifest.parsed):
        return True
    waiting: list[Any] = [documents]
    while waiting:
        node = waiting.pop()
        if type(node) is dict and _is_telling(node):
            return True
        inner = node.values() if type(node) is dict else node
        waiting += [value for value in inner if type(value) in (dict, list)]
    return False


def _is_telling(node: dict[str, Any]) -> bool:
    """Whether an object may hold a value beside its name, or a key, that `_named_values` takes for a secret."""
    told = node.get("name")
    if type(told) is str and "value" in node and _TELLING_NAME.search(told):
        return True
    return any(
        type(value) not in (dict, list)
        and _is_secrets_name(key)
        and (type(value) is not str or _is_mixed(value))
        for key, value in node.items()
    )


@lru_cache(maxsize=1 << 14)
def _is_secrets_name(name: str) -> bool:
    return _SECRETS_NAME.search(name) is not None


def _secret_documents(parsed: Parsed) -> set[int]:
    return {
        number
        for number, document in enumerate(parsed.documents)
        if isinstance(document, dict) and document.get("kind") == "Secret"
    }


def _secret_values(manifest: Redacted) -> list[_Span]:
    """The values of the `data` and `stringData` of Secrets, but for those that refer to a place or wait to be
    filled."""
    secrets = _secret_documents(manifest.parsed)
    if not secrets:
        return []
    spans = []
    for scalar in manifest.parsed.scalars:
        if scalar.document not in secrets or scalar.is_key or scalar.depth != 2:
            continue
        if scalar.section not in ("data", "stringData") or not scalar.value.strip():
            continue
        value = _decoded(scalar.value) if scalar.section == "data" else scalar.value
        if not (is_filler(value) or _REFERENCE.search(value)):
            spans.append(_Span(*_inner(manifest.text, scalar), SECRET_RULE, "secret"))
    return spans


def _is_mixed(value: str) -> bool:
    """Whether a value mixes characters as passwords do, and names, paths, addresses and references do not."""
    if len(value) < 8 or re.search(r"\s|^[./]|://", value) or _REFERENCE.search(value) or is_filler(value):
        return False
    return sum(found.search(value) is not None for found in _CLASSES) >= 3


def _decoded(value: str) -> str:
    try:
        return base64.b64decode("".join(value.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        return value


def _inner(text: str, scalar: Scalar) -> tuple[int, int]:
    """Where the characters of a scalar are: without anchor, tag, quotes, block header and the space around."""
    start, end = scalar.start, scalar.end
    if text[start : start + 1] in ("&", "!") and (properties := _PROPERTIES.match(text, start, end)):
        start = properties.end()
    if scalar.style in ("'", '"'):
        return start + 1, end - 1
    if scalar.style and (header := _BLOCK_HEADER.match(text, start, end)):
        start = header.end()
    return _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in " \t\r\n":
        start += 1
    while end > start and text[end - 1] in " \t\r\n":
        end -= 1
    return start, end


def _spliced(text: str, replacements: list[tuple[int, int, str]]) -> str:
    parts, reach = [], 0
    for start, end, stand_in in replacements:
        parts += [text[reach:start], stand_in]
        reach = end
    return "".join([*parts, text[reach:]])
