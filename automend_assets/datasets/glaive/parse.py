"""From raw Glaive rows to processed records: turns, calls, functions, verification, features.

Here: how Glaive writes prompts and chats, the columns made from them, and the fan-out over processes. Not here: the
grammar of a call (``chat.call_scanner``), schema checking (``chat.verification``), assembling of the chat forms
(``chatml``), reading a source (``source``), Dagster (``assets``).

A row is parsed once; everything later is assembled from the columns of :data:`PROCESSED_SCHEMA`.

Turns start at ``USER:``, ``ASSISTANT:`` or ``FUNCTION RESPONSE:`` after a blank line. Assistant turns that follow
each other without anything between are one turn of the model: upstream writes ``Sure, let me do that.
<|endoftext|>`` and the call as two. What else is repaired, and what keeps a record out of the chat forms:

================================================  ===========================================================
found                                             result
================================================  ===========================================================
no ``<|endoftext|>`` after an assistant turn      repaired, ``recovered:missing_end_mark``
``ASSISTANT: }`` alone after a call               repaired (the brace is left over from the call before),
                                                  ``recovered:stray_brace_turn``
a turn marker after one line break only           read as a turn after ``<|endoftext|>`` and for FUNCTION
                                                  RESPONSE, ``recovered:turn_marker_spacing``
null, empty or no arguments, and the function     ``{}``, ``recovered:empty_arguments``
is defined and requires none
a list of arguments, and the function is defined  that parameter, ``recovered:list_arguments``
and has one parameter, an array
any malformed call                                quarantine ``unusable_call``; codes in ``malformed_reasons``
a call in a user turn or a function response      the same, ``call_outside_assistant_turn``
no ``USER:`` / no ``ASSISTANT:`` turn             quarantine ``no_user_turn`` / ``no_assistant_turn``
text before the first turn                        quarantine ``text_before_first_turn``
the assistant speaks first                        quarantine ``not_started_by_user``
a turn marker inside the text of a turn           quarantine ``stray_role_marker``
``<|endoftext|>`` inside a turn or after a        quarantine ``stray_end_mark``
user's words
two replies in a row (``AI:`` in the source       quarantine ``split_assistant_turn``: what was between them
became ``<|endoftext|>\\n\\n\\nASSISTANT:``)         is gone
two user turns in a row                           quarantine ``consecutive_user_turns``
FUNCTION RESPONSE without a call before it        quarantine ``response_without_call``
a call that is answered without its response      quarantine ``call_without_response``
the chat ends inside a FUNCTION RESPONSE          quarantine ``chat_cut_off``
an empty user or assistant turn                   quarantine ``empty_turn``
================================================  ===========================================================
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import polars as pl

from automend_assets.chat import call_scanner
from automend_assets.chat.call_scanner import Call
from automend_assets.chat.verification import (
    UNKNOWN_FUNCTION,
    ArgumentError,
    check_arguments,
    declared_properties,
    json_types,
    required_names,
)

if TYPE_CHECKING:
    import pyarrow.parquet as pq

PROCESSED_SCHEMA = pl.Schema(
    {
        "row_number": pl.Int64,
        "system": pl.String,
        "chat": pl.String,
        "num_turns": pl.Int64,
        "num_calls": pl.Int64,
        "complexity_tier": pl.String,
        "has_parallel": pl.Boolean,
        "has_malformed": pl.Boolean,
        "function_calls": pl.String,
        "num_defined_functions": pl.Int64,
        "defined_function_names": pl.String,
        "function_signatures": pl.String,
        "has_error_handling": pl.Boolean,
        "has_function_error_response": pl.Boolean,
        "has_conditional_error": pl.Boolean,
        "error_keywords_found": pl.String,
        "quarantine_reason": pl.String,
        "malformed_reasons": pl.String,
        "recovered_reasons": pl.String,
        "conversation_errors": pl.String,
        "num_parallel_calls": pl.Int64,
        "num_function_responses": pl.Int64,
        "has_duplicate_function_names": pl.Boolean,
        "num_invalid_functions": pl.Int64,
        "call_errors": pl.String,
        "num_call_errors": pl.Int64,
        "num_invalid_calls": pl.Int64,
        "conversation": pl.String,
        "tools": pl.String,
        "workflow": pl.String,
    }
)
"""Columns of ``processed_records``; lists and objects are JSON text.

