"""Generated Glaive Function Calling v2 rows: upstream's exact layout, with the truth about each row.

What belongs here: how a row is put together, its truth, and the two file layouts. What does not: the words
(`sample_texts`), and any reading of rows (`parse`). The truth is noted while a row is built, never read back
from its text, so it can judge a parser.

    python -m automend_assets.datasets.glaive.sample --rows 6000 --out rows.json.gz --truth truth.jsonl

Shares follow upstream's 112,960 rows (its users' notes) and the counts of the published run of 5,000 rows.
Rows are drawn one after the other from one seeded stream: the first 100 of 1,000 rows are the 100 rows.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, Literal

import orjson

from automend_assets.datasets.glaive import sample_texts as texts
from automend_assets.datasets.glaive.sample_texts import Make, Parameter, Subject

Role = Literal["user", "assistant", "tool"]
Tier = Literal["none", "malformed", "simple", "moderate", "complex"]
Condition = Literal["well_formed", "damaged", "unusable"]

UPSTREAM_ROWS = 112_960
NO_FUNCTIONS = "SYSTEM: You are a helpful assistant, with no access to external functions.\n\n"
WITH_FUNCTIONS = (
    "SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n"
)
END = " <|endoftext|>"

# The keywords of the contract, in its order.
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


@dataclass(frozen=True, slots=True)
class Form:
    """How a call is written. `share` is the probability per call; what is left over is plainly `quoted`.

    `well_formed` calls must be found as they are. `damaged` ones still say what was meant: they are found
    exactly, or flagged. `unusable` ones don't: nobody can know the arguments, so they must be flagged.
    """

    condition: Condition
    share: float


FORMS: dict[str, Form] = {
    "quoted": Form("well_formed", 0.0),
    "pretty": Form("well_formed", 0.01),  # quoted, the arguments over several lines
    "object": Form("well_formed", 0.004),
    "pretty_object": Form("well_formed", 0.001),
    "json_string": Form("well_formed", 0.001),  # "arguments": "{\"a\": 1}"
    "quoted_list": Form("well_formed", 0.02),  # '[1, 2]', for a function whose one parameter is a list
    "list": Form("well_formed", 0.01),
    "escaped_apostrophe": Form("well_formed", 0.0015),  # \' inside the quoted arguments
    "parameters": Form("well_formed", 0.001),  # in place of "arguments"
    "no_end": Form("well_formed", 0.002),  # no <|endoftext|> before the response
    "text_before": Form("damaged", 0.002),
    "null": Form("damaged", 0.003),  # for a function that requires nothing
    "raw_newline": Form("damaged", 0.0005),  # a line break inside a JSON string
    "extra_brace": Form("damaged", 0.0008),
    "missing_brace": Form("damaged", 0.0004),  # the last one, of the call itself
    "other_syntax": Form("damaged", 0.0004),  # AI to=name: {...}
    "truncated": Form("unusable", 0.0012),
    "stray_list": Form("unusable", 0.0004),  # for a function of several parameters: which one is it?
    "infinity": Form("unusable", 0.0006),
    "bare_words": Form("unusable", 0.0006),  # [the list above]
}
# Forms that end the turn, or stand in front of it, can't be one of several calls in a turn.
ALONE = frozenset({"no_end", "text_before", "truncated", "other_syntax"})

# Forms whose arguments are no JSON object as written.
NOT_OBJECTS = frozenset({"quoted_list", "list", "stray_list", "null"})

# How often a well-formed call breaks the declared schema, and how.
VIOLATION_SHARE = 0.015
Violation = Literal[
    "unknown_function",
    "missing_required",
    "unexpected_parameter",
    "wrong_type",
    "bad_enum",
]


@dataclass(frozen=True, slots=True)
class Call:
    """A function call as it was meant. `arguments` is None where the text does not tell (`unusable`)."""

    name: str
    arguments: Any
    form: str
    violation: Violation | None

    @property
    def condition(self) -> Condition:
        return FORMS[self.form].condition


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn. `text` has neither role mark nor <|endoftext|>; beside calls, it is the words before them."""

    role: Role
    text: str
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a row.

    functions: the definitions as declared, in order; shared between rows, don't change them.
    duplicate_name: whether one name is declared twice, and whether the two definitions differ.
    num_calls: calls attempted, unusable ones included.
    num_parallel_calls: most calls in one assistant turn.
    chat_damage: damage outside of calls. "assistant_end" splits an assistant turn, "user_end" a user turn,
        "missing_end" leaves out the <|endoftext|> of a reply.
    error_keywords: those of ERROR_KEYWORDS that stand in the chat as words, in that order.
    """

    functions: tuple[dict[str, Any], ...]
    duplicate_name: Literal["same", "different"] | None
    turns: tuple[Turn, ...]
    num_turns: int
    num_calls: int
    num_parallel_calls: int
    tier: Tier
    has_malformed: bool
    chat_damage: Literal["assistant_end", "user_end", "missing_end"] | None
    error_keywords: tuple[str, ...]
    has_function_error_response: bool
    has_conditional_error: bool

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(call for turn in self.turns for call in turn.calls)

    @property
    def has_parallel(self) -> bool:
        return self.num_parallel_calls > 1

    @property
    def has_error_handling(self) -> bool:
        return bool(self.error_keywords) or self.has_function_error_response or self.has_conditional_error


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row of the dataset, `system` and `chat` as upstream writes them, and what is true of it."""

    system: str
    chat: str
    truth: Truth


