"""From raw Glaive rows to processed records: the columns, a batch, and whole files.

Here: the columns of ``processed_records`` and which rows are refused. Not here: reading a row (``plain_rows`` and
``conversation``), assembling the chat forms (``chatml``), reading a source (``source``), Dagster (``assets``).

A row is parsed once; everything later is assembled from the columns of :data:`PROCESSED_SCHEMA`.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from automend_assets.datasets.glaive.conversation import (
    RECORD_SCHEMA,
    Prompt,
    dumps,
    parse_prompt,
    record_columns,
)
from automend_assets.datasets.glaive.plain_rows import read_plain_rows
from automend_assets.storage.quarantine import QUARANTINE_SCHEMA, quarantine_rows

if TYPE_CHECKING:
    import pyarrow as pa
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
MIN_CHAT_CHARS = 10
"""A shorter chat cannot hold a request and its answer; the contract's ``chat_long_enough`` guards the same bound."""
MAX_ROW_BYTES = 200_000
"""Longer rows (80 times the mean) go to quarantine: nobody trains on a conversation of that size."""

_CONDITIONAL_ERROR = r"(?i)\b(?:if|when)\b.{0,30}(?:error|fail|invalid)"


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
        .when(pl.col("chat").str.len_chars() < MIN_CHAT_CHARS)
        .then(pl.lit("too_short"))
    )
    raw = raw.with_columns(reason=reason)
    refused = quarantine_rows(
        raw.lazy(),
        stage="processed_records",
        reason=pl.col("reason"),
        text=pl.coalesce("source_text", "chat", "system"),
    )
    kept = raw.filter(pl.col("reason").is_null()).select("row_number", "system", "chat")
    processed = pl.concat(
        [kept, parse_rows(kept["system"], kept["chat"]), _error_words(kept["chat"])],
        how="horizontal",
    ).with_columns(
        has_error_handling=pl.col("has_function_error_response")
        | pl.col("has_conditional_error")
        | (pl.col("error_keywords_found") != "[]")
    )
    withheld = quarantine_rows(
        processed.lazy(),
        stage="chatml",
        reason=pl.col("quarantine_reason"),
        detail=pl.format("calls {}, turns {}", "malformed_reasons", "conversation_errors"),
        text=pl.col("chat"),
    )
    return processed.select(PROCESSED_SCHEMA.names()), pl.concat([refused, withheld]).collect()


def parse_rows(systems: pl.Series, chats: pl.Series) -> pl.DataFrame:
    """The columns that come from prompts and chats, in the order of the rows."""
    numbers: dict[str | None, int] = {}
    which = [numbers.setdefault(system, len(numbers)) for system in systems.to_list()]
    distinct = [parse_prompt(system) for system in numbers]
    prompts = [distinct[number] for number in which]
    plain = read_plain_rows(chats, prompts)
    others = _parse_one_by_one(chats, prompts, plain["row"])
    records = pl.concat([plain, others]).sort("row").drop("row")
    return records.with_columns(
        has_parallel=pl.col("num_parallel_calls") > 1, has_malformed=pl.col("malformed_reasons") != "[]"
    ).hstack(_prompt_columns(distinct)[which])


def _parse_one_by_one(chats: pl.Series, prompts: list[Prompt], done: pl.Series) -> pl.DataFrame:
    rows = pl.DataFrame({"row": pl.int_range(len(chats), dtype=pl.UInt32, eager=True), "chat": chats})
    left = rows.join(done.to_frame(), "row", "anti", maintain_order="left")
    values = [(row, *record_columns(prompts[row], chat)) for row, chat in left.iter_rows()]
    return pl.DataFrame(values, schema={"row": pl.UInt32, **RECORD_SCHEMA}, orient="row")


def _prompt_columns(prompts: list[Prompt]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "num_defined_functions": [len(prompt.names) for prompt in prompts],
            "defined_function_names": [dumps(prompt.names) for prompt in prompts],
            "function_signatures": [prompt.signatures for prompt in prompts],
            "tools": [prompt.tools for prompt in prompts],
            "has_duplicate_function_names": [prompt.repeats for prompt in prompts],
            "num_invalid_functions": [prompt.invalid for prompt in prompts],
        },
        schema_overrides=PROCESSED_SCHEMA,
    )


def _error_words(chat: pl.Series) -> pl.DataFrame:
    """``error_keywords_found`` and ``has_conditional_error`` of chats."""
    # One pattern after the other: the engine finds a single word several times faster than any of nine.
    found = (
        pl.when(pl.col("chat").str.contains(rf"(?i)\b{word}\b")).then(pl.lit(f'"{word}"'))
        for word in ERROR_KEYWORDS
    )
    return chat.to_frame("chat").select(
        error_keywords_found=pl.format("[{}]", pl.concat_str(*found, separator=",", ignore_nulls=True)),
        has_conditional_error=pl.col("chat").str.contains(_CONDITIONAL_ERROR),
    )


BATCH_ROWS = 4_096
"""Rows that are parsed at a time: some 10 MB in, 25 MB out. Each batch is a Parquet row group."""


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

    ``workers`` is the number of threads that parse, by default one per core up to 4: most of the work is done outside
    of the interpreter lock. ``on_progress`` is told the rows done so far. The files are the same, byte for byte,
    whatever the number of workers.
    """
    import pyarrow.parquet as pq

    rows_in = rows_out = 0
    reasons: dict[str, Counter[str]] = {"processed_records": Counter(), "chatml": Counter()}
    with ExitStack() as stack:
        good = stack.enter_context(_writer(pq, processed, PROCESSED_SCHEMA))
        bad = stack.enter_context(_writer(pq, quarantine, QUARANTINE_SCHEMA))
        for kept, refused in _parsed(raw, batch_rows, workers or min(os.cpu_count() or 1, 4)):
            rows_out += len(kept)
            for stage, reason in refused.select("stage", "reason").iter_rows():
                reasons[stage][reason] += 1
            rows_in = rows_out + reasons["processed_records"].total()
            if len(kept):
                good.write_table(_arrow(kept))
            if len(refused):
                bad.write_table(_arrow(refused))
            if on_progress is not None:
                on_progress(rows_in)
    quarantined, withheld = (dict(sorted(counts.items())) for counts in reasons.values())
    return ProcessCounts(rows_in, rows_out, quarantined, withheld)


def _writer(pq: Any, path: Path, schema: pl.Schema) -> pq.ParquetWriter:
    # Without pyarrow's own schema, whose string views older readers do not know; Parquet's says all there is.
    return pq.ParquetWriter(
        path,
        _arrow(pl.DataFrame(schema=schema)).schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in schema if name not in _LONG_COLUMNS],
        write_statistics=[name for name, dtype in schema.items() if dtype != pl.String],
        store_schema=False,
    )


_LONG_COLUMNS = ("chat", "conversation", "workflow", "text")
"""Columns with a different text in every row, for which Parquet would build dictionaries in vain."""


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.newest())


def _parsed(raw: pl.LazyFrame, batch_rows: int, workers: int) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Parsed batches in order; as many are under way as there are workers, and one that waits."""
    under_way: deque[Future[tuple[pl.DataFrame, pl.DataFrame]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="glaive-parse") as pool:
        for batch in raw.collect_batches(chunk_size=batch_rows, maintain_order=True):
            under_way.append(pool.submit(parse_batch, batch))
            if len(under_way) > workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