=============================  ===================================================================================
row_number                     of the raw frame
system, chat                   as upstream wrote them
num_turns                      user turns
num_calls                      calls, malformed ones included
complexity_tier                none (no call), malformed (one call, malformed), simple (one call, at most 2 arguments),
                               moderate (one call, more arguments, or written as no object), complex (2 calls or more)
has_parallel                   several calls in one assistant turn
has_malformed                  a call is not usable
function_calls                 ``[{"name", "arguments"}]``; a malformed one is
                               ``{"name", "malformed": code, "raw": first 100 characters}``
num_defined_functions          definitions in the prompt, a name declared twice counted twice
defined_function_names         ``[name]``, in order, repetitions kept
function_signatures            ``{name: {description, parameters: [name], types: {name: type}, required: [name]}}``;
                               further definitions of a name under ``redeclared``
has_error_handling             any of the three that follow
has_function_error_response    a FUNCTION RESPONSE reports an error
has_conditional_error          "if" or "when", and within 30 characters "error", "fail" or "invalid"
error_keywords_found           ``[word]`` of :data:`ERROR_KEYWORDS` in the chat, as whole words
quarantine_reason              why the record cannot go into the chat forms; null when it can
malformed_reasons              ``[code]`` of the malformed calls, in order of the calls
recovered_reasons              ``[code]`` of everything that was repaired, distinct, in order
conversation_errors            ``[code]`` of what is wrong with the turns, distinct, in order
num_parallel_calls             most calls in one assistant turn
num_function_responses         FUNCTION RESPONSE turns
has_duplicate_function_names   a name is declared twice
num_invalid_functions          definitions that could not be read
call_errors                    ``[{"call": index, "name", "code", "path"}]``: usable calls that do not fit the
                               schema of their function
num_call_errors                how many of these
num_invalid_calls              usable calls with at least one of these
conversation                   message list of the trainer form
tools                          ``[{"type": "function", "function": {name, description, parameters}}]``, null without
                               functions
