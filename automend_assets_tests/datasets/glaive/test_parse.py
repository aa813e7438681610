"""Rows to records: upstream's own dirt, generated rows with their truth, hostile input, and whole files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automend_assets.datasets.glaive import sample
from automend_assets.datasets.glaive.conversation import (
    RECORD_SCHEMA,
    parse_prompt,
    parse_record,
    record_columns,
    reports_error,
    split_turns,
)
from automend_assets.datasets.glaive.parse import MAX_ROW_BYTES, PROCESSED_SCHEMA, parse_batch, process
from automend_assets.datasets.glaive.plain_rows import read_plain_rows

REAL = Path(__file__).parents[4] / "shared" / "realdata"
MALFORMATIONS = REAL / "glaive" / "upstream_malformations.jsonl"
ROWS = REAL / "hub/datasets/glaiveai/glaive-function-calling-v2/glaive-function-calling-v2.json"

TIME = {"name": "get_time", "description": "The time", "parameters": {}}
AVERAGE = {
    "name": "average",
    "description": "A mean",
    "parameters": {
        "type": "object",
        "properties": {"numbers": {"type": "array", "items": {"type": "number"}}},
        "required": ["numbers"],
    },
}


def system_of(*functions: dict[str, Any]) -> str:
    texts = "\n\n".join(json.dumps(function, indent=4) for function in functions)
    return f"{sample.WITH_FUNCTIONS}{texts}\n"


def raw_frame(*rows: tuple[str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row_number": range(len(rows)),
            "system": [system for system, _ in rows],
            "chat": [chat for _, chat in rows],
            "source_error": None,
            "source_text": None,
        },
        schema={
            "row_number": pl.Int64,
            "system": pl.String,
            "chat": pl.String,
            "source_error": pl.String,
            "source_text": pl.String,
        },
    )


def parse_one(chat: str, *functions: dict[str, Any]) -> dict[str, Any]:
    processed, _ = parse_batch(raw_frame((system_of(*functions) if functions else None, chat)))
    row = processed.row(0, named=True)
    for name in (
        "function_calls",
        "malformed_reasons",
        "recovered_reasons",
        "conversation_errors",
        "call_errors",
    ):
        row[name] = json.loads(row[name])
    row["conversation"] = json.loads(row["conversation"])
    row["workflow"] = json.loads(row["workflow"])
    return row


def conversation_of(payload: str) -> str:
    return (
        f"USER: Please.\n\n\nASSISTANT: <functioncall>{payload}<|endoftext|>\n\n\n"
        'FUNCTION RESPONSE: {"result": 1}\n\n\nASSISTANT: Done. <|endoftext|>\n\n\n'
    )


def upstream(row: int) -> dict[str, Any]:
    lines = MALFORMATIONS.read_text(encoding="utf-8").splitlines()
    (found,) = (line for line in map(json.loads, lines) if line["row"] == row)
    return found


# --- the 17 lines of upstream -----------------------------------------------------


@pytest.mark.parametrize(
    ("row", "name", "arguments", "recovered"),
    [
        (25475, "detect_language", {"text": "Je suis un étudiant"}, []),
        (61004, "get_lyrics", {"title": "Shape of You", "artist": "Ed Sheeran"}, []),
        (19583, "send_sms", {"phone_number": "1234567890", "message": "Hey, let's meet"}, []),
        (111754, "generate_random_id", {}, []),
        (128, "calculate_bmi", {"weight": 70, "height": 1.75}, []),
        (71039, "analyze_sentiment", {"text": "life's full"}, ["recovered:escaped_apostrophe"]),
        (81082, "get_random_quote", {}, ["recovered:parameters_synonym"]),
        (57572, "send_email", {"subject": "Agenda"}, ["recovered:extra_closing_brace"]),
    ],
)
def test_upstream_call_is_found(row: int, name: str, arguments: dict[str, Any], recovered: list[str]) -> None:
    record = parse_one(conversation_of(upstream(row)["text"]))
    assert record["function_calls"] == [{"name": name, "arguments": arguments}]
    assert record["recovered_reasons"] == recovered
    assert (record["has_malformed"], record["quarantine_reason"]) == (False, None)


@pytest.mark.parametrize(
    ("row", "name", "reason"),
    [
        (26684, "calculate_tax", "non_finite_number"),
        (65421, "generate_report", "arguments_not_json"),
        (81297, "calculate_average", "arguments_not_object"),
        (81998, "get_current_time", "arguments_not_object"),
        (34221, "get_song_lyrics", "truncated_call"),
    ],
)
def test_upstream_call_is_flagged(row: int, name: str, reason: str) -> None:
    payload = upstream(row)["text"]
    record = parse_one(conversation_of(payload))
    assert record["function_calls"] == [{"name": name, "malformed": reason, "raw": payload.strip()[:100]}]
    assert (record["has_malformed"], record["complexity_tier"]) == (True, "malformed")
    assert record["quarantine_reason"] == "unusable_call"


def test_upstream_17357_call_in_another_syntax_in_a_chat_that_is_cut_off() -> None:
    record = parse_one(upstream(17357)["text"])
    arguments = {"song_title": "Imagine", "artist": "John Lennon"}
    assert record["function_calls"] == [{"name": "get_song_lyrics", "arguments": arguments}]
    assert record["recovered_reasons"] == ["recovered:foreign_call_syntax", "recovered:text_before_call"]
    assert record["quarantine_reason"] == "chat_cut_off"


def test_upstream_21816_words_before_the_call() -> None:
    record = parse_one(upstream(21816)["text"])
    assert record["function_calls"] == [{"name": "search_products", "arguments": {"keyword": "laptop"}}]
    assert record["recovered_reasons"] == ["recovered:text_before_call"]
    assert record["quarantine_reason"] is None
    assert (
        record["conversation"][1]["content"] == "Of course, I can help you with that. Let's start the search."
    )
    assert record["conversation"][2] == {
        "role": "tool",
        "content": '{"products": []}',
        "name": "search_products",
    }


def test_upstream_2289_a_reply_split_in_two_is_not_guessed_at() -> None:
    record = parse_one(upstream(2289)["text"])
    assert record["quarantine_reason"] == "split_assistant_turn"
    assert record["num_turns"] == 1


def test_upstream_44369_a_marker_inside_the_words_of_the_user() -> None:
    record = parse_one(upstream(44369)["text"])
    assert record["quarantine_reason"] == "stray_role_marker"
    assert record["conversation_errors"] == ["stray_role_marker", "stray_end_mark"]
    # Not a turn of the assistant: no blank line before it.
    assert record["conversation"][0]["content"].endswith("I need 2 copies and each costs $30.")


# --- calls that only their function makes plain -------------------------------------


@pytest.mark.parametrize("written", ["null", "''", "'null'"])
def test_no_arguments_for_a_function_that_requires_none(written: str) -> None:
    record = parse_one(conversation_of(f' {{"name": "get_time", "arguments": {written}}} '), TIME)
    assert record["function_calls"] == [{"name": "get_time", "arguments": {}}]
    assert record["recovered_reasons"] == ["recovered:empty_arguments"]


@pytest.mark.parametrize("written", ["'[1, 2]'", "[1, 2]"])
def test_a_list_for_the_only_parameter_that_is_one(written: str) -> None:
    record = parse_one(conversation_of(f' {{"name": "average", "arguments": {written}}} '), AVERAGE)
    assert record["function_calls"] == [{"name": "average", "arguments": {"numbers": [1, 2]}}]
    assert record["recovered_reasons"] == ["recovered:list_arguments"]
    assert record["complexity_tier"] == "moderate"


@pytest.mark.parametrize(
    "payload",
    [
        ' {"name": "average", "arguments": null} ',
        """ {"name": "average", "arguments": '["a"]'} """,
        """ {"name": "average", "arguments": '3'} """,
        """ {"name": "get_time", "arguments": '[1]'} """,
        """ {"name": "unknown", "arguments": null} """,
    ],
)
def test_otherwise_arguments_that_are_no_object_are_unusable(payload: str) -> None:
    record = parse_one(conversation_of(payload), AVERAGE, TIME)
    assert record["malformed_reasons"] == ["arguments_not_object"]


# --- turns --------------------------------------------------------------------------

CALL = """<functioncall> {"name": "get_time", "arguments": '{}'}"""


def test_several_calls_in_one_turn_are_parallel_and_the_replies_are_named() -> None:
    record = parse_one(
        "USER: Both.\n\n\n"
        f"ASSISTANT: {CALL} "
        """<functioncall> {"name": "average", "arguments": '{"numbers": [1]}'} <|endoftext|>\n\n\n"""
        'FUNCTION RESPONSE: {"time": 1}\n\n\nFUNCTION RESPONSE: {"mean": 1}\n\n\nASSISTANT: So. <|endoftext|>\n\n\n',
        TIME,
        AVERAGE,
    )
    assert (record["num_calls"], record["num_parallel_calls"], record["has_parallel"]) == (2, 2, True)
    assert [m.get("name") for m in record["conversation"] if m["role"] == "tool"] == ["get_time", "average"]
    assert len(record["conversation"][2]["tool_calls"]) == 2
    assert record["quarantine_reason"] is None


def test_two_calls_in_two_turns_are_not_parallel() -> None:
    record = parse_one((conversation_of(CALL.removeprefix("<functioncall>") + " ") * 2), TIME)
    assert (record["num_calls"], record["has_parallel"], record["complexity_tier"]) == (2, False, "complex")


def test_upstream_writes_words_and_call_as_two_turns() -> None:
    record = parse_one(
        f"USER: Time?\n\n\nASSISTANT: Sure. <|endoftext|>\n\n\nASSISTANT: {CALL} <|endoftext|>\n\n\n", TIME
    )
    assert [message["role"] for message in record["conversation"]] == ["system", "user", "assistant"]
    assert record["conversation"][2]["content"] == "Sure."
    assert record["conversation"][2]["tool_calls"][0]["function"] == {"name": "get_time", "arguments": {}}


def test_a_brace_left_over_from_the_call_is_no_turn() -> None:
    record = parse_one(
        f"USER: Time?\n\n\nASSISTANT: {CALL} <|endoftext|>\n\n\nASSISTANT: }} <|endoftext|>\n\n\n"
        "FUNCTION RESPONSE: 12\n\n\nASSISTANT: Noon. <|endoftext|>\n\n\n",
        TIME,
    )
    assert record["recovered_reasons"] == ["recovered:stray_brace_turn"]
    assert record["quarantine_reason"] is None
    assert [message["role"] for message in record["conversation"][1:]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]


@pytest.mark.parametrize("gap", ["\n\n\n", "\n", " \n\n"])
def test_a_call_without_its_end_mark(gap: str) -> None:
    record = parse_one(
        f"USER: Time?\n\n\nASSISTANT: {CALL}{gap}FUNCTION RESPONSE: 12\n\n\nASSISTANT: Noon. <|endoftext|>"
    )
    assert record["function_calls"] == [{"name": "get_time", "arguments": {}}]
    assert "recovered:missing_end_mark" in record["recovered_reasons"]
    assert record["quarantine_reason"] is None


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        ("Hello there.", "text_before_first_turn"),
        ("ASSISTANT: Hello. <|endoftext|>", "not_started_by_user"),
        ("USER: Hello.", "no_assistant_turn"),
        ("Note. USER: a\n\n\nASSISTANT: b <|endoftext|>", "text_before_first_turn"),
        ("USER: a\n\n\nUSER: b\n\n\nASSISTANT: c <|endoftext|>", "consecutive_user_turns"),
        ("USER: a\n\n\nASSISTANT: b <|endoftext|> c <|endoftext|>", "stray_end_mark"),
        ("USER: a <|endoftext|>\n\n\nASSISTANT: b <|endoftext|>", "stray_end_mark"),
        ("USER: a\nASSISTANT: b\n\n\nASSISTANT: c <|endoftext|>", "stray_role_marker"),
        ("USER: a\n\n\nASSISTANT: b <|endoftext|>\n\n\nASSISTANT: c <|endoftext|>", "split_assistant_turn"),
        ("USER: a\n\n\nFUNCTION RESPONSE: 1\n\n\nASSISTANT: c <|endoftext|>", "response_without_call"),
        (
            f"USER: a\n\n\nASSISTANT: {CALL} <|endoftext|>\n\n\nASSISTANT: c <|endoftext|>",
            "call_without_response",
        ),
        (f"USER: a\n\n\nASSISTANT: {CALL} <|endoftext|>\n\n\nUSER: c", "call_without_response"),
        (f'USER: a\n\n\nASSISTANT: {CALL} <|endoftext|>\n\n\nFUNCTION RESPONSE: {{"a": "', "chat_cut_off"),
        ("USER: a\n\n\nASSISTANT:  <|endoftext|>", "empty_turn"),
        (f"USER: {CALL}\n\n\nASSISTANT: b <|endoftext|>", "unusable_call"),
    ],
)
def test_what_is_no_honest_conversation_is_withheld(chat: str, reason: str) -> None:
    raw = raw_frame((None, chat))
    processed, quarantine = parse_batch(raw)
    assert processed["quarantine_reason"].to_list() == [reason]
    assert quarantine.select("row_number", "stage", "reason").rows() == [(0, "chatml", reason)]


@pytest.mark.parametrize(
    ("response", "failed"),
    [
        ('{"error": "City not found"}', True),
        ('{"error": null, "result": 1}', False),
        ('{"status": "error", "message": "no"}', True),
        ('{"status": "failed"}', True),
        ('{"status": "success", "message": "No errors"}', True),
        ('{"success": false}', True),
        ('{"message": "Invalid email"}', True),
        ('{"status": "success"}', False),
        ('{"movie": "Trial and Error", "message": "x"}', False),
        ('{"title": "And Then There Were None"}', False),
        ("Error: no such city", True),
        ("It is terror-ific", False),
        ('{"error": "cut o', True),
        ('["error"]', False),
        ("", False),
    ],
)
def test_a_response_that_reports_an_error(response: str, failed: bool) -> None:
    assert reports_error(response) is failed


def test_keywords_are_words() -> None:
    record = parse_one(
        "USER: Nonetheless, a terror.\n\n\nASSISTANT: NULL was not found; if it should fail, ok. <|endoftext|>"
    )
    assert json.loads(record["error_keywords_found"]) == ["null", "not found"]
    assert (record["has_conditional_error"], record["has_error_handling"]) == (True, True)
    assert parse_one("USER: Nonetheless.\n\n\nASSISTANT: Ok. <|endoftext|>")["has_error_handling"] is False


# --- prompts ------------------------------------------------------------------------


def test_all_functions_of_a_prompt_with_their_types() -> None:
    again = {**AVERAGE, "description": 'Another {mean}, "robust"\\n}\n\n{'}
    prompt = parse_prompt(system_of(TIME, AVERAGE, again))
    assert (prompt.names, prompt.invalid, prompt.repeats) == (["get_time", "average", "average"], 0, True)
    functions = [tool["function"] for tool in json.loads(prompt.tools or "")]
    assert functions == [{**TIME, "parameters": {"type": "object", "properties": {}}}, AVERAGE, again]
    signatures = json.loads(prompt.signatures)
    assert signatures["average"]["types"] == {"numbers": "array"}
    assert [one["description"] for one in signatures["average"]["redeclared"]] == [again["description"]]


def test_an_invalid_function_among_good_ones() -> None:
    system = (
        system_of(TIME)
        + '\n{\n    "name": "broken",\n    "parameters": {"a"\n}\n\n'
        + json.dumps(AVERAGE)
        + "\n\n{}\n"
    )
    prompt = parse_prompt(system)
    assert (prompt.names, prompt.invalid) == (["get_time", "average"], 2)


@pytest.mark.parametrize(
    "system", [None, "", "SYSTEM: No functions.\n\n", "{", "{" * 100_000, '{"a":' * 100_000, "\n\n{" * 9_999]
)
def test_prompts_without_functions(system: str | None) -> None:
    assert parse_prompt(system).names == []


def test_calls_are_verified_against_the_definition_they_fit_best() -> None:
    by_name = {**AVERAGE, "parameters": {"type": "object", "properties": {"column": {"type": "string"}}}}
    for arguments, errors in (
        ('{"column": "a"}', []),
        ('{"numbers": [1]}', []),
        (
            '{"numbers": ["x"]}',
            [{"call": 0, "name": "average", "code": "wrong_type", "path": "$.numbers[0]"}],
        ),
    ):
        record = parse_one(
            conversation_of(f""" {{"name": "average", "arguments": '{arguments}'}} """), AVERAGE, by_name
        )
        assert (record["call_errors"], record["has_duplicate_function_names"]) == (errors, True)
    record = parse_one(conversation_of(""" {"name": "mean", "arguments": '{}'} """), AVERAGE)
    assert record["call_errors"] == [{"call": 0, "name": "mean", "code": "unknown_function", "path": "$"}]


# --- real and generated rows ----------------------------------------------------------


def test_every_real_row_is_parsed_and_usable() -> None:
    rows = json.loads(ROWS.read_text(encoding="utf-8"))
    processed, quarantine = parse_batch(raw_frame(*((row["system"], row["chat"]) for row in rows)))
    assert (len(processed), len(quarantine)) == (870, 0)
    assert processed.filter(
        pl.col("system").str.contains("{", literal=True) & (pl.col("num_defined_functions") == 0)
    ).is_empty()
    assert processed["num_calls"].sum() == sum(row["chat"].count("<functioncall>") for row in rows) + 1
    assert processed.schema == PROCESSED_SCHEMA


def test_every_truth_about_generated_rows_is_found() -> None:
    rows = list(sample.generate(3_000, seed=11))
    processed, _ = parse_batch(raw_frame(*((row.system, row.chat) for row in rows)))
    for row, record in zip(rows, processed.iter_rows(named=True), strict=True):
        truth = row.truth
        for name in ("num_turns", "num_calls", "num_parallel_calls", "has_malformed", "has_parallel",
                     "has_function_error_response", "has_conditional_error", "has_error_handling"):  # fmt: skip
            assert record[name] == getattr(truth, name), (name, row.chat)
        assert record["complexity_tier"] == truth.tier
        assert json.loads(record["error_keywords_found"]) == list(truth.error_keywords)
        assert json.loads(record["defined_function_names"]) == [
            function["name"] for function in truth.functions
        ]
        assert record["num_invalid_calls"] == sum(call.violation is not None for call in truth.calls)
        for found, call in zip(json.loads(record["function_calls"]), truth.calls, strict=True):
            assert found["name"] == call.name
            if call.condition == "unusable":
                assert "malformed" in found
            else:
                assert found["arguments"] == call.arguments


def both_ways(systems: list[str | None], chats: list[str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    prompts = [parse_prompt(system) for system in systems]
    for plain in read_plain_rows(pl.Series(chats, dtype=pl.String), prompts).iter_rows(named=True):
        row = plain.pop("row")
        yield plain, dict(zip(RECORD_SCHEMA, record_columns(prompts[row], chats[row]), strict=True))


def test_plain_rows_are_read_like_all_others() -> None:
    rows = json.loads(ROWS.read_text(encoding="utf-8")) + [
        {"system": row.system, "chat": row.chat} for row in sample.generate(1_000, seed=5)
    ]
    pairs = list(both_ways([row["system"] for row in rows], [row["chat"] for row in rows]))
    assert len(pairs) > 0.9 * len(rows)
    for plain, careful in pairs:
        assert plain == careful


PIECES = st.sampled_from(
    [" <|endoftext|>\n\n\n", " <|endoftext|>", "\n\n\nUSER: ", "\n\nUSER:", "\n\n\nASSISTANT: ",
     "\n\n\nFUNCTION RESPONSE: ", "USER: ", "words", "{", "}", "\n", " ", "<", "to= f: {",
     CALL, CALL.replace("'{}'", """'{"a": 1, "b": "it's \\u00e9"}'"""),
     "\n\n", "\n\nASSISTANT:", "\\n", "\t", "\r", "<|endoftext|>", "<|endoftext|>\n\nUSER:",
     '{"error": 1}', "\x1e", "\x1c", "\u2028", "\\", '"', "é", "\x00", "None error"]
)  # fmt: skip
TURN_LISTS = st.lists(
    st.sampled_from(
        [
            "U: Hi.",
            "U: Why? \n\nHow?",
            "A: So.",
            "A: " + CALL,
            "F: 12",
            'F: {"status": "failed"}',
            "A:  {x}",
            "U:",
            "A: x\x1c",
        ]
    ),
    max_size=8,
)


