"""Finds tool calls in the text of an assistant turn and reads their arguments, whatever their quoting.

Here: the grammar of ``<functioncall> {"name": ..., "arguments": ...}`` and of what goes wrong in it. Not here: how a
corpus marks its turns, and whether the arguments fit a schema (``chat.verification``).

A call is *usable* when exactly one reading of it exists; how it was read is kept as a code, so that no repair is
silent. Otherwise it is *malformed* with one coded reason. Nothing here raises on any text, and all of it is linear in
the length of the text: the regular expressions are possessive, nesting is bounded, and the one search over several
readings is bounded by ``_MAX_EDITS``.

======================================================  =========  ==========================================
as written                                              result     code
======================================================  =========  ==========================================
``'{...}'``, ``"{\\"...\\"}"``, ``{...}``, any layout,    usable     (none: the ordinary forms)
apostrophes and braces inside strings
``\\'`` inside the arguments                             usable     ``recovered:escaped_apostrophe``
raw line breaks or tabs inside a JSON string            usable     ``recovered:control_characters``
a comma before a closing brace                          usable     ``recovered:trailing_comma``
``"{"a": 1}"``: inner quotes not escaped                usable     ``recovered:unescaped_quotes``
a JSON string that holds the JSON text                  usable     ``recovered:double_encoded``
``parameters`` in place of ``arguments``                usable     ``recovered:parameters_synonym``
one closing brace missing, one way to put it back       usable     ``recovered:missing_closing_brace``
closing braces too many, one way to drop them           usable     ``recovered:extra_closing_brace``
text before / after the call in its turn                usable     ``recovered:text_before_call`` / ``..._after_...``
``[{call}, {call}]`` after one tag                      usable     ``recovered:call_list``
several objects after one tag                           usable     ``recovered:repeated_calls``
``AI to= name: {...}``                                  usable     ``recovered:foreign_call_syntax``
``{"name": ..., "arguments": ...}`` without the tag     usable     ``recovered:missing_tag``
the tag in another spelling (``<function_call>``)       usable     ``recovered:tag_spelling``
``null``, ``''`` or no arguments                        malformed  ``arguments_not_object`` (see below)
a list, number, other string                            malformed  ``arguments_not_object`` (see below)
cut off before its arguments are complete               malformed  ``truncated_call``
brace damage with several readings, or none             malformed  ``unbalanced_braces``
``Infinity``, ``NaN``                                   malformed  ``non_finite_number``
an integer beyond 64 bits                               malformed  ``number_out_of_range``
one argument given twice                                malformed  ``duplicate_argument``
any other text that is not JSON                         malformed  ``arguments_not_json``
nested deeper than 64 levels                            malformed  ``too_deep``
whatever follows the 64th call of a turn                malformed  ``too_many_calls``
no name, or a name that is not a string                 malformed  ``missing_name``
other keys beside the two, or both synonyms             malformed  ``unknown_call_form``
no JSON object after the tag                            malformed  ``not_a_call_object``
======================================================  =========  ==========================================

``arguments_not_object`` keeps the value, since whoever knows the function's schema may still find it unambiguous.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

TAG = "<functioncall>"
RAW_CHARS = 100
"""Characters of a malformed call that are kept."""

MAX_DEPTH = 64
MAX_CALLS = 64
"""Calls of one turn that are read. Each may be scanned to the end of the turn, so their number has to be bounded."""

_MAX_EDITS = 64
_MAX_EDIT_CHARS = 8_192


class Call(NamedTuple):
    """One tool call. ``error`` is None exactly when it is usable; then ``arguments`` is a dict."""

    name: str | None
    arguments: Any
    error: str | None
    codes: tuple[str, ...]
    raw: str


class _Malformed(Exception):
    """A call, or a part of one, that has no single reading; ``code`` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