workflow                       user and assistant message of the workflow form
=============================  ===================================================================================
"""

QUARANTINE_COLUMNS = pl.Schema(
    {
        "row_number": pl.Int64,
        "stage": pl.String,
        "reason": pl.String,
        "detail": pl.String,
        "text": pl.String,
    }
)

ERROR_KEYWORDS = (
    "error",
    "invalid",
    "failed",
    "null",
    "none",
    "exception",
    "traceback",
    "undefined",
    "not found",
)
MAX_ROW_BYTES = 200_000
"""Longer rows (80 times the mean) go to quarantine: nobody trains on a conversation of that size."""

QUOTED_CHARACTERS = 1_000

END_MARK = "<|endoftext|>"
_MARKER = re.compile(r"\n\n(USER|ASSISTANT|FUNCTION RESPONSE):")
_LOOSE_MARKER = re.compile(
    r"(?<=<\|endoftext\|>)\s*+(USER|ASSISTANT|FUNCTION RESPONSE):|(?<!\n)\n(FUNCTION RESPONSE):"
)
_STRAY_MARKER = re.compile(r"(?:^|\n)[ \t]*+(?:USER|ASSISTANT|FUNCTION RESPONSE):")
_BLANK_LINE = re.compile(r"\n\n(?=[ \t]*+\{)")
# For polars. The first is a necessary condition of the others, without Unicode classes: a tenth of the chats pass it.
_ANY_ERROR_WORD = r"(?i-u:error|invalid|fail|null|none|exception|traceback|undefined|not found)"
_CONDITIONAL_ERROR = r"(?i)\b(?:if|when)\b.{0,30}(?:error|fail|invalid)"
_FAILURE = re.compile(
    r"\b(?:errors?|invalid|fail(?:ed|ure|s)?|exception|traceback|undefined|unable|unsuccessful|not[ _]found)\b",
    re.IGNORECASE,
)
_ERROR_KEYS = frozenset({"error", "errors", "exception", "traceback", "error_message", "error_code"})
_PROMPT_CACHE = 2_048


class Prompt(NamedTuple):
    """What a system prompt declares; ``definitions`` has the ``parameters`` of each definition of a name."""

    message: dict[str, Any] | None
    names: list[str]
    signatures: str
    tools: str | None
    definitions: dict[str, list[Any]]
    invalid: int

    @property
    def repeats(self) -> bool:
        """Whether a name is declared twice."""
        return len(self.definitions) < len(self.names)


@lru_cache(maxsize=_PROMPT_CACHE)
def parse_prompt(system: str | None) -> Prompt:
    """The functions of a system prompt and its words without them. Never fails: what cannot be read is counted."""
    text = (system or "").removeprefix("SYSTEM:").strip()
    start = text.find("{")
    functions, invalid = _read_functions(text[start:]) if start >= 0 else ([], 0)
    if not functions:
        return Prompt(_system_message(text), [], "{}", None, {}, invalid)
    names: list[str] = []
    signatures: dict[str, dict[str, Any]] = {}
    definitions: dict[str, list[Any]] = {}
    tools: list[dict[str, Any]] = []
    for function in functions:
        name = function["name"]
        parameters = function.get("parameters")
        properties = declared_properties(parameters)
        signature: dict[str, Any] = {
            "description": function.get("description"),
            "parameters": list(properties),
            "types": {key: _type_words(schema) for key, schema in properties.items()},
            "required": required_names(parameters),
        }
        if name in signatures:
            signatures[name].setdefault("redeclared", []).append(signature)
        else:
            signatures[name] = signature
        names.append(name)
        definitions.setdefault(name, []).append(parameters)
        tools.append({"type": "function", "function": _tool_function(function, parameters)})
    words = text[:start].rstrip().removesuffix("-").rstrip()
    return Prompt(_system_message(words), names, _dumps(signatures), _dumps(tools), definitions, invalid)


def _system_message(words: str) -> dict[str, Any] | None:
    return {"role": "system", "content": words} if words else None


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def _type_words(schema: Any) -> Any:
    declared = schema.get("type") if isinstance(schema, dict) else None
    return declared if isinstance(declared, str | list) else "any"


def _tool_function(function: dict[str, Any], parameters: Any) -> dict[str, Any]:
    """The definition with the three keys that chat templates read, and ``parameters`` an object schema."""
    if not isinstance(parameters, dict) or not parameters:
        parameters = {"type": "object", "properties": {}}
    elif "properties" not in parameters and (bare := declared_properties(parameters)):
        parameters = {"type": "object", "properties": bare}
    description = function.get("description")
    return {
        **function,
        "name": function["name"],
        "description": description if isinstance(description, str) else "",
        "parameters": parameters,
    }


def _read_functions(text: str) -> tuple[list[dict[str, Any]], int]:
    """The function definitions of a text that starts at the first brace, and how many pieces could not be read."""
    functions: list[dict[str, Any]] = []
    invalid = 0
    # One blank line stands between definitions and none inside; so one that is damaged does not take the next along.
    for piece in _BLANK_LINE.split(text):
        if (function := _as_function(piece)) is not None:
            functions.append(function)
            continue
        position = piece.find("{")
        while position >= 0:
            end = call_scanner.value_end(piece, position)
            function = _as_function(piece[position:end]) if end > 0 else None
            if function is None:
                invalid += 1
            else:
                functions.append(function)
            position = piece.find("{", end) if end > 0 else -1
    return functions, invalid


def _as_function(text: str) -> dict[str, Any] | None:
    if text.count("{") > call_scanner.MAX_DEPTH and call_scanner.value_end(text, text.find("{")) < 0:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"].strip():
        return None
    return value


Turn = tuple[str, str, bool]
"""Role as upstream writes it; text without role, end mark and the space around it; whether it had its end mark."""


def split_turns(chat: str) -> tuple[str, list[Turn], list[str], bool]:
    """Text before the first turn, the turns, codes of what was repaired in their markers, and whether any is left."""
    pieces = _MARKER.split(f"\n\n{chat}")
    recovered: list[str] = []
    roles = chat.count("ASSISTANT:") + chat.count("USER:") + chat.count("FUNCTION RESPONSE:")
    if roles != len(pieces) // 2:
        spaced = _MARKER.split(_LOOSE_MARKER.sub(lambda match: f"\n\n{match[1] or match[2]}:", f"\n\n{chat}"))
        if len(spaced) > len(pieces):
            recovered.append("recovered:turn_marker_spacing")
            pieces = spaced
    turns: list[Turn] = []
    for index in range(1, len(pieces), 2):
        text = pieces[index + 1].strip()
        if text.endswith(END_MARK):
            turns.append((pieces[index], text[: -len(END_MARK)].rstrip(), True))
        else:
            turns.append((pieces[index], text, False))
    stray = roles != len(turns) and any(_STRAY_MARKER.search(text) for _, text, _ in turns)
    return pieces[0].strip(), turns, recovered, stray


class Record(NamedTuple):
    """What the chat of one row holds; see :data:`PROCESSED_SCHEMA`."""

    num_turns: int
    calls: list[Call]
    num_parallel_calls: int
    num_function_responses: int
    has_function_error_response: bool
    recovered: list[str]
    errors: list[str]
    messages: list[dict[str, Any]]


def parse_record(prompt: Prompt, chat: str) -> Record:
    """The conversation of one row. Never fails: what is wrong with it is in the record, coded."""
    before, turns, recovered, stray = split_turns(chat)
    conversation = _Conversation(prompt, recovered)
    if before:
        conversation.errors.append("text_before_first_turn")
    if stray:
        conversation.errors.append("stray_role_marker")
    for role, text, ended in turns:
        if role == "USER":
            conversation.add_user(text, ended)
        elif role == "ASSISTANT":
            conversation.add_assistant(text, ended)
        else:
            conversation.add_response(text, ended)
    conversation.end(chat, turns)
    return Record(
        conversation.users,
        conversation.calls,
        conversation.most_calls,
        conversation.responses,
        conversation.error_response,
        list(dict.fromkeys(recovered)) if recovered else recovered,
        list(dict.fromkeys(conversation.errors)) if conversation.errors else conversation.errors,
        conversation.messages,
    )


class _Conversation:
    """Builds the messages of a record turn by turn, and notes what an honest conversation would not have."""

    def __init__(self, prompt: Prompt, recovered: list[str]) -> None:
        self.prompt = prompt
        self.recovered = recovered
        self.errors: list[str] = []
        self.calls: list[Call] = []
        self.messages: list[dict[str, Any]] = [prompt.message] if prompt.message else []
        self.users = self.responses = self.most_calls = self.ends = 0
        self.error_response = False
        # The turn before, and of its calls the names and how many have been responded to.
        self._previous = ""
        self._waiting: list[str | None] = []
        self._answered = 0

    def add_user(self, text: str, ended: bool) -> None:
        self.users += 1
        if ended:
            self.ends += 1
            self.errors.append("stray_end_mark")
        if not text:
            self.errors.append("empty_turn")
        if self._previous == "USER":
            self.errors.append("consecutive_user_turns")
        self._leave_calls()
        if call_scanner.TAG in text:
            self._add_misplaced_call(text)
        self.messages.append({"role": "user", "content": text})
        self._previous = "USER"

    def add_assistant(self, text: str, ended: bool) -> None:
        joins = self._previous == "ASSISTANT"
        if ended:
            self.ends += 1
        else:
            self.recovered.append("recovered:missing_end_mark")
        if joins and self._waiting and text and not text.strip("}]'\" "):
            self.recovered.append("recovered:stray_brace_turn")
            return
        if not self._previous:
            self.errors.append("not_started_by_user")
        self._previous = "ASSISTANT"
        text, found = call_scanner.find_calls(text)
        if found:
            self._add_calls(text, found, joins)
            return
        if not text:
            self.errors.append("empty_turn")
        if joins and not self._waiting:
            self.errors.append("split_assistant_turn")
        self._leave_calls()
        self.messages.append({"role": "assistant", "content": text})

    def add_response(self, text: str, ended: bool) -> None:
        self.responses += 1
        self._previous = "FUNCTION RESPONSE"
        if ended:
            self.ends += 1
            self.recovered.append("recovered:end_mark_after_response")
        if call_scanner.TAG in text:
            self._add_misplaced_call(text)
        message = {"role": "tool", "content": text}
        if self._answered < len(self._waiting):
            name = self._waiting[self._answered]
            self._answered += 1
            if name is not None:
                message["name"] = name
        else:
            self.errors.append("response_without_call")
        self.error_response = self.error_response or reports_error(text)
        self.messages.append(message)

    def end(self, chat: str, turns: list[Turn]) -> None:
        if chat.count(END_MARK) > self.ends:
            self.errors.append("stray_end_mark")
        if not self.users:
            self.errors.append("no_user_turn")
        if not any(role == "ASSISTANT" for role, _, _ in turns):
            self.errors.append("no_assistant_turn")
        if self._previous == "FUNCTION RESPONSE" and _is_cut_off(turns[-1][1]):
            self.errors.append("chat_cut_off")

    def _add_calls(self, text: str, found: list[Call], joins: bool) -> None:
        if not joins:
            self._leave_calls()
        adapted = [_adapt(call, self.prompt) if call.error else call for call in found]
        for call in adapted:
            self.recovered += call.codes
        self.calls += adapted
        self._waiting += [call.name for call in adapted]
        self.most_calls = max(self.most_calls, len(self._waiting))
        if joins and self.messages[-1]["role"] == "assistant":
            message = self.messages[-1]
            message["content"] = f"{message['content']}\n{text}".strip()
        else:
            message = {"role": "assistant", "content": text}
            self.messages.append(message)
        message.setdefault("tool_calls", []).extend(
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in adapted
            if not call.error
        )

    def _add_misplaced_call(self, text: str) -> None:
        start = text.find(call_scanner.TAG)
        raw = text[start : start + call_scanner.RAW_CHARS]
        self.calls.append(Call(None, None, "call_outside_assistant_turn", (), raw))

    def _leave_calls(self) -> None:
        if self._waiting:
            if not self._answered:
                self.errors.append("call_without_response")
            self._waiting = []
            self._answered = 0


def _adapt(call: Call, prompt: Prompt) -> Call:
    """A call whose arguments are not an object, made one where the function's definition leaves one reading."""
    if call.error != "arguments_not_object" or call.name is None:
        return call
    definitions = prompt.definitions.get(call.name, ())
    if len(definitions) != 1:
        return call
    parameters = definitions[0]
    if call.arguments is None and not required_names(parameters):
        return call._replace(arguments={}, error=None, codes=(*call.codes, "recovered:empty_arguments"))
    if type(call.arguments) is list:
        properties = declared_properties(parameters)
        if len(properties) == 1:
            (name, schema), *_ = properties.items()
            arguments = {name: call.arguments}
            if json_types(schema) == ("array",) and not check_arguments(parameters, arguments):
                return call._replace(
                    arguments=arguments, error=None, codes=(*call.codes, "recovered:list_arguments")
                )
    return call