def chat_of(turns: list[str]) -> str:
    roles = {"U": "USER", "A": "ASSISTANT", "F": "FUNCTION RESPONSE"}
    ends = {"U": "\n\n\n", "A": " <|endoftext|>\n\n\n", "F": "\n\n\n"}
    return "".join(f"{roles[turn[0]]}{turn[1:]}{ends[turn[0]]}" for turn in turns)


@given(
    st.lists(st.lists(PIECES, max_size=12).map("".join) | TURN_LISTS.map(chat_of), min_size=1, max_size=20)
)
def test_whatever_is_plain_is_read_like_all_others(chats: list[str]) -> None:
    for plain, careful in both_ways([system_of(TIME)] * len(chats), chats):
        assert plain == careful


def test_a_line_break_that_is_meant_literally_is_no_line_break() -> None:
    chat = conversation_of(CALL.removeprefix("<functioncall>") + " ")
    literal = chat.replace('{"result": 1}\n\n\n', "error" + r"\n" + "\n\n")
    assert literal != chat
    processed, _ = parse_batch(raw_frame((system_of(TIME), literal)))
    response = json.loads(processed["conversation"][0])[3]
    assert (response["content"], processed["has_function_error_response"][0]) == (r"error\n", True)


@given(TURN_LISTS)
def test_turns_that_were_written_are_found(turns: list[str]) -> None:
    before, found, recovered, stray = split_turns(chat_of(turns))
    assert (before, recovered, stray) == ("", [], False)
    assert [f"{role[0]}:{text}" for role, text, _ in found] == [
        f"{turn[0]}:{turn[2:].strip(' ')}" for turn in turns
    ]