_TAG_SPELLINGS = re.compile(r"<[ /]?+(?:functioncall|function[ _-]call|tool[ _-]call)[ ]?+>", re.IGNORECASE)
_CALL_KEYS = ("name", "arguments", "parameters")
_OPEN, _DEEP = -1, -2
_SPACE = re.compile(r"\s*+")
_STRING = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_KEY = re.compile(r"\s*+(?:\"([A-Za-z_]\w*+)\"|'([A-Za-z_]\w*+)')\s*+:\s*+")
_SINGLE_QUOTED_NAME = re.compile(r"'([^'\"\\\n]*+)'")
_TOKEN = re.compile(r'[{\[]|[}\]]|"(?:[^"\\]++|\\.)*+"|"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TOKEN_OR_COMMA = re.compile(r'[{}\[\],]|"(?:[^"\\]++|\\.)*+"|"', re.DOTALL)
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]++|\\.)*+")|,(\s*+[}\]])', re.DOTALL)
_LITERAL = re.compile(r"[^\s,}]++")
_MAY_BE_FLOATS = frozenset({float, dict, list})
_LONG_INTEGER = re.compile(r"\d{19}")
_CLOSERS = re.compile(r"[\s}\]'\"]*+")
_FOREIGN = re.compile(r"(?:^|\n)[ ]*+(?:AI[ ]++)?(?:to|recipient)=[ ]*+([A-Za-z_][\w.-]*+)[ ]*+:?[ ]*+(?=\{)")


def find_calls(text: str) -> tuple[str, list[Call]]:
    """Calls of one assistant turn, in order, and the text of the turn without them.

    ``text`` is the turn without its role and its end mark.
    """
    start = text.find(TAG)
    if start < 0:
        return _find_untagged(text)
    before = text[:start].rstrip()
    calls: list[Call] = []
    after: list[str] = []
    while start >= 0 and len(calls) < MAX_CALLS:
        position = start + len(TAG)
        limit = text.find(TAG, position)
        found, end = _read_tagged(text, position, len(text) if limit < 0 else limit)
        calls += found
        # The tag may stand inside an argument that has been read.
        start = text.find(TAG, end)
        rest = text[end : None if start < 0 else start].strip()
        if rest and rest != "</functioncall>":
            after.append(rest)
    if start >= 0:
        calls.append(Call(None, None, "too_many_calls", (), text[start : start + RAW_CHARS]))
    if before:
        calls = [_with_code(call, "recovered:text_before_call") for call in calls]
    if after:
        calls = [_with_code(call, "recovered:text_after_call") for call in calls]
    return "\n".join([before, *after]) if before and after else before or "\n".join(after), calls


def decode_plain(text: str) -> dict[str, Any] | None:
    """Arguments that are a JSON object as they stand; None when anything would have to be repaired or refused."""
    try:
        value = orjson.loads(text)
        if type(value) is not dict or text.count('":') != len(value) or text.count("[") > MAX_DEPTH:
            value, codes = _decode(text)
            return value if type(value) is dict and not codes else None
        _check_numbers(text, value)
    except (orjson.JSONDecodeError, _Malformed):
        return None
    return value


def _find_untagged(text: str) -> tuple[str, list[Call]]:
    """Calls of a turn that has no tag: another spelling of it, another syntax, or the bare JSON object."""
    if "<" in text and (match := _TAG_SPELLINGS.search(text)) and not match[0].startswith("</"):
        rest, calls = find_calls(_TAG_SPELLINGS.sub(lambda m: "" if m[0][1] == "/" else TAG, text))
        return rest, [_with_code(call, "recovered:tag_spelling") for call in calls]
    if ("to=" in text or "recipient=" in text) and (match := _FOREIGN.search(text)):
        before = text[: match.start()].rstrip()
        call = _read_foreign(match[1], text[match.end() :])
        return before, [_with_code(call, "recovered:text_before_call") if before else call]
    if text.startswith("{") and '"name"' in text and ('"arguments"' in text or '"parameters"' in text):
        calls, end = _read_tagged(text, 0, len(text))
        if not text[end:].strip():
            return "", [_with_code(call, "recovered:missing_tag") for call in calls]
    return text, []


def _with_code(call: Call, code: str) -> Call:
    return call if call.error or code in call.codes else call._replace(codes=(*call.codes, code))


def _read_foreign(name: str, text: str) -> Call:
    end = value_end(text, 0)
    try:
        if end < 0:
            raise _Malformed("truncated_call" if end == _OPEN else "too_deep")
        if text[end:].strip():
            raise _Malformed("unknown_call_form")
        arguments, codes = _decode(text[:end])
    except _Malformed as bad:
        return Call(name, None, bad.code, (), text[:RAW_CHARS])
    return Call(name, arguments, None, (*codes, "recovered:foreign_call_syntax"), text[:RAW_CHARS])


