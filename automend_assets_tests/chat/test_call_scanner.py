"""Calls in text: every way of writing one, every way of breaking one, and anything at all."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automend_assets.chat.call_scanner import RAW_CHARS, TAG, Call, find_calls


def scan_one(payload: str) -> Call:
    _, calls = find_calls(TAG + payload)
    (call,) = calls
    return call


@pytest.mark.parametrize(
    ("payload", "arguments", "codes"),
    [
        (""" {"name": "f", "arguments": '{"a": 1}'} """, {"a": 1}, ()),
        (""" {"name": "f", "arguments": '{\n  "a": 1\n}'} """, {"a": 1}, ()),
        (""" {"name": "f", "arguments": {"a": {"b": [1, "}"]}}} """, {"a": {"b": [1, "}"]}}, ()),
        (""" {"name": "f", "arguments": "{\\"a\\": \\"x\\"}"} """, {"a": "x"}, ()),
        (""" {"arguments": '{"a": 1}', "name": "f"} """, {"a": 1}, ()),
        (""" {"name": "f", "arguments": '{"a": "let's, it's {b}"}'} """, {"a": "let's, it's {b}"}, ()),
        (""" {"name": "f", "arguments": '{"a": "say \\"hi\\""}'} """, {"a": 'say "hi"'}, ()),
        (""" {"name": "f", "arguments": '{"a": "life\\'s"}'} """, {"a": "life's"}, ("escaped_apostrophe",)),
        (""" {"name": "f", "arguments": '{"a": "x\ny"}'} """, {"a": "x\ny"}, ("control_characters",)),
        (""" {"name": "f", "arguments": '{"a": 1,}'} """, {"a": 1}, ("trailing_comma",)),
        (""" {"name": "f", "arguments": "{"a": 1}"} """, {"a": 1}, ("unescaped_quotes",)),
        (""" {"name": "f", "arguments": '"{\\"a\\": 1}"'} """, {"a": 1}, ("double_encoded",)),
        (""" {"name": "f", "parameters": {"a": 1}} """, {"a": 1}, ("parameters_synonym",)),
        (""" {"name": "f", "arguments": '{"a": 1}' """, {"a": 1}, ("missing_closing_brace",)),
        (""" {"name": "f", "arguments": '{"a": 1} """, {"a": 1}, ("missing_closing_brace",)),
        (""" {"name": "f", "arguments": '{"a": 1'} """, {"a": 1}, ("missing_closing_brace",)),
        (""" {"name": "f", "arguments": {"a": 1} """, {"a": 1}, ("missing_closing_brace",)),
        (""" {"name": "f", "arguments": '{"a": "it's"} """, {"a": "it's"}, ("missing_closing_brace",)),
        (""" {"name": "f", "arguments": '{"a": 1}'}} """, {"a": 1}, ("extra_closing_brace",)),
        (""" {"name": "f", "arguments": '{"a": 1}}'} """, {"a": 1}, ("extra_closing_brace",)),
        (""" {"name": "f", "arguments": {"a": 1}}} """, {"a": 1}, ("extra_closing_brace",)),
        (""": {"name": "f", "arguments": {"a": 1}}""", {"a": 1}, ()),
    ],
)
def test_one_reading_is_taken_and_coded(payload: str, arguments: Any, codes: tuple[str, ...]) -> None:
    call = scan_one(payload)
    assert (call.name, call.arguments, call.error) == ("f", arguments, None)
    assert call.codes == tuple(f"recovered:{code}" for code in codes)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ("", "truncated_call"),
        (' {"name": "f", ', "truncated_call"),
        (""" {"name": "f", "arguments": '{"a": "x", "b": " """, "truncated_call"),
        (""" {"name": "f", "arguments": '{"a": "x" """, "truncated_call"),
        (""" {"name": "f", "arguments": {"a": {"b": 1} """, "truncated_call"),
        # With or without c inside a: both can be meant.
        (""" {"name": "f", "arguments": '{"a": {"b": 1, "c": 2}'} """, "unbalanced_braces"),
        (""" {"name": "f", "arguments": {"a": {"b": 1, "c": 2}} """, "unbalanced_braces"),
        (""" {"name": "f", "arguments": '{"a": 1}, "b": 2}'} """, "unbalanced_braces"),
        (""" {"name": "f", "arguments": '{"a": Infinity}'} """, "non_finite_number"),
        (""" {"name": "f", "arguments": {"a": NaN}} """, "non_finite_number"),
        (""" {"name": "f", "arguments": '{"a": 123456789012345678901}'} """, "number_out_of_range"),
        (""" {"name": "f", "arguments": '{"a": 1, "a": 2}'} """, "duplicate_argument"),
        (""" {"name": "f", "arguments": '{"x": {"a": 1, "a": 1}}'} """, "duplicate_argument"),
        (""" {"name": "f", "arguments": '{"a": [User data]}'} """, "arguments_not_json"),
        (""" {"name": "f", "arguments": '{"a": "He said "hi""}'} """, "arguments_not_json"),
        (""" {"name": "f", "arguments": "words"} """, "arguments_not_json"),
        (""" {"name": "f", "arguments": '[1, 2]'} """, "arguments_not_object"),
        (""" {"name": "f", "arguments": [1, 2]} """, "arguments_not_object"),
        (""" {"name": "f", "arguments": null} """, "arguments_not_object"),
        (""" {"name": "f", "arguments": ''} """, "arguments_not_object"),
        (""" {"name": "f", "arguments": 3} """, "arguments_not_object"),
        (' {"name": "f"} ', "arguments_not_object"),
        (' {"name": 3, "arguments": {}} ', "missing_name"),
        (' {"name": "", "arguments": {}} ', "missing_name"),
        (' {"arguments": {}} ', "missing_name"),
        (' {"name": "f", "arguments": {}, "parameters": {}} ', "unknown_call_form"),
        (' {"name": "f", "arguments": {}, "extra": {}} ', "unknown_call_form"),
        (" f(1)", "not_a_call_object"),
        (' {"name": "f", "arguments": ' + '{"a":' * 100_000, "too_deep"),
        (""" {"name": "f", "arguments": '""" + "[" * 100_000, "too_deep"),
    ],
)
def test_otherwise_it_is_malformed_for_one_reason(payload: str, error: str) -> None:
    call = scan_one(payload)
    assert call.error == error
    assert len(call.raw) <= RAW_CHARS