def verify_calls(calls: list[Call], prompt: Prompt) -> tuple[list[dict[str, Any]], int]:
    """Violations of the usable calls, coded, and how many of the calls have any."""
    errors: list[dict[str, Any]] = []
    invalid = 0
    for index, call in enumerate(calls):
        if call.error is None and (problems := _verify(call, prompt)):
            invalid += 1
            errors += [
                {"call": index, "name": call.name, "code": code, "path": path} for code, path in problems
            ]
    return errors, invalid


def _verify(call: Call, prompt: Prompt) -> list[ArgumentError]:
    """Violations of the definition that the call fits best; a name declared twice offers two."""
    definitions = prompt.definitions.get(call.name or "")
    if definitions is None:
        return [ArgumentError(UNKNOWN_FUNCTION, "$")]
    best: list[ArgumentError] | None = None
    for parameters in definitions:
        problems = check_arguments(parameters, call.arguments)
        if not problems:
            return problems
        if best is None or len(problems) < len(best):
            best = problems
    return best or []


def reports_error(response: str) -> bool:
    """Whether a function response says that the function failed.

    In JSON: a key for errors that holds one, ``success`` false, a status of failure, or a lone message about one;
    elsewhere such a word may be data. In text: a word for it.
    """
    try:
        value = orjson.loads(response)
    except orjson.JSONDecodeError:
        return _FAILURE.search(response) is not None
    if type(value) is str:
        return _FAILURE.search(value) is not None
    if type(value) is not dict:
        return False
    if value.get("success") is False or any(value[key] for key in value.keys() & _ERROR_KEYS):
        return True
    told = [value.get("status")]
    if len(value) == 1 or (value.get("success") is None and value.keys() == {"status", "message"}):
        told.append(value.get("message"))
    return any(type(text) is str and _FAILURE.search(text) is not None for text in told)