def generate(rows: int, *, seed: int = 42) -> Iterator[SampleRow]:
    """Yield `rows` rows; memory does not grow with their number."""
    rng = Random(seed)  # noqa: S311
    functions = _FunctionPool(seed)
    for _ in range(rows):
        if rng.random() < 34_598 / UPSTREAM_ROWS:
            yield _row_without_functions(rng)
        else:
            yield _row_with_functions(rng, functions)


# --- functions ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Argument:
    name: str
    make: Make
    schema: dict[str, Any]
    required: bool


@dataclass(frozen=True, slots=True)
class _Function:
    definition: dict[str, Any]
    text: str
    subject: Subject
    verb: str
    arguments: tuple[_Argument, ...]

    @property
    def name(self) -> str:
        return str(self.definition["name"])

    @property
    def noun(self) -> str:
        return self.subject.noun.replace("_", " ")


class _FunctionPool:
    """Function definitions by number, made on first use. Low numbers are drawn more often.

    The size bounds memory, and keeps prompts about as diverse as the real ones (509 of 592 are distinct).
    """

    size = 4_000

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._made: dict[int, _Function] = {}

    def draw(self, rng: Random) -> _Function:
        number = int(self.size * rng.random() ** 1.7)
        function = self._made.get(number)
        if function is None:
            own = Random(f"{self._seed}/function/{number}")  # noqa: S311
            subject = own.choice(texts.SUBJECTS)
            verb, verb_text = own.choice(texts.VERBS)
            name = f"{verb}_{subject.noun}{own.choice(texts.NAME_ENDINGS)}"
            function = self._made[number] = _make_function(own, name, subject, verb_text)
        return function

    def draw_several(self, rng: Random, count: int) -> list[_Function]:
        """Functions with different names."""
        drawn: dict[str, _Function] = {}
        while len(drawn) < count:
            function = self.draw(rng)
            drawn.setdefault(function.name, function)
        return list(drawn.values())


