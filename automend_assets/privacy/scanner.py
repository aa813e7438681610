"""The scanner: from a batch of strings to the places of personal data and secrets.

Here: the two engines that find which rules may match which document, the confirmation of their matches, and the choice
between findings that overlap. Not here: the rules (`privacy.rules`), what decides on a match (`privacy.validators`),
replacement (`privacy.replacement`), reading and writing files (`privacy.files`), compiling (`privacy.compiled`).

A prefilter names for each document the rules that may match it: hyperscan, all patterns in one pass, or, where it is
missing, google-re2's filter over the literals that the patterns need. google-re2 then locates each rule's matches, and
the rule's validator decides. Both prefilters only ever add candidates, so their findings are identical.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import re2  # type: ignore[import-untyped]

from automend_assets.errors import PermanentError
from automend_assets.privacy.compiled import UnreadablePattern, compiled
from automend_assets.privacy.place import Place
from automend_assets.privacy.rules import RULES, Rule
from automend_assets.privacy.validators import LOCATORS, VALIDATORS

if TYPE_CHECKING:
    import pyarrow as pa

Engine = Literal["auto", "hyperscan", "re2"]

FINDINGS_SCHEMA = pl.Schema(
    {
        "row": pl.Int64,
        "start": pl.Int64,
        "end": pl.Int64,
        "rule": pl.String,
        "kind": pl.String,
        "confidence": pl.Float64,
    }
)
"""One finding per row, in the order of the documents and of the text. `row`: zero-based position of the document in the
batch. `start`, `end`: characters (Unicode code points) of the document, half-open."""

_KEYWORD_BEFORE = 64
_KEYWORD_AFTER = 32
_MAX_REFUSED = 5_000
_MAX_MEMORY = 32 << 20


class EngineMissing(PermanentError):
    """The engine that was asked for is not installed."""


class InvalidRule(PermanentError):
    """A rule names a validator or a locator that does not exist, or its pattern cannot be read by the engines."""


class Scanner:
    """Finds personal data and secrets. Building one takes a second where its rules were never compiled before, and
    then hardly any time (`privacy.compiled`); it is reusable.

    `engine`: "hyperscan" is several times as fast; "re2" works everywhere; "auto" takes hyperscan where it is there.
    Not to be shared between threads.

    Raises EngineMissing and InvalidRule.
    """

    def __init__(self, rules: Sequence[Rule] = RULES, engine: Engine = "auto") -> None:
        self.rules = tuple(rules)
        self._located = [_Located(rule, rank) for rank, rule in enumerate(self.rules)]
        self._prefilter: _HyperscanPrefilter | _Re2Prefilter
        patterns = [rule.anchor or rule.pattern for rule in self.rules]
        if engine == "re2":
            self._prefilter = _Re2Prefilter(patterns)
        else:
            try:
                self._prefilter = _HyperscanPrefilter(patterns)
            except ImportError as missing:
                if engine == "hyperscan":
                    raise EngineMissing(
                        "The engine hyperscan is not installed here. Install it with `pip install hyperscan`, or "
                        "choose the engine 're2' or 'auto'."
                    ) from missing
                self._prefilter = _Re2Prefilter(patterns)
        self.engine: str = self._prefilter.name

    def scan(self, texts: pl.Series | pa.Array | pa.ChunkedArray) -> pl.DataFrame:
        """The findings in `texts`, a batch of strings, as a frame of `FINDINGS_SCHEMA`; null holds nothing."""
        rows: list[int] = []
        starts: list[int] = []
        ends: list[int] = []
        ranks: list[int] = []
        for row, data, hits in self._candidates(texts):
            found = self._findings(data, hits)
            if not found:
                continue
            offsets = None if data.isascii() else _CharacterOffsets(data)
            for start, end, rank in found:
                rows.append(row)
                starts.append(start if offsets is None else offsets.at(start))
                ends.append(end if offsets is None else offsets.at(end))
                ranks.append(rank)
        rules = self.rules
        return pl.DataFrame(
            {
                "row": rows,
                "start": starts,
                "end": ends,
                "rule": [rules[rank].id for rank in ranks],
                "kind": [rules[rank].kind for rank in ranks],
                "confidence": [rules[rank].confidence for rank in ranks],
            },
            schema=FINDINGS_SCHEMA,
        )

    def _candidates(
        self, texts: pl.Series | pa.Array | pa.ChunkedArray
    ) -> Iterator[tuple[int, bytes, list[int]]]:
        """Row, text and the ranks of the rules that may match, of each document that any rule may match."""
        row = 0
        for array in _large_strings(texts):
            offsets = array.buffers()[1]
            values = array.buffers()[2]
            if len(array) and values is not None:
                ends = memoryview(offsets).cast("q")[array.offset : array.offset + len(array) + 1].tolist()
                content = memoryview(values)
                start = ends[0]
                for position in range(1, len(ends)):
                    end = ends[position]
                    if start != end:
                        hits = self._prefilter.rules_of(content[start:end])
                        if hits:
                            yield row + position - 1, content[start:end].tobytes(), hits
                    start = end
            row += len(array)

    def _findings(self, data: bytes, hits: list[int]) -> list[tuple[int, int, int]]:
        """Start, end (bytes) and rank of the findings in `data`, without overlaps, in the order of the text."""
        candidates: list[tuple[int, int, int]] = []
        for rank in hits:
            candidates += [(rank, start, end) for start, end in self._located[rank].places(data)]
        if len(candidates) < 2:
            return [(start, end, rank) for rank, start, end in candidates]
        return _without_overlaps(candidates)


def _without_overlaps(candidates: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Of candidates that overlap, the one of the first rule; of one rule, the first and then the longest."""
    ordered = sorted(candidates, key=lambda candidate: (candidate[1], candidate[2]))
    chosen: list[tuple[int, int, int]] = []
    group: list[tuple[int, int, int]] = []
    reach = -1
    for candidate in ordered:
        if group and candidate[1] >= reach:
            chosen += _best_of(group)
            group = []
            reach = -1
        group.append(candidate)
        reach = max(reach, candidate[2])
    chosen += _best_of(group)
    return sorted((start, end, rank) for rank, start, end in chosen)


