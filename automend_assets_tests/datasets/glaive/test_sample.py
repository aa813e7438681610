"""The generator keeps to upstream's layout and shares, and its truth is true."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from automend_assets.datasets.glaive import sample_texts
from automend_assets.datasets.glaive.sample import (
    ERROR_KEYWORDS,
    FORMS,
    NO_FUNCTIONS,
    SampleRow,
    generate,
    main,
    write_json_array,
    write_json_lines,
)

BUNDLED = Path(__file__).parents[3] / "data/samples/glaive/glaive-function-calling-v2.json.gz"
ROWS = 20_000


@pytest.fixture(scope="module")
def rows() -> list[SampleRow]:
    return list(generate(ROWS, seed=7))


def contents(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def test_the_bundled_sample_is_what_its_command_makes(tmp_path: Path) -> None:
    # The rows, not the gzip stream: another zlib may pack the same rows differently.
    main(["--rows", "6000", "--seed", "42", "--out", str(tmp_path / "sample.json.gz")])
    made = hashlib.sha256(contents(tmp_path / "sample.json.gz")).hexdigest()
    assert made == hashlib.sha256(contents(BUNDLED)).hexdigest()
    assert BUNDLED.stat().st_size < 1_500_000


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_json_array(tmp_path / f"{name}.json.gz", 200, seed)
    a, b, c = ((tmp_path / f"{name}.json.gz").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    assert a[4:8] == b"\0\0\0\0", "a time stamp in the gzip header"


def test_fewer_rows_are_the_beginning_of_more() -> None:
    assert list(generate(50, seed=3)) == list(generate(300, seed=3))[:50]


@pytest.mark.parametrize("count", [0, 1, 25])
def test_an_array_is_indented_by_one_as_upstream(tmp_path: Path, count: int) -> None:
    write_json_array(tmp_path / "rows.json", count)
    expected = [{"system": row.system, "chat": row.chat} for row in generate(count)]
    assert (tmp_path / "rows.json").read_text("utf-8") == json.dumps(expected, indent=1, ensure_ascii=False)


def test_json_lines_hold_the_same_rows(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "rows.jsonl", 25)
    lines = [orjson.loads(line) for line in (tmp_path / "rows.jsonl").read_bytes().splitlines()]
    assert lines == [{"system": row.system, "chat": row.chat} for row in generate(25)]


def test_the_command_writes_a_truth_for_every_row(tmp_path: Path) -> None:
    main(["--rows", "30", "--out", str(tmp_path / "rows.jsonl"), "--truth", str(tmp_path / "truth.jsonl")])
    truths = [orjson.loads(line) for line in (tmp_path / "truth.jsonl").read_bytes().splitlines()]
    assert [truth["row_number"] for truth in truths] == list(range(30))
    assert [truth["truth"]["num_turns"] for truth in truths] == [row.truth.num_turns for row in generate(30)]


def test_layout_of_system_and_chat(rows: list[SampleRow]) -> None:
    for row in rows:
        functions = row.truth.functions
        if not functions:
            assert row.system == NO_FUNCTIONS
            assert row.chat.endswith("<|endoftext|>")
            assert "\n\n\n" not in row.chat
            continue
        assert row.system.endswith("}\n" if len(functions) == 1 else "}\n\n")
        declared = "\n\n".join(json.dumps(f, indent=4, ensure_ascii=False) for f in functions)
        assert row.system.rstrip().endswith(f"Use them if required -\n{declared}")
        if row.truth.turns[-1].role == "assistant" and not row.truth.turns[-1].calls:
            assert row.chat.endswith("\n\n\n")


def test_turns_stand_in_the_chat_in_order(rows: list[SampleRow]) -> None:
    marks = {"user": "USER: ", "assistant": "ASSISTANT: ", "tool": "FUNCTION RESPONSE: "}
    for row in rows:
        place = 0
        for turn in row.truth.turns:
            place = row.chat.index(marks[turn.role] + turn.text, place) + 1
        assert row.chat.count("USER:") == row.truth.num_turns


def test_each_form_is_written_as_it_is_named(rows: list[SampleRow]) -> None:
    seen: Counter[str] = Counter()
    for row in rows:
        for call in row.truth.calls:
            seen[call.form] += 1
            text = json.dumps(call.arguments, ensure_ascii=False)
            only = json.dumps(next(iter((call.arguments or {}).values()), None), ensure_ascii=False)
            written = {
                "quoted": f"\"arguments\": '{text}'}}",
                "object": f'"arguments": {text}}}',
                "json_string": f'"arguments": {json.dumps(text, ensure_ascii=False)}}}',
                "quoted_list": f"\"arguments\": '{only}'}}",
                "list": f'"arguments": {only}}}',
                "parameters": f'"parameters": {text}}}',
                "null": '"arguments": null}',
                "extra_brace": f"'{text}'}}}}",
                "no_end": f"'{text}'}}",
                "text_before": f"'{text}'}} <|endoftext|>",
            }.get(call.form, call.name)
            assert written in row.chat, call.form
            assert (call.arguments is None) == (call.condition == "unusable")
    assert seen.keys() >= FORMS.keys() - {"null"}


def _failures(call_arguments: Any, functions: list[dict[str, Any]]) -> list[set[str]]:
    """The JSON Schema keywords that fail, for each definition of the called name."""
    found = []
    for function in functions:
        schema = {**function["parameters"]}
        if "properties" in schema:
            schema["additionalProperties"] = False
        errors = jsonschema.Draft202012Validator(schema).iter_errors(call_arguments)
        found.append({str(error.validator) for error in errors})
    return found


def test_calls_keep_to_the_schema_unless_truth_says_how_they_break_it(rows: list[SampleRow]) -> None:
    keyword = {
        "missing_required": {"required"},
        "unexpected_parameter": {"additionalProperties"},
        "wrong_type": {"type"},
        "bad_enum": {"enum"},
    }
    violations: Counter[str | None] = Counter()
    for row in rows:
        for call in row.truth.calls:
            violations[call.violation] += 1
            named = [f for f in row.truth.functions if f["name"] == call.name]
            assert bool(named) != (call.violation == "unknown_function")
            if call.violation in keyword:
                assert _failures(call.arguments, named) == [keyword[call.violation]]
            elif call.violation is None and call.arguments is not None:
                assert set() in _failures(call.arguments, named)
    assert len(violations) == 6


def test_error_truth_agrees_with_a_search_by_words(rows: list[SampleRow]) -> None:
    # Deliberately broader than any sane parser: near in both directions, over line breaks.
    near = re.compile(
        r"\b(?:if|when)\b.{0,30}(?:error|fail|invalid)|(?:error|fail|invalid)\w*.{0,30}\b(?:if|when)\b",
        re.I | re.S,
    )
    for row in rows:
        words = tuple(word for word in ERROR_KEYWORDS if re.search(rf"\b{word}\b", row.chat, re.I))
        assert words == row.truth.error_keywords
        assert bool(near.search(row.chat)) == row.truth.has_conditional_error


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case sample_texts.Subject():
            yield from (value.noun, value.plural, *value.parameters)
        case sample_texts.Parameter():
            yield value.label
        case tuple() | list():
            for item in value:
                yield from _strings(item)
        case dict():
            yield from _strings(list(value.items()))


def test_texts_are_free_of_error_words_except_where_declared() -> None:
    declared = {"ERROR_RESPONSES", "QUIET_RESPONSES", "ERROR_REPLIES", "ERROR_SENTENCES"}
    tables = {
        name: value for name, value in vars(sample_texts).items() if name.isupper() and name not in declared
    }
    assert len(tables) > 20
    for name, value in tables.items():
        for text in _strings(value):
            assert not re.search(rf"\b(?:{'|'.join(ERROR_KEYWORDS)})\b", text, re.I), (name, text)


def test_shares_follow_the_published_run(rows: list[SampleRow]) -> None:
    def share(counts: Counter[Any]) -> dict[Any, float]:
        return {key: count * 5_000 / ROWS for key, count in counts.items()}

    truths = [row.truth for row in rows]
    tiers = share(Counter(truth.tier for truth in truths))
    for tier, published in {"none": 2_218, "simple": 1_351, "moderate": 517, "complex": 907}.items():
        assert tiers[tier] == pytest.approx(published, abs=100), tier
    assert 0 < tiers["malformed"] < 15
    turns = share(Counter("1" if t.num_turns == 1 else "2-3" if t.num_turns < 4 else "4+" for t in truths))
    assert turns == pytest.approx({"1": 1_266, "2-3": 2_912, "4+": 822}, rel=0.1)
    calls = share(Counter(min(truth.num_calls, 3) for truth in truths))
    assert calls == pytest.approx({0: 2_218, 1: 1_875, 2: 866, 3: 41}, rel=0.2)
    assert share(Counter(t.has_error_handling for t in truths))[True] == pytest.approx(337, rel=0.2)
    functions = Counter(min(len(truth.functions), 2) for truth in truths)
    assert functions[0] / ROWS == pytest.approx(34_598 / 112_960, rel=0.05)
    assert functions[2] / ROWS == pytest.approx(10_619 / 112_960, rel=0.1)
    twice = Counter(truth.duplicate_name for truth in truths)
    assert (twice["same"] + twice["different"]) / ROWS == pytest.approx(351 / 112_960, rel=0.5)
    assert sum(truth.has_malformed for truth in truths) / ROWS == pytest.approx(0.0016, rel=0.5)
    assert any(truth.has_parallel for truth in truths)


def test_rows_are_as_long_and_prompts_as_diverse_as_real_ones(rows: list[SampleRow]) -> None:
    lengths = [len(row.system) + len(row.chat) for row in rows]
    assert 2_200 < sum(lengths) / ROWS < 2_400
    assert 430 < len({row.system for row in rows[:870]}) < 580
