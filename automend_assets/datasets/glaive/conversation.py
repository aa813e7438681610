"""A Glaive prompt and a Glaive chat, read with all their dirt: functions, turns, calls, messages.

Here: how Glaive writes prompts and chats, and what is done about damage; row by row, in Python. Not here: the grammar
of a call (``chat.call_scanner``), checking against schemas (``chat.verification``), plain rows (``plain_rows`` reads
those faster, to the same result), frames and files (``parse``).

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

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
import polars as pl

from automend_assets.chat import call_scanner
from automend_assets.chat.call_scanner import Call
from automend_assets.chat.verification import (
    UNKNOWN_FUNCTION,
    ArgumentError,
    ParameterSchema,
    declared_properties,
    json_types,
    required_names,
)

END_MARK = "<|endoftext|>"
SPACE = " \t\r\n"
"""What is stripped around the text of a turn; named, since Python and polars do not mean the same by default."""
_MARKER = re.compile(r"\n\n(USER|ASSISTANT|FUNCTION RESPONSE):")
_LOOSE_MARKER = re.compile(
    r"(?<=<\|endoftext\|>)\s*+(USER|ASSISTANT|FUNCTION RESPONSE):|(?<!\n)\n(FUNCTION RESPONSE):"
)
_STRAY_MARKER = re.compile(r"(?:^|\n)[ \t]*+(?:USER|ASSISTANT|FUNCTION RESPONSE):")
_BLANK_LINE = re.compile(r"\n\n(?=[ \t]*+\{)")
_FAILURE = re.compile(
    r"\b(?:errors?|invalid|fail(?:ed|ure|s)?|exception|traceback|undefined|unable|unsuccessful|not[ _]found)\b",
    re.IGNORECASE,
)
_ERROR_KEYS = frozenset({"error", "errors", "exception", "traceback", "error_message", "error_code"})
_CACHE = 16_384
"""Prompts, and functions, that are remembered: both repeat, and take some 3 kB each."""


class Prompt(NamedTuple):
    """What a system prompt declares; ``definitions`` has the parameters of each definition of a name.

    ``opening`` is the system message as JSON text, a comma after it; empty without one.
    """

    message: dict[str, Any] | None
    opening: str
    names: list[str]
    signatures: str
    tools: str | None
    definitions: dict[str, list[ParameterSchema]]
    invalid: int

    @property
    def repeats(self) -> bool:
        """Whether a name is declared twice."""
        return len(self.definitions) < len(self.names)


class Function(NamedTuple):
    """One definition: as a call is checked against it, as a signature and as a tool (both JSON text)."""

    name: str
    parameters: ParameterSchema
    signature: str
    tool: str


@lru_cache(maxsize=_CACHE)
def parse_prompt(system: str | None) -> Prompt:
    """The functions of a system prompt and its words without them. Never fails: what cannot be read is counted."""
    text = (system or "").removeprefix("SYSTEM:").strip()
    start = text.find("{")
    functions, invalid = _read_functions(text[start:]) if start >= 0 else ([], 0)
    if not functions:
        return Prompt(*_system_message(text), [], "{}", None, {}, invalid)
    definitions: dict[str, list[Function]] = {}
    for function in functions:
        definitions.setdefault(function.name, []).append(function)
    return Prompt(
        *_system_message(text[:start].rstrip().removesuffix("-").rstrip()),
        [function.name for function in functions],
        "{" + ",".join(f"{dumps(name)}:{_signature(same)}" for name, same in definitions.items()) + "}",
        "[" + ",".join(function.tool for function in functions) + "]",
        {name: [function.parameters for function in same] for name, same in definitions.items()},
        invalid,
    )


def _signature(same: list[Function]) -> str:
    """The signature of a name, with those of its further definitions inside."""
    first, *others = (function.signature for function in same)
    return f'{first[:-1]},"redeclared":[{",".join(others)}]}}' if others else first


def _system_message(words: str) -> tuple[dict[str, Any] | None, str]:
    if not words:
        return None, ""
    message = {"role": "system", "content": words}
    return message, f"{dumps(message)},"


def dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def _read_functions(text: str) -> tuple[list[Function], int]:
    """The function definitions of a text that starts at the first brace, and how many pieces could not be read."""
    functions: list[Function] = []
    invalid = 0
    # One blank line stands between definitions and none inside; so one that is damaged does not take the next along.
    for piece in _BLANK_LINE.split(text):
        if (function := _read_function(piece)) is not None:
            functions.append(function)
            continue
        position = piece.find("{")
        while position >= 0:
            end = call_scanner.value_end(piece, position)
            function = _read_function(piece[position:end]) if end > 0 else None
            if function is None:
                invalid += 1
            else:
                functions.append(function)
            position = piece.find("{", end) if end > 0 else -1
    return functions, invalid


@lru_cache(maxsize=_CACHE)
def _read_function(text: str) -> Function | None:
    if text.count("{") > call_scanner.MAX_DEPTH and call_scanner.value_end(text, text.find("{")) < 0:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if type(value) is dict and type(value.get("function")) is dict:
        value = value["function"]
    if type(value) is not dict or type(name := value.get("name")) is not str or not name.strip():
        return None
    parameters, description = value.get("parameters"), value.get("description")
    properties = declared_properties(parameters)
    signature = {
        "description": description,
        "parameters": list(properties),
        "types": {
            key: schema.get("type", "any") if type(schema) is dict else "any"
            for key, schema in properties.items()
        },
        "required": required_names(parameters),
    }
    # The keys that chat templates read, and an object schema even where there are no parameters.
    tool = {**value, "description": description if type(description) is str else ""}
    if type(parameters) is not dict or "properties" not in parameters:
        tool["parameters"] = {"type": "object", "properties": properties}
    return Function(
        name, ParameterSchema(parameters), dumps(signature), dumps({"type": "function", "function": tool})
    )


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
        text = pieces[index + 1].strip(SPACE)
        if text.endswith(END_MARK):
            turns.append((pieces[index], text[: -len(END_MARK)].rstrip(SPACE), True))
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
    parameters = definitions[0].declared
    if call.arguments is None and not required_names(parameters):
        return call._replace(arguments={}, error=None, codes=(*call.codes, "recovered:empty_arguments"))
    if type(call.arguments) is list:
        properties = declared_properties(parameters)
        if len(properties) == 1:
            (name, schema), *_ = properties.items()
            arguments = {name: call.arguments}
            if json_types(schema) == ("array",) and not definitions[0].errors(arguments):
                return call._replace(
                    arguments=arguments, error=None, codes=(*call.codes, "recovered:list_arguments")
                )
    return call


def verify_call(name: str | None, arguments: dict[str, Any], prompt: Prompt) -> list[ArgumentError]:
    """Violations of the definition that a call fits best; a name declared twice offers two."""
    definitions = prompt.definitions.get(name or "")
    if definitions is None:
        return [ArgumentError(UNKNOWN_FUNCTION, "$")]
    best: list[ArgumentError] | None = None
    for parameters in definitions:
        problems = parameters.errors(arguments)
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
        {"role": "assistant", "content": dumps(content)},
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


def _call_json(call: Call) -> dict[str, Any]:
    if call.error:
        return {"name": call.name, "malformed": call.error, "raw": call.raw}
    return {"name": call.name, "arguments": call.arguments}


RECORD_SCHEMA = pl.Schema(
    {
        "num_turns": pl.Int64,
        "num_calls": pl.Int64,
        "complexity_tier": pl.String,
        "num_parallel_calls": pl.Int64,
        "num_function_responses": pl.Int64,
        "has_function_error_response": pl.Boolean,
        "function_calls": pl.String,
        "quarantine_reason": pl.String,
        "malformed_reasons": pl.String,
        "recovered_reasons": pl.String,
        "conversation_errors": pl.String,
        "call_errors": pl.String,
        "num_call_errors": pl.Int64,
        "num_invalid_calls": pl.Int64,
        "conversation": pl.String,
        "workflow": pl.String,
    }
)
"""Columns that come from a chat and its prompt; what they mean is told in ``parse.PROCESSED_SCHEMA``."""


def record_columns(prompt: Prompt, chat: str) -> tuple[Any, ...]:
    """The values of :data:`RECORD_SCHEMA` for one row."""
    record = parse_record(prompt, chat)
    calls = record.calls
    malformed = [call.error for call in calls if call.error]
    call_errors: list[dict[str, Any]] = []
    invalid_calls = 0
    for index, call in enumerate(calls):
        if call.error is None and (errors := verify_call(call.name, call.arguments, prompt)):
            invalid_calls += 1
            call_errors += [
                {"call": index, "name": call.name, "code": code, "path": path} for code, path in errors
            ]
    return (
        record.num_turns,
        len(calls),
        complexity_tier(calls),
        record.num_parallel_calls,
        record.num_function_responses,
        record.has_function_error_response,
        dumps([_call_json(call) for call in calls]),
        "unusable_call" if malformed else record.errors[0] if record.errors else None,
        dumps(malformed),
        dumps(record.recovered),
        dumps(record.errors),
        dumps(call_errors),
        len(call_errors),
        invalid_calls,
        dumps(record.messages),
        dumps(_workflow(calls, record.messages)),
    )