def _make_function(rng: Random, name: str, subject: Subject, verb: str) -> _Function:
    count = min(rng.choices((0, 1, 2, 3, 4, 5), (5, 22, 32, 25, 12, 4))[0], len(subject.parameters))
    chosen = sorted(rng.sample(range(len(subject.parameters)), count))
    noun = subject.noun.replace("_", " ")
    says_required = rng.random() > 0.045
    arguments = []
    for place, index in enumerate(chosen):
        kind = subject.parameters[index]
        parameter: Parameter = texts.PARAMETERS[kind]
        naming = rng.random()
        argument = f"{subject.noun}_{kind}" if naming < 0.12 else f"{kind}_value" if naming < 0.2 else kind
        description = rng.choice(texts.PARAMETER_DESCRIPTIONS).format(label=parameter.label, noun=noun)
        schema = {**parameter.schema, "description": description}
        required = says_required and (place == 0 or rng.random() < 0.6)
        arguments.append(_Argument(argument, parameter.make, schema, required))
    parameters: dict[str, Any] = {}
    if arguments or rng.random() < 0.5:
        parameters = {"type": "object", "properties": {a.name: a.schema for a in arguments}}
        if says_required:
            parameters["required"] = [a.name for a in arguments if a.required]
    definition = {
        "name": name,
        "description": rng.choice(texts.FUNCTION_DESCRIPTIONS).format(
            verb=verb, noun=noun, plural=subject.plural.replace("_", " ")
        ),
        "parameters": parameters,
    }
    text = json.dumps(definition, indent=4, ensure_ascii=False)
    return _Function(definition, text, subject, verb.lower(), tuple(arguments))


def _declare_again(rng: Random, function: _Function) -> _Function:
    """Another definition under the same name."""
    while True:
        other = _make_function(rng, function.name, function.subject, function.verb.capitalize())
        if other.definition != function.definition:
            return other


def _declare(rng: Random, pool: _FunctionPool) -> tuple[list[_Function], Literal["same", "different"] | None]:
    several, twice, same = 10_619 / 78_362, 351 / 10_619, 13 / 351
    if rng.random() >= several:
        return [pool.draw(rng)], None
    count = rng.choices((2, 3, 4, 6), (92, 6, 1.5, 0.5))[0]
    if rng.random() >= twice:
        return pool.draw_several(rng, count), None
    functions = pool.draw_several(rng, count - 1)
    first = functions[0]
    if rng.random() < same:
        return [*functions, first], "same"
    return [*functions, _declare_again(rng, first)], "different"


# --- calls --------------------------------------------------------------------

_encode = json.JSONEncoder(ensure_ascii=False).encode


def _draw_form(rng: Random) -> str:
    point = rng.random()
    for name, form in FORMS.items():
        point -= form.share
        if point < 0:
            return name
    return "quoted"


def _draw_arguments(rng: Random, function: _Function) -> dict[str, Any]:
    return {a.name: a.make(rng) for a in function.arguments if a.required or rng.random() < 0.56}


def _violate(rng: Random, function: _Function, arguments: dict[str, Any]) -> tuple[str, Violation | None]:
    """Change `arguments` to break the schema in exactly one way; give the name to call, and the way."""
    name = function.name
    present = [a for a in function.arguments if a.name in arguments]
    required = [a for a in present if a.required]
    enums = [a for a in present if "enum" in a.schema]
    typed = [a for a in present if a not in enums]
    ways: list[Violation] = ["unknown_function"]
    if function.arguments:
        ways.append("unexpected_parameter")
    if required:
        ways.append("missing_required")
    if typed:
        ways.append("wrong_type")
    if enums:
        ways.append("bad_enum")
    way = rng.choice(ways)
    if way == "unknown_function":
        name = f"{name}_please"
    elif way == "unexpected_parameter":
        arguments["colour_of_the_day"] = "teal"
    elif way == "missing_required":
        del arguments[rng.choice(required).name]
    elif way == "bad_enum":
        arguments[rng.choice(enums).name] = "of another kind"
    else:
        _give_wrong_type(rng, arguments, rng.choice(typed))
    return name, way


def _give_wrong_type(rng: Random, arguments: dict[str, Any], argument: _Argument) -> None:
    value = arguments[argument.name]
    if isinstance(value, list) and rng.random() < 0.5:
        value.append(["wrongly nested"])
    elif isinstance(value, dict) and rng.random() < 0.5:
        # Every object among the parameters requires its first key.
        value[next(iter(value))] = [True]
    else:
        arguments[argument.name] = 7 if isinstance(value, str) else f"about {value}"


