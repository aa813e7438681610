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
    Checker,
    compile_arguments,
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
                               moderate (one call, more arguments), complex (2 calls or more)
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
MAX_ROW_CHARACTERS = 1_000_000
"""Longer rows (400 times the mean) go to quarantine: nobody trains on a conversation of that size."""

QUOTED_CHARACTERS = 1_000

END_MARK = "<|endoftext|>"
_MARKER = re.compile(r"\n\n(USER|ASSISTANT|FUNCTION RESPONSE):")
_LOOSE_MARKER = re.compile(
    r"(?<=<\|endoftext\|>)\s*+(USER|ASSISTANT|FUNCTION RESPONSE):|(?<!\n)\n(FUNCTION RESPONSE):"
)
_STRAY_MARKER = re.compile(r"(?:^|\n)[ \t]*+(?:USER|ASSISTANT|FUNCTION RESPONSE):")
_BLANK_LINE = re.compile(r"\n[ \t]*+\n[ \t\n]*+(?=\{)")
_ERROR_WORDS = r"error|invalid|failed|null|none|exception|traceback|undefined|not found"
_ERROR_KEYWORD = re.compile(rf"\b(?:{_ERROR_WORDS})\b", re.IGNORECASE)
_CONDITIONAL_ERROR = re.compile(r"\b(?:if|when)\b.{0,30}(?:error|fail|invalid)", re.IGNORECASE)
_RESPONSE_ERROR = re.compile(
    r"\b(?:error|errors|invalid|fail|failed|failure|exception|traceback|undefined|unable|not found)\b",
    re.IGNORECASE,
)
_ERROR_STATUSES = frozenset(
    {"error", "fail", "failed", "failure", "invalid", "not found", "not_found", "unsuccessful"}
)
_ERROR_KEYS = ("error", "errors", "exception", "traceback", "error_message", "error_code", "errormessage")
_PROMPT_CACHE = 2_048


class Definition(NamedTuple):
    """A function as a call sees it."""

    parameters: Any
    check: Checker


class Prompt(NamedTuple):
    """What a system prompt declares."""

    message: str
    names: list[str]
    signatures: str
    tools: str | None
    definitions: dict[str, list[Definition]]
    invalid: int


class Turn(NamedTuple):
    role: str
    text: str
    ended: bool


@lru_cache(maxsize=_PROMPT_CACHE)
def parse_prompt(system: str | None) -> Prompt:
    """The functions of a system prompt and its words without them. Never fails: what cannot be read is counted."""
    if not system:
        return Prompt("", [], "{}", None, {}, 0)
    text = system.removeprefix("SYSTEM:")
    start = text.find("{")
    if start < 0:
        return Prompt(text.strip(), [], "{}", None, {}, 0)
    functions, invalid = _read_functions(text[start:])
    if not functions:
        return Prompt(text.strip(), [], "{}", None, {}, invalid)
    names: list[str] = []
    signatures: dict[str, dict[str, Any]] = {}
    definitions: dict[str, list[Definition]] = {}
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
        definitions.setdefault(name, []).append(Definition(parameters, compile_arguments(parameters)))
        tools.append({"type": "function", "function": _tool_function(function, parameters)})
    words = text[:start].strip().removesuffix("-").rstrip()
    return Prompt(words, names, _dumps(signatures), _dumps(tools), definitions, invalid)


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
    for piece in _BLANK_LINE.split(text) if "\n\n{" in text or "\n \n" in text else (text,):
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


def split_turns(chat: str) -> tuple[str, list[Turn], list[str]]:
    """Text before the first turn, the turns, and what was repaired.

    A turn's text is without its role, its end mark and the space around it; ``ended`` tells whether it had its mark.
    """
    pieces = _MARKER.split(f"\n\n{chat}")
    recovered: list[str] = []
    markers = chat.count("ASSISTANT:") + chat.count("USER:") + chat.count("FUNCTION RESPONSE:")
    if markers != len(pieces) // 2:
        spaced = _LOOSE_MARKER.sub(lambda match: f"\n\n{match[1] or match[2]}:", chat)
        if spaced != chat:
            respaced = _MARKER.split(f"\n\n{spaced}")
            if len(respaced) > len(pieces):
                recovered.append("recovered:turn_marker_spacing")
                pieces = respaced
    turns: list[Turn] = []
    for index in range(1, len(pieces), 2):
        text = pieces[index + 1].strip()
        ended = text.endswith(END_MARK)
        if ended:
            text = text[: -len(END_MARK)].rstrip()
        turns.append(Turn(pieces[index], text, ended))
    return pieces[0].strip(), turns, recovered


class Record(NamedTuple):
    """What the chat of one row holds; see :data:`PROCESSED_SCHEMA`."""

    num_turns: int
    calls: list[Call]
    num_parallel_calls: int
    num_function_responses: int
    has_function_error_response: bool
    recovered: list[str]
    errors: list[str]
    call_errors: list[dict[str, Any]]
    num_invalid_calls: int
    messages: list[dict[str, Any]]
    workflow: list[dict[str, Any]]