def test_what_is_known_of_a_malformed_call_is_kept() -> None:
    call = scan_one(""" {"name": "average", "arguments": '[5, 10]'} """)
    assert (call.name, call.arguments, call.codes) == ("average", [5, 10], ())
    assert call.raw == """{"name": "average", "arguments": '[5, 10]'}"""


@pytest.mark.parametrize(
    ("text", "names", "code", "rest"),
    [
        ('<functioncall> {"name": "f", "arguments": {}} <functioncall> {"name": "g", "arguments": {}}', "fg", None, ""),
        ('<functioncall> {"name": "f", "arguments": {}} {"name": "g", "arguments": {}}', "fg", "repeated_calls", ""),
        ('<functioncall> [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]', "fg", "call_list", ""),
        ('Well.\n<functioncall> {"name": "f", "arguments": {}}', "f", "text_before_call", "Well."),
        ('<functioncall> {"name": "f", "arguments": {}} Done.', "f", "text_after_call", "Done."),
        ('<functioncall> {"name": "f", "arguments": {}} </functioncall>', "f", None, ""),
        ('<function_call> {"name": "f", "arguments": {}}</function_call>', "f", "tag_spelling", ""),
        ('<FunctionCall>{"name": "f", "arguments": {}}', "f", "tag_spelling", ""),
        ('{"name": "f", "arguments": \'{}\'}', "f", "missing_tag", ""),
        ('AI to= f: {"a": 1}', "f", "foreign_call_syntax", ""),
        ('Sure.\nAI to=f: {"a": 1}', "f", "foreign_call_syntax", "Sure."),
    ],
)  # fmt: skip
def test_calls_of_a_turn(text: str, names: str, code: str | None, rest: str) -> None:
    left, calls = find_calls(text)
    assert "".join(call.name or "?" for call in calls) == names
    assert all(call.error is None for call in calls)
    assert left == rest
    if code:
        assert all(f"recovered:{code}" in call.codes for call in calls)


@pytest.mark.parametrize(
    "text",
    [
        "Plain words.",
        'Use <a href="x" to="y">.',
        '{"name": "Ada", "age": 36}',
        "to= be, or not to= be",
        "A functioncall is {not} one.",
    ],
)
def test_other_text_is_no_call(text: str) -> None:
    assert find_calls(text) == (text, [])


