"""YAML text to documents with positions: safe, in bounded time, each refusal with a code.

Here: reading a text as a stream of YAML documents over libyaml's events, what its scalars are and where they stand,
and the limits within which that happens. Not here: what the documents mean (`resources.py`), changing them
(`redaction.py`).

libyaml and not a faster parser: it alone tells positions, and it reads YAML 1.1 as Kubernetes does. On real manifests
its events come at 32 MB per CPU second (PyYAML in Python: 0.6; py-yaml12 54, yaml-rs 84, without positions).

Nothing is ever constructed from a tag, and an alias is one more reference to the value of its anchor, so a text
cannot make more of itself than it says: what its aliases would expand to is counted and bounded.

===================  =================================================================================================
code                 the text
===================  =================================================================================================
invalid_yaml         is not YAML
tab_indentation      has a tab where YAML wants spaces
control_characters   has NUL or another character that YAML forbids
too_deep             nests deeper than `Limits.depth`
too_many_documents   has more documents than `Limits.documents`
too_many_nodes       has more nodes than `Limits.nodes`
alias_bomb           has aliases that expand to more nodes than `Limits.nodes`
recursive_alias      has an alias inside of what it stands for
undefined_alias      has an alias without an anchor
unsafe_tag           asks for an object of a programming language (`!!python/object`, `!ruby/object`)
unknown_tag          has another tag outside of YAML's own (`!Ref`, `!vault`)
complex_key          has a mapping or a list as a key, as `{{replicas}}` reads in YAML
===================  =================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import yaml

CODES = (
    "invalid_yaml",
    "tab_indentation",
    "control_characters",
    "too_deep",
    "too_many_documents",
    "too_many_nodes",
    "alias_bomb",
    "recursive_alias",
    "undefined_alias",
    "unsafe_tag",
    "unknown_tag",
    "complex_key",
)

_CORE = "tag:yaml.org,2002:"
_TAGS = {
    f"{_CORE}{name}": name
    for name in (
        "str",
        "int",
        "float",
        "bool",
        "null",
        "binary",
        "timestamp",
        "map",
        "seq",
        "set",
        "omap",
        "pairs",
    )
}
_UNSAFE_TAG = re.compile(
    r"^(?:tag:yaml\.org,2002:|!)(?:python|ruby|perl|java|js|php)\b|^tag:yaml\.org,2002:[a-z]+\."
)
_MERGE = "<<"
# Aliases, tags, and keys that are no scalars, each by a character that it cannot be without.
_MAY_EXCEED = tuple(
    (sign, re.compile(pattern))
    for sign, pattern in (
        ("*", r"(?:^|[\s\[,{])\*[^\s*]"),
        ("!", r"(?:^|[\s\[,{])!"),
        ("{", r"\{\s*[{\[]"),
        ("[", r"\[\s*[{\[]"),
        ("}", r"\}\s*:"),
        ("]", r"\]\s*:"),
        ("?", r"(?:^|[\s-])\?\s"),
    )
)
_INDENTATION = re.compile(r"^[ -]+", re.MULTILINE)

Event = tuple[Any, ...]


class YamlRefused(Exception):
    """Why a text is not read: one of `CODES`, and words that hold nothing of the text but a line number."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Limits:
    """How much of YAML is read before a text is refused. Depth counts mappings and lists."""

    depth: int = 64
    documents: int = 200
    nodes: int = 100_000


class Scalar(NamedTuple):
    """One scalar and where it stands, in characters of the text.

    `start` and `end` enclose its anchor, tag, quotes and block indicator. `kind` is str, int, float, bool, null,
    binary or timestamp. `style` is libyaml's: empty for a plain one, ' or " for a quoted one, | or > for a block.
    `document` counts from 0, `depth` the mappings and lists around it; `section` is the key of the document that it
    stands under.
    """

    start: int
    end: int
    kind: str
    style: str
    value: str
    is_key: bool
    document: int
    depth: int
    section: str | None


@dataclass
class Parsed:
    """A text that was read.

    `documents` are JSON-able values, one per document, null for an empty one; aliases share what they stand for.
    `duplicate_keys` are keys that an object has again. The others are empty where the text was read without places:
    `shape` is the sequence of everything that is not a scalar's text: two texts with equal shapes have the same
    documents, keys and types in the same places. `scalars` are all scalars in order. `named_values` are the objects
    with a `name` and a `value`, as the places of these two among `scalars`.
    """

    documents: list[Any] = field(default_factory=list)
    shape: list[Event] = field(default_factory=list)
    scalars: list[Scalar] = field(default_factory=list)
    named_values: list[tuple[int, int]] = field(default_factory=list)
    duplicate_keys: int = 0