def _make_call(rng: Random, function: _Function, *, several: bool, unique: bool) -> tuple[Call, str]:
    """Draw a call of `function`, and the text from <functioncall> on, without the end mark.

    several: the call shares its turn with others. unique: no name is declared twice in the prompt; else the call is
    an object that keeps to its schema, because what breaks one of two definitions may keep to the other.
    """
    form = _draw_form(rng)
    if (several and form in ALONE) or (not unique and form in NOT_OBJECTS):
        form = "quoted"
    arguments = _draw_arguments(rng, function)
    name, violation = function.name, None
    if unique and form == "quoted" and rng.random() < VIOLATION_SHARE:
        name, violation = _violate(rng, function, arguments)
    if form in {"quoted_list", "list"} and [a.schema["type"] for a in function.arguments] == ["array"]:
        values = function.arguments[0].make(rng)
        written = _encode(values) if form == "list" else f"'{_encode(values)}'"
        call = Call(name, {function.arguments[0].name: values}, form, None)
        return call, f'<functioncall> {{"name": "{name}", "arguments": {written}}}'
    if form == "stray_list" and len(function.arguments) > 1:
        return Call(name, None, form, None), f'<functioncall> {{"name": "{name}", "arguments": \'[5, "x"]\'}}'
    if form == "null" and not any(a.required for a in function.arguments):
        return Call(name, {}, form, None), f'<functioncall> {{"name": "{name}", "arguments": null}}'
    if form in {"escaped_apostrophe", "raw_newline"}:
        _put_text(rng, function, arguments, form)
    elif form == "infinity":
        _put_infinity(rng, function, arguments)
    form, text = _write_call(rng, name, arguments, form)
    if FORMS[form].condition == "unusable":
        return Call(name, None, form, None), text
    return Call(name, arguments, form, violation), text


def _put_text(rng: Random, function: _Function, arguments: dict[str, Any], form: str) -> None:
    """Give a free-text argument, where there is one, the character that the form is about."""
    free = [a.name for a in function.arguments if a.schema["type"] == "string" and len(a.schema) == 2]
    if free:
        arguments[free[0]] = (
            rng.choice(texts.APOSTROPHE_TEXTS) if form == "escaped_apostrophe" else "two\nlines"
        )


def _put_infinity(rng: Random, function: _Function, arguments: dict[str, Any]) -> None:
    numbers = [a.name for a in function.arguments if a.schema["type"] in {"number", "integer"}]
    if numbers:
        arguments[rng.choice(numbers)] = float(rng.choice(("inf", "-inf", "nan")))


def _write_call(rng: Random, name: str, arguments: dict[str, Any], form: str) -> tuple[str, str]:
    """The form that was possible with these arguments, and the text."""
    body = _encode(arguments)
    head = f'<functioncall> {{"name": "{name}", "arguments": '
    match form:
        case "pretty":
            return form, f"{head}'{json.dumps(arguments, indent=2, ensure_ascii=False)}'}}"
        case "object":
            return form, f"{head}{body}}}"
        case "pretty_object":
            return form, f"{head}{json.dumps(arguments, indent=2, ensure_ascii=False)}}}"
        case "json_string":
            return form, f"{head}{_encode(body)}}}"
        case "escaped_apostrophe" if "'" in body:
            escaped = body.replace("'", "\\'")
            return form, f"{head}'{escaped}'}}"
        case "raw_newline" if "two\\nlines" in body:
            broken = body.replace("two\\nlines", "two\nlines")
            return form, f"{head}'{broken}'}}"
        case "parameters":
            return form, f'<functioncall> {{"name": "{name}", "parameters": {body}}}'
        case "extra_brace":
            return form, f"{head}'{body}'}}}}"
        case "missing_brace":
            return form, f"{head}'{body}'"
        case "truncated" if len(body) > 8:
            return form, f"{head}'{body[: rng.randint(2, len(body) * 3 // 4)]}"
        case "infinity" if "Infinity" in body or "NaN" in body:
            return form, f"{head}'{body}'}}"
        case "bare_words" if arguments:
            key = rng.choice(list(arguments))
            return (
                form,
                f"{head}'{{\"{key}\": {rng.choice(('[the list above]', 'as the user said', '<text>'))}}}'}}",
            )
        case "other_syntax":
            return form, f"AI to={name}: {body}"
        case "no_end" | "text_before":
            return form, f"{head}'{body}'}}"
        case _:
            return "quoted", f"{head}'{body}'}}"