def _read_tagged(text: str, position: int, limit: int) -> tuple[list[Call], int]:
    """Calls after one tag, and where they end. ``limit`` is the next tag: where to go on after damage."""
    plain = _read_plain(text, position, limit)
    if plain is not None:
        return [plain], limit
    position = _skip_space(text, position)
    if text.startswith(":", position):
        position = _skip_space(text, position + 1)
    listed = text.startswith("[", position)
    if listed:
        position = _skip_space(text, position + 1)
    if not text.startswith("{", position):
        raw = text[position : min(limit, position + RAW_CHARS)]
        return [Call(None, None, "not_a_call_object" if raw.strip() else "truncated_call", (), raw)], limit
    calls: list[Call] = []
    while True:
        call, position = _read_object(text, position, limit)
        calls.append(call)
        following = _skip_space(text, position)
        if text.startswith(",", following):
            following = _skip_space(text, following + 1)
        # Prose may go on with a brace; only the first key of a call makes it another call.
        key = _KEY.match(text, following + 1) if text.startswith("{", following) else None
        if key is None or (key[1] or key[2]) not in _CALL_KEYS:
            break
        position = following
    code = "recovered:repeated_calls" if len(calls) > 1 else None
    if listed:
        code = "recovered:call_list"
        closing = _skip_space(text, position)
        position = closing + 1 if text.startswith("]", closing) else position
    return [_with_code(call, code) for call in calls] if code else calls, position


def _read_plain(text: str, position: int, limit: int) -> Call | None:
    """The usual form, `` {"name": "f", "arguments": '{...}'}`` to the end of its turn; None for any other.

    Only for speed: whatever it accepts, :func:`_read_object` reads in the same way.
    """
    if not text.startswith(' {"name": "', position):
        return None
    position += len(' {"name": "')
    middle = text.find('"', position)
    inner = middle + len('", "arguments": \'')
    if not text.startswith('", "arguments": \'', middle):
        return None
    end = limit
    while text[end - 1 : end].isspace():
        end -= 1
    name = text[position:middle]
    if not text.endswith("'}", inner, end) or not name or "\\" in name:
        return None
    arguments = decode_plain(text[inner : end - 2])
    return None if arguments is None else Call(name, arguments, None, (), "")


def _read_object(text: str, start: int, limit: int) -> tuple[Call, int]:
    """The call whose ``{`` stands at ``start``, and where it ends (at ``limit`` when that cannot be told)."""
    name: str | None = None
    arguments: Any = None
    codes: tuple[str, ...] = ()
    unquoted = False
    seen: set[str] = set()
    position = start + 1
    try:
        while True:
            key = _KEY.match(text, position)
            if key is None:
                position = _skip_space(text, position)
                if text.startswith("}", position):
                    position += 1
                    break
                raise _Malformed("truncated_call" if position >= limit else "not_a_call_object")
            position = key.end()
            word = key[1] or key[2]
            if word not in _CALL_KEYS:
                raise _Malformed("unknown_call_form")
            role = "name" if word == "name" else "arguments"
            if role in seen:
                raise _Malformed("unknown_call_form")
            seen.add(role)
            if role == "name":
                name, position = _read_name(text, position)
            else:
                unquoted = text.startswith(("{", "["), position)
                arguments, found, position = _read_arguments(text, position, limit)
                codes += found
                if word == "parameters":
                    codes += ("recovered:parameters_synonym",)
            position = _skip_space(text, position)
            if text.startswith("}", position):
                position += 1
                break
            if text.startswith(",", position):
                position += 1
            elif position < limit:
                raise _Malformed("unknown_call_form")
            elif "arguments" not in seen:
                raise _Malformed("truncated_call")
            else:
                if unquoted:
                    # Unquoted, the missing brace might as well be one inside the arguments.
                    whole = _complete(text[start:limit], _is_call)
                    arguments = whole.get("arguments", whole.get("parameters"))
                if "recovered:missing_closing_brace" not in codes:
                    codes += ("recovered:missing_closing_brace",)
                break
        if not name:
            raise _Malformed("missing_name")
    except _Malformed as bad:
        raw = text[start : min(limit, start + RAW_CHARS)]
        return Call(name, None, bad.code, (), raw), limit
    surplus = _CLOSERS.match(text, position, limit)
    if surplus and "}" in surplus[0]:
        position = surplus.end()
        codes += ("recovered:extra_closing_brace",)
    error = None if type(arguments) is dict else "arguments_not_object"
    raw = text[start : min(position, start + RAW_CHARS)]
    return Call(name, arguments, error, tuple(dict.fromkeys(codes)), raw), position