def parse_record(prompt: Prompt, chat: str) -> Record:
    """The conversation of one row. Never fails; what is wrong is in the record, coded."""
    before, turns, recovered = split_turns(chat)
    errors: list[str] = ["text_before_first_turn"] if before else []
    end_marks = chat.count(END_MARK)
    calls: list[Call] = []
    call_errors: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    if prompt.message:
        messages.append({"role": "system", "content": prompt.message})
    num_turns = responses = most = invalid_calls = 0
    error_response = False
    previous = ""
    waiting: list[str | None] = []
    answered = 0
    for turn in turns:
        role, text, ended = turn
        end_marks -= ended
        if call_scanner.TAG in text and role != "ASSISTANT":
            raw = text[text.find(call_scanner.TAG) :][: call_scanner.RAW_CHARS]
            calls.append(Call(None, None, "call_outside_assistant_turn", (), raw))
        if role == "USER":
            num_turns += 1
            if ended:
                errors.append("stray_end_mark")
            if not text:
                errors.append("empty_turn")
            if previous == "USER":
                errors.append("consecutive_user_turns")
            if waiting and not answered:
                errors.append("call_without_response")
            waiting, answered = [], 0
            messages.append({"role": "user", "content": text})
        elif role == "ASSISTANT":
            if not previous:
                errors.append("not_started_by_user")
            if not ended:
                recovered.append("recovered:missing_end_mark")
            if waiting and previous == "ASSISTANT" and text and not text.strip("}]'\" "):
                recovered.append("recovered:stray_brace_turn")
                continue
            text, found = call_scanner.find_calls(text)
            if not found and call_scanner.may_hold_untagged_call(text):
                text, found = call_scanner.find_untagged(text)
            if not found and not text:
                errors.append("empty_turn")
            if found:
                for index, call in enumerate(found):
                    if call.error:
                        call = found[index] = _adapt(call, prompt)
                    recovered += call.codes
                    if not call.error:
                        problems = _verify(call, prompt)
                        if problems:
                            invalid_calls += 1
                            number = len(calls) + index
                            call_errors += [
                                {"call": number, "name": call.name, "code": code, "path": path}
                                for code, path in problems
                            ]
                calls += found
            joins = previous == "ASSISTANT"
            if joins and waiting and not found:
                errors.append("call_without_response")
            elif joins and not waiting and not found:
                errors.append("split_assistant_turn")
            elif not joins and waiting and not answered:
                errors.append("call_without_response")
            if joins and found and messages[-1]["role"] == "assistant":
                message = messages[-1]
                if text:
                    message["content"] = f"{message['content']}\n{text}" if message["content"] else text
            else:
                message = {"role": "assistant", "content": text}
                messages.append(message)
            if found:
                if not joins:
                    waiting = []
                waiting += [call.name for call in found]
                answered = 0
                most = max(most, len(waiting))
                message.setdefault("tool_calls", []).extend(
                    {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                    for call in found
                    if not call.error
                )
            elif not joins:
                waiting = []
        else:
            responses += 1
            if ended:
                recovered.append("recovered:end_mark_after_response")
            if answered >= len(waiting):
                errors.append("response_without_call")
            name = waiting[answered] if answered < len(waiting) else None
            answered += 1
            error_response = error_response or reports_error(text)
            message = {"role": "tool", "content": text}
            if name:
                message["name"] = name
            messages.append(message)
        previous = role
    if end_marks:
        errors.append("stray_end_mark")
    if not num_turns:
        errors.append("no_user_turn")
    if not any(role == "ASSISTANT" for role, _, _ in turns):
        errors.append("no_assistant_turn")
    if turns and turns[-1].role == "FUNCTION RESPONSE" and _is_cut_off(turns[-1].text):
        errors.append("chat_cut_off")
    if any(_STRAY_MARKER.search(turn.text) for turn in turns):
        errors.append("stray_role_marker")
    return Record(
        num_turns,
        calls,
        most,
        responses,
        error_response,
        list(dict.fromkeys(recovered)),
        list(dict.fromkeys(errors)),
        call_errors,
        invalid_calls,
        messages,
        _workflow(calls, messages),
    )


def _adapt(call: Call, prompt: Prompt) -> Call:
    """A call whose arguments are not an object, made one where the function's definition leaves one reading."""
    if call.error != "arguments_not_object" or call.name is None:
        return call
    definitions = prompt.definitions.get(call.name, ())
    if len(definitions) != 1:
        return call
    parameters = definitions[0].parameters
    if call.arguments is None and not required_names(parameters):
        return call._replace(arguments={}, error=None, codes=(*call.codes, "recovered:empty_arguments"))
    if type(call.arguments) is list:
        properties = declared_properties(parameters)
        if len(properties) == 1:
            (name, schema), *_ = properties.items()
            arguments = {name: call.arguments}
            problems: list[ArgumentError] = []
            definitions[0].check(arguments, "$", problems)
            if json_types(schema) == ("array",) and not problems:
                return call._replace(
                    arguments=arguments, error=None, codes=(*call.codes, "recovered:list_arguments")
                )
    return call


def _verify(call: Call, prompt: Prompt) -> list[ArgumentError]:
    """Violations of the definition that the call fits best; a name declared twice offers two."""
    definitions = prompt.definitions.get(call.name or "")
    if definitions is None:
        return [ArgumentError(UNKNOWN_FUNCTION, "$")]
    best: list[ArgumentError] | None = None
    for definition in definitions:
        problems: list[ArgumentError] = []
        definition.check(call.arguments, "$", problems)
        if best is None or len(problems) < len(best):
            best = problems
        if not best:
            break
    return best or []


def reports_error(response: str) -> bool:
    """Whether a function response says that the function failed."""
    if not _RESPONSE_ERROR.search(response) and '"success"' not in response:
        return False
    try:
        value = orjson.loads(response)
    except orjson.JSONDecodeError:
        # Text, or JSON that is cut off.
        return bool(_RESPONSE_ERROR.search(response))
    if isinstance(value, str):
        return bool(_RESPONSE_ERROR.search(value))
    if not isinstance(value, dict):
        return False
    if any(value.get(key) for key in _ERROR_KEYS):
        return True
    if value.get("success") is False:
        return True
    status = value.get("status")
    if isinstance(status, str) and (status.lower() in _ERROR_STATUSES or _RESPONSE_ERROR.search(status)):
        return True
    # Elsewhere such a word may be data ("None" in a title): only a lone message counts.
    message = value.get("message")
    return len(value) == 1 and isinstance(message, str) and _RESPONSE_ERROR.search(message) is not None


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
    return next((message["content"] for message in messages if message["role"] == role), "")


def complexity_tier(calls: list[Call]) -> str:
    """The tier of a record with these calls."""
    if not calls:
        return "none"
    if len(calls) > 1:
        return "complex"
    if calls[0].error:
        return "malformed"
    return "simple" if len(calls[0].arguments) <= 2 else "moderate"


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
        .when(
            pl.col("chat").str.len_chars() + pl.col("system").str.len_chars().fill_null(0)
            > MAX_ROW_CHARACTERS
        )
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
    columns: dict[str, list[Any]] = {name: [] for name in PROCESSED_SCHEMA if name not in kept.columns}
    for system, chat in zip(kept["system"].to_list(), kept["chat"].to_list(), strict=True):
        prompt = parse_prompt(system)
        record = parse_record(prompt, chat)
        for name, value in _features(prompt, record, chat).items():
            columns[name].append(value)
    parsed = pl.DataFrame(columns, schema={name: PROCESSED_SCHEMA[name] for name in columns})
    processed = kept.hstack(parsed).select(PROCESSED_SCHEMA.names())
    withheld = processed.filter(pl.col("quarantine_reason").is_not_null()).select(
        "row_number",
        pl.lit("chatml").alias("stage"),
        pl.col("quarantine_reason").alias("reason"),
        pl.format("calls {}, turns {}", "malformed_reasons", "conversation_errors").alias("detail"),
        pl.col("chat").str.slice(0, QUOTED_CHARACTERS).alias("text"),
    )
    return processed, pl.concat([refused, withheld])


def _features(prompt: Prompt, record: Record, chat: str) -> dict[str, Any]:
    malformed = [call.error for call in record.calls if call.error]
    keywords = {match.lower() for match in _ERROR_KEYWORD.findall(chat)}
    conditional = _CONDITIONAL_ERROR.search(chat) is not None
    return {
        "num_turns": record.num_turns,
        "num_calls": len(record.calls),
        "complexity_tier": complexity_tier(record.calls),
        "has_parallel": record.num_parallel_calls > 1,
        "has_malformed": bool(malformed),
        "function_calls": _dumps([_call_json(call) for call in record.calls]),
        "num_defined_functions": len(prompt.names),
        "defined_function_names": _dumps(prompt.names),
        "function_signatures": prompt.signatures,
        "has_error_handling": bool(keywords) or conditional or record.has_function_error_response,
        "has_function_error_response": record.has_function_error_response,
        "has_conditional_error": conditional,
        "error_keywords_found": _dumps([word for word in ERROR_KEYWORDS if word in keywords]),
        "quarantine_reason": "unusable_call" if malformed else record.errors[0] if record.errors else None,
        "malformed_reasons": _dumps(malformed),
        "recovered_reasons": _dumps(record.recovered),
        "conversation_errors": _dumps(record.errors),
        "num_parallel_calls": record.num_parallel_calls,
        "num_function_responses": record.num_function_responses,
        "has_duplicate_function_names": len(set(prompt.names)) < len(prompt.names),
        "num_invalid_functions": prompt.invalid,
        "call_errors": _dumps(record.call_errors),
        "num_call_errors": len(record.call_errors),
        "num_invalid_calls": record.num_invalid_calls,
        "conversation": _dumps(record.messages),
        "tools": prompt.tools,
        "workflow": _dumps(record.workflow),
    }


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