# --- conversations ------------------------------------------------------------


class _Chat:
    """The chat so far, as text and as truth."""

    def __init__(self, joiner: str) -> None:
        self.joiner = joiner
        self.parts: list[str] = []
        self.turns: list[Turn] = []
        self.keywords: set[str] = set()
        self.error_response = False
        self.conditional = False
        self.damage: Literal["assistant_end", "user_end", "missing_end"] | None = None
        self.cut_off = False

    def user(self, text: str) -> None:
        self.parts.append(f"USER: {text}")
        self.turns.append(Turn("user", text))

    def reply(self, text: str, end: str = END) -> None:
        self.parts.append(f"ASSISTANT: {text}{end}")
        self.turns.append(Turn("assistant", text))

    def note(self, text: texts.ErrorText) -> str:
        self.keywords.update(text.keywords)
        self.conditional |= text.conditional
        return text.text

    def note_call(self, call: Call) -> None:
        if call.form == "null":
            self.keywords.add("null")

    def row(
        self, system: str, functions: Sequence[_Function], duplicate: Literal["same", "different"] | None
    ) -> SampleRow:
        calls = [call for turn in self.turns for call in turn.calls]
        truth = Truth(
            functions=tuple(function.definition for function in functions),
            duplicate_name=duplicate,
            turns=tuple(self.turns),
            num_turns=sum(turn.role == "user" for turn in self.turns),
            num_calls=len(calls),
            num_parallel_calls=max((len(turn.calls) for turn in self.turns), default=0),
            tier=_tier(calls),
            has_malformed=any(call.condition == "unusable" for call in calls),
            chat_damage=self.damage,
            error_keywords=tuple(word for word in ERROR_KEYWORDS if word in self.keywords),
            has_function_error_response=self.error_response,
            has_conditional_error=self.conditional,
        )
        return SampleRow(system, self.joiner.join(self.parts), truth)


def _tier(calls: Sequence[Call]) -> Tier:
    if not calls:
        return "none"
    if len(calls) > 1:
        return "complex"
    call = calls[0]
    if call.condition == "unusable":
        return "malformed"
    # What is no object as written is moderate however few arguments it stands for.
    return "simple" if call.form not in NOT_OBJECTS and len(call.arguments) <= 2 else "moderate"


def _row_without_functions(rng: Random) -> SampleRow:
    chat = _Chat("\n\n")
    turns = rng.choices((1, 2, 3, 4, 5, 6, 7), (0.4, 41, 8, 9.2, 33.8, 7.2, 0.4))[0]
    speaks_of_errors = rng.randrange(turns) if rng.random() < 0.10 else None
    topic, other = rng.sample(texts.TOPICS, 2)
    for turn in range(turns):
        chat.user(rng.choice(texts.QUESTIONS).format(topic=topic, other=other))
        paragraphs = _essay(rng, topic, other)
        if turn == speaks_of_errors:
            paragraphs.insert(rng.randint(0, len(paragraphs)), chat.note(rng.choice(texts.ERROR_SENTENCES)))
        chat.reply("\n\n".join(paragraphs))
        if rng.random() < 0.3:
            topic, other = other, rng.choice([word for word in texts.TOPICS if word not in {topic, other}])
    return chat.row(NO_FUNCTIONS, (), None)


def _essay(rng: Random, topic: str, other: str) -> list[str]:
    sentences = [s.format(topic=topic, other=other) for s in rng.sample(texts.SENTENCES, rng.randint(5, 15))]
    headings = rng.sample(texts.HEADINGS, 4) if rng.random() < 0.4 else ()
    paragraphs: list[str] = []
    while sentences:
        size = rng.randint(1, 4)
        paragraph, sentences = " ".join(sentences[:size]), sentences[size:]
        number = len(paragraphs)
        paragraphs.append(
            f"{number + 1}. {headings[number]}\n{paragraph}" if number < len(headings) else paragraph
        )
    if rng.random() < 0.12:
        paragraphs.insert(rng.randint(0, len(paragraphs)), rng.choice(texts.CODE_BLOCKS).format(topic=topic))
    if rng.random() < 0.5:
        paragraphs.append(rng.choice(texts.LAST_WORDS).format(topic=topic))
    return paragraphs