def check(text: str, limits: Limits) -> None:
    """Raise YamlRefused when `text` is not YAML within the limits, as `parse` does.

    Where a glance tells that nothing but its grammar can be wrong, libyaml alone reads it, which makes no objects and
    is ten times as fast.
    """
    if (
        not any(sign in text and pattern.search(text) for sign, pattern in _MAY_EXCEED)
        and _deepest(text) <= limits.depth
        and text.count("\n---") < limits.documents
    ):
        with _coded(text):
            if yaml.CSafeLoader(text).raw_parse() <= limits.nodes:
                return
    parse(text, limits)


def parse(text: str, limits: Limits, *, places: bool = True) -> Parsed:
    """Read every document of `text`. Raises YamlRefused, and nothing else whatever the text is.

    Without `places` only the documents are made, in three quarters of the time.
    """
    with _coded(text):
        return _Reader(limits).read(text, places)


class _Open:
    """A mapping or list that has not ended: its value, what awaits a value, and its nodes so far, expanded."""

    __slots__ = ("anchor", "is_mapping", "key", "merged", "name", "named_value", "nodes", "value")

    def __init__(self, is_mapping: bool, anchor: str | None) -> None:
        self.is_mapping = is_mapping
        self.value: Any = {} if is_mapping else []
        self.anchor = anchor
        self.key: str | None = None
        self.merged: list[Any] = []
        self.nodes = 1
        # Places among the scalars.
        self.name = self.named_value = -1


class _Reader:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parsed = Parsed()
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def read(self, text: str, places: bool) -> Parsed:
        limits, parsed, stack = self._limits, self._parsed, self._stack
        shape, scalars = parsed.shape, parsed.scalars
        most_nodes = limits.nodes
        document = -1
        section: str | None = None
        scalar_event, mapping_start, sequence_start = (
            yaml.ScalarEvent,
            yaml.MappingStartEvent,
            yaml.SequenceStartEvent,
        )
        ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
        next_event: Callable[[], Any] = yaml.CSafeLoader(text).get_event
        for event in iter(next_event, None):
            kind = type(event)
            if kind is scalar_event:
                tag, value, style = event.tag, event.value, event.style or ""
                if tag is None:
                    name, meaning = ("str", value) if style else resolve(value)
                else:
                    name, meaning = _tagged(event)
                top = stack[-1] if stack else None
                is_key = top is not None and top.is_mapping and top.key is None
                if places:
                    depth = len(stack)
                    if is_key:
                        if depth == 1:
                            section = value
                    elif top is not None:
                        if top.key == "name":
                            top.name = len(scalars)
                        elif top.key == "value":
                            top.named_value = len(scalars)
                    start, end = event.start_mark.index, event.end_mark.index
                    scalars.append(Scalar(start, end, name, style, value, is_key, document, depth, section))
                    shape.append((name, is_key, event.anchor, tag))
                if top is None or event.anchor is not None or top.nodes >= most_nodes or top.key == _MERGE:
                    if is_key and top is not None:
                        top.key = value
                        top.nodes += 1
                    else:
                        self._add(meaning, 1, event.anchor)
                    continue
                # As `_add` does; three of four nodes come here.
                top.nodes += 1
                if is_key:
                    top.key = value
                elif top.is_mapping:
                    key, top.key = top.key, None
                    if key in top.value:
                        parsed.duplicate_keys += 1
                    top.value[key] = meaning
                else:
                    top.value.append(meaning)
            elif kind is mapping_start or kind is sequence_start:
                is_mapping = kind is mapping_start
                if event.tag is not None and event.tag not in _TAGS:
                    _refuse_tag(event)
                if len(stack) >= limits.depth:
                    raise YamlRefused("too_deep", f"more than {limits.depth} levels, {_line(event)}")
                if stack and stack[-1].is_mapping and stack[-1].key is None:
                    raise YamlRefused("complex_key", f"a mapping or list as a key, {_line(event)}")
                stack.append(_Open(is_mapping, event.anchor))
                if places:
                    shape.append(("{" if is_mapping else "[", event.anchor, event.tag))
                if event.anchor is not None:
                    self._anchors[event.anchor] = (None, 0)
            elif kind in ends:
                done = stack.pop()
                if places:
                    shape.append(("end",))
                if done.name >= 0 and done.named_value >= 0:
                    parsed.named_values.append((done.name, done.named_value))
                value = done.value
                for source in done.merged:
                    value = {**source, **value}
                self._add(value, done.nodes, done.anchor)
            elif kind is yaml.DocumentStartEvent:
                document += 1
                if document >= limits.documents:
                    raise YamlRefused("too_many_documents", f"more than {limits.documents} documents")
                if places:
                    shape.append(("---",))
                section = None
                self._anchors.clear()
            elif kind is yaml.AliasEvent:
                self._alias(event)
                if places:
                    shape.append(("*", event.anchor))
        return parsed

    def _add(self, value: Any, nodes: int, anchor: str | None) -> None:
        """Put a finished value where it belongs, counted with all that its aliases stand for."""
        if anchor is not None:
            self._anchors[anchor] = (value, nodes)
        if not self._stack:
            self._parsed.documents.append(value)
            self._nodes += nodes
            total = self._nodes
        else:
            top = self._stack[-1]
            top.nodes += nodes
            total = top.nodes
            if not top.is_mapping:
                top.value.append(value)
            else:
                key, top.key = top.key or "", None
                if key == _MERGE:
                    top.merged += (
                        [value] if type(value) is dict else [v for v in value or () if type(v) is dict]
                    )
                else:
                    if key in top.value:
                        self._parsed.duplicate_keys += 1
                    top.value[key] = value
        if total > self._limits.nodes:
            code = "alias_bomb" if self._anchors else "too_many_nodes"
            raise YamlRefused(code, f"more than {self._limits.nodes:,} nodes")

    def _alias(self, event: Any) -> None:
        top = self._stack[-1] if self._stack else None
        if event.anchor not in self._anchors:
            raise YamlRefused("undefined_alias", f"an alias without an anchor, {_line(event)}")
        value, nodes = self._anchors[event.anchor]
        if not nodes:
            raise YamlRefused("recursive_alias", f"an alias inside of its anchor, {_line(event)}")
        if top is not None and top.is_mapping and top.key is None:
            if not isinstance(value, str):
                raise YamlRefused("complex_key", f"an alias as a key, {_line(event)}")
            top.key = value
        else:
            self._add(value, nodes, None)


