"""What the Glaive parser finds of what is known to be in generated rows, in numbers.

    python benchmarks/glaive_ground_truth.py --rows 112960

Generates rows with their truth, parses them, assembles both chat forms, and compares all of it with the truth. Exits
with 1 when something differs that must not. The test suite runs `compare` on fewer rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson
import polars as pl

from automend_assets.datasets.glaive.chatml import chatml_lines, tool_message_lines
from automend_assets.datasets.glaive.parse import parse_batch
from automend_assets.datasets.glaive.sample import Call, SampleRow, Truth, generate

BATCH_ROWS = 5_000
EXAMPLES = 3
RAW_SCHEMA = pl.Schema(
    {
        "row_number": pl.Int64,
        "system": pl.String,
        "chat": pl.String,
        "source_error": pl.String,
        "source_text": pl.String,
    }
)


@dataclass
class Comparison:
    """Counts of what was there and what was found, and of what differs, with the first rows that do."""

    counts: Counter[str] = field(default_factory=Counter)
    differences: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def expect(self, what: str, holds: bool, row_number: int) -> None:
        if not holds:
            self.differences[what].append(row_number)

    def lines(self) -> Iterator[str]:
        for what, count in sorted(self.counts.items()):
            yield f"{what}: {count:,}"
        for what, rows in sorted(self.differences.items()):
            yield f"DIFFERENT {what}: {len(rows):,} rows, e.g. {rows[:EXAMPLES]}"

    def ratio(self, found: str, there: str) -> str:
        share = self.counts[found] / self.counts[there] if self.counts[there] else 1.0
        return f"ratio: {share:.6f} {found} vs {there}"


def compare(rows: int, seed: int = 42) -> Comparison:
    """Parse `rows` generated rows and hold every result against the truth."""
    comparison = Comparison()
    stream = enumerate(generate(rows, seed=seed))
    while batch := list(islice(stream, BATCH_ROWS)):
        _compare_batch(batch, comparison)
    return comparison


def _compare_batch(batch: Sequence[tuple[int, SampleRow]], comparison: Comparison) -> None:
    raw = pl.DataFrame(
        [(number, row.system, row.chat, None, None) for number, row in batch], schema=RAW_SCHEMA, orient="row"
    )
    processed, quarantine = parse_batch(raw)
    usable = processed.filter(pl.col("quarantine_reason").is_null())["row_number"]
    workflows = _by_row(usable, chatml_lines(processed.lazy()))
    conversations = _by_row(usable, tool_message_lines(processed.lazy()))
    records = {record["row_number"]: record for record in processed.iter_rows(named=True)}
    comparison.counts["rows in"] += len(batch)
    comparison.counts["rows processed"] += processed.height
    refused = quarantine.filter(pl.col("stage") == "processed_records")
    withheld = quarantine.filter(pl.col("stage") == "chatml")
    comparison.counts["rows refused before parsing"] += refused.height
    comparison.counts["rows withheld from the chat forms"] += withheld.height
    for reason, count in withheld["reason"].value_counts().iter_rows():
        comparison.counts[f"withheld: {reason}"] += count
    comparison.counts["rows in chatml"] += len(workflows)
    comparison.counts["rows in tool_messages"] += len(conversations)
    withheld_rows = set(withheld["row_number"])
    for number, row in batch:
        comparison.expect(
            "row withheld or in the chat forms", (number in withheld_rows) != (number in workflows), number
        )
        record = records.get(number)
        comparison.expect("row accounted for", record is not None, number)
        if record is not None:
            _compare_row(
                number, row.truth, record, workflows.get(number), conversations.get(number), comparison
            )


def _by_row(row_numbers: pl.Series, lines: pl.LazyFrame) -> dict[int, dict[str, Any]]:
    texts = lines.collect()["line"]
    return {n: orjson.loads(line) for n, line in zip(row_numbers.to_list(), texts.to_list(), strict=True)}


def _compare_row(
    number: int,
    truth: Truth,
    record: dict[str, Any],
    workflow: dict[str, Any] | None,
    conversation: dict[str, Any] | None,
    comparison: Comparison,
) -> None:
    _compare_functions(number, truth, record, comparison)
    flagged = _compare_calls(number, truth, record, comparison)
    _compare_features(number, truth, record, flagged, comparison)
    _compare_verification(number, truth, record, flagged, comparison)
    unusable = any(flagged) or truth.chat_damage is not None
    comparison.expect(
        "row without damage in both chat forms", bool(workflow and conversation) or unusable, number
    )
    comparison.expect("row with a flagged call in neither form", not any(flagged) or not workflow, number)
    comparison.expect("both forms or neither", bool(workflow) == bool(conversation), number)
    if workflow and conversation:
        _compare_workflow(number, truth, workflow, comparison)
        _compare_conversation(number, truth, conversation, comparison)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values, and the order of keys counts."""
    return orjson.dumps(one) == orjson.dumps(other)


def _compare_functions(number: int, truth: Truth, record: dict[str, Any], comparison: Comparison) -> None:
    tools = orjson.loads(record["tools"] or "[]")
    # A function without parameters gets the empty object schema in the trainer form.
    declared = [
        {**f, "parameters": f["parameters"] or {"type": "object", "properties": {}}} for f in truth.functions
    ]
    found = [tool["function"] for tool in tools]
    comparison.counts["functions declared"] += len(declared)
    comparison.counts["functions found"] += sum(_same(f, d) for f, d in zip(found, declared, strict=False))
    comparison.expect("functions", _same(found, declared), number)
    comparison.expect("num_defined_functions", record["num_defined_functions"] == len(declared), number)
    names = [f["name"] for f in declared]
    comparison.expect(
        "defined_function_names", orjson.loads(record["defined_function_names"]) == names, number
    )
    twice = truth.duplicate_name is not None
    comparison.expect("has_duplicate_function_names", record["has_duplicate_function_names"] == twice, number)