# Of the rows with functions: how many calls, and how many user turns given the calls.
_CALLS = ((0, 1, 2, 3, 4), (0.198, 0.5406, 0.2497, 0.010, 0.0018))
_TURNS_BY_CALLS = {
    0: ((1, 2, 3, 4), (65, 27, 7, 1)),
    1: ((1, 2, 3, 4), (43, 42, 14, 1)),
    2: ((1, 2, 3, 4), (1, 54, 43, 2)),
    3: ((2, 3, 4), (30, 60, 10)),
    4: ((2, 3, 4), (30, 50, 20)),
}


def _row_with_functions(rng: Random, pool: _FunctionPool) -> SampleRow:
    functions, duplicate = _declare(rng, pool)
    system = WITH_FUNCTIONS + (
        f"{functions[0].text}\n" if len(functions) == 1 else "".join(f"{f.text}\n\n" for f in functions)
    )
    chat = _Chat("\n\n\n")
    calls = rng.choices(*_CALLS)[0]
    turns = rng.choices(*_TURNS_BY_CALLS[calls])[0]
    parallel = calls > 1 and rng.random() < 0.04
    for turn, count in enumerate(_spread(rng, calls, turns, together=parallel)):
        if chat.cut_off:
            break
        function = rng.choice(functions)
        if count:
            _turn_with_calls(rng, chat, functions, count, parallel=parallel and count > 1, first=turn == 0)
        elif chat.turns and chat.turns[-1].role == "assistant" and any(t.calls for t in chat.turns):
            chat.user(rng.choice(texts.THANKS))
            chat.reply(rng.choice(texts.FAREWELLS).format(noun=function.noun))
        else:
            _turn_without_call(rng, chat, function, calls)
    if not chat.cut_off:
        if rng.random() < 0.0008:
            _damage(rng, chat)
        chat.parts.append("")
    return chat.row(system, functions, duplicate)


def _spread(rng: Random, calls: int, turns: int, *, together: bool) -> list[int]:
    """How many calls each user turn gets."""
    counts = [0] * turns
    if together:
        counts[rng.randrange(turns)] = calls
        return counts
    for turn in rng.sample(range(turns), min(calls, turns)):
        counts[turn] = 1
    for _ in range(calls - turns):
        counts[rng.randrange(turns)] += 1
    return counts


def _turn_without_call(rng: Random, chat: _Chat, function: _Function, calls: int) -> None:
    if calls == 0 and rng.random() < 0.7:
        request, deed = rng.choice(texts.OUT_OF_SCOPE)
        chat.user(f"{rng.choice(texts.GREETINGS)}{request.format(city=rng.choice(texts.CITIES))}")
        chat.reply(rng.choice(texts.REFUSALS).format(deed=deed, verb=function.verb, noun=function.noun))
        return
    wanted = " and ".join(a.name.replace("_", " ") for a in function.arguments) or "your go-ahead"
    chat.user(rng.choice(texts.OPENERS).format(noun=function.noun))
    text = rng.choice(texts.CLARIFICATIONS).format(noun=function.noun, wanted=wanted)
    if rng.random() < 0.03:
        text += f"\n\n{chat.note(rng.choice(texts.ERROR_SENTENCES))}"
    chat.reply(text)