@given(st.text() | st.lists(PIECES).map("".join), st.text() | st.lists(PIECES).map("".join))
def test_nothing_raises(system: str, chat: str) -> None:
    record = parse_record(parse_prompt(system), chat)
    assert all(call.error or isinstance(call.arguments, dict) for call in record.calls)
    processed, quarantine = parse_batch(raw_frame((system, chat)))
    assert len(processed) + len(quarantine.filter(stage="processed_records")) == 1


# --- rows that are refused, and files -----------------------------------------------


def test_rows_that_cannot_be_read_are_refused_with_their_reason() -> None:
    raw = raw_frame(
        (None, None), (None, " \n"), ("s" * MAX_ROW_BYTES, "USER: a"), (None, None), (None, "{" * 100_000),
        (None, "USER: é"), (None, "USER: éé\n\n"),
    )  # fmt: skip
    raw = raw.with_columns(
        source_error=pl.when(pl.col("row_number") == 3).then(pl.lit("not_json")),
        source_text=pl.when(pl.col("row_number") == 3).then(pl.lit("{oops")),
    )
    processed, quarantine = parse_batch(raw)
    assert processed["row_number"].to_list() == [4, 6]
    refused = quarantine.filter(stage="processed_records")
    assert refused.select("row_number", "reason").rows() == [
        (0, "empty_chat"), (1, "empty_chat"), (2, "too_large"), (3, "not_json"),
        (5, "too_short"),
    ]  # fmt: skip
    assert refused["text"].to_list()[3] == "{oops"
    assert max(len(text or "") for text in quarantine["text"]) <= 1_000