def _read_name(text: str, position: int) -> tuple[str, int]:
    if match := _STRING.match(text, position):
        try:
            name = orjson.loads(match[0])
        except orjson.JSONDecodeError:
            raise _Malformed("missing_name") from None
        return str(name).strip(), match.end()
    if match := _SINGLE_QUOTED_NAME.match(text, position):
        return match[1].strip(), match.end()
    raise _Malformed("missing_name" if text[position : position + 1] not in ("", '"') else "truncated_call")


def _read_arguments(text: str, position: int, limit: int) -> tuple[Any, tuple[str, ...], int]:
    """The arguments that start at ``position``, codes, and where they end; quotes included."""
    quote = text[position : position + 1]
    if quote == "'":
        return _read_single_quoted(text, position + 1, limit)
    if quote == '"':
        return _read_double_quoted(text, position, limit)
    if quote in ("{", "["):
        end = value_end(text, position)
        if end < 0:
            raise _Malformed("truncated_call" if end == _OPEN else "too_deep")
        return *_decode(text[position:end]), end
    literal = _LITERAL.match(text, position)
    if literal is None:
        raise _Malformed("truncated_call" if position >= limit else "arguments_not_json")
    return *_decode(literal[0]), literal.end()


def _read_single_quoted(text: str, start: int, limit: int) -> tuple[Any, tuple[str, ...], int]:
    # The closing quote is the one after the balanced JSON text, so apostrophes inside its strings do no harm.
    opening = _skip_space(text, start)
    end = value_end(text, opening) if text.startswith(("{", "["), opening) else _OPEN
    if end == _DEEP:
        raise _Malformed("too_deep")
    closing = _skip_space(text, end) if end > 0 else start
    if end > 0 and text.startswith("'", closing):
        return *_decode(text[opening:end]), closing + 1
    # The braces do not balance: take the quote that only closing braces follow, else the first that closes a call.
    last = text.rfind("'", start, limit)
    if last < 0 or text[last + 1 : limit].strip().strip("}"):
        if end > 0 and closing >= limit:
            arguments, codes = _decode(text[opening:end])
            return arguments, (*codes, "recovered:missing_closing_brace"), limit
        last = text.find("'}", start, limit)
    if last < 0:
        raise _Malformed("truncated_call" if end == _OPEN else "arguments_not_json")
    return *_decode(text[start:last]), last + 1


def _read_double_quoted(text: str, position: int, limit: int) -> tuple[Any, tuple[str, ...], int]:
    match = _STRING.match(text, position)
    if match:
        following = _skip_space(text, match.end())
        if following >= limit or text[following] in ",}":
            try:
                inner = json.loads(match[0], strict=False)
            except ValueError:
                raise _Malformed("arguments_not_json") from None
            return *_decode(inner), match.end()
    if text.startswith(("{", "["), position + 1):
        end = value_end(text, position + 1)
        if end > 0 and text.startswith('"', end):
            arguments, codes = _decode(text[position + 1 : end])
            return arguments, (*codes, "recovered:unescaped_quotes"), end + 1
    raise _Malformed("arguments_not_json" if match else "truncated_call")


def _decode(text: str) -> tuple[Any, tuple[str, ...]]:
    """The value of arguments written as JSON text, which should be a dict, and how it was recovered."""
    codes: tuple[str, ...] = ()
    if text.count("{") + text.count("[") > MAX_DEPTH and value_end(text, 0) == _DEEP:
        raise _Malformed("too_deep")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        text, value, codes = _decode_damaged(text)
    if type(value) is str and value.lstrip().startswith("{"):
        value, more = _decode(value)
        return value, (*codes, *more, "recovered:double_encoded")
    if type(value) is not dict:
        return value, codes
    # orjson keeps the last of several values of a key. Colons in strings may also raise the count.
    keys = text.count('":')
    if keys != len(value) and keys != _count_keys(value):
        _refuse_duplicates(text)
    _check_numbers(text, value)
    return value, codes