@contextmanager
def _coded(text: str) -> Iterator[None]:
    """What libyaml refuses, as YamlRefused."""
    try:
        yield
    except yaml.reader.ReaderError:
        raise YamlRefused("control_characters", "characters that YAML forbids") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        code, where = "invalid_yaml", ""
        if mark is not None:
            where = f", line {mark.line + 1}"
            line_start = text.rfind("\n", 0, mark.index) + 1
            until = text[line_start : mark.index + 1]
            if until.endswith("\t") or until.lstrip(" ").startswith("\t"):
                code = "tab_indentation"
        raise YamlRefused(code, f"{error.problem}{where}") from None


def _deepest(text: str) -> int:
    """An upper bound of the depth: a level is a column of indentation or a bracket, and the outermost two are
    free."""
    indentation = max((len(line) for line in _INDENTATION.findall(text)), default=0)
    return indentation + text.count("[") + text.count("{") + 2


def _tagged(event: Any) -> tuple[str, Any]:
    name = _TAGS.get(event.tag, "str")
    if event.tag not in _TAGS:
        _refuse_tag(event)
    if name in ("int", "float", "bool", "null"):
        found, meaning = resolve(event.value)
        return (name, meaning) if found == name else (name, event.value)
    return name, event.value


def _refuse_tag(event: Any) -> None:
    if event.tag == "!":  # "not a plain one": a string
        return
    code = "unsafe_tag" if _UNSAFE_TAG.search(event.tag) else "unknown_tag"
    raise YamlRefused(code, f"a tag that is not YAML's own, {_line(event)}")


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


# --- what a plain scalar means ---

_WORDS: dict[str, tuple[str, Any]] = dict.fromkeys(("", "~", "null", "Null", "NULL"), ("null", None))
for _true, _false in (("true", "false"), ("yes", "no"), ("on", "off"), ("y", "n")):
    for _form in (str.lower, str.capitalize, str.upper):
        _WORDS[_form(_true)] = ("bool", True)
        _WORDS[_form(_false)] = ("bool", False)
_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(
    r"[-+]?(?:(?:[0-9][0-9_]*)(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?)"
)
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TIMESTAMP = re.compile(
    r"\d{4}-\d\d?-\d\d?(?:(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?[ \t]*(?:Z|[-+]\d\d?(?::?\d\d)?)?)?"
)
_LONGEST_NUMBER = 40


@lru_cache(maxsize=1 << 16)
def resolve(text: str) -> tuple[str, Any]:
    """The kind and the JSON value of a plain scalar, as Kubernetes' reader (go-yaml) takes it."""
    if (word := _WORDS.get(text)) is not None:
        return word
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return "str", text
    if _INT.fullmatch(text):
        return "int", _integer(text.replace("_", ""))
    if _SPECIAL_FLOAT.fullmatch(text):
        return "float", text
    if _FLOAT.fullmatch(text):
        return "float", float(text.replace("_", ""))
    if _TIMESTAMP.fullmatch(text):
        return "timestamp", text
    return "str", text


def _integer(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0":
        base = {"b": 2, "x": 16, "o": 8}.get(digits[1])
        return sign * (int(digits, 8) if base is None else int(digits[2:] or "0", base))
    return sign * int(digits)