def _turn_with_calls(
    rng: Random, chat: _Chat, functions: Sequence[_Function], count: int, *, parallel: bool, first: bool
) -> None:
    chosen = [rng.choice(functions) for _ in range(count)]
    unique = len({function.name for function in functions}) == len(functions)
    made = [_make_call(rng, function, several=parallel, unique=unique) for function in chosen]
    values = _in_words(made[0][0].arguments)
    if first:
        request = rng.choice(texts.REQUESTS).format(verb=chosen[0].verb, noun=chosen[0].noun, value=values)
        chat.user(rng.choice(texts.GREETINGS) + request)
    else:
        chat.user(rng.choice(texts.FOLLOW_UPS).format(value=values))
    if parallel:
        joined = rng.choice((" ", "\n", "\n\n")).join(text for _, text in made)
        chat.parts.append(f"ASSISTANT: {joined}{END}")
        chat.turns.append(Turn("assistant", "", tuple(call for call, _ in made)))
        for call, _ in made:
            chat.note_call(call)
        outcomes = [
            _respond(rng, chat, function, call) for function, (call, _) in zip(chosen, made, strict=True)
        ]
    else:
        outcomes = []
        for function, (call, text) in zip(chosen, made, strict=True):
            _say_call(rng, chat, function, call, text)
            if chat.cut_off:
                return
            outcomes.append(_respond(rng, chat, function, call))
    if all(outcomes):
        text = rng.choice(texts.ANSWERS).format(noun=chosen[-1].noun, value=outcomes[-1])
        if rng.random() < 0.012:
            text += f"\n\n{chat.note(rng.choice(texts.ERROR_SENTENCES))}"
        chat.reply(text)
    else:
        chat.reply(chat.note(rng.choice(texts.ERROR_REPLIES)).format(noun=chosen[-1].noun))


def _say_call(rng: Random, chat: _Chat, function: _Function, call: Call, text: str) -> None:
    """Add the assistant turn of a single call."""
    before, end = "", END
    match call.form:
        case "text_before" | "other_syntax":
            before = rng.choice(texts.BEFORE_CALL).format(noun=function.noun)
            text = f"{before}\n{text}"
        case "no_end":
            end = rng.choice(("", " "))
        case "truncated" if rng.random() < 0.5:
            end, chat.cut_off = "", True
    chat.parts.append(f"ASSISTANT: {text}{end}")
    chat.turns.append(Turn("assistant", before, (call,)))
    chat.note_call(call)


def _respond(rng: Random, chat: _Chat, function: _Function, call: Call) -> str:
    """Add the function's response; give what it says in words, empty if it reports a failure."""
    point = rng.random()
    response: dict[str, Any] | str
    if point < 0.03:
        response, keywords = rng.choice(texts.ERROR_RESPONSES)
        words, chat.error_response = "", True
        chat.keywords.update(keywords)
    elif point < 0.045:
        response, keywords = rng.choice(texts.QUIET_RESPONSES)
        words = "all that was asked for"
        chat.keywords.update(keywords)
    else:
        response, words = _result(rng, function, call)
    if isinstance(response, str):
        text = response
    elif rng.random() < 0.03:
        text = json.dumps(response, indent=2, ensure_ascii=False)
    else:
        text = _encode(response)
    chat.parts.append(f"FUNCTION RESPONSE: {text}")
    chat.turns.append(Turn("tool", text))
    return words


def _result(rng: Random, function: _Function, call: Call) -> tuple[dict[str, Any], str]:
    kind = rng.randrange(4)
    noun = function.subject.noun
    if kind == 0:
        value = rng.randint(1, 99_999) / 100
        return {noun: value, "unit": rng.choice(("EUR", "km", "%", "pieces"))}, f"{value}"
    if kind == 1:
        titles = rng.sample(texts.TITLES, rng.randint(0, 3))
        found = [{"title": title, "score": rng.randint(50, 99) / 100} for title in titles]
        return {function.subject.plural: found}, ", ".join(titles) or "an empty list"
    if kind == 2:
        reference = f"{noun[:3]}-{rng.randint(1000, 9999)}"
        return {
            "status": "success",
            "id": reference,
            "message": f"The {function.noun} is ready",
        }, f"the number {reference}"
    echo = call.arguments if isinstance(call.arguments, dict) else {}
    return {**echo, "status": "success"}, f'the status "success" from {rng.choice(texts.CITIES)}'