def _decode_damaged(text: str) -> tuple[str, Any, tuple[str, ...]]:
    """Repairs that leave one reading only; the text that was read, its value, and the codes."""
    codes: list[str] = []
    text = text.strip()
    if "\\'" in text:
        text = _ESCAPED.sub(lambda match: "'" if match[1] == "'" else match[0], text)
        codes.append("recovered:escaped_apostrophe")
    if text.startswith(("{", "[")):
        end = value_end(text, 0)
        if end == _DEEP:
            raise _Malformed("too_deep")
        if end == _OPEN:
            if not text.endswith(("}", "]")) and text.count('"') % 2:
                raise _Malformed("truncated_call")
            text = orjson.dumps(_complete(text, _is_object)).decode()
            codes.append("recovered:missing_closing_brace")
        elif end < len(text):
            if text[end:].strip("}] \t\r\n"):
                raise _Malformed("unbalanced_braces")
            text = text[:end]
            codes.append("recovered:extra_closing_brace")
    if not text:
        return text, None, ()
    value, strict = _loads_leniently(text)
    if value is _NOT_JSON:
        without_commas = _TRAILING_COMMA.sub(lambda match: match[1] or match[2], text)
        value, strict = _loads_leniently(without_commas)
        if value is _NOT_JSON:
            raise _Malformed("arguments_not_json")
        text = without_commas
        codes.append("recovered:trailing_comma")
    if not strict:
        codes.append("recovered:control_characters")
    return text, value, tuple(codes)


_NOT_JSON = object()


def _loads_leniently(text: str) -> tuple[Any, bool]:
    """The value of a JSON text, raw control characters in its strings allowed, and whether it had none."""
    try:
        return orjson.loads(text), True
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(text, strict=False, parse_constant=_refuse_constant)
        # Lone surrogates and infinite numbers are read by json, but cannot be written as JSON.
        orjson.loads(orjson.dumps(value))
    except (ValueError, TypeError, RecursionError):
        return _NOT_JSON, False
    if not _finite(value):
        raise _Malformed("non_finite_number")
    return value, False


def _refuse_constant(constant: str) -> Any:
    raise _Malformed("non_finite_number")


def _count_keys(value: Any) -> int:
    if type(value) is dict:
        return len(value) + sum(map(_count_keys, value.values()))
    return sum(map(_count_keys, value)) if type(value) is list else 0


def _refuse_duplicates(text: str) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) != len(value := dict(pairs)):
            raise _Malformed("duplicate_argument")
        return value

    json.loads(text, strict=False, object_pairs_hook=unique)


def _finite(value: Any) -> bool:
    if type(value) is dict:
        return all(map(_finite, value.values()))
    if type(value) is list:
        return all(map(_finite, value))
    return type(value) is not float or value - value == 0


def _check_numbers(text: str, value: dict[str, Any]) -> None:
    """orjson reads an integer beyond 64 bits as a float, without a word."""
    for item in value.values():
        if type(item) in _MAY_BE_FLOATS:
            if _LONG_INTEGER.search(text):
                _refuse_long_integers(text)
            return


def _refuse_long_integers(text: str) -> None:
    def fits(digits: str) -> int:
        if len(digits) > 20 or not -(2**63) <= (value := int(digits)) < 2**64:
            raise _Malformed("number_out_of_range")
        return value

    json.loads(text, strict=False, parse_int=fits)


def _is_object(value: Any) -> bool:
    return type(value) is dict


def _is_call(value: Any) -> bool:
    return type(value) is dict and value.keys() <= set(_CALL_KEYS)


def _complete(text: str, accept: Callable[[Any], bool]) -> Any:
    """The value of a JSON text that lacks one ``}``, if all places where it can go give one acceptable value."""
    text = text.strip()
    if len(text) > _MAX_EDIT_CHARS:
        raise _Malformed("unbalanced_braces")
    places: list[int] = []
    for match in _TOKEN_OR_COMMA.finditer(text):
        if match[0] == '"' or len(places) > _MAX_EDITS:
            raise _Malformed("truncated_call" if match[0] == '"' else "unbalanced_braces")
        if match[0] in (",", "}", "]"):
            places.append(match.start())
    readings: dict[bytes, Any] = {}
    for place in (*places, len(text)):
        try:
            value = orjson.loads(f"{text[:place]}}}{text[place:]}")
        except orjson.JSONDecodeError:
            continue
        if accept(value):
            readings[orjson.dumps(value)] = value
    if len(readings) != 1:
        raise _Malformed("unbalanced_braces")
    return next(iter(readings.values()))


def value_end(text: str, position: int) -> int:
    """Where the object or list that starts at ``position`` ends; _OPEN or _DEEP when it does not or is too deep."""
    depth = 0
    for match in _TOKEN.finditer(text, position):
        mark = match[0]
        if mark in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                return _DEEP
        elif mark in "}]":
            depth -= 1
            if depth <= 0:
                return match.end()
        elif mark == '"':
            return _OPEN
    return _OPEN


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