def _best_of(group: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    if len(group) == 1:
        return group
    kept: list[tuple[int, int, int]] = []
    for candidate in sorted(group, key=lambda c: (c[0], c[1], -c[2])):
        _, start, end = candidate
        if all(end <= other[1] or start >= other[2] for other in kept):
            kept.append(candidate)
    return kept


class _Located:
    """One rule, compiled to locate its values."""

    def __init__(self, rule: Rule, rank: int) -> None:
        self.rank = rank
        try:
            self._pattern = re2.compile(rule.pattern.encode("ascii"), _options())
        except (re2.error, UnicodeEncodeError) as problem:
            raise InvalidRule(f"google-re2 cannot read the pattern of rule {rule.id!r}: {problem}") from None
        unknown = [
            name
            for name, known in ((rule.validator, VALIDATORS), (rule.locator, LOCATORS))
            if name is not None and name not in known
        ]
        if unknown:
            raise InvalidRule(f"Rule {rule.id!r} names {unknown[0]!r}, which is not in privacy.validators.")
        self._validator = VALIDATORS[rule.validator] if rule.validator else None
        self._locator = LOCATORS[rule.locator] if rule.locator else None
        self._keyword = (
            re.compile("|".join(map(re.escape, rule.keywords)).encode("ascii"), re.IGNORECASE)
            if rule.keywords
            else None
        )

    def places(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Start and end (bytes) of each value in `data`."""
        search = self._pattern.search
        position = 0
        refused = 0
        length = len(data)
        while position <= length:
            match = search(data, position)
            if match is None:
                return
            begin, stop = match.span()
            start, end = begin, stop
            for group in range(1, self._pattern.groups + 1):
                if match.start(group) >= 0:
                    start, end = match.span(group)
                    break
            place = Place(data, start, end, begin)
            if self._keyword is not None and not self._has_keyword(data, begin, stop):
                position = max(stop, begin + 1)
            elif self._locator is not None:
                yield from self._locator(place)
                position = max(stop, begin + 1)
            elif self._validator is None or self._validator(place):
                yield _whole_characters(data, start, end)
                position = max(end, begin + 1)
            else:
                # A match that was refused may cover the beginning of one that holds. Texts that are made to be refused
                # at every character are not worth that.
                refused += 1
                position = max(start if refused < _MAX_REFUSED else stop, begin + 1)

    def _has_keyword(self, data: bytes, begin: int, stop: int) -> bool:
        assert self._keyword is not None  # noqa: S101
        window = data[max(0, begin - _KEYWORD_BEFORE) : stop + _KEYWORD_AFTER]
        return self._keyword.search(window) is not None


def _whole_characters(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The place, widened to whole UTF-8 characters: patterns are over bytes."""
    while start > 0 and data[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(data) and data[end] & 0xC0 == 0x80:
        end += 1
    return start, end


class _CharacterOffsets:
    """Characters before a byte of a UTF-8 text, asked for in ascending order or nearly so."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._byte = 0
        self._characters = 0

    def at(self, byte: int) -> int:
        if byte >= self._byte:
            self._characters += len(self._data[self._byte : byte].decode("utf-8"))
        else:
            self._characters -= len(self._data[byte : self._byte].decode("utf-8"))
        self._byte = byte
        return self._characters


def _large_strings(texts: pl.Series | pa.Array | pa.ChunkedArray) -> list[Any]:
    """Chunks of `texts` as Arrow large strings whose nulls are empty."""
    # Not above: the code location imports this module, and does not need pyarrow.
    import pyarrow as pa

    arrow = texts.to_arrow() if isinstance(texts, pl.Series) else texts
    chunks = arrow.chunks if isinstance(arrow, pa.ChunkedArray) else [arrow]
    converted = []
    for chunk in chunks:
        strings = chunk.cast(pa.large_string())
        converted.append(strings.fill_null("") if strings.null_count else strings)
    return converted


def _options() -> Any:
    options = re2.Options()
    # Bytes are characters, as in hyperscan: positions and bounds of repeats mean the same in both.
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    return options


class _HyperscanPrefilter:
    """All patterns in one pass over a document."""

    name = "hyperscan"

    def __init__(self, patterns: list[str]) -> None:
        try:
            self._database = compiled(patterns)
        except UnreadablePattern as problem:
            raise InvalidRule(str(problem)) from None
        self._hits: list[int] = []

    def rules_of(self, text: memoryview) -> list[int]:
        """Ranks of the rules that may match `text`, ascending."""
        self._hits.clear()
        self._database.scan(text, match_event_handler=self._note)  # type: ignore[type-var]
        return sorted(self._hits) if self._hits else self._hits

    def _note(self, rank: int, start: int, end: int, flags: int, context: object) -> None:
        self._hits.append(rank)


class _Re2Prefilter:
    """The literals that the patterns need, in one pass over a document; patterns without any are always tried."""

    name = "re2"

    def __init__(self, patterns: list[str]) -> None:
        self._filter = re2.Filter()
        for pattern in patterns:
            self._filter.Add(pattern.encode("ascii"), _options())
        self._filter.Compile()

    def rules_of(self, text: memoryview) -> list[int]:
        """Ranks of the rules that may match `text`, ascending."""
        return sorted(self._filter.Match(text, True) or ())