def _is_cut_off(response: str) -> bool:
    if not response.startswith(("{", "[")):
        return False
    try:
        orjson.loads(response)
    except orjson.JSONDecodeError:
        return True
    return False


def _workflow(calls: Iterable[Call], messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    steps = [{"tool": call.name, "params": call.arguments} for call in calls if not call.error]
    content: dict[str, Any] = {"workflow": {"steps": steps}}
    if not steps:
        content["message"] = _first(messages, "assistant")
    return [
        {"role": "user", "content": _first(messages, "user")},
        {"role": "assistant", "content": _dumps(content)},
    ]


def _first(messages: list[dict[str, Any]], role: str) -> str:
    for message in messages:
        if message["role"] == role:
            return str(message["content"])
    return ""


def complexity_tier(calls: list[Call]) -> str:
    """The tier of a record with these calls."""
    if not calls:
        return "none"
    if len(calls) > 1:
        return "complex"
    if calls[0].error:
        return "malformed"
    if _NOT_OBJECTS.intersection(calls[0].codes):
        return "moderate"
    return "simple" if len(calls[0].arguments) <= 2 else "moderate"


_NOT_OBJECTS = frozenset({"recovered:list_arguments", "recovered:empty_arguments"})


def parse_batch(raw: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Processed records and quarantined rows of a raw batch.

    Quarantine has the rows that are not processed (stage ``processed_records``), then the processed ones that cannot go
    into the chat forms (stage ``chatml``).
    """
    reason = (
        pl.when(pl.col("source_error").is_not_null())
        .then(pl.col("source_error"))
        .when(pl.col("chat").is_null() | (pl.col("chat").str.strip_chars() == ""))
        .then(pl.lit("empty_chat"))
        .when(pl.col("chat").str.len_bytes() + pl.col("system").str.len_bytes().fill_null(0) > MAX_ROW_BYTES)
        .then(pl.lit("too_large"))
    )
    raw = raw.with_columns(reason=reason)
    refused = raw.filter(pl.col("reason").is_not_null()).select(
        "row_number",
        pl.lit("processed_records").alias("stage"),
        "reason",
        pl.lit(None, pl.String).alias("detail"),
        pl.coalesce("source_text", pl.coalesce("chat", "system").str.slice(0, QUOTED_CHARACTERS)).alias(
            "text"
        ),
    )
    kept = raw.filter(pl.col("reason").is_null()).select("row_number", "system", "chat")
    processed = pl.concat(
        [kept, parse_rows(kept["system"].to_list(), kept["chat"].to_list()), _error_words(kept["chat"])],
        how="horizontal",
    ).with_columns(
        has_error_handling=pl.col("has_function_error_response")
        | pl.col("has_conditional_error")
        | (pl.col("error_keywords_found") != "[]")
    )
    withheld = processed.filter(pl.col("quarantine_reason").is_not_null()).select(
        "row_number",
        pl.lit("chatml").alias("stage"),
        pl.col("quarantine_reason").alias("reason"),
        pl.format("calls {}, turns {}", "malformed_reasons", "conversation_errors").alias("detail"),
        pl.col("chat").str.slice(0, QUOTED_CHARACTERS).alias("text"),
    )
    return processed.select(PROCESSED_SCHEMA.names()), pl.concat([refused, withheld])


_RECORD_COLUMNS = (
    "num_turns",
    "num_calls",
    "complexity_tier",
    "num_parallel_calls",
    "num_function_responses",
    "has_function_error_response",
    "function_calls",
    "quarantine_reason",
    "malformed_reasons",
    "recovered_reasons",
    "conversation_errors",
    "call_errors",
    "num_call_errors",
    "num_invalid_calls",
    "conversation",
    "workflow",
)
_PROMPT_COLUMNS = (
    "num_defined_functions",
    "defined_function_names",
    "function_signatures",
    "tools",
    "has_duplicate_function_names",
    "num_invalid_functions",
)


def parse_rows(systems: list[str | None], chats: list[str]) -> pl.DataFrame:
    prompts: dict[str | None, int] = {}
    parsed: list[Prompt] = []
    which: list[int] = []
    rows: list[tuple[Any, ...]] = []
    for system, chat in zip(systems, chats, strict=True):
        index = prompts.get(system)
        if index is None:
            index = prompts[system] = len(parsed)
            parsed.append(parse_prompt(system))
        which.append(index)
        rows.append(_row(parsed[index], chat))
    records = _frame(_RECORD_COLUMNS, rows).with_columns(
        has_parallel=pl.col("num_parallel_calls") > 1, has_malformed=pl.col("malformed_reasons") != "[]"
    )
    declared = _frame(
        _PROMPT_COLUMNS,
        [(len(p.names), _dumps(p.names), p.signatures, p.tools, p.repeats, p.invalid) for p in parsed],
    )
    return records.hstack(declared[which])


def _frame(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return pl.DataFrame(
        [pl.Series(name, column, PROCESSED_SCHEMA[name]) for name, column in zip(names, columns, strict=True)]
    )


def _row(prompt: Prompt, chat: str) -> tuple[Any, ...]:
    record = parse_record(prompt, chat)
    calls = record.calls
    malformed = [call.error for call in calls if call.error]
    call_errors, invalid_calls = verify_calls(calls, prompt)
    return (
        record.num_turns,
        len(calls),
        complexity_tier(calls),
        record.num_parallel_calls,
        record.num_function_responses,
        record.has_function_error_response,
        _dumps_list([_call_json(call) for call in calls]),
        "unusable_call" if malformed else record.errors[0] if record.errors else None,
        _dumps_list(malformed),
        _dumps_list(record.recovered),
        _dumps_list(record.errors),
        _dumps_list(call_errors),
        len(call_errors),
        invalid_calls,
        _dumps(record.messages),
        _dumps(_workflow(calls, record.messages)),
    )


def _error_words(chat: pl.Series) -> pl.DataFrame:
    """``error_keywords_found`` and ``has_conditional_error`` of chats, looked for only where there may be any."""
    may_have = chat.str.contains(_ANY_ERROR_WORD)
    found = (
        chat.filter(may_have)
        .to_frame("chat")
        .select(
            keywords=pl.concat_str(
                pl.lit("["),
                pl.concat_list(
                    pl.when(pl.col("chat").str.contains(rf"(?i)\b{word}\b")).then(pl.lit(f'"{word}"'))
                    for word in ERROR_KEYWORDS
                )
                .list.drop_nulls()
                .list.join(","),
                pl.lit("]"),
            ),
            conditional=pl.col("chat").str.contains(_CONDITIONAL_ERROR),
        )
    )
    places = may_have.arg_true()
    keywords = pl.repeat("[]", len(chat), dtype=pl.String, eager=True)
    conditional = pl.repeat(False, len(chat), dtype=pl.Boolean, eager=True)
    return pl.DataFrame(
        {
            "error_keywords_found": keywords.scatter(places, found["keywords"]),
            "has_conditional_error": conditional.scatter(places, found["conditional"]),
        }
    )


def _dumps_list(values: list[Any]) -> str:
    return _dumps(values) if values else "[]"


def _call_json(call: Call) -> dict[str, Any]:
    if call.error:
        return {"name": call.name, "malformed": call.error, "raw": call.raw}
    return {"name": call.name, "arguments": call.arguments}


BATCH_ROWS = 4_096
"""Rows that one process parses at a time: some 10 MB in, 25 MB out. Also the rows of a Parquet row group."""


@dataclass(frozen=True)
class ProcessCounts:
    """What became of the rows: ``rows_in = processed + sum(quarantined.values())``.

    ``withheld`` counts, by reason, the processed ones that cannot go into the chat forms.
    """

    rows_in: int
    processed: int
    quarantined: dict[str, int]
    withheld: dict[str, int]


def process(
    raw: pl.LazyFrame,
    processed: Path,
    quarantine: Path,
    *,
    workers: int | None = None,
    batch_rows: int = BATCH_ROWS,
    on_progress: Callable[[int], None] | None = None,
) -> ProcessCounts:
    """Parse every row of ``raw`` into two Parquet files; memory does not grow with the rows.

    ``workers`` is the number of processes (one per core when None; 1 parses in this process). ``on_progress`` is told
    the rows done so far. The files are the same, byte for byte, whatever the number of workers.
    """
    import pyarrow.parquet as pq

    rows_in = rows_out = 0
    reasons: dict[str, Counter[str]] = {"processed_records": Counter(), "chatml": Counter()}
    with ExitStack() as stack:
        good = stack.enter_context(_writer(pq, processed, PROCESSED_SCHEMA))
        bad = stack.enter_context(_writer(pq, quarantine, QUARANTINE_COLUMNS))
        for kept, refused in stack.enter_context(_Parser(workers or os.cpu_count() or 1)).frames(
            raw, batch_rows
        ):
            rows_out += len(kept)
            for stage, reason in refused.select("stage", "reason").iter_rows():
                reasons[stage][reason] += 1
            rows_in = rows_out + reasons["processed_records"].total()
            if len(kept):
                good.write_table(kept.to_arrow())
            if len(refused):
                bad.write_table(refused.to_arrow())
            if on_progress is not None:
                on_progress(rows_in)
    quarantined, withheld = (dict(sorted(counts.items())) for counts in reasons.values())
    return ProcessCounts(rows_in, rows_out, quarantined, withheld)


def _writer(pq: Any, path: Path, schema: pl.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path, pl.DataFrame(schema=schema).to_arrow().schema, compression="zstd", compression_level=1
    )


class _Parser:
    """Parses batches in processes, or in this one; as many batches are under way as there are processes, and one."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._stack = ExitStack()

    def __enter__(self) -> _Parser:
        if self._workers > 1:
            self._folder = Path(
                self._stack.enter_context(tempfile.TemporaryDirectory(prefix="glaive-parse-"))
            )
            context = get_context("forkserver")
            context.set_forkserver_preload([__name__])
            self._pool = self._stack.enter_context(ProcessPoolExecutor(self._workers, mp_context=context))
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def frames(self, raw: pl.LazyFrame, batch_rows: int) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        batches = raw.collect_batches(chunk_size=batch_rows, maintain_order=True)
        if self._workers == 1:
            yield from map(parse_batch, batches)
            return
        waiting: deque[Future[Path]] = deque()
        for number, batch in enumerate(batches):
            path = self._folder / f"{number}.raw"
            batch.write_ipc(path)
            waiting.append(self._pool.submit(_parse_file, path))
            if len(waiting) > self._workers:
                yield self._taken(waiting.popleft().result())
        while waiting:
            yield self._taken(waiting.popleft().result())

    @staticmethod
    def _taken(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
        frames = pl.read_ipc(path), pl.read_ipc(path.with_suffix(".bad"))
        path.unlink()
        path.with_suffix(".bad").unlink()
        return frames


def _parse_file(path: Path) -> Path:
    kept, refused = parse_batch(pl.read_ipc(path))
    path.unlink()
    done = path.with_suffix(".good")
    kept.write_ipc(done)
    refused.write_ipc(path.with_suffix(".bad"))
    return done