def test_a_row_of_100_mb_is_refused_at_once() -> None:
    processed, quarantine = parse_batch(raw_frame((None, "USER: " + "x" * 100_000_000)))
    assert (len(processed), quarantine["reason"].to_list()) == (0, ["too_large"])


def test_files_are_the_same_whatever_the_workers(tmp_path: Path) -> None:
    rows = [(row.system, row.chat) for row in sample.generate(700, seed=3)]
    raw = raw_frame(*rows, (None, None))
    written = []
    for workers in (1, 3):
        good, bad = tmp_path / f"good{workers}.parquet", tmp_path / f"bad{workers}.parquet"
        seen: list[int] = []
        counts = process(raw.lazy(), good, bad, workers=workers, batch_rows=100, on_progress=seen.append)
        assert (counts.rows_in, counts.processed, counts.quarantined) == (701, 700, {"empty_chat": 1})
        assert seen[-1] == 701
        assert sorted(seen) == seen
        written.append((good.read_bytes(), bad.read_bytes()))
    assert written[0] == written[1]
    processed, quarantine = pl.read_parquet(good), pl.read_parquet(bad)
    assert processed.schema == PROCESSED_SCHEMA
    assert processed["row_number"].to_list() == list(range(700))
    withheld = quarantine.filter(stage="chatml")
    assert len(withheld) == processed["quarantine_reason"].count() == sum(counts.withheld.values())


def test_no_rows_at_all(tmp_path: Path) -> None:
    counts = process(raw_frame().lazy(), tmp_path / "good.parquet", tmp_path / "bad.parquet")
    assert (counts.rows_in, counts.processed) == (0, 0)
    assert pl.read_parquet(tmp_path / "good.parquet").schema == PROCESSED_SCHEMA