def _in_words(arguments: Any) -> str:
    """The plain values among the arguments as a user would type them."""
    if not isinstance(arguments, dict):
        return "what I sent you before"
    plain = [
        str(v) for v in arguments.values() if isinstance(v, str | int | float) and not isinstance(v, bool)
    ]
    return ", ".join(plain[:3]) or "the usual details"


def _damage(rng: Random, chat: _Chat) -> None:
    """Add a last exchange with one of the damages that upstream has outside of calls."""
    chat.damage = rng.choice(("assistant_end", "user_end", "missing_end"))
    topic = rng.choice(texts.TOPICS)
    match chat.damage:
        case "assistant_end":
            chat.user(f"And what's new in {topic}?")
            chat.reply("Here is what I'd read first about")
            chat.reply(f"\n1. [{topic} and its friends](https://www.example.com/{topic.replace(' ', '-')})")
        case "user_end":
            # Truth is what the marks say; that the user meant one sentence can't be known from them.
            chat.user("Please put this book on my list, it's called \"")
            chat.parts[-1] += f'\nASSISTANT: A New Look at {topic}", two copies of it.{END}'
            chat.turns.append(Turn("assistant", f'A New Look at {topic}", two copies of it.'))
            chat.reply("They're on your list.")
        case "missing_end":
            chat.user(f"And is {topic} worth a visit?")
            chat.reply("It's worth the detour, I'd say.", end="")


# --- files --------------------------------------------------------------------


def write_json_array(path: Path, rows: int, seed: int = 42) -> None:
    """Write upstream's layout: one JSON array, indented by one. A `.gz` suffix compresses."""
    _write_array(path, generate(rows, seed=seed))


def write_json_lines(path: Path, rows: int, seed: int = 42) -> None:
    """Write one JSON object per line. A `.gz` suffix compresses."""
    _write_lines(path, generate(rows, seed=seed))


def _write_array(path: Path, rows: Iterable[SampleRow]) -> None:
    with _open_for_writing(path) as file:
        separator = b"[\n"
        for row in rows:
            system, chat = orjson.dumps(row.system), orjson.dumps(row.chat)
            file.write(b'%s {\n  "system": %s,\n  "chat": %s\n }' % (separator, system, chat))
            separator = b",\n"
        file.write(b"[]" if separator == b"[\n" else b"\n]")


def _write_lines(path: Path, rows: Iterable[SampleRow]) -> None:
    with _open_for_writing(path) as file:
        for row in rows:
            file.write(
                orjson.dumps({"system": row.system, "chat": row.chat}, option=orjson.OPT_APPEND_NEWLINE)
            )


@contextmanager
def _open_for_writing(path: Path) -> Iterator[BinaryIO]:
    # No name and no time in the gzip header: the same rows are the same bytes.
    with path.open("wb") as file:
        if path.suffix != ".gz":
            yield file
            return
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as compressed:
            yield compressed  # type: ignore[misc]


def _with_truth(rows: Iterable[SampleRow], path: Path) -> Iterator[SampleRow]:
    """Pass the rows on, and write the truth of each as a JSON line with its row number."""
    with _open_for_writing(path) as file:
        for number, row in enumerate(rows):
            file.write(
                orjson.dumps({"row_number": number, "truth": row.truth}, option=orjson.OPT_APPEND_NEWLINE)
            )
            yield row


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Generate rows in the layout of Glaive Function Calling v2.")
    parser.add_argument("--rows", type=int, required=True, help="how many rows")
    parser.add_argument("--seed", type=int, default=42, help="seed of everything that is drawn (default 42)")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="*.jsonl[.gz] for JSON lines, any other name for upstream's JSON array",
    )
    parser.add_argument("--truth", type=Path, help="JSON lines with the truth about each row")
    arguments = parser.parse_args(argv)
    rows: Iterable[SampleRow] = generate(arguments.rows, seed=arguments.seed)
    if arguments.truth:
        rows = _with_truth(rows, arguments.truth)
    as_lines = arguments.out.name.removesuffix(".gz").endswith(".jsonl")
    (_write_lines if as_lines else _write_array)(arguments.out, rows)


if __name__ == "__main__":
    main()