def test_a_damaged_call_does_not_take_the_next_one_along() -> None:
    _, calls = find_calls(
        """<functioncall> {"name": "f", "arguments": '{"a": "} <functioncall> {"name": "g", "arguments": '{}'}"""
    )
    assert [(call.name, call.error) for call in calls] == [("f", "truncated_call"), ("g", None)]


def test_a_tag_inside_an_argument_is_text() -> None:
    _, calls = find_calls("""<functioncall> {"name": "f", "arguments": '{"a": "<functioncall> {}"}'}""")
    assert [call.arguments for call in calls] == [{"a": "<functioncall> {}"}]


# --- any nesting, any quotes ----------------------------------------------------

texts = (
    st.text(st.characters(codec="utf-8"))
    | st.text("{}[]'\"\\:, ab\n")
    | st.sampled_from([TAG, "'}", "'", "\\'"])
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
objects = st.dictionaries(texts, values, max_size=4)
names = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1)
layouts = st.sampled_from([{}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}])


def write(name: str, arguments: Any, layout: dict[str, Any], form: str) -> str:
    text = json.dumps(arguments, **layout)
    match form:
        case "quoted":
            return f'{{"name": "{name}", "arguments": \'{text}\'}}'
        case "string":
            return f'{{"name": "{name}", "arguments": {json.dumps(text)}}}'
        case "object":
            return f'{{"name": "{name}", "arguments": {text}}}'
        case "pretty":
            return json.dumps({"name": name, "arguments": arguments}, indent=4)
        case _:
            return f'{{"name": "{name}", "parameters": {text}}}'


forms = st.sampled_from(["quoted", "string", "object", "pretty", "parameters"])
written = st.tuples(names, objects, layouts, forms)


@given(st.lists(written, min_size=1, max_size=4), st.sampled_from([" ", "\n", "", "  \n "]))
def test_what_was_written_is_found(calls: list[Any], space: str) -> None:
    text = space.join(f"{TAG}{space}{write(*call)}{space}" for call in calls)
    rest, found = find_calls(text)
    assert rest == ""
    assert [(call.name, call.error) for call in found] == [(name, None) for name, *_ in calls]
    # Compared as JSON text: 1.0 is not 1, and true is not 1.
    assert [json.dumps(call.arguments) for call in found] == [
        json.dumps(arguments) for _, arguments, *_ in calls
    ]


@given(written, st.data())
def test_cut_anywhere_it_is_found_whole_or_flagged(call: Any, data: st.DataObject) -> None:
    text = write(*call)
    cut = data.draw(st.integers(0, len(text) - 1))
    _, found = find_calls(f"{TAG} {text[:cut]}")
    # What is left of an argument may hold the tag; that is no call either.
    assert all(part.error for part in found[1:])
    assert found[0].error or json.dumps(found[0].arguments) == json.dumps(call[1])


pieces = st.sampled_from(
    ["{", "}", '{"name": "f", ', '"arguments": ', "'", TAG, "null", "to= f: {", "[", "\\"]
)


@given(st.lists(texts | pieces).map("".join))
def test_nothing_raises_and_every_result_is_json(text: str) -> None:
    for candidate in (text, TAG + text, TAG + ' {"name": "f", "arguments": ' + text):
        _, calls = find_calls(candidate)
        for call in calls:
            json.dumps(call.arguments, allow_nan=False)
            assert call.error or (call.name and isinstance(call.arguments, dict))


@pytest.mark.parametrize(
    "piece",
    [
        TAG,
        f'{TAG}{{"name":"f","arguments":\'{{"x" "',
        f'{TAG} {{"name": "f", "arguments": \'{{"a": 1}}',
        '{"name": "f", "arguments": {}} ',
        '"\\',
        "\\'",
        ", \n",
        "\n",
        "{}",
        '{"a": "',
    ],
)
def test_time_is_linear(piece: str) -> None:
    """200,000 characters of whatever repeats: a quadratic scan takes minutes."""
    text = TAG + ' {"name": "f", "arguments": \'{"a": ' + piece * (200_000 // len(piece))
    started = time.process_time()
    _, calls = find_calls(text)
    assert time.process_time() - started < 5
    assert calls
