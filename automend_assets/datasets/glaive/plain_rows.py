"""The plain rows of a batch, read by vectorised expressions: nine rows in ten, at a third of the cost.

Here: what makes a row plain, and its columns. Not here: any other row; those go through ``conversation``, one by one.
A plain row is one in which there is nothing to decide: user first, then user, call, response and reply in an order
that needs no judgement, every turn closed as it should be, every call in the usual quoting, no other ``<``. On these
the result equals ``conversation``'s, which a property test holds.

A chat is turned into the text of a JSON string once, and its turns are cut out of that: the messages of a row are then
mere concatenation. A line break is two characters in such a text; a turn that starts or ends with one is not plain.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import polars as pl

from automend_assets.chat import call_scanner
from automend_assets.datasets.glaive.conversation import (
    END_MARK,
    RECORD_SCHEMA,
    SPACE,
    Prompt,
    dumps,
    reports_error,
    verify_call,
)

# The steps below gain nothing from the optimiser, which takes longer than they do.
_AS_WRITTEN = pl.QueryOptFlags.none()
_BREAK = r"\n"
_CALL_START = rf"{call_scanner.TAG} {{\"name\": \""
_ARGUMENTS_START = r"\", \"arguments\": '"
_MARKS = ("<", "USER:", "ASSISTANT:", "FUNCTION RESPONSE:")
# Necessary for reports_error; what it has to look at closely is rare.
_MAY_REPORT_ERROR = (
    r"(?i-u:error|invalid|fail|exception|traceback|undefined|unable|unsuccessful|not[ _]found"
    r'|success\\":|\\\\u)'
)


def read_plain_rows(chats: pl.Series, prompts: Sequence[Prompt]) -> pl.DataFrame:
    """The columns of ``conversation.RECORD_SCHEMA`` for the plain ones among ``chats``, and their position, ``row``."""
    chat = pl.col("chat")
    chat_rows = (
        pl.LazyFrame({"chat": chats})
        .with_row_index("row")
        .select(
            "row",
            pl.struct(chat.str.strip_chars_end(SPACE)).struct.json_encode(),
        )
        .filter(
            chat.str.starts_with('{"chat":"USER:'),
            chat.str.ends_with(f'{END_MARK}"}}'),
            *(~chat.str.contains(odd, literal=True) for odd in (r"\t", r"\r", "to=", "recipient=")),
        )
        .with_columns(
            chat.str.strip_prefix('{"chat":"USER:')
            .str.strip_suffix(f'{END_MARK}"}}')
            .str.split(rf"{_BREAK}{_BREAK}ASSISTANT:")
        )
        .select("row", user=_words(chat.list.first()), text=chat.list.slice(1))
        .collect(optimizations=_AS_WRITTEN)
    )
    exchanges = _read_exchanges(chat_rows.lazy().select("row", "text").explode("text"))
    calls = _read_calls(exchanges.lazy().filter("is_call"), prompts)
    failed = _rows_with_failures(exchanges)
    records = (
        exchanges.lazy()
        .join(calls.lazy().select("exchange", "name", "call"), "exchange", "left", maintain_order="left")
        .select(
            "row",
            "reply",
            "is_user",
            "is_response",
            "is_call",
            odd=_is_odd(),
            messages=_messages(),
        )
        .group_by("row", maintain_order=True)
        .agg(
            "messages",
            pl.col("odd").any(),
            pl.col("reply").first(),
            users=1 + pl.col("is_user").sum(),
            responses=pl.col("is_response").sum(),
            calls=pl.col("is_call").sum(),
        )
        .filter(~pl.col("odd"))
        .join(chat_rows.lazy().select("row", "user"), "row", "left", maintain_order="left")
        .with_columns(
            messages=pl.concat_str(
                pl.lit('{"role":"user","content":"'), "user", pl.lit('"},'), pl.col("messages").list.join(",")
            )
        )
        .filter(
            ~_is_odd_text(pl.col("user")),
            *(~pl.col("messages").str.contains(mark, literal=True) for mark in _MARKS),
        )
        .join(_calls_by_row(calls), "row", "left", maintain_order="left")
        .with_columns(
            pl.col("call", "error").fill_null(""),
            pl.col("errors", "invalid").fill_null(0),
            failed=pl.col("row").is_in(failed.implode()),
        )
        .collect(optimizations=_AS_WRITTEN)
    )
    return _columns(records, prompts)


def _read_exchanges(texts: pl.LazyFrame) -> pl.DataFrame:
    """Replies of the assistant, each with the turn of user or function that comes back."""
    follows = pl.col("follows")
    return (
        texts.with_row_index("exchange")
        .with_columns(pl.col("text").str.splitn(END_MARK, 2).struct.rename_fields(["reply", "follows"]))
        .unnest("text")
        .with_columns(
            pl.col("reply").str.strip_chars(" "),
            # Two line breaks or three.
            follows.str.strip_prefix(_BREAK * 2).str.strip_prefix(_BREAK),
            is_last=pl.col("row") != pl.col("row").shift(-1, fill_value=-1),
            is_apart=follows.str.starts_with(_BREAK * 2),
        )
        .with_columns(
            is_call=pl.col("reply").str.starts_with(_CALL_START),
            is_user=follows.str.starts_with("USER:").fill_null(False),
            is_response=follows.str.starts_with("FUNCTION RESPONSE:").fill_null(False),
            words=_words(follows.str.strip_prefix("USER:").str.strip_prefix("FUNCTION RESPONSE:")),
        )
        .drop("follows")
        .collect(optimizations=_AS_WRITTEN)
    )


def _words(text: pl.Expr) -> pl.Expr:
    """The words of a turn after its marker, without the third line break after it."""
    return text.str.strip_suffix(_BREAK).str.strip_chars(" ")


def _is_odd_text(text: pl.Expr) -> pl.Expr:
    # A backslash at the end: the line breaks that followed may have been one that is meant literally.
    return (text == "") | text.str.starts_with(_BREAK) | text.str.ends_with(_BREAK) | text.str.ends_with("\\")


def _is_odd() -> pl.Expr:
    """Whether a reply, or what comes back, has something to decide, or cannot follow the other."""
    reply, is_call, is_last = pl.col("reply"), pl.col("is_call"), pl.col("is_last")
    is_user, is_response = pl.col("is_user"), pl.col("is_response")
    return (
        _is_odd_text(reply)
        | reply.str.starts_with("{")
        | (is_call & (pl.col("call").is_null() | is_user))
        | (is_response & ~is_call)
        | (is_last == pl.col("words").is_not_null())
        | (~is_last & (~pl.col("is_apart") | ~(is_user | is_response) | _is_odd_text(pl.col("words"))))
    )


def _messages() -> pl.Expr:
    is_call, is_user, is_response = pl.col("is_call"), pl.col("is_user"), pl.col("is_response")
    start = '{"role":"assistant","content":"'
    call_start = '","tool_calls":[{"type":"function","function":'
    return pl.concat_str(
        pl.when(is_call).then(pl.lit(start + call_start)).otherwise(pl.lit(start)),
        pl.when(is_call).then("call").otherwise("reply"),
        pl.when(is_call).then(pl.lit("}]}")).otherwise(pl.lit('"}')),
        pl.when(is_user)
        .then(pl.lit(',{"role":"user","content":"'))
        .when(is_response)
        .then(pl.lit(',{"role":"tool","content":"')),
        "words",
        pl.when(is_user).then(pl.lit('"}')).when(is_response).then(pl.format('","name":"{}"}}', "name")),
        ignore_nulls=True,
    )


def _rows_with_failures(exchanges: pl.DataFrame) -> pl.Series:
    words = pl.col("words")
    suspicious = exchanges.filter(
        "is_response", words.str.contains(_MAY_REPORT_ERROR), ~words.str.ends_with("\\")
    )
    failed = [
        row for row, text in suspicious.select("row", "words").iter_rows() if reports_error(_plain(text))
    ]
    return pl.Series(failed, dtype=pl.UInt32)


def _plain(text: str) -> str:
    return str(orjson.loads(f'"{text}"'))


def _read_calls(exchanges: pl.LazyFrame, prompts: Sequence[Prompt]) -> pl.DataFrame:
    """JSON of the calls that are plain: as a call, as a workflow step, their number of arguments, their errors."""
    name, text = pl.col("name"), pl.col("text")
    parts = (
        exchanges.select(
            "exchange",
            "row",
            pl.col("reply")
            .str.strip_prefix(_CALL_START)
            .str.splitn(_ARGUMENTS_START, 2)
            .struct.rename_fields(["name", "text"]),
        )
        .unnest("reply")
        .filter(name != "", ~name.str.contains("\\", literal=True), text.str.ends_with("'}"))
        .with_columns(text.str.strip_suffix("'}"), number=pl.int_range(pl.len()).over("row"))
        .collect(optimizations=_AS_WRITTEN)
    )
    read: list[str | None] = []
    counts: list[int] = []
    errors: list[str | None] = []
    error_counts: list[int] = []
    for row, function, escaped, number in parts.select("row", "name", "text", "number").iter_rows():
        arguments = call_scanner.decode_plain(_plain(escaped))
        if arguments is None:
            read.append(None)
            counts.append(0)
            errors.append(None)
            error_counts.append(0)
            continue
        found = verify_call(function, arguments, prompts[row])
        read.append(dumps(arguments))
        counts.append(len(arguments))
        errors.append(_error_texts(number, function, found) if found else None)
        error_counts.append(len(found))
    return parts.select(
        "exchange",
        "row",
        "name",
        arguments=pl.Series(read, dtype=pl.String),
        count=pl.Series(counts, dtype=pl.Int64),
        error=pl.Series(errors, dtype=pl.String),
        errors=pl.Series(error_counts, dtype=pl.Int64),
    ).with_columns(
        call=pl.format('{{"name":"{}","arguments":{}}}', "name", "arguments"),
        step=pl.format('{{"tool":"{}","params":{}}}', "name", "arguments"),
    )


def _error_texts(number: int, name: str, found: Sequence[tuple[str, str]]) -> str:
    return dumps([{"call": number, "name": name, "code": code, "path": path} for code, path in found])[1:-1]


def _calls_by_row(calls: pl.DataFrame) -> pl.LazyFrame:
    texts = ("call", "step", "error")
    return (
        calls.lazy()
        .group_by("row", maintain_order=True)
        .agg(*texts, pl.col("count", "errors").sum(), invalid=(pl.col("errors") > 0).sum())
        .with_columns(pl.col(*texts).list.join(","))
    )


def _columns(records: pl.DataFrame, prompts: Sequence[Prompt]) -> pl.DataFrame:
    systems = [prompts[row].opening for row in records["row"].to_list()]
    calls = pl.col("calls")
    tier = (
        pl.when(calls == 0)
        .then(pl.lit("none"))
        .when(calls > 1)
        .then(pl.lit("complex"))
        .when(pl.col("count") <= 2)
        .then(pl.lit("simple"))
        .otherwise(pl.lit("moderate"))
    )
    answer = (
        pl.when(calls == 0)
        .then(pl.format('{{"workflow":{{"steps":[]}},"message":"{}"}}', "reply"))
        .otherwise(pl.format('{{"workflow":{{"steps":[{}]}}}}', "step"))
    )
    answer_message = pl.struct(role=pl.lit("assistant"), content=answer).struct.json_encode()
    user = pl.format('{{"role":"user","content":"{}"}}', "user")
    nothing = pl.lit("[]")
    columns = {
        "num_turns": pl.col("users"),
        "num_calls": calls,
        "complexity_tier": tier,
        "num_parallel_calls": (calls > 0).cast(pl.Int64),
        "num_function_responses": pl.col("responses"),
        "has_function_error_response": pl.col("failed"),
        "function_calls": pl.format("[{}]", "call"),
        "quarantine_reason": pl.lit(None),
        "malformed_reasons": nothing,
        "recovered_reasons": nothing,
        "conversation_errors": nothing,
        "call_errors": pl.format("[{}]", "error"),
        "num_call_errors": pl.col("errors"),
        "num_invalid_calls": pl.col("invalid"),
        "conversation": pl.format("[{}{}]", pl.Series("system", systems, pl.String), "messages"),
        "workflow": pl.format("[{},{}]", user, answer_message),
    }
    return records.select(
        "row", *(columns[name].cast(dtype).alias(name) for name, dtype in RECORD_SCHEMA.items())
    )