def _compare_calls(number: int, truth: Truth, record: dict[str, Any], comparison: Comparison) -> list[bool]:
    """Count by condition; give for each call of truth whether it was flagged."""
    found = orjson.loads(record["function_calls"])
    comparison.expect("num_calls", record["num_calls"] == len(found) == truth.num_calls, number)
    flagged = []
    for index, call in enumerate(truth.calls):
        got = found[index] if index < len(found) else {}
        malformed = "malformed" in got
        flagged.append(malformed)
        exact = not malformed and _same(got, {"name": call.name, "arguments": call.arguments})
        comparison.counts[f"{call.condition} calls"] += 1
        if call.condition == "unusable":
            comparison.counts["unusable calls flagged"] += malformed
            comparison.expect("unusable call flagged", malformed, number)
        else:
            comparison.counts[f"{call.condition} calls found"] += exact
            comparison.counts[f"{call.condition} calls flagged"] += malformed
            # A damaged call may be refused, but never be read as something that it does not say.
            holds = exact or (call.condition == "damaged" and malformed)
            comparison.expect(f"{call.condition} call ({call.form})", holds, number)
    return flagged


def _compare_features(
    number: int, truth: Truth, record: dict[str, Any], flagged: list[bool], comparison: Comparison
) -> None:
    tier = "malformed" if flagged == [True] else truth.tier
    expected = {
        "num_turns": truth.num_turns,
        "complexity_tier": tier,
        "has_malformed": any(flagged),
        "has_parallel": truth.has_parallel,
        "num_parallel_calls": truth.num_parallel_calls,
        "has_error_handling": truth.has_error_handling,
        "has_function_error_response": truth.has_function_error_response,
        "has_conditional_error": truth.has_conditional_error,
    }
    for column, value in expected.items():
        comparison.expect(column, record[column] == value, number)
    keywords = orjson.loads(record["error_keywords_found"])
    comparison.expect("error_keywords_found", keywords == list(truth.error_keywords), number)
    comparison.counts["rows with parallel calls"] += truth.has_parallel
    comparison.counts["rows with error responses"] += truth.has_function_error_response
    comparison.counts["rows with error handling"] += truth.has_error_handling
    comparison.counts[f"tier {tier}"] += 1


def _compare_verification(
    number: int, truth: Truth, record: dict[str, Any], flagged: list[bool], comparison: Comparison
) -> None:
    reported: dict[int, set[str]] = defaultdict(set)
    for error in orjson.loads(record["call_errors"]):
        reported[error["call"]].add(error["code"])
    for index, call in enumerate(truth.calls):
        if flagged[index]:
            continue
        comparison.counts["calls that break their schema"] += call.violation is not None
        comparison.counts["calls that break their schema found"] += reported[index] == {call.violation}
        expected = {call.violation} if call.violation else set()
        comparison.expect("call verification", reported[index] == expected, number)


def _arguments(calls: Sequence[Call]) -> list[dict[str, Any]]:
    return [{"name": call.name, "arguments": call.arguments} for call in calls]


def _compare_workflow(number: int, truth: Truth, line: dict[str, Any], comparison: Comparison) -> None:
    _, user, assistant = line["messages"]
    content = orjson.loads(assistant["content"])
    steps = [{"name": step["tool"], "arguments": step["params"]} for step in content["workflow"]["steps"]]
    comparison.counts["call-bearing rows in chatml"] += bool(truth.calls)
    comparison.expect("calls of the row in chatml", _same(steps, _arguments(truth.calls)), number)
    if truth.chat_damage is None:
        first = {turn.role: turn.text.strip() for turn in reversed(truth.turns)}
        comparison.expect("first user turn, uncut", user["content"] == first["user"], number)
        if not truth.calls:
            comparison.expect("first reply, uncut", content["message"] == first["assistant"], number)


def _compare_conversation(number: int, truth: Truth, line: dict[str, Any], comparison: Comparison) -> None:
    messages = [message for message in line["messages"] if message["role"] != "system"]
    calls = [call["function"] for message in messages for call in message.get("tool_calls", ())]
    comparison.counts["call-bearing rows in tool_messages"] += bool(truth.calls)
    comparison.expect("calls of the row in tool_messages", _same(calls, _arguments(truth.calls)), number)
    if truth.chat_damage is None:
        said = [(m["role"], m["content"], len(m.get("tool_calls", ()))) for m in messages]
        expected = [(turn.role, turn.text.strip(), len(turn.calls)) for turn in truth.turns]
        comparison.expect("every turn, uncut and in order", said == expected, number)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Hold the Glaive parser against generated rows with known truth."
    )
    parser.add_argument("--rows", type=int, default=112_960)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    start = time.perf_counter()
    comparison = compare(arguments.rows, arguments.seed)
    for line in comparison.lines():
        print(line)
    print(f"seconds: {time.perf_counter() - start:.1f}")
    print(comparison.ratio("functions found", "functions declared"))
    print(comparison.ratio("well_formed calls found", "well_formed calls"))
    print(comparison.ratio("damaged calls found", "damaged calls"))
    print(comparison.ratio("unusable calls flagged", "unusable calls"))
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
